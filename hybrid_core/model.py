"""The encoder: a Hugging Face backbone, pooling, prefixes; loading by name and export as a sentence-transformers model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from hybrid_core.backbones import backbone_for
from hybrid_core.config import ModelConfig
from hybrid_core.errors import RequestError
from hybrid_core.packaged import packaged_directory
from hybrid_core.storage import MARKER, is_remote, local_directory, read_json
from hybrid_core.vocabulary import trim

Kind = Literal["query", "passage"]
_ENCODER_FILE = "hybrid_encoder.json"
DEFAULT_QUERY_TOKENS, DEFAULT_PASSAGE_TOKENS = 64, 256


@dataclass(frozen=True)
class EncoderSettings:
    """How text becomes a vector, apart from the weights. Stored with every exported model."""

    pooling: str
    query_prefix: str
    passage_prefix: str
    max_query_tokens: int
    max_passage_tokens: int


class Encoder(nn.Module):
    """One tower for queries and passages; outputs are unit vectors, so a dot product is the cosine."""

    def __init__(self, backbone: Any, tokenizer: PreTrainedTokenizerFast, settings: EncoderSettings) -> None:
        super().__init__()
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.settings = settings

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self.backbone.config.hidden_size)

    def recompute_activations(self) -> None:
        """Hold no activations inside the layers; they are computed again in the backward pass (gradient checkpointing)."""
        self.backbone.activation_checkpointing_enable({"use_reentrant": False})

    def tokenize(self, texts: Sequence[str], kind: Kind, prefix: str | None = None) -> list[list[int]]:
        """Token ids of each text with its prefix, cut to the kind's maximum, special tokens included.

        `prefix` replaces the model's own for this kind of text.
        """
        return tokenize(self.tokenizer, self.settings, texts, kind, prefix)

    def pad(self, token_ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Rectangular ids and mask [n, longest], on the device of the weights."""
        longest = max(len(ids) for ids in token_ids)
        padding = self.tokenizer.pad_token_id
        ids = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in token_ids])
        lengths = torch.tensor([len(row) for row in token_ids])
        mask = (torch.arange(longest)[None, :] < lengths[:, None]).long()
        device = next(self.parameters()).device
        return ids.to(device), mask.to(device)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit embeddings [n, dimension] in float32."""
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        if self.settings.pooling == "pooler":
            pooled = output.pooler_output.float()
        elif self.settings.pooling == "cls":
            pooled = output.last_hidden_state[:, 0].float()
        else:
            weights = attention_mask[:, :, None].float()
            pooled = (output.last_hidden_state.float() * weights).sum(1) / weights.sum(1)
        return nn.functional.normalize(pooled, dim=-1)


def tokenize(
    tokenizer: PreTrainedTokenizerFast, settings: EncoderSettings, texts: Sequence[str], kind: Kind, prefix: str | None = None
) -> list[list[int]]:  # fmt: skip
    """What `Encoder.tokenize` does, where no weights are at hand."""
    own, limit = (
        (settings.query_prefix, settings.max_query_tokens)
        if kind == "query"
        else (settings.passage_prefix, settings.max_passage_tokens)
    )
    start = own if prefix is None else prefix
    if not texts:
        return []
    encoded = tokenizer([start + t for t in texts], truncation=True, max_length=limit, return_attention_mask=False)
    return list(encoded["input_ids"])


def load_tokenizer(config: ModelConfig) -> tuple[PreTrainedTokenizerFast, EncoderSettings]:
    """What splits the texts of an encoder into tokens; for an exported model (`exported_model`), whose vocabulary is fixed."""
    source = _source(config.name)
    return AutoTokenizer.from_pretrained(source), _settings(config, source)


def attention_on(*, gpu: bool) -> str:
    """What computes attention. Embeddings depend on it by their last bits, so it belongs to what identifies them."""
    # On a CPU the fused attention kernel's backward pass is slower than plain matrix products (benchmarks/).
    return "sdpa" if gpu else "eager"


def load_encoder(
    config: ModelConfig,
    *,
    seed: int = 0,
    texts: Iterable[str] | None = None,
    prefixes: Collection[str] = (),
    gpu: bool | None = None,
) -> Encoder:
    """Load an encoder by name and shape it as the config asks.

    Args:
        config: which weights; fields left unset take what the backbone (or the exported model) was made with.
        seed: initialises LoRA adapters.
        texts: what a trimmed vocabulary must cover, behind the model's prefixes; needed when `vocabulary` is "trimmed".
        prefixes: further ones that texts are read with, those of corpora.
        gpu: whether it is to compute on one; None: where the machine has one.

    Raises:
        RequestError: the model cannot be found, or cannot be shaped as asked.
    """
    source = _source(config.name)
    backbone, tokenizer = _pretrained(config.name, source, torch.cuda.is_available() if gpu is None else gpu)
    settings = _settings(config, source)
    if settings.pooling == "pooler":
        _read_dense(Path(source), backbone)
    elif getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    _check_lengths(settings, config.name, backbone)
    if config.layers is not None:
        _keep_layers(backbone, config.layers)
    if config.vocabulary == "trimmed":
        if texts is None:
            raise RequestError("model.vocabulary=trimmed needs the texts to cover; this job has none, use full")
        before = {settings.query_prefix, settings.passage_prefix, *prefixes}
        tokenizer = trim(backbone, tokenizer, (prefix + text for text in texts for prefix in before))
    for module in backbone.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # dropout would make the loss depend on how a batch is cut over workers
    if config.freeze_embeddings:
        backbone.embeddings.requires_grad_(False)
    if config.lora_rank:
        backbone = _with_lora(backbone, config.lora_rank, seed)
    return Encoder(backbone, tokenizer, settings)


def exported_model(config: ModelConfig, location: str) -> ModelConfig:
    """The config that loads an exported encoder: trimming and layer cuts are already in its files."""
    return dataclasses.replace(config, name=location, vocabulary="full", layers=None)


def encoder_settings(config: ModelConfig) -> EncoderSettings:
    """How an encoder of this config turns texts into vectors; reads no weights."""
    return _settings(config, _source(config.name))


def known_prefixes(config: ModelConfig) -> dict[Kind, str | None]:
    """What is put before queries and passages, from the files at hand; None where only a model that lies elsewhere says it."""
    elsewhere = re.match(r"\w+:/", config.name) or (config.name.startswith("/") and not Path(config.name).is_dir())
    if elsewhere:
        return {"query": config.query_prefix, "passage": config.passage_prefix}
    settings = _settings(config, config.name)  # of a packaged model the registry says it all
    return {"query": settings.query_prefix, "passage": settings.passage_prefix}


def model_fingerprint(name: str) -> str:
    """Identity of a model's content: hashes of the files of a local or sealed directory, else the name itself."""
    source = Path(_source(name))
    if not source.is_dir():
        return name
    marker = source / MARKER
    if marker.exists():
        return hashlib.sha256(marker.read_bytes()).hexdigest()
    hasher = hashlib.sha256()
    for file in sorted(f for f in source.rglob("*") if f.suffix in (".json", ".safetensors", ".txt", ".model", ".bin")):
        hasher.update(str(file.relative_to(source)).encode())
        with file.open("rb") as stream:
            hasher.update(hashlib.file_digest(stream, "sha256").digest())
    return hasher.hexdigest()


