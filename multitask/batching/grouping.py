"""Rows of similar length together, so that little is padded."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass


GROUP_OVERHEAD = 400
"""What one more micro-batch costs, in padded tokens: below it two groups are not worth their kernel launches."""


_ROWS = 256  # ends of groups that are looked at together


def group_by_length(
    input_lengths: np.ndarray, target_lengths: np.ndarray, *, overhead: float = GROUP_OVERHEAD, target_cost: float = 2.0
) -> list[np.ndarray]:
    """Cut examples into groups of similar length: arrays of positions, the cheapest cut of two sorted orders.

    A group costs its size × (longest input + `target_cost` × longest target) + `overhead`. The cheapest cut of a
    sorted list into contiguous groups is found exactly by dynamic programming.

    >>> [g.tolist() for g in group_by_length(np.array([4, 400, 5]), np.array([2, 2, 2]), overhead=10)]
    [[0, 2], [1]]
    """
    if len(input_lengths) == 0:
        return []
    orders = [np.lexsort((input_lengths, target_lengths)), np.lexsort((target_lengths, input_lengths))]
    return min((_cut(o, input_lengths, target_lengths, overhead, target_cost) for o in orders), key=lambda c: c[0])[1]


def _cut(
    order: np.ndarray, input_lengths: np.ndarray, target_lengths: np.ndarray, overhead: float, target_cost: float
) -> tuple[float, list[np.ndarray]]:
    lengths = input_lengths[order], target_lengths[order]
    n = len(order)
    best = np.zeros(n + 1)  # best[j]: cost of the first j examples
    start = [0] * (n + 1)
    for first in range(0, n, _ROWS):  # the groups i..j for every i and many j at once; for all j they would be n^2
        last = min(first + _ROWS, n)
        i, j = np.arange(last), np.arange(first + 1, last + 1)[:, None]
        # Their longest input and target are running maxima from the right.
        longest_in, longest_out = (
            np.maximum.accumulate(np.where(i < j, x[:last], 0)[:, ::-1], axis=1)[:, ::-1] for x in lengths
        )
        cost = (j - i) * (longest_in + target_cost * longest_out) + overhead
        for end in range(first + 1, last + 1):
            ways = best[:end] + cost[end - first - 1, :end]
            start[end] = at = int(ways.argmin())
            best[end] = ways[at]
    groups = []
    end = n
    while end > 0:
        groups.append(np.sort(order[start[end] : end]))
        end = start[end]
    return float(best[n]), groups[::-1]


CUTS = 12
"""Places where a step may be cut into groups: more are not worth the time to look at them."""


ATTENTION_OVERHEAD = 6000
"""What one more group costs attention, in squares of tokens."""


def attention_groups(input_lengths: np.ndarray, target_lengths: np.ndarray) -> list[np.ndarray]:
    """Cut examples into groups for attention, where alone unpadded tokens are padded: arrays of positions.

    A group of G examples costs G * (S^2 + S T + T^2) + `ATTENTION_OVERHEAD`, with its longest input S and target T.
    The cheapest cut of the order by input length is found exactly among `CUTS` places.

    >>> [g.tolist() for g in attention_groups(np.array([4, 400, 5]), np.array([2, 2, 2]))]
    [[0, 2], [1]]
    """
    order = np.lexsort((target_lengths, input_lengths))
    starts = _even_starts(len(order))
    inputs, targets = (np.maximum.reduceat(x[order], starts).tolist() for x in (input_lengths, target_lengths))
    edges = [*starts.tolist(), len(order)]
    # Python's numbers: so few places take a fifth of the time of numpy's calls.
    best, begin = [0.0], [0]
    for j in range(1, len(edges)):
        s, t, end, cheapest, start = inputs[j - 1], 0, edges[j], math.inf, 0
        for i in range(j - 1, -1, -1):  # the group of the pieces i .. j-1
            if targets[i] > t:
                t = targets[i]
            cost = best[i] + (end - edges[i]) * (s * s + s * t + t * t)
            if cost <= cheapest:
                cheapest, start = cost, i
        best.append(cheapest + ATTENTION_OVERHEAD)
        begin.append(start)
    groups = []
    j = len(edges) - 1
    while j > 0:
        groups.append(order[edges[begin[j]] : edges[j]])
        j = begin[j]
    return groups[::-1]


@functools.lru_cache(maxsize=1024)
def _even_starts(n: int) -> np.ndarray:
    """[pieces] int64, where each of `CUTS` pieces of about one size begins among n examples."""
    return np.unique(np.linspace(0, n, min(n, CUTS) + 1).astype(np.int64))[:-1]


def batches_of(order: Sequence[int] | np.ndarray, lengths: np.ndarray, batch_tokens: int) -> Iterator[list[int]]:
    """Cut `order` (by falling length) into batches of at most `batch_tokens` padded tokens, one row at least.

    >>> list(batches_of([2, 0, 1], np.array([3, 3, 6]), 6))
    [[2], [0, 1]]
    """
    batch: list[int] = []
    longest = 0
    for row in order:
        longest = max(longest, int(lengths[row]))
        if batch and longest * (len(batch) + 1) > batch_tokens:
            yield batch
            batch, longest = [], int(lengths[row])
        batch.append(int(row))
    if batch:
        yield batch
