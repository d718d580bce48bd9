"""What encoding takes where a setting is left unset: it depends on what computes."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_core.config.evaluation import EncodeConfig


@dataclass(frozen=True)
class Unset:
    """Values of the fields of these names."""

    tokens_per_batch: int
    rows_per_shard: int
    tokenizers: int
    """For each encoder."""


ON_CPU = Unset(tokens_per_batch=1024, rows_per_shard=4096, tokenizers=0)
"""The activations of 1,024 tokens stay in the caches (docs/log.md); encoders have all processors, so they tokenize."""
ON_GPU = Unset(tokens_per_batch=16_384, rows_per_shard=16_384, tokenizers=4)
"""More texts than on a CPU are sorted together, so that the longer passes hold texts of like lengths, too."""


def tokens_per_batch(encode: EncodeConfig) -> int:
    """Tokens of a forward pass, padding included."""
    return encode.tokens_per_batch or _unset(encode).tokens_per_batch


def rows_per_shard(encode: EncodeConfig) -> int:
    """Texts that are sorted by length, encoded and committed together."""
    return encode.rows_per_shard or _unset(encode).rows_per_shard


def tokenizers(encode: EncodeConfig) -> int:
    """Processes that split texts into tokens, for all encoders together; 0: the encoders do."""
    return encode.actors * _unset(encode).tokenizers if encode.tokenizers is None else encode.tokenizers


def _unset(encode: EncodeConfig) -> Unset:
    return ON_GPU if encode.use_gpu else ON_CPU
