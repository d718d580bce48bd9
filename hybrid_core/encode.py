"""Texts to embeddings: sorted by length, cut by a token budget, so that little of a forward pass is padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hybrid_core.config.devices import ON_CPU, ON_GPU
from hybrid_core.model import Encoder, Kind

Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Ids and mask [n, longest] int64 to unit embeddings [n, dimension] float32."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, one text after another."""

    ids: np.ndarray
    """[sum of lengths] int32."""
    lengths: np.ndarray
    """[texts] int64."""

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> Tokens:
        """From one list of ids for each text."""
        lengths = np.array([len(ids) for ids in texts], dtype=np.int64)
        return cls(np.fromiter((id for ids in texts for id in ids), np.int32, int(lengths.sum())), lengths)

    def rectangle(self, rows: np.ndarray, padding: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask [rows, longest] int64 of some texts."""
        lengths = self.lengths[rows]
        columns = np.arange(lengths.max())
        mask = columns < lengths[:, None]
        ids = np.full(mask.shape, padding, dtype=np.int64)
        starts = np.cumsum(self.lengths)[rows] - lengths
        ids[mask] = self.ids[(starts[:, None] + columns)[mask]]
        return ids, mask.astype(np.int64)


def token_batches(lengths: Sequence[int] | np.ndarray, budget: int) -> list[np.ndarray]:
    """Index arrays whose rectangle (rows x longest row) stays within the budget; longest texts first.

    A single text longer than the budget gets a batch of its own.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, budget // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def encode(
    encoder: Encoder,
    texts: Sequence[str],
    kind: Kind,
    *,
    tokens_per_batch: int | None = None,
    precision: str = "float32",
) -> np.ndarray:
    """Unit embeddings [len(texts), dimension] in float32, in the order of the texts."""
    tokens = Tokens.of(encoder.tokenize(texts, kind))
    return encode_tokens(encoder, tokens, tokens_per_batch=tokens_per_batch, precision=precision)


def encode_tokens(
    encoder: Encoder, tokens: Tokens, *, tokens_per_batch: int | None, precision: str, forward: Forward | None = None
) -> np.ndarray:
    """As `encode`, for texts that are tokenized already; `forward` computes in the encoder's place (`by_openvino`)."""
    result = np.empty((len(tokens.lengths), encoder.dimension), dtype=np.float32)
    device = next(encoder.parameters()).device
    budget = tokens_per_batch or (ON_CPU if device.type == "cpu" else ON_GPU).tokens_per_batch
    padding = int(encoder.tokenizer.pad_token_id)
    forward = forward or by_torch(encoder, precision)
    for rows in token_batches(tokens.lengths, budget):
        result[rows] = forward(*tokens.rectangle(rows, padding))
    return result


def by_torch(encoder: Encoder, precision: str) -> Forward:
    """The encoder itself, without gradients, on the device of its weights."""
    encoder.eval()
    device = next(encoder.parameters()).device

    @torch.inference_mode()
    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            found = encoder(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
        return np.asarray(found.float().cpu().numpy())

    return forward
