"""The whole request, and its identity."""

from __future__ import annotations

from dataclasses import dataclass, field

from hybrid_core.config.checks import check_alpha, check_encode, check_train
from hybrid_core.config.evaluation import EncodeConfig, EvaluateConfig, MineConfig
from hybrid_core.config.inputs import DataConfig, ModelConfig, PrepareConfig
from hybrid_core.config.searching import ExportConfig, SearchConfig
from hybrid_core.config.training import PlanConfig, StudyConfig, TrainConfig
from hybrid_core.errors import RequestError
from hybrid_core.settings import as_dict, digest, setting


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole request. Every job takes the same tree and reads the parts it needs."""

    seed: int = setting(0, "the only source of randomness", low=0, high=2**31 - 1)
    output: str = setting("runs", "folder or URI for checkpoints, embeddings, models, scores and reports")
    experiment: str = setting("hybrid-batches", "name of the MLflow experiment")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    mine: MineConfig = field(default_factory=MineConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    study: StudyConfig = field(default_factory=StudyConfig)

    def __post_init__(self) -> None:
        check_alpha(self.plan)
        check_train(self.train)
        check_encode(self.encode)
        if self.data.corpora and self.data.corpus != "sample":
            raise RequestError(
                f"data.corpus={self.data.corpus!r} would not be used beside data.corpora; name it there too, or remove one of them"
            )
        if self.train.global_batch % self.plan.draws_per_step:
            raise RequestError(
                f"plan.draws_per_step={self.plan.draws_per_step} does not divide train.global_batch={self.train.global_batch}; "
                "the draws of a step are of equal size, so choose a divisor"
            )


def config_hash(config: Config) -> str:
    """Identity of a request: everything but the place where outputs go and the name it is filed under."""
    values = as_dict(config)
    for key in ("output", "experiment"):
        values.pop(key)
    return digest(values)
