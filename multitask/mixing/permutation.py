"""The order in which a task's rows are read: a fresh pseudorandom permutation for every epoch, without a stored one.

Words
    stream      the endless sequence of a task's rows; position p belongs to epoch p // n, and within each epoch every
                one of the n rows stands exactly once
    round key   a 64-bit number; hashed from (seed, name) and then, arithmetically, from the epoch

`stream_rows` computes any piece of a stream from nothing but (seed, name, n): no generator is advanced and nothing is
kept, so a run resumes from one integer and two workers cannot disagree.

Up to `SMALL` rows, an epoch is sorted by a hash, which makes all n! orders equally likely. Above, position and row are
tied by a Feistel network on Z_a x Z_b with a·b just above n, whose few extra values are walked on until they fall
below n (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", sections 4 and 5): O(1) memory, and a
10^12-row task costs what a 10^3-row task costs. Not for the small ones too, because a network on a handful of values
is visibly unfair: for n = 5 and 8 rounds, chi-square over the 120 orders was 37 times its mean.
"""

from __future__ import annotations

import functools
import hashlib
import math

import numpy as np
from numpy.typing import NDArray

U64 = np.uint64
Words = NDArray[np.uint64]

SMALL = 256
"""Up to here an epoch is sorted by a hash. Part of the stream's definition: changing it changes every run."""
ROUNDS = 8
"""Half-rounds of the network. From 6 on, no test that was tried tells it from random above `SMALL`."""
MAX_ROWS = 2**62
"""The network's halves must stay below 2^32, so that a product with a 32-bit hash fits in 64 bits."""

_CHUNK = 1 << 15  # positions computed at once: the half-dozen arrays of a round stay in the cache of the processor
_BLOCK = 2048  # positions remembered at once: what a call of the network costs at any length is that of 4,000

_GOLDEN = U64(0x9E3779B97F4A7C15)
_C1, _C2 = U64(0xBF58476D1CE4E5B9), U64(0x94D049BB133111EB)
_27, _29, _30, _31, _32 = (U64(s) for s in (27, 29, 30, 31, 32))


def stream_rows(seed: int, name: str, n: int, start: int, stop: int) -> NDArray[np.int64]:
    """The rows at positions start … stop−1 of the stream of task `name` with n rows.

    Gives [stop − start] int64 in 0 … n−1, a new array. The stream depends on (seed, name, n) only.

    Args:
        seed: Any integer.
        name: The task's name: two tasks of one size have independent streams.
        n: Rows of the task, 1 … 2^62.
        start: The first position, 0 or more.
        stop: The position after the last, `start` or more.

    Raises:
        ValueError: If n or the positions are out of range.

    >>> sorted(stream_rows(0, "sst2", 5, 10, 15).tolist())  # the third epoch: every row once
    [0, 1, 2, 3, 4]
    >>> bool((stream_rows(0, "sst2", 10**12, 0, 9)[7:] == stream_rows(0, "sst2", 10**12, 7, 9)).all())
    True
    """
    if not 1 <= n <= MAX_ROWS:
        raise ValueError(f"a stream needs 1 to 2^62 rows. Got {n}.")
    if not 0 <= start <= stop:
        raise ValueError(f"positions must satisfy 0 <= start <= stop. Got start={start}, stop={stop}.")
    if stop - start > _BLOCK:
        base = _base_keys(seed, name)
        pieces = [_positions(base, n, at, min(at + _CHUNK, stop)) for at in range(start, stop, _CHUNK)]
        return np.concatenate(pieces)
    # Short reads come one after another, a few rows a step: they share a remembered block.
    first, last = start // _BLOCK, max(start, stop - 1) // _BLOCK
    block = _block(seed, name, n, first)
    if last > first:
        block = np.concatenate([block, _block(seed, name, n, last)])
    return block[start - first * _BLOCK : stop - first * _BLOCK].copy()


@functools.lru_cache(maxsize=1024)  # of 16 KiB; a mixture of more tasks than that would make one for every read
def _block(seed: int, name: str, n: int, index: int) -> NDArray[np.int64]:
    return _positions(_base_keys(seed, name), n, index * _BLOCK, (index + 1) * _BLOCK)


