"""The typed configuration of every job: what each field means, its unit, default and allowed range.

A config is a tree of frozen dataclasses. `hybrid_core.recipes` merges recipe, file and command line into a mapping;
`hybrid_core.settings.build` makes the tree from it and refuses unknown keys, naming the nearest valid one.

    inputs      model, data, prepare
    training    plan, train, study
    evaluation  encode, evaluate, mine
    searching   search, export
    tree        the request as a whole
    unread      settings that no training would read
"""

from hybrid_core.config.evaluation import EncodeConfig, EvaluateConfig, MineConfig
from hybrid_core.config.inputs import CorpusConfig, DataConfig, ModelConfig, PrepareConfig
from hybrid_core.config.searching import ExportConfig, SearchConfig
from hybrid_core.config.training import PlanConfig, StudyConfig, TrainConfig
from hybrid_core.config.tree import Config, config_hash
from hybrid_core.config.unread import read_only, refuse_unread, refuse_unread_by_all

__all__ = [
    "Config", "CorpusConfig", "DataConfig", "EncodeConfig", "EvaluateConfig", "ExportConfig", "MineConfig", "ModelConfig", "PlanConfig",
    "PrepareConfig", "SearchConfig", "StudyConfig", "TrainConfig", "config_hash", "read_only", "refuse_unread",
    "refuse_unread_by_all",
]  # fmt: skip