def trained_under(name: str) -> str:
    """Hash of the batch plan that a model was trained with; "" where its directory does not say."""
    marker = Path(_source(name)) / MARKER
    return str(read_json(str(marker)).get("plan_hash", "")) if marker.exists() else ""


def require_peft() -> Any:
    """The package behind LoRA.

    Raises:
        RequestError: it is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise RequestError(
            "model.lora_rank needs the package peft; remedy: pip install 'hybrid-batches[lora]'"
        ) from error
    return peft


def _source(name: str) -> str:
    """A local directory where the name is one, else the hub name itself."""
    if name.startswith("packaged:"):
        return str(packaged_directory(name.removeprefix("packaged:")))
    if "://" in name and is_remote(name):
        return str(local_directory(name))
    return name


def _pretrained(name: str, source: str, gpu: bool) -> tuple[Any, PreTrainedTokenizerFast]:
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # an unused pooler is expected and handled above
    transformers.logging.disable_progress_bar()
    try:
        attention = attention_on(gpu=gpu)
        model = AutoModel.from_pretrained(source, dtype=torch.float32, attn_implementation=attention)
        return model, AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RequestError(
            f"model.name={name!r} cannot be loaded: {reason} Allowed: a hub name (hub reachable, HF_HUB_OFFLINE unset), "
            "a directory, a storage URI, models:/..., or packaged:multilingual-e5-small"
        ) from error
    finally:
        transformers.logging.set_verbosity(verbosity)


def _settings(config: ModelConfig, source: str) -> EncoderSettings:
    """Config first, then what the model's own files say, then the registry."""
    backbone = backbone_for(config.name)
    known: dict[str, Any] = {
        "pooling": backbone.pooling,
        "query_prefix": backbone.query_prefix,
        "passage_prefix": backbone.passage_prefix,
        "max_query_tokens": DEFAULT_QUERY_TOKENS,
        "max_passage_tokens": DEFAULT_PASSAGE_TOKENS,
    }
    known |= _remembered(Path(source))
    known |= {field: value for field in known if (value := getattr(config, field)) is not None}
    return EncoderSettings(**known)


