"""Recipes, files and overrides become one checked config; errors name field, value and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hybrid_core.config import CorpusConfig, config_hash, read_only, refuse_unread, refuse_unread_by_all
from hybrid_core.errors import RequestError
from hybrid_core.recipes import RECIPES, load_config
from hybrid_core.settings import flat
from ray_jobs.reference import reference


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_valid_config(name: str) -> None:
    assert config_hash(load_config(name)) == config_hash(load_config(name))


def test_command_line_wins_over_file_and_file_over_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {steps: 7, temperature: 0.05}\nseed: 3\n")
    config = load_config("quickstart", str(file), ["train.steps=9", "train.learning_rate=2e-5", "evaluate.suites=a, b"])
    assert (config.train.steps, config.train.temperature, config.seed) == (9, 0.05, 3)
    assert config.train.learning_rate == 2e-5
    assert config.evaluate.suites == ("a", "b")
    assert config.train.workers == 2  # from the recipe


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("plan.alhpa=0.5", "unknown config key 'plan.alhpa'; did you mean 'alpha'?"),
        ("plam.alpha=0.5", "unknown config key 'plam'; did you mean 'plan'?"),
        ("plan.alpha=1.3", "plan.alpha=1.3 is outside [0.0, 1.0]"),
        ("plan.policy=hybird", "plan.policy='hybird'; did you mean 'hybrid'?"),
        ("train.steps=many", "train.steps='many' must be of type int"),
        ("train.steps=", "train.steps='' must be of type int"),
        ("train.learning_rate=fast", "train.learning_rate='fast' must be a number"),
        ("train=5", "train is a section"),
        ("seed", "is not path.to.field=value"),
        ("plan.draws_per_step=3", "plan.draws_per_step=3 does not divide train.global_batch=16"),
        ("train.matryoshka=64,many", "train.matryoshka='64,many' must be a list of whole numbers, for example 1,2"),
        ("train.matryoshka=64.5", "train.matryoshka='64.5' must be a list of whole numbers, for example 1,2"),
        ("train.matryoshka=64,0", "train.matryoshka=(64, 0) is outside [1, 65536]"),
        ("study.seeds=3,-1", "study.seeds=(3, -1) is outside [0, 2147483647]"),
        ("data.corpora=news", "data.corpora is a section with keys of its own, not the value 'news'"),
        ("data.corpora.news=s3://x", "data.corpora.news is a section with keys of its own, not the value 's3://x'"),
        ("data.corpora.news.wieght=2", "unknown config key 'data.corpora.news.wieght'; did you mean 'weight'?"),
        ("data.corpora.news.weight=-1", "data.corpora.news.weight=-1.0 is outside [1e-06, 1000000000.0]"),
        ("encode.language=xx", "encode.language: language 'xx' is not a code of ISO 639"),
        ("encode.language=", "encode.language: language '' is not a code of ISO 639"),
        ("data.corpora.news.negatives=owm", "data.corpora.news.negatives='owm'; did you mean 'own'?"),
    ],
)
def test_wrong_settings_are_refused_with_a_remedy(override: str, expected: str) -> None:
    with pytest.raises(RequestError, match=re.escape(expected)):
        load_config("quickstart", None, [override])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("plan.alpha_schedule=linear", "plan.alpha_schedule='linear' needs plan.alpha_end"),
        ("plan.alpha_schedule=cosine", "plan.alpha_schedule='cosine' needs plan.alpha_end"),
        ("plan.alpha_schedule=piecewise", "plan.alpha_schedule='piecewise' needs plan.alpha_points"),
        ("plan.alpha_end=0.2", "'constant' has no use for plan.alpha_end; remove it or choose another schedule"),
        ("plan.alpha_points=0:1,9:0", "'constant' has no use for plan.alpha_points; remove it"),
        ("plan.alpha_schedule=linear plan.alpha_end=0 plan.alpha_points=0:1", "'linear' has no use for plan.alpha_points"),
        (
            "plan.alpha_schedule=piecewise plan.alpha_points=0:1,9:0 plan.alpha=1",
            "plan.alpha has no meaning under plan.alpha_schedule='piecewise'",
        ),
        ("train.min_workers=3", "train.min_workers=3 is more than train.workers=2"),
        ("encode.min_actors=4 encode.actors=2", "encode.min_actors=4 is more than encode.actors=2, the number wanted"),
        ("train.patience=2", "train.patience needs train.select"),
        ("train.select=s/multi/mAP", "train.select='s/multi/mAP' needs train.evaluate_every"),
        ("train.select=mAP train.evaluate_every=2", "train.select='mAP' must be suite/setting/metric"),
        ("train.global_batch=18 plan.draws_per_step=4", "plan.draws_per_step=4 does not divide train.global_batch=18"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_each_other_are_refused_with_a_remedy(overrides: str, expected: str) -> None:
    with pytest.raises(RequestError, match=re.escape(expected)):
        load_config("quickstart", None, overrides.split())


HYBRID = "it counts under plan.policy=hybrid"
TWO = "data.corpora.a.corpus=/a data.corpora.b.corpus=/b"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("plan.policy=mono plan.alpha=0.5", f"plan.alpha=0.5 would have no effect: {HYBRID}; remove it, or change that"),
        ("plan.policy=mono plan.alpha=0", f"plan.alpha=0.0 would have no effect: {HYBRID}"),
        ("plan.policy=cross plan.alpha=1 plan.alpha_schedule=linear plan.alpha_end=0", "plan.alpha=1.0 would have no effect"),
        ("plan.policy=cross plan.alpha_schedule=linear plan.alpha_end=0", f"plan.alpha_schedule='linear' would have no effect: {HYBRID}"),
        ("plan.policy=x_x plan.alpha_schedule=piecewise plan.alpha_points=0:1", "plan.alpha_schedule='piecewise' would have no"),
        ("plan.policy=mono plan.cross_pair=per_batch", "plan.cross_pair='per_batch' would have no effect: it counts under plan.policy="),
        ("plan.policy=multi_positive plan.cross_pair=per_batch", "plan.cross_pair='per_batch' would have no effect"),
        ("plan.policy=x_x plan.pivot=en", "plan.pivot='en' would have no effect: it counts under plan.policy=cross or"),
        ("plan.policy=mono plan.unpaired=refuse", f"plan.unpaired='refuse' would have no effect: {HYBRID}"),
        ("plan.policy=cross plan.unpaired=refuse", "plan.unpaired='refuse' would have no effect"),
        ("plan.translations=2", "plan.translations=2 would have no effect: it counts under plan.policy=multi_positive"),
        ("plan.corpus_exponent=1", "plan.corpus_exponent=1.0 would have no effect: it counts for two or more data.corpora"),
        (f"{TWO} data.corpora.a.weight=1 data.corpora.b.weight=1 plan.corpus_exponent=1", "plan.corpus_exponent=1.0 would have"),
        ("data.corpora.a.weight=2", "data.corpora.a.weight=2.0 would have no effect: it counts beside another of data.corpora"),
        ("plan.negative_language=any", "plan.negative_language='any' would have no effect: it counts with plan.hard_negatives"),
        (f"{TWO} data.corpora.a.negative_language=any", "data.corpora.a.negative_language='any' would have no effect: it counts with plan"),
        (f"{TWO} data.corpora.a.hard_negatives=1 data.corpora.b.hard_negatives=2 plan.hard_negatives=3", "plan.hard_negatives=3 would"),
        ("train.teacher_temperature=0.1", "train.teacher_temperature=0.1 would have no effect: it counts with train.loss"),
        ("train.loss=distillation train.negatives=own", "train.negatives='own' would have no effect: it counts with a loss that contrasts"),
        (f"{TWO} data.corpora.a.loss=distillation data.corpora.a.negatives=own", "data.corpora.a.negatives='own' would have no effect"),
        (f"{TWO} data.corpora.a.loss=info_nce data.corpora.b.loss=info_nce train.loss=distillation", "train.loss='distillation' would"),
    ],
)  # fmt: skip
def test_a_setting_that_no_batch_and_no_loss_would_read_is_refused_saying_what_it_needs(
    overrides: str, expected: str
) -> None:
    config = load_config("default", None, overrides.split())
    with pytest.raises(RequestError, match=re.escape(expected)):
        refuse_unread(config)
    kept = read_only(config)
    assert flat(kept)["plan.policy"] == config.plan.policy
    if "data.corpora" not in expected.split("=")[0]:
        refuse_unread(kept)


@pytest.mark.parametrize(
    "overrides",
    [
        "plan.policy=cross plan.cross_pair=per_batch plan.pivot=en",
        "plan.unpaired=refuse plan.cross_pair=per_batch",
        "plan.policy=multi_positive plan.pivot=en plan.translations=2",
        "plan.policy=cross plan.block=12",  # recipes set it for all policies
        f"{TWO} plan.corpus_exponent=1 data.corpora.a.weight=3",
        "plan.hard_negatives=1 plan.negative_language=any",
        f"{TWO} data.corpora.a.hard_negatives=1 plan.negative_language=any",
        f"{TWO} data.corpora.a.loss=distillation train.teacher_temperature=0.1 train.negatives=own",
        "train.loss=info_nce_and_distillation train.teacher_temperature=0.1 train.negatives=own",
    ],
)
def test_a_setting_that_is_read_is_kept(overrides: str) -> None:
    config = load_config("default", None, overrides.split())
    refuse_unread(config)
    assert read_only(config) == config


def test_a_setting_of_several_trainings_must_be_read_by_one_of_them() -> None:
    request = load_config("default", None, ["plan.pivot=en", "plan.alpha=0.5"])
    arms = {
        p: read_only(load_config("default", None, [f"plan.policy={p}", "plan.pivot=en"])) for p in ("mono", "cross")
    }
    refuse_unread_by_all(request, arms | {"hybrid": request})
    with pytest.raises(
        RequestError, match=re.escape(f"plan.alpha=0.5 would have no effect on any of mono, cross: {HYBRID}")
    ):
        refuse_unread_by_all(request, arms)
    refuse_unread_by_all(request, arms, varied=["plan.alpha"])
    refuse_unread_by_all(request, {})  # nothing is trained


@pytest.mark.parametrize(
    "overrides",
    [
        "plan.alpha=0.2",
        "plan.alpha=1 plan.alpha_schedule=linear plan.alpha_end=0.2",
        "plan.alpha_schedule=cosine plan.alpha_end=0",  # from the default alpha
        "plan.alpha_schedule=piecewise plan.alpha_points=0:1.0,12:0.3",
        "train.workers=3",  # ranks hold slices whose sizes differ by one
        "train.min_workers=2",
        "encode.min_actors=2 encode.actors=2",
        "train.patience=2 train.select=s/multi/mAP train.evaluate_every=4",
        "plan.draws_per_step=8",
    ],
)
def test_settings_that_fit_each_other_are_accepted(overrides: str) -> None:
    config = flat(load_config("quickstart", None, overrides.split()))
    for override in overrides.split():
        path, _, value = override.partition("=")
        found = config[path]
        assert found == (value.split(",") if isinstance(found, list) else type(found)(value))


def test_several_corpora_are_sections_under_names_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("data: {corpora: {news: {corpus: s3://x, weight: 2}, law: {corpus: /law}}}\n")
    config = load_config(
        "default", str(file), ["data.corpora.news.loss=distillation", "data.corpora.faq.negatives=own"]
    )
    assert config.data.corpora == {
        "news": CorpusConfig(corpus="s3://x", weight=2.0, loss="distillation"),
        "law": CorpusConfig(corpus="/law"),
        "faq": CorpusConfig(negatives="own"),
    }
    assert flat(config)["data.corpora.news.weight"] == 2.0
    assert config_hash(config) != config_hash(load_config("default", str(file)))
    assert load_config("default").data.corpora == {}


@pytest.mark.parametrize("written", ["64,32", "[64, 32]", " 64 , 32 ,"])
def test_lists_of_numbers_are_read_from_the_command_line(written: str) -> None:
    config = load_config("default", None, [f"train.matryoshka={written}", f"study.seeds={written}"])
    assert config.train.matryoshka == config.study.seeds == (64, 32)


def test_lists_of_numbers_are_read_from_files_and_may_be_empty(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {matryoshka: [64, 32]}\nstudy: {seeds: [0, 1, 2]}\n")
    config = load_config("default", str(file))
    assert (config.train.matryoshka, config.study.seeds) == ((64, 32), (0, 1, 2))
    assert load_config("default", str(file), ["train.matryoshka="]).train.matryoshka == ()


@pytest.mark.parametrize("written", ["[64.7]", "[true]", "64", "[[64]]"])
def test_a_list_in_a_file_that_holds_no_whole_numbers_is_refused(written: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"train: {{matryoshka: {written}}}\n")
    with pytest.raises(RequestError, match=r"train\.matryoshka=.* must be a list of whole numbers, for example 1,2"):
        load_config("default", str(file))


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"unknown recipe 'quickstrat'; did you mean 'quickstart'"):
        load_config("quickstrat")


def test_config_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"absent.yaml does not exist"):
        load_config("default", str(tmp_path / "absent.yaml"))
    (tmp_path / "broken.yaml").write_text("train: [1,")
    with pytest.raises(RequestError, match="is not YAML"):
        load_config("default", str(tmp_path / "broken.yaml"))
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(RequestError, match="must be a mapping"):
        load_config("default", str(tmp_path / "list.yaml"))


def test_the_hash_ignores_where_outputs_go_and_nothing_else() -> None:
    base = load_config("quickstart")
    assert config_hash(load_config("quickstart", None, ["output=/elsewhere"])) == config_hash(base)
    assert config_hash(load_config("quickstart", None, ["seed=1"])) != config_hash(base)


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "config.md"
    assert page.read_text(encoding="utf-8") == reference(), "run: make docs"
    assert all(f"`{path}`" in reference() for path in flat(load_config()))


@pytest.mark.parametrize(
    ("able", "precision"),
    [({"avx2": True}, "float32"), ({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16")],
)
def test_the_fastest_precision_is_what_the_processor_has_instructions_for(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: able)
    config = load_config("quickstart")
    assert (config.train.precision, config.encode.precision) == (precision, precision)
    on_gpu = load_config("quickstart", None, ["train.use_gpu=true"])
    assert (on_gpu.train.precision, on_gpu.encode.precision) == ("bfloat16", precision)


def test_a_named_precision_is_kept() -> None:
    config = load_config("quickstart", None, ["train.precision=bfloat16", "encode.precision=float32"])
    assert (config.train.precision, config.encode.precision) == ("bfloat16", "float32")