@functools.lru_cache(maxsize=4096)
def _base_keys(seed: int, name: str) -> tuple[int, ...]:
    digest = hashlib.blake2b(f"{int(seed)}/{name}".encode(), digest_size=8 * ROUNDS, person=b"multitask 1").digest()
    return tuple(int.from_bytes(digest[i : i + 8], "little") for i in range(0, len(digest), 8))


def _positions(base: tuple[int, ...], n: int, start: int, stop: int) -> NDArray[np.int64]:
    """`stream_rows` for a range that is short enough to be computed at once."""
    epoch, offset = divmod(start, n)  # Python integers: positions may exceed 64 bits, what follows may not
    within = np.arange(stop - start, dtype=U64) + U64(offset)
    if offset + stop - start <= n:
        lap, keys = None, _epoch_keys(base, epoch, 1)
    else:
        lap = within // U64(n)
        within -= lap * U64(n)
        keys = _epoch_keys(base, epoch, int(lap[-1]) + 1)
    if n <= SMALL:
        order = _sorted_epochs(keys[0], n)
        rows: NDArray[np.int64] = order[0][within] if lap is None else order[lap, within]
        return rows
    return permute(within, n, keys if lap is None else keys[:, lap]).astype(np.int64)


def _epoch_keys(base: tuple[int, ...], epoch: int, count: int) -> Words:
    """Round keys [ROUNDS, count] of epochs epoch … epoch + count − 1, by SplitMix64 (Steele et al. 2014)."""
    epochs = np.arange(count, dtype=U64) + U64(epoch % 2**64)
    return _mix(np.array(base, dtype=U64)[:, None] + epochs * _GOLDEN)


def _sorted_epochs(keys: Words, n: int) -> NDArray[np.int64]:
    """The order of the rows [E, n] in each epoch: by the hash of (key, row); equal hashes have a chance of n²/2^65."""
    return np.argsort(_mix(_mix(keys[:, None] + np.arange(n, dtype=U64) * _GOLDEN)), axis=1, kind="stable")


def permute(x: Words, n: int, keys: Words) -> Words:
    """Map each value of x [N] in 0 … n−1 to one in 0 … n−1, one to one for each column of round keys.

    `keys` [ROUNDS, N], or [ROUNDS, 1] if all values share theirs. Fit for n above `SMALL`; a permutation for any n.

    >>> keys = np.arange(8, dtype=np.uint64)[:, None]
    >>> sorted(permute(np.arange(5, dtype=np.uint64), 5, keys).tolist())
    [0, 1, 2, 3, 4]
    """
    a = math.isqrt(n - 1) + 1
    b = -(-n // a)  # n <= a·b < n + a: nearly every value lands below n at the first go
    y = _network(x, U64(a), U64(b), keys)
    outside = np.flatnonzero(y >= U64(n))
    while outside.size:
        y[outside] = _network(y[outside], U64(a), U64(b), keys if keys.shape[1] == 1 else keys[:, outside])
        outside = outside[y[outside] >= U64(n)]
    return y


def _network(x: Words, a: np.uint64, b: np.uint64, keys: Words) -> Words:
    left = x // b
    right = x - left * b
    for i in range(0, ROUNDS, 2):
        left += _below(a, right + keys[i])
        np.minimum(left, left - a, out=left)  # modulo a: below a, the difference wraps around and is huge
        right += _below(b, left + keys[i + 1])
        np.minimum(right, right - b, out=right)
    left *= b
    left += right
    return left


def _below(bound: np.uint64, h: Words) -> Words:
    """Hash h, in place, to 0 … bound−1: the upper 32 bits of the hash, times the bound, shifted back."""
    h *= _C1
    h ^= h >> _29
    h *= _C2
    h >>= _32
    h *= bound
    h >>= _32
    return h


def _mix(h: Words) -> Words:
    """SplitMix64's finaliser: a one-to-one hash of 64 bits."""
    h = (h ^ (h >> _30)) * _C1
    h = (h ^ (h >> _27)) * _C2
    return h ^ (h >> _31)
