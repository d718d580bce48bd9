"""The peer: `SentenceTransformerTrainer` on the examples, in the order and the batches, of this project's plan."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import datasets
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback

from hybrid_core.batch import read_batch
from hybrid_core.config import Config
from hybrid_core.data.sources import open_sources, plan_for
from hybrid_core.model import export, load_encoder


class _InOrder(SentenceTransformerTrainer):
    """Batches as the plan has them; the trainer would shuffle."""

    def get_batch_sampler(self, dataset: Any, batch_size: int, drop_last: bool, *rest: Any, **named: Any) -> Any:
        """Consecutive rows make up a batch."""
        return torch.utils.data.BatchSampler(SequentialSampler(dataset), batch_size, drop_last)


class _Clock(TrainerCallback):
    """When every optimiser step ended."""

    def __init__(self, device: str) -> None:
        self.device, self.ends = device, [time.perf_counter()]

    def on_step_end(self, *positional: Any, **named: Any) -> None:
        """Take the time."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def train(
    config: Config, *, dropout: bool, bf16: bool, device: str, target: Path | None = None, cached: int = 0
) -> list[float]:
    """Train `config.train.steps` steps with MultipleNegativesRankingLoss; seconds of every step.

    The model goes to `target`. With `cached`, GradCache in mini-batches of so many texts.
    """
    sources = open_sources(config)
    plan = plan_for(config, sources)
    columns: dict[str, list[str]] = {"anchor": [], "positive": []}
    for number in range(config.train.steps):
        planned = plan.step(number)
        everything = slice(0, config.train.global_batch)
        batch = read_batch(sources[planned.corpus].corpus, planned, config.plan, everything, seed=config.seed)
        columns["anchor"] += batch.queries
        columns["positive"] += batch.passages
    clock = _Clock(device)
    with tempfile.TemporaryDirectory() as scratch:
        encoder = load_encoder(config.model)
        export(encoder, Path(scratch) / "model")
        model = SentenceTransformer(str(Path(scratch) / "model"), device=device)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout) and not dropout:
                module.p = 0.0
        c = config.train
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch, max_steps=c.steps, per_device_train_batch_size=c.global_batch, learning_rate=c.learning_rate,
            weight_decay=c.weight_decay, warmup_steps=round(c.warmup * c.steps), max_grad_norm=c.clip_norm, bf16=bf16,
            use_cpu=device == "cpu", save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True, seed=config.seed,
            dataloader_drop_last=True,
            prompts={"anchor": encoder.settings.query_prefix, "positive": encoder.settings.passage_prefix},
        )  # fmt: skip
        if cached:
            loss = CachedMultipleNegativesRankingLoss(model, scale=1 / c.temperature, mini_batch_size=cached)
        else:
            loss = MultipleNegativesRankingLoss(model, scale=1 / c.temperature)
        data = datasets.Dataset.from_dict(columns)
        clock.ends = [time.perf_counter()]
        _InOrder(model=model, args=arguments, train_dataset=data, loss=loss, callbacks=[clock]).train()
        if target:
            model.save_pretrained(str(target))
    return [after - before for before, after in zip(clock.ends, clock.ends[1:], strict=False)]
