"""The partition of tasks into at most k groups with the largest total, from the effects of pairs.

After Standley et al. 2020, "Which tasks should be learned together in multi-task learning?".

Words
    group      tasks that share one model; a *grouping* is a partition of all tasks into groups
    value      of a task in a group: its expected Δ against training alone. Measured where a model was trained on
               exactly that group; else the mean of its pair effects with the others of the group, directed as they
               are: Δ(t | {t, u}) is never averaged with Δ(u | {t, u}). 0 for a task alone
    total      of a group or grouping: the sum of its tasks' values. Points of different tasks are summed as they are
    version    the effects of one seed, or of one choice of seeds: all versions are worked through at once
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Pair = tuple[str, str]
"""(task evaluated, companion)"""
Source = tuple[str, str | frozenset[str]]
"""(task evaluated, companion or measured group): one effect that a total is made of."""

EXACT = 12
"""Most tasks that are grouped exactly, by dynamic programming over the subsets: 3^12 steps."""
STARTS = 8
"""Random starts of the local search for more tasks than that."""
TIE = 1e-9
"""Totals this close are equal, and fewer models win."""


class Grouping(NamedTuple):
    """A partition of the tasks."""

    groups: tuple[tuple[str, ...], ...]
    """Tasks in the order given; groups in the order of their first tasks."""
    total: float
    exact: bool
    """False if it was found by local search, which may miss the best one."""


def best_grouping(
    tasks: Sequence[str],
    effect: Mapping[Pair, float],
    limit: int,
    measured: Mapping[frozenset[str], Mapping[str, float]] | None = None,
) -> Grouping:
    """The partition of `tasks` into at most `limit` groups with the largest total; of equal ones that of fewest groups.

    Exact up to `EXACT` tasks; beyond, greedy merging and seeded local search, which is good and not proven best.

    Args:
        tasks: Their names.
        effect: {(task, companion): Δ of the task in the pair}, for all ordered pairs.
        limit: At most so many groups, 1 or more.
        measured: {group: {task: Δ}} of groups that were trained as such, in place of the mean over pairs.

    >>> helps = {("a", "b"): 2.0, ("b", "a"): 1.0}
    >>> hurts = {(t, u): -1.0 for t, u in [("a", "c"), ("b", "c"), ("c", "a"), ("c", "b")]}
    >>> best_grouping(["a", "b", "c"], helps | hurts, limit=2)
    Grouping(groups=(('a', 'b'), ('c',)), total=3.0, exact=True)
    """
    known = {group: {t: np.array([v]) for t, v in values.items()} for group, values in (measured or {}).items()}
    evidence = Evidence(tasks, {pair: np.array([v]) for pair, v in effect.items()}, known)
    return evidence.best(limit)[0]


class Evidence:
    """The effects that groups of these tasks are judged by.

    D versions, n tasks. Inside this module a set of tasks is a mask, with bit i for task i.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        pairs: Mapping[Pair, Floats],
        measured: Mapping[frozenset[str], Mapping[str, Floats]],
    ) -> None:
        self.tasks = tuple(tasks)
        if len(set(self.tasks)) < len(self.tasks) or not self.tasks:
            raise ValueError(f"a grouping needs one or more different tasks. Got {list(tasks)}.")
        missing = [(t, u) for t in self.tasks for u in self.tasks if t != u and (t, u) not in pairs]
        if missing:
            raise ValueError(f"a grouping needs the effect of every ordered pair; that of {missing[0]} is missing.")
        self.pairs = dict(pairs)
        self.measured = {group: dict(values) for group, values in measured.items() if set(group) <= set(self.tasks)}
        given = [*self.pairs.values(), *(v for values in self.measured.values() for v in values.values())]
        self.versions = len(given[0]) if given else 1
        if any(v.shape != (self.versions,) for v in given):
            raise ValueError("the effects of a grouping must have one value per seed, of the same seeds.")
        if not all(np.isfinite(v).all() for v in given):
            raise ValueError("the effects of a grouping must be numbers: leave out the tasks that were not measured.")

    def at(self, function: Callable[[Floats], Floats]) -> Evidence:
        """The same effects with `function` of every effect's versions."""
        measured = {g: {t: function(v) for t, v in values.items()} for g, values in self.measured.items()}
        return Evidence(self.tasks, {pair: function(v) for pair, v in self.pairs.items()}, measured)

    def weights(self, groups: Iterable[Sequence[str]]) -> dict[Source, float]:
        """{(task, companion or measured group): weight} such that the total of `groups` is the weighted sum."""
        out: dict[Source, float] = {}
        for group in groups:
            values = self.measured.get(frozenset(group), {})
            for t in group:
                if t in values:
                    out[t, frozenset(group)] = 1.0
                else:
                    out |= {(t, u): 1 / (len(group) - 1) for u in group if u != t}
        return out

    def value(self, group: Sequence[str]) -> Floats:
        """[D] the total of one group."""
        out = np.zeros(self.versions)
        for (t, key), weight in self.weights([group]).items():
            out += weight * (self.pairs[t, key] if isinstance(key, str) else self.measured[key][t])
        return out

    def best(self, limit: int) -> list[Grouping]:
        """[D] the best grouping of each version."""
        if limit < 1:
            raise ValueError(f"a grouping needs a limit of 1 or more models. Got {limit}.")
        n, limit = len(self.tasks), min(limit, len(self.tasks))
        if n <= EXACT:
            return _exact(self, limit)
        return [_search(self, d, limit) for d in range(self.versions)]

    def grouping(self, masks: Iterable[int], *, exact: bool, version: int = 0) -> Grouping:
        """The grouping of some masks, in the order of the tasks."""
        groups = [tuple(t for i, t in enumerate(self.tasks) if mask >> i & 1) for mask in masks]
        groups.sort(key=lambda g: self.tasks.index(g[0]))
        total = sum(float(self.value(g)[version]) for g in groups)
        return Grouping(tuple(groups), total + 0.0, exact)  # + 0.0: no minus zero


