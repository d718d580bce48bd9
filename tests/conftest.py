"""Generated texts and tiny random encoders: no hub, no downloads, seconds."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from hybrid_core.data.corpus import Corpus, Pair
from hybrid_core.data.corpus_writer import write_corpus

hypothesis.settings.register_profile("untimed", deadline=None)  # nothing here is a test of time
hypothesis.settings.load_profile("untimed")

LANGUAGES = ("de", "en", "fr")
SHARED = Path(os.environ.get("HYBRID_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
"""Real evaluation data; tests that need it skip where it is absent."""


def made_up_word(language: str, number: int) -> str:
    """A word of one language for concept `number`; other languages have another word for it."""
    generator = random.Random(f"{language}-{number}")
    return "".join(generator.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(6)) + language


def made_up_pairs(meanings: int, languages: tuple[str, ...] = LANGUAGES, *, missing: int = 0) -> list[Pair]:
    """Parallel question-passage pairs; every `missing`-th meaning lacks its last language (0: none does)."""
    pairs = []
    for m in range(meanings):
        present = languages[:-1] if missing and m % missing == 0 else languages
        for language in present:
            words = [made_up_word(language, (m * 7 + i) % 60) for i in range(9)]
            pairs.append(
                Pair(f"m{m:04d}", language, f"{words[0]} {words[1]} {m}?", " ".join([*words, str(m), "."]), "made-up")
            )
    return pairs


@pytest.fixture(scope="session")
def corpus_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("corpus") / "corpus"
    write_corpus(directory, made_up_pairs(48), licence="Apache-2.0", sources=["tests"])
    return directory


@pytest.fixture
def corpus(corpus_directory: Path) -> Corpus:
    return Corpus.open(str(corpus_directory))


@pytest.fixture(scope="session")
def encoder_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT with a Unigram tokenizer (as XLM-R has), as a Hugging Face directory."""
    directory = tmp_path_factory.mktemp("encoder") / "tiny"
    tokenizer = unigram_tokenizer([text for p in made_up_pairs(48) for text in (p.query, p.passage)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        BertModel(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def unigram_tokenizer(texts: list[str], vocabulary: int = 400) -> PreTrainedTokenizerFast:
    """A SentencePiece-like tokenizer trained on the texts, with the special tokens of XLM-R."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([*texts, "query: passage: "], trainer)
    tokenizer.model = in_one_order(tokenizer, len(special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>", pad_token="<pad>",
        unk_token="<unk>", mask_token="<mask>", model_max_length=512, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def in_one_order(tokenizer: Tokenizer, special: int) -> models.Unigram:
    """The trained pieces, ordered by rounded score and then by name: training orders ties at random, and ids follow the order."""
    trained = json.loads(tokenizer.to_str())["model"]
    first, pieces = trained["vocab"][:special], trained["vocab"][special:]
    ordered = sorted(((round(score, 2), piece) for piece, score in pieces), key=lambda p: (-p[0], p[1]))
    vocabulary = [tuple(p) for p in first] + [(piece, score) for score, piece in ordered]
    return models.Unigram(vocabulary, trained["unk_id"], trained["byte_fallback"])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two cores, many processes: more threads only make tests slower and sums less repeatable."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
