"""Settings that no training of a request would read. They are errors: a user believes that they have an effect."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hybrid_core.config.inputs import CorpusConfig
from hybrid_core.errors import RequestError
from hybrid_core.settings import flat

if TYPE_CHECKING:
    from hybrid_core.config.tree import Config

_POLICIES = {
    "plan.alpha": ("hybrid",),
    "plan.alpha_schedule": ("hybrid",),
    "plan.alpha_end": ("hybrid",),
    "plan.alpha_points": ("hybrid",),
    "plan.unpaired": ("hybrid",),
    "plan.cross_pair": ("cross", "hybrid"),
    "plan.pivot": ("cross", "hybrid", "multi_positive"),
    "plan.translations": ("multi_positive",),
}
"""Field -> the policies that read it. `plan.block` is none of them: it says how coarse counts may be, and a recipe sets it for all."""
_NEEDS = {path: f"under plan.policy={' or '.join(policies)}" for path, policies in _POLICIES.items()} | {
    "plan.corpus_exponent": "for two or more data.corpora, at least one of them without weight",
    "plan.hard_negatives": "for a corpus that has no hard_negatives of its own",
    "plan.negative_language": "with plan.hard_negatives, for a corpus that has no negative_language of its own",
    "train.loss": "for a corpus that has no loss of its own",
    "train.negatives": "with a loss that contrasts, for a corpus that has no negatives of its own",
    "train.teacher_temperature": "with train.loss (or that of a corpus) distillation or info_nce_and_distillation",
    "weight": "beside another of data.corpora",
    "negative_language": "with plan.hard_negatives (or its own)",
    "negatives": "with a loss that contrasts, info_nce or info_nce_and_distillation",
}
"""Field -> what makes it count."""


def refuse_unread(config: Config, only: Collection[str] | None = None) -> None:
    """Refuse a setting (of `only` these fields, if given) that the training of this config would not read.

    Raises:
        RequestError: names field, value, and what would make it count.
    """
    for path, value in unread(config).items():
        if only is None or path in only:
            raise RequestError(
                f"{path}={value} would have no effect: it counts {_needs(path)}; remove it, or change that"
            )


def refuse_unread_by_all(request: Config, variants: Mapping[str, Config], varied: Collection[str] = ()) -> None:
    """Refuse a setting of the plan or the training that none of a request's trainings took over.

    Args:
        request: what the user asked for.
        variants: its trainings by name, with whatever each does not read put aside (`read_only`).
        varied: fields in which the trainings are meant to differ.

    Raises:
        RequestError: names field, value, and what would make it count.
    """
    values, defaults, taken = flat(request), flat(type(request)()), [flat(v) for v in variants.values()]
    for path, value in values.items():
        ours = path.startswith(("plan.", "train.")) and path not in varied and value != defaults[path]
        if ours and taken and all(other[path] != value for other in taken):
            needs = f": it counts {_NEEDS[path]}" if path in _NEEDS else ""
            raise RequestError(
                f"{path}={_shown(value)} would have no effect on any of {', '.join(variants)}{needs}; remove it, or change that"
            )


def read_only(config: Config) -> Config:
    """The config with every setting of plan and training that it does not read at its default."""
    changed = {"plan": config.plan, "train": config.train}
    for path in unread(config):
        section, _, name = path.partition(".")
        if section in changed:
            default = getattr(type(changed[section])(), name)
            changed[section] = replace(changed[section], **{name: default})  # type: ignore[type-var]
    return replace(config, **changed)  # type: ignore[arg-type]


def unread(config: Config) -> dict[str, str]:
    """Settings other than the default that the training of this config would not read, as {path: value}."""
    values, defaults = flat(config), flat(type(config)())
    candidates = [path for path, policies in _POLICIES.items() if config.plan.policy not in policies]
    candidates += _unread_by_corpora(config)
    return {path: _shown(values[path]) for path in candidates if values[path] != defaults.get(path)}


def _unread_by_corpora(config: Config) -> Iterator[str]:
    """Fields that a corpus, or every corpus, does without."""
    plan, train = config.plan, config.train
    corpora = list(config.data.corpora.values()) or [CorpusConfig()]
    losses = [c.loss or train.loss for c in corpora]
    hard = [plan.hard_negatives if c.hard_negatives is None else c.hard_negatives for c in corpora]
    read = {
        "plan.corpus_exponent": len(corpora) > 1 and any(c.weight is None for c in corpora),
        "plan.hard_negatives": any(c.hard_negatives is None for c in corpora),
        "plan.negative_language": any(n and c.negative_language is None for c, n in zip(corpora, hard, strict=True)),
        "train.loss": any(c.loss is None for c in corpora),
        "train.negatives": any(
            loss != "distillation" and c.negatives is None for c, loss in zip(corpora, losses, strict=True)
        ),
        "train.teacher_temperature": any(loss != "info_nce" for loss in losses),
    }
    for name, loss, count in zip(config.data.corpora, losses, hard, strict=False):
        place = f"data.corpora.{name}"
        read |= {f"{place}.weight": len(corpora) > 1, f"{place}.negative_language": count > 0}
        read |= {f"{place}.negatives": loss != "distillation"}
    return (path for path, is_read in read.items() if not is_read)


def _needs(path: str) -> str:
    return _NEEDS[path.rsplit(".", 1)[-1] if path.startswith("data.") else path]


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else repr(value)
