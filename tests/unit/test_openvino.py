"""An encoder compiled by OpenVINO gives torch's embeddings, for every pooling, text length and batch, and reports nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid_core.config import ModelConfig
from hybrid_core.encode import Tokens, encode_tokens
from hybrid_core.errors import RequestError
from hybrid_core.model import Encoder, load_encoder
from hybrid_core.openvino import by_openvino
from hybrid_core.recipes import load_config

TEXTS = [" ".join(["water", "the river", "Fluss", "水"][i % 4] for i in range(n)) for n in (1, 30, 2, 3, 50, 9, 17, 1)]


def tiny(directory: Path, pooling: str = "mean") -> Encoder:
    return load_encoder(ModelConfig(name=str(directory), pooling=pooling))


def embedded(encoder: Encoder, *, budget: int, compiled: bool) -> np.ndarray:
    tokens = Tokens.of(encoder.tokenize(TEXTS, "passage"))
    forward = by_openvino(encoder, precision="float32", threads=1) if compiled else None
    return encode_tokens(encoder, tokens, tokens_per_batch=budget, precision="float32", forward=forward)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("budget", [1, 64, 4096])
def test_embeddings_are_those_of_torch(encoder_directory: Path, pooling: str, budget: int) -> None:
    encoder = tiny(encoder_directory, pooling)
    before = encoder.backbone.config._attn_implementation
    theirs = embedded(encoder, budget=budget, compiled=True)
    assert encoder.backbone.config._attn_implementation == before
    assert np.abs(theirs - embedded(encoder, budget=4096, compiled=False)).max() < 1e-5


def test_a_compiled_encoder_keeps_the_weights_it_was_compiled_with(encoder_directory: Path) -> None:
    encoder = tiny(encoder_directory)
    forward, ids = by_openvino(encoder, precision="float32", threads=1), np.array([[5, 6, 7]])
    before = forward(ids, np.ones_like(ids))
    with torch.no_grad():
        encoder.backbone.encoder.layer[0].output.dense.weight.mul_(2)
    assert np.array_equal(forward(ids, np.ones_like(ids)), before)


def test_nothing_is_reported_over_the_network(encoder_directory: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from hybrid_core.config import ModelConfig; from hybrid_core.model import load_encoder; "
        "from hybrid_core.openvino import by_openvino; "
        "by_openvino(load_encoder(ModelConfig(name=sys.argv[1])), precision='float32', threads=1); "
        "print([name for name, module in sys.modules.items() if module and name.startswith('openvino_telemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(encoder_directory)],
        env=os.environ | {"HOME": str(tmp_path)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", "the part that reports is not even loaded"
    assert not list(tmp_path.rglob("*telemetry*"))


def test_a_gpu_and_a_missing_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match=r"for CPUs.*encode\.engine=torch"):
        load_config("default", None, ["encode.engine=openvino", "encode.use_gpu=true"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'hybrid-batches\[openvino\]'"):
        load_config("default", None, ["encode.engine=openvino"])