def _exact(evidence: Evidence, limit: int) -> list[Grouping]:
    """Dynamic programming: the best total of a set in at most k groups, over the group that holds its first task."""
    n = len(evidence.tasks)
    full = (1 << n) - 1
    values = _all_values(evidence)  # [2^n, D]
    best = values
    choices = []
    for models in range(2, limit + 1):
        now = best.copy()
        choice = np.zeros((full + 1, evidence.versions), dtype=np.int64)  # the first group; 0: as with one model fewer
        for mask in [full] if models == limit else range(1, full + 1):  # the last level is asked for all tasks only
            first = mask & -mask
            rest = _subsets(mask ^ first)[:-1]  # without the last one, which is the set itself
            if not len(rest):
                continue
            parts = rest | first
            totals = values[parts] + best[mask ^ parts]  # [subsets, D]
            at = totals.argmax(0)
            top = totals[at, np.arange(evidence.versions)]
            better = top > now[mask] + TIE
            now[mask] = np.where(better, top, now[mask])
            choice[mask] = np.where(better, parts[at], 0)
        choices.append(choice)
        best = now
    found = []
    for d in range(evidence.versions):
        masks, left, level = [], full, len(choices)
        while left:
            part = int(choices[level - 1][left, d]) if level else left
            level -= level > 0
            if part:
                masks.append(part)
                left ^= part
        found.append(evidence.grouping(masks, exact=True, version=d))
    return found


def _all_values(evidence: Evidence) -> Floats:
    """[2^n, D] the total of every set of tasks as one group."""
    tasks = evidence.tasks
    n = len(tasks)
    inside = (np.arange(1 << n)[:, None] >> np.arange(n) & 1).astype(np.float64)  # [2^n, n]
    sizes = inside.sum(1)
    values = np.empty((1 << n, evidence.versions))
    for d in range(evidence.versions):
        effects = np.array([[0.0 if t == u else evidence.pairs[t, u][d] for u in tasks] for t in tasks])
        values[:, d] = ((inside @ effects.T) * inside).sum(1) / np.maximum(sizes - 1, 1)
    for group in evidence.measured:
        values[sum(1 << tasks.index(t) for t in group)] = evidence.value([t for t in tasks if t in group])
    return values


def _subsets(mask: int) -> npt.NDArray[np.int64]:
    """All subsets of a set, the empty one first and the set itself last."""
    out = np.zeros(1, dtype=np.int64)
    while mask:
        bit = mask & -mask
        out = np.concatenate([out, out | bit])
        mask ^= bit
    return out


def _search(evidence: Evidence, version: int, limit: int) -> Grouping:
    """Greedy merging, then moves and swaps of tasks until none helps, from several starts; the best end of all."""
    n = len(evidence.tasks)
    effects = np.array(
        [[0.0 if t == u else evidence.pairs[t, u][version] for u in evidence.tasks] for t in evidence.tasks]
    )
    cache: dict[int, float] = {0: 0.0}
    for group in evidence.measured:
        mask = sum(1 << evidence.tasks.index(t) for t in group)
        cache[mask] = float(evidence.value([t for t in evidence.tasks if t in group])[version])

    def value(mask: int) -> float:
        if mask not in cache:
            at = [i for i in range(n) if mask >> i & 1]
            cache[mask] = float(effects[np.ix_(at, at)].sum()) / max(len(at) - 1, 1)
        return cache[mask]

    def greedy() -> list[int]:
        masks = [1 << i for i in range(n)]
        while len(masks) > 1:
            gain, i, j = max(
                (value(masks[i] | masks[j]) - value(masks[i]) - value(masks[j]), -i, -j)
                for i in range(len(masks))
                for j in range(i)
            )
            if len(masks) <= limit and gain < 0:
                break
            masks[-j] |= masks[-i]
            del masks[-i]
        return masks + [0] * (limit - len(masks))

    def improve(masks: list[int]) -> list[int]:
        masks, better = list(masks), True
        while better:
            better = False
            for a in range(limit):
                for b in range(limit):
                    for give in [1 << i for i in range(n) if masks[a] >> i & 1]:
                        for take in [0, *(1 << i for i in range(n) if a < b and masks[b] >> i & 1)]:
                            new = masks[a] ^ give | take, masks[b] ^ take | give
                            old = value(masks[a]) + value(masks[b])
                            if a != b and masks[a] & give and value(new[0]) + value(new[1]) > old + TIE:
                                masks[a], masks[b] = new
                                better = True
                                break
        return masks

    draw = np.random.default_rng(n * 1000 + limit)
    starts = [[(1 << n) - 1] + [0] * (limit - 1), greedy()]
    for _ in range(STARTS):
        masks = [0] * limit
        for i, g in enumerate(draw.integers(limit, size=n)):
            masks[g] |= 1 << i
        starts.append(masks)
    ends = [[m for m in improve(start) if m] for start in starts]
    best = max(ends, key=lambda masks: (round(sum(map(value, masks)), 9), -len(masks)))
    return evidence.grouping(best, exact=False, version=version)
