"""Evaluation in the middle of training, shared over the ranks: each encodes its part, all score the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hybrid_core.config import EncodeConfig
from hybrid_core.data.suites import Suite
from hybrid_core.distributed import gather, rank, world_size
from hybrid_core.encode import encode
from hybrid_core.evaluate import evaluate
from hybrid_core.model import Encoder, Kind
from hybrid_core.summary import setting_means
from hybrid_core.trainer import Metrics


class Validator:
    """Callable for `Hooks.evaluate`: metrics of all suites, named `suite/setting/metric`."""

    def __init__(self, encoder: Encoder, suites: Sequence[Suite], config: EncodeConfig) -> None:
        self.encoder, self.suites, self.config = encoder, suites, config

    def __call__(self, step: int) -> Metrics:
        """Score the encoder as it is now. The same on every rank."""
        metrics: Metrics = {}
        for suite in self.suites:
            queries = self._encode(suite.queries.texts, "query")
            passages = self._encode(suite.passages.texts, "passage")
            metrics |= setting_means(evaluate(suite, queries, passages))
        return metrics

    def _encode(self, texts: Sequence[str], kind: Kind) -> np.ndarray:
        share = -(-len(texts) // world_size())
        mine = list(texts[rank() * share : (rank() + 1) * share])
        part = np.zeros(
            (share, self.encoder.dimension), dtype=np.float32
        )  # every rank gathers equal parts; the tail is cut off
        part[: len(mine)] = encode(
            self.encoder, mine, kind, tokens_per_batch=self.config.tokens_per_batch, precision=self.config.precision
        )
        device = next(self.encoder.parameters()).device
        with torch.no_grad():
            return gather(torch.from_numpy(part).to(device), [share] * world_size()).cpu().numpy()[: len(texts)]
