"""What encoding does on a CPU and on a GPU where nothing is set: little padding, tokenization beside compute, one identity each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from embedding_helpers import exported_encoder

from hybrid_core.config import Config, EncodeConfig
from hybrid_core.config.devices import rows_per_shard, tokenizers, tokens_per_batch
from hybrid_core.encode import token_batches
from hybrid_core.settings import build
from ray_jobs._ray.cluster import processors
from ray_jobs._ray.encoding import Encoder
from ray_jobs.encode import _identity, _request

ON = [pytest.param(False, id="cpu"), pytest.param(True, id="gpu")]


@pytest.mark.parametrize("gpu", ON)
def test_little_of_a_forward_pass_is_padding_and_passes_are_full(gpu: bool) -> None:
    """Lengths as those of XQuAD-R's and MLQA-R's sentences in tokens: mean 42, from 10 to the limit of 256."""
    drawn = np.random.default_rng(0).lognormal(3.616, 0.4976, 32_768)
    lengths = np.clip(drawn, 5, 256).astype(np.int64)
    c = EncodeConfig(use_gpu=gpu)
    budget, passes, computed = tokens_per_batch(c), 0, 0
    for first in range(0, len(lengths), rows_per_shard(c)):
        window = lengths[first : first + rows_per_shard(c)]
        for rows in token_batches(window, budget):
            passes, computed = passes + 1, computed + len(rows) * int(window[rows].max())
    assert computed / lengths.sum() < 1.05
    assert computed / passes > 0.9 * budget, "short passes have no padding either, and waste the processor"


def test_tokenization_has_processes_of_its_own_beside_gpus() -> None:
    assert [tokenizers(EncodeConfig(actors=3, use_gpu=gpu)) for gpu in (False, True)] == [0, 12]
    assert [tokenizers(EncodeConfig(actors=3, use_gpu=True, tokenizers=n)) for n in (0, 2)] == [0, 2]
    assert processors(EncodeConfig(actors=3, use_gpu=True)) == 15


@pytest.fixture(scope="module")
def model(encoder_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return exported_encoder(encoder_directory, tmp_path_factory.mktemp("model") / "exported")["uri"]


def test_attention_follows_what_computes_and_not_what_the_machine_has(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, threads = build(Config, {"encode": {"threads": 1}}), torch.get_num_threads()
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        encoder = Encoder(model, config).encoder
        torch.set_num_threads(threads)
        assert encoder.backbone.config._attn_implementation == "eager"


def test_attention_is_part_of_what_names_a_shard(model: str) -> None:
    cpu, gpu = (_request(build(Config, {"encode": {"use_gpu": gpu}}), model) for gpu in (False, True))
    assert (cpu["attention"], gpu["attention"]) == ("eager", "sdpa")
    assert _identity(cpu) != _identity(cpu | {"attention": "sdpa"})
    assert (cpu["rows_per_shard"], gpu["rows_per_shard"]) == (4096, 16_384)
    assert (cpu["tokens_per_batch"], gpu["tokens_per_batch"]) == (1024, 16_384)
