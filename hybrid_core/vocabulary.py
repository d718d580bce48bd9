"""Trim a model's vocabulary to the tokens that given texts use. Outputs for those texts stay identical.

Why they do: a Unigram tokenizer picks the best-scored segmentation, and a WordPiece tokenizer the longest pieces. Both
choices use only pieces that occur, so they remain the choice when the other pieces are gone. Single characters are kept
too, so that unseen text falls back to characters instead of `<unk>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hybrid_core.errors import RequestError

if TYPE_CHECKING:  # importing the code of models takes seconds
    from transformers import PreTrainedModel

_WORD_START = "\u2581"  # SentencePiece writes the space before a word as this character
_CONTINUATION = "##"  # WordPiece marks pieces inside a word


def used_tokens(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], batch: int = 2048) -> set[int]:
    """Ids of all tokens that occur in the texts, special tokens included."""
    used: set[int] = set(tokenizer.all_special_ids)
    pending: list[str] = []
    backend = tokenizer.backend_tokenizer
    for text in texts:
        pending.append(text)
        if len(pending) == batch:
            used.update(i for e in backend.encode_batch_fast(pending) for i in e.ids)
            pending = []
    used.update(i for e in backend.encode_batch_fast(pending) for i in e.ids)
    return used


def trim(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Cut the model's embedding rows in place and return the tokenizer that belongs to it.

    Raises:
        RequestError: a tokenizer kind for which identical outputs cannot be promised.
    """
    spec: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = spec["model"]["type"]
    if kind not in ("Unigram", "WordPiece"):
        raise RequestError(
            f"model.vocabulary=trimmed does not support {kind} tokenizers (Unigram and WordPiece it does); use full"
        )
    used = used_tokens(tokenizer, texts)
    used.update(added["id"] for added in spec["added_tokens"])
    pieces = _pieces(spec)
    kept = [i for i, piece in enumerate(pieces) if i in used or _is_character(piece)]
    added_rows = sorted({a["id"] for a in spec["added_tokens"]} - set(range(len(pieces))))
    new_id = {old: new for new, old in enumerate(kept + added_rows)}
    _cut_rows(model, kept + added_rows)
    trimmed = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(_renumbered(spec, kept, new_id))))
    return _with_special_tokens(trimmed, tokenizer)


def _pieces(spec: dict[str, Any]) -> list[str]:
    vocabulary = spec["model"]["vocab"]
    if spec["model"]["type"] == "Unigram":
        return [piece for piece, _ in vocabulary]
    by_id = sorted(vocabulary, key=vocabulary.__getitem__)
    if [vocabulary[piece] for piece in by_id] != list(range(len(by_id))):
        raise RequestError("model.vocabulary=trimmed: the tokenizer's ids have gaps, which is not supported; use full")
    return by_id


def _is_character(piece: str) -> bool:
    return len(piece.removeprefix(_WORD_START).removeprefix(_CONTINUATION)) <= 1


def _cut_rows(model: PreTrainedModel, rows: list[int]) -> None:
    old = model.get_input_embeddings().weight.detach()
    padding = model.config.pad_token_id
    new = torch.nn.Embedding(len(rows), old.shape[1], padding_idx=None if padding is None else rows.index(padding))
    new.weight = torch.nn.Parameter(old[torch.tensor(rows)].clone())
    model.set_input_embeddings(new)
    model.config.vocab_size = len(rows)
    if padding is not None:
        model.config.pad_token_id = rows.index(padding)


def _renumbered(spec: dict[str, Any], kept: list[int], new_id: dict[int, int]) -> dict[str, Any]:
    """The tokenizer's JSON with every id that occurs in it replaced."""
    model = spec["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][i] for i in kept]
        model["unk_id"] = None if model["unk_id"] is None else new_id[model["unk_id"]]
    else:
        model["vocab"] = {piece: new_id[i] for piece, i in model["vocab"].items() if i in new_id}
    for added in spec["added_tokens"]:
        added["id"] = new_id[added["id"]]
    for processor in (spec.get("post_processor") or {}).get("processors", [spec.get("post_processor")]):
        _renumber_processor(processor, new_id)
    if spec.get("padding"):
        spec["padding"]["pad_id"] = new_id[spec["padding"]["pad_id"]]
    return spec


def _renumber_processor(processor: dict[str, Any] | None, new_id: dict[int, int]) -> None:
    if not processor:
        return
    for token in (processor.get("special_tokens") or {}).values():  # TemplateProcessing
        token["ids"] = [new_id[i] for i in token["ids"]]
    for side in ("sep", "cls"):  # BertProcessing, RobertaProcessing
        if isinstance(processor.get(side), list):
            processor[side][1] = new_id[processor[side][1]]


def _with_special_tokens(
    trimmed: PreTrainedTokenizerFast, original: PreTrainedTokenizerFast
) -> PreTrainedTokenizerFast:
    names = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    trimmed.add_special_tokens({n: getattr(original, n) for n in names if getattr(original, n) is not None})
    trimmed.model_max_length = original.model_max_length
    trimmed.model_input_names = original.model_input_names
    return trimmed