def _remembered(source: Path) -> dict[str, Any]:
    """What the files of a model directory say: our own, else those of sentence-transformers."""
    if (source / _ENCODER_FILE).exists():
        return dict(json.loads((source / _ENCODER_FILE).read_text()))
    found: dict[str, Any] = {}
    if (source / "1_Pooling" / "config.json").exists():
        mode = _pooling_mode(source / "1_Pooling" / "config.json")
        dense = any("Dense" in m["type"] for m in json.loads((source / "modules.json").read_text()))
        found["pooling"] = "mean" if mode == "mean" else "pooler" if dense else "cls"
    if (source / "config_sentence_transformers.json").exists():
        prompts = json.loads((source / "config_sentence_transformers.json").read_text()).get("prompts") or {}
        found |= {f"{kind}_prefix": prompts[kind] for kind in ("query", "passage") if prompts.get(kind)}
    return found


def _pooling_mode(file: Path) -> str:
    """`mean` or `cls`, from a flag per mode (sentence-transformers before 6) or from one name.

    Raises:
        RequestError: a pooling that this project does not have.
    """
    values = json.loads(file.read_text())
    flags = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
    others = {k for k, on in values.items() if k.startswith("pooling_mode_") and on is True and k not in flags.values()}
    named = values.get("pooling_mode") or [mode for mode, flag in flags.items() if values.get(flag)]
    modes = [named] if isinstance(named, str) else list(named)
    if others or len(modes) != 1 or modes[0] not in flags:
        raise RequestError(f"{file}: pooling {modes or sorted(others)} is not supported; allowed: mean or cls alone")
    return str(modes[0])


def _read_dense(source: Path, backbone: Any) -> None:
    """Take the pooler from a sentence-transformers Dense layer: training there changes that layer, not the backbone's own.

    Raises:
        RequestError: a layer that is no BERT pooler (one of equal width and tanh).
    """
    modules = json.loads((source / "modules.json").read_text()) if (source / "modules.json").exists() else []
    for folder in (source / m["path"] for m in modules if "Dense" in m["type"]):
        config = json.loads((folder / "config.json").read_text())
        width = backbone.config.hidden_size
        if not config["activation_function"].endswith("Tanh") or {config["in_features"], config["out_features"]} != {
            width
        }:
            raise RequestError(
                f"{folder}: a Dense layer from {config['in_features']} to {config['out_features']} with "
                f"{config['activation_function']} is not supported; allowed: {width} to {width} with Tanh"
            )
        if (folder / "model.safetensors").exists():
            from safetensors.torch import load_file

            found = load_file(folder / "model.safetensors")
            backbone.pooler.dense.load_state_dict({k.removeprefix("linear."): v for k, v in found.items()})


