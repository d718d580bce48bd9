"""An encoder compiled for the processor by OpenVINO: the embeddings of torch, faster on a CPU.

    trace -> OpenVINO's PyTorch front end -> compiled model -> ids, mask -> unit embeddings

Nothing is written to disk. OpenVINO reports over the network that it is imported and what it converts; here it does not,
as the package that reports is hidden from it.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hybrid_core.errors import RequestError

if TYPE_CHECKING:
    from hybrid_core.encode import Forward
    from hybrid_core.model import Encoder

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def require_openvino() -> None:
    """Check that the package is there.

    Raises:
        RequestError: it is not.
    """
    if importlib.util.find_spec("openvino") is None:
        raise RequestError(
            "encode.engine=openvino needs the package openvino; remedy: pip install 'hybrid-batches[openvino]'"
        )


def by_openvino(encoder: Encoder, *, precision: str, threads: int) -> Forward:
    """Compile an encoder; seconds, once a process.

    Args:
        encoder: on the CPU. Later changes of its weights do not show.
        precision: `float32`, or `bfloat16` where the processor has instructions for it.
        threads: of the forward pass.
    """
    openvino = _without_reports()
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.Core().compile_model(_converted(encoder), "CPU", options)

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.asarray(model([ids, mask])[0])

    return forward


def _without_reports() -> Any:
    """The package, imported as if its optional part that reports were not installed."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _converted(encoder: Encoder) -> Any:
    """The encoder as an OpenVINO model of any number and length of texts."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.ones(2, 8, dtype=torch.long)
    was = encoder.backbone.config._attn_implementation
    encoder.eval().backbone.set_attn_implementation("sdpa")  # one operation, for which OpenVINO has a kernel
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # the tracer names each branch that it fixes; a test holds the result to torch's
            decoder = TorchScriptPythonDecoder(encoder, example_input=(example, example))
            front_end = FrontEndManager().load_by_framework("pytorch")
            return front_end.convert(front_end.load(decoder))
    finally:
        encoder.backbone.set_attn_implementation(was)
