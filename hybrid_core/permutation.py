"""Keyed permutations with random access: in which order the batch plan draws rows.

Pure functions of (key, index). Nothing is shuffled in memory, so position 10**9 costs as much as position 0.
"""

from __future__ import annotations

import hashlib

import numpy as np

_ROUNDS = 8
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


def permute(index: np.ndarray, size: np.ndarray | int, key: np.ndarray | int, *, backwards: bool = False) -> np.ndarray:
    """Where a keyed permutation of range(size) sends each index.

    A Feistel network over the digits of `index` in two radices of about sqrt(size). Their product exceeds `size` by
    less than sqrt(size); a value in that margin is sent through again (cycle walking).

    Args:
        index: integers in [0, size).
        size: length of the permuted range, at least 1; one, or one per index.
        key: one key, or one per index.
        backwards: the other way round: which index is sent to each.
    """
    out = np.asarray(index).astype(np.uint64).reshape(-1)
    sizes = np.broadcast_to(np.asarray(size, dtype=np.uint64), np.shape(index)).reshape(-1)
    keys = np.broadcast_to(np.asarray(key, dtype=np.uint64), np.shape(index)).reshape(-1)
    high = np.ceil(np.sqrt(sizes)).astype(np.uint64)
    low = (sizes + high - _U(1)) // high
    out = _feistel(out, keys, high, low, backwards)
    while (again := np.flatnonzero(out >= sizes)).size:
        out[again] = _feistel(out[again], keys[again], high[again], low[again], backwards)
    return out.astype(np.int64).reshape(np.shape(index))


def _feistel(x: np.ndarray, keys: np.ndarray, high: np.ndarray, low: np.ndarray, backwards: bool) -> np.ndarray:
    first, second = x // low, x % low
    for round_number in range(_ROUNDS, 0, -1) if backwards else range(1, _ROUNDS + 1):
        salted = keys + np.asarray(0x9E3779B97F4A7C15 * round_number % 2**64, dtype=np.uint64)
        if round_number % 2:
            moved = mix(second + salted) % high
            first = (first + (high - moved if backwards else moved)) % high
        else:
            moved = mix(first + salted) % low
            second = (second + (low - moved if backwards else moved)) % low
    return np.asarray(first * low + second)


def draw_without_replacement(
    index: np.ndarray,
    size: np.ndarray | int,
    key: np.ndarray | int,
    *,
    window: np.ndarray | int = 1,
    aligned: bool = False,
) -> np.ndarray:
    """Element `index` of an endless sequence: range(size) in a new keyed order in every epoch.

    Args:
        index: numbers of the elements [n].
        size: as in `permute`.
        key: as in `permute`.
        window: so many elements in a row are all different, also where one epoch ends and the next begins; at most
            `size`; one, or one per index. By a change of order near the beginning of an epoch; where `size` is not at
            least twice the window (three times, unless aligned), see `_within_chunks`.
        aligned: only windows that begin at multiples of `window` need to be so.
    """
    numbers = np.asarray(index, dtype=np.int64)
    sizes, windows = (np.broadcast_to(np.asarray(x, dtype=np.int64), numbers.shape) for x in (size, window))
    keys = np.broadcast_to(np.asarray(key, dtype=np.uint64), numbers.shape)
    epoch, position = np.divmod(numbers, sizes)
    drawn = permute(position, sizes, _epoch_keys(keys, epoch))
    if aligned:  # the window across the boundary is known, with what it holds of either epoch
        avoided, ahead, tight = (numbers - position) % windows, windows, sizes % windows > 0
    else:
        avoided, ahead, tight = windows - 1, 2 * (windows - 1), windows > 1
    tight = tight & (sizes < ahead + windows - 1)
    if (head := np.flatnonzero(~tight & (epoch > 0) & (avoided > 0) & (position < ahead))).size:
        drawn[head] = _reordered(*(x[head] for x in (position, epoch, sizes, keys, avoided, ahead)))
    if (small := np.flatnonzero(tight)).size:
        drawn[small] = _within_chunks(*(x[small] for x in (position, epoch, sizes, keys, windows)))
    return drawn


def _epoch_keys(keys: np.ndarray, epoch: np.ndarray) -> np.ndarray:
    return mix(keys + epoch.astype(np.uint64))


def _reordered(
    position: np.ndarray, epoch: np.ndarray, size: np.ndarray, key: np.ndarray, avoided: np.ndarray, ahead: np.ndarray
) -> np.ndarray:
    """Elements at positions below `ahead`: those that were among the `avoided` last of the epoch before come after the others.

    The last of an epoch are never among its first `ahead`, so their order does not depend on the epoch before it.
    """
    columns = np.stack([epoch, size, key.view(np.int64), avoided, ahead])
    sequences, sequence = np.unique(columns, axis=1, return_inverse=True)
    epoch, size, avoided, ahead = sequences[[0, 1, 3, 4]]
    key = sequences[2].view(np.uint64)
    first = np.cumsum(ahead) - ahead
    of = np.repeat(np.arange(len(ahead)), ahead)
    place = np.arange(len(of)) - first[of]
    rows = permute(place, size[of], _epoch_keys(key, epoch)[of])
    before = permute(rows, size[of], _epoch_keys(key, epoch - 1)[of], backwards=True)
    late = before >= (size - avoided)[of]
    return np.asarray(rows[np.lexsort((place, late, of))][first[sequence.reshape(-1)] + position])


def _within_chunks(
    position: np.ndarray, epoch: np.ndarray, size: np.ndarray, key: np.ndarray, window: np.ndarray
) -> np.ndarray:
    """Few elements: one order for all epochs, shuffled anew in every epoch within chunks of size - window + 1.

    An element is then never closer to where it stood an epoch ago than `window` places.
    """
    length = size - window + 1
    chunk, place = np.divmod(position, length)
    here = np.minimum(length, size - chunk * length)
    moved = permute(place, here, _epoch_keys(_epoch_keys(key, epoch), chunk))
    return permute(chunk * length + moved, size, key)
