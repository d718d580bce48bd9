"""What is known of MIRACL and Mr. TyDi: names of the published files, and counts per language.

MIRACL: topics, judgements and relevant judgements of the development set, passages of the corpora v1.0.
Mr. TyDi v1.1: topics and judgements of the test set, where every judgement is a relevant one, and passages.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LanguageCounts:
    """Expected numbers of one language."""

    topics: int
    judged: int
    relevant: int
    passages: int


@dataclass(frozen=True)
class Published:
    """A collection with one folder of files per language. `{lang}` and `{name}` stand for its code and English name."""

    title: str
    split: str
    languages: dict[str, LanguageCounts]
    topics: tuple[str, ...]
    """Where the topics may lie, relative to the folder."""
    qrels: tuple[str, ...]
    corpus: str
    """Folder of the passages; holds the shards."""
    shards: str
    get: tuple[str, str]
    """Where topics with judgements, and where passages are published."""
    licence: str
    id_field: str
    text_fields: tuple[str, str] | None
    """Title and text; None: one field `contents` that holds the title, an empty line and the text."""

    def paths(self, patterns: tuple[str, ...], language: str) -> list[str]:
        """The patterns filled in for one language."""
        return [pattern.format(lang=language, name=_ENGLISH_NAME.get(language, "")) for pattern in patterns]


_ENGLISH_NAME = dict(
    ar="arabic", bn="bengali", en="english", fi="finnish", id="indonesian", ja="japanese", ko="korean", ru="russian", sw="swahili",
    te="telugu", th="thai",
)  # fmt: skip

MIRACL = Published(
    title="MIRACL v1.0",
    split="dev",
    languages={
        "ar": LanguageCounts(2896, 29_197, 5658, 2_061_414), "bn": LanguageCounts(411, 4206, 863, 297_265),
        "de": LanguageCounts(305, 3144, 811, 15_866_222), "en": LanguageCounts(799, 8350, 2326, 32_893_221),
        "es": LanguageCounts(648, 6443, 2987, 10_373_953), "fa": LanguageCounts(632, 6571, 1314, 2_207_172),
        "fi": LanguageCounts(1271, 12_008, 2447, 1_883_509), "fr": LanguageCounts(343, 3429, 731, 14_636_953),
        "hi": LanguageCounts(350, 3494, 752, 506_264), "id": LanguageCounts(960, 9668, 3088, 1_446_315),
        "ja": LanguageCounts(860, 8354, 1790, 6_953_614), "ko": LanguageCounts(213, 3057, 547, 1_486_752),
        "ru": LanguageCounts(1252, 13_100, 3560, 9_543_918), "sw": LanguageCounts(482, 5092, 910, 131_924),
        "te": LanguageCounts(828, 1606, 854, 518_079), "th": LanguageCounts(733, 7573, 1343, 542_166),
        "yo": LanguageCounts(119, 1188, 144, 49_043), "zh": LanguageCounts(393, 3928, 994, 4_934_368),
    },
    topics=("topics.miracl-v1.0-{lang}-dev.tsv", "miracl-v1.0-{lang}/topics/topics.miracl-v1.0-{lang}-dev.tsv"),
    qrels=("qrels.miracl-v1.0-{lang}-dev.tsv", "miracl-v1.0-{lang}/qrels/qrels.miracl-v1.0-{lang}-dev.tsv"),
    corpus="miracl-corpus-v1.0-{lang}",
    shards="docs-*.jsonl.gz",
    get=("the Hugging Face dataset miracl/miracl", "the Hugging Face dataset miracl/miracl-corpus"),
    licence="Apache-2.0",
    id_field="docid",
    text_fields=("title", "text"),
)  # fmt: skip

MR_TYDI = Published(
    title="Mr. TyDi v1.1",
    split="test",
    languages={
        lang: LanguageCounts(topics, judged, judged, passages)
        for lang, topics, judged, passages in (
            ("ar", 1081, 1257, 2_106_586), ("bn", 111, 130, 304_059), ("en", 744, 935, 32_907_100),
            ("fi", 1254, 1451, 1_908_757), ("id", 829, 961, 1_469_399), ("ja", 720, 923, 7_000_027),
            ("ko", 421, 492, 1_496_126), ("ru", 995, 1168, 9_597_504), ("sw", 670, 743, 136_689),
            ("te", 646, 677, 548_224), ("th", 1190, 1368, 568_855),
        )
    },
    topics=("mrtydi-v1.1-{name}/topic.test.tsv",),
    qrels=("mrtydi-v1.1-{name}/qrels.test.txt",),
    corpus="mrtydi-v1.1-{name}/collection",
    shards="docs.jsonl.gz",
    get=("the archives mrtydi-v1.1-*.tar.gz that github.com/castorini/mr.tydi names",) * 2,
    licence="Apache-2.0",
    id_field="id",
    text_fields=None,
)  # fmt: skip
