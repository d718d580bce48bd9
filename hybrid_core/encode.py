"""Texts to embeddings: sorted by length, cut by a token budget, so that little of a forward pass is padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hybrid_core.model import Encoder, Kind


def token_batches(lengths: Sequence[int], budget: int) -> list[np.ndarray]:
    """Index arrays whose rectangle (rows x longest row) stays within the budget; longest texts first.

    A single text longer than the budget gets a batch of its own.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, budget // max(1, lengths[order[start]]))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def encode(
    encoder: Encoder, texts: Sequence[str], kind: Kind, *, tokens_per_batch: int = 4096, precision: str = "float32"
) -> np.ndarray:
    """Unit embeddings [len(texts), dimension] in float32, in the order of the texts."""
    tokens = encoder.tokenize(texts, kind)
    return encode_tokens(encoder, tokens, tokens_per_batch=tokens_per_batch, precision=precision)


@torch.inference_mode()
def encode_tokens(
    encoder: Encoder, token_ids: Sequence[Sequence[int]], *, tokens_per_batch: int, precision: str
) -> np.ndarray:
    """As `encode`, for texts that are tokenized already."""
    encoder.eval()
    result = np.empty((len(token_ids), encoder.dimension), dtype=np.float32)
    device = next(encoder.parameters()).device.type
    for rows in token_batches([len(ids) for ids in token_ids], tokens_per_batch):
        ids, mask = encoder.pad([token_ids[i] for i in rows])
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            result[rows] = encoder(ids, mask).float().cpu().numpy()
    return result
