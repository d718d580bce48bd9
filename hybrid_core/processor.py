"""What the processor can do, and the precision that is fastest on it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybrid_core.config import Config

FASTEST = "fastest"
"""A precision that stands for bfloat16 or float32."""


def has_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16; without them it is emulated, several times slower than float32."""
    import torch

    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16"))  # the last: Arm


def with_precision(config: Config) -> Config:
    """The config with `fastest` replaced: bfloat16 on a GPU, else on a processor with instructions for it, else float32.

    The processor is the one that asks, so a cluster whose nodes differ should name a precision.
    """
    train, encode = config.train, config.encode
    if train.precision == FASTEST:
        train = dataclasses.replace(train, precision=_fastest(on_gpu=train.use_gpu))
    if encode.precision == FASTEST:
        encode = dataclasses.replace(encode, precision=_fastest(on_gpu=encode.use_gpu))
    return dataclasses.replace(config, train=train, encode=encode)


def _fastest(*, on_gpu: bool) -> str:
    return "bfloat16" if on_gpu or has_bfloat16() else "float32"
