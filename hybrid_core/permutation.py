"""Keyed permutations and exact mixtures with random access: the arithmetic under the batch plan.

Both are pure functions of (key, index). Nothing is shuffled in memory, so position 10**9 costs as much as position 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

_ROUNDS = 4
_U = np.uint64


def derive_key(*parts: object) -> int:
    """A 63-bit key from names and numbers, the same on every machine and Python."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele et al. 2014): a bijection of uint64 that scrambles all bits."""
    x = x.astype(np.uint64)
    x = (x ^ (x >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U(27))) * _U(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> _U(31)))


def permute(index: np.ndarray, size: int, key: np.ndarray | int) -> np.ndarray:
    """Where a keyed permutation of range(size) sends each index (a Feistel network with cycle walking).

    Args:
        index: integers in [0, size).
        size: length of the permuted range, at least 1.
        key: one key, or one per index.
    """
    half_bits = max(1, (int(size - 1).bit_length() + 1) // 2)
    mask = _U((1 << half_bits) - 1)
    keys = np.broadcast_to(np.asarray(key, dtype=np.uint64), np.shape(index))
    out = np.asarray(index, dtype=np.uint64).copy()
    walking = np.ones(out.shape, dtype=bool)
    while walking.any():  # a value outside the range is sent through again; expected rounds are below 4
        out[walking] = _feistel(out[walking], keys[walking], half_bits, mask)
        walking &= out >= _U(size)
    return out.astype(np.int64)


def _feistel(x: np.ndarray, keys: np.ndarray, half_bits: int, mask: np.uint64) -> np.ndarray:
    left, right = x >> _U(half_bits), x & mask
    with np.errstate(over="ignore"):
        for round_number in range(_ROUNDS):
            scrambled = mix(right + keys + _U(0x9E3779B97F4A7C15 * (round_number + 1) % 2**64)) & mask
            left, right = right, left ^ scrambled
    return np.asarray((left << _U(half_bits)) | right)


def draw_without_replacement(index: np.ndarray, size: int, key: int) -> np.ndarray:
    """Element `index` of an endless sequence: range(size) in a new keyed order in every epoch."""
    epoch, position = np.divmod(np.asarray(index, dtype=np.int64), size)
    return permute(position, size, mix(_U(key) + epoch.astype(np.uint64)))


def exact_coin(index: np.ndarray, probability: float, block: int, key: int) -> tuple[np.ndarray, np.ndarray]:
    """Toss number `index` of a coin whose counts are exact over blocks, and its rank among equal outcomes.

    After b blocks exactly round(b * block * probability) tosses were heads. The order inside a block is shuffled.
    Returns (heads as bool, rank): in the order of the tosses, heads are numbered 0, 1, 2, ... and so are tails.
    Costs O(block) for every block that `index` touches.
    """
    number, position = np.divmod(np.asarray(index, dtype=np.int64), block)
    blocks, row = np.unique(number, return_inverse=True)
    heads_until = np.floor(np.stack([blocks, blocks + 1]) * block * probability + 0.5).astype(np.int64)
    keys = np.repeat(mix(_U(key) + blocks.astype(np.uint64)), block)
    shuffled = permute(np.tile(np.arange(block), len(blocks)), block, keys).reshape(len(blocks), block)
    heads = shuffled < (heads_until[1] - heads_until[0])[:, None]
    heads_before = heads_until[0][:, None] + np.cumsum(heads, axis=1) - heads
    is_head, rank = heads[row, position], heads_before[row, position]
    return is_head, np.where(is_head, rank, number * block + position - rank)


def exact_choice(index: np.ndarray, weights: Sequence[float], block: int, key: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw number `index` among len(weights) options, by exact coins in a balanced tree, and its rank within the option.

    Returns (option, rank), both int64 of the shape of `index`.
    """
    index = np.asarray(index, dtype=np.int64)
    option, rank = np.zeros_like(index), index.copy()
    _descend(option, rank, np.ones(index.shape, dtype=bool), list(weights), 0, block, key)
    return option, rank


def _descend(
    option: np.ndarray, rank: np.ndarray, here: np.ndarray, weights: list[float], first: int, block: int, key: int
) -> None:
    if len(weights) == 1:
        option[here] = first
        return
    if not here.any():
        return
    middle = len(weights) // 2
    left, right = weights[:middle], weights[middle:]
    heads, ranks = exact_coin(rank[here], sum(left) / sum(weights), block, derive_key(key, first, len(weights)))
    rank[here] = ranks
    goes_left = here.copy()
    goes_left[here] = heads
    _descend(option, rank, goes_left, left, first, block, key)
    _descend(option, rank, here & ~goes_left, right, first + middle, block, key)