def _check_lengths(settings: EncoderSettings, name: str, backbone: Any) -> None:
    # RoBERTa-style models count positions from padding_idx + 1, so two fewer tokens fit than there are rows.
    offset = backbone.config.pad_token_id + 1 if "roberta" in backbone.config.model_type else 0
    room = backbone.config.max_position_embeddings - offset
    for field in ("max_query_tokens", "max_passage_tokens"):
        if getattr(settings, field) > room:
            raise RequestError(
                f"model.{field}={getattr(settings, field)} is more than the {room} positions of {name!r}; lower it"
            )


def _keep_layers(backbone: Any, count: int) -> None:
    layers = backbone.encoder.layer
    if count > len(layers):
        raise RequestError(f"model.layers={count}, but the backbone has {len(layers)} layers; choose at most that")
    backbone.encoder.layer = nn.ModuleList(layers[:count])
    backbone.config.num_hidden_layers = count


def _with_lora(backbone: Any, rank: int, seed: int) -> Any:
    peft = require_peft()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return peft.get_peft_model(
            backbone,
            peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=["query", "key", "value"]),
        )


def export(encoder: Encoder, directory: Path) -> None:
    """Write the encoder as a sentence-transformers directory (safetensors); LoRA adapters are merged into the weights."""
    backbone = encoder.backbone
    if hasattr(backbone, "merge_and_unload"):
        backbone = encoder.backbone = backbone.merge_and_unload()
    directory.mkdir(parents=True, exist_ok=True)
    transformers.logging.disable_progress_bar()
    backbone.save_pretrained(directory)
    encoder.tokenizer.save_pretrained(directory)
    for name, content in _sentence_transformers_files(encoder, directory).items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _sentence_transformers_files(encoder: Encoder, directory: Path) -> dict[str, Any]:
    s, d = encoder.settings, encoder.dimension
    kinds = ["Transformer", "Pooling", "Normalize"]
    files: dict[str, Any] = {}
    if s.pooling == "pooler":
        from safetensors.torch import save_file

        kinds.insert(2, "Dense")
        dense = encoder.backbone.pooler.dense
        (directory / "2_Dense").mkdir(exist_ok=True)
        save_file(
            {"linear.weight": dense.weight.detach().clone(), "linear.bias": dense.bias.detach().clone()},
            directory / "2_Dense" / "model.safetensors",
        )
        files["2_Dense/config.json"] = {
            "in_features": d,
            "out_features": d,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        }
    paths = ["" if kind == "Transformer" else f"{i}_{kind}" for i, kind in enumerate(kinds)]
    files["modules.json"] = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    files["1_Pooling/config.json"] = {
        "word_embedding_dimension": d, "pooling_mode_cls_token": s.pooling != "mean", "pooling_mode_mean_tokens": s.pooling == "mean",
    }  # fmt: skip
    files[f"{paths[-1]}/config.json"] = {}
    files["sentence_bert_config.json"] = {
        "max_seq_length": max(s.max_query_tokens, s.max_passage_tokens),  # theirs is one limit for both kinds
        "do_lower_case": False,
        "model_args": {} if s.pooling == "pooler" else {"add_pooling_layer": False},
    }
    files["config_sentence_transformers.json"] = {
        "prompts": {"query": s.query_prefix, "passage": s.passage_prefix, "document": s.passage_prefix},
        "similarity_fn_name": "cosine",
    }
    files[_ENCODER_FILE] = dataclasses.asdict(s)
    return files
