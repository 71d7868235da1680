r"""Seed variances of a whole table: what the arms of a task have in common steadies the variance of each effect.

A few seeds say little of how much training varies: with 3, Student's t at 5 % is 4.3. But the arms of a task are the
same training in different company, and their scores vary over seeds by about as much. So the variance of a contrast is
shrunk to that of its task's arms (Smyth 2004, section 3), and its t has more degrees of freedom. Effects are never
shrunk.

Words
    arm        what is compared; K of them a task, each with the scores of S seeds
    sort       arms of one family and budget, e.g. all single ones at equal exposure
    residual   of a score: what is left of it without its arm's and its seed's mean. Arms of one seed share weights and
               examples; what they share is in no difference between them, and so in no residual
    W_a        Σ residual² / (S − 1) of arm a
    pool       Σ W_a / (K − 1): the variance of one score over seeds, in points², with (K − 1)(S − 1) degrees of freedom
    d0         degrees of freedom that the pool counts as, beside the S − 1 of a contrast's own seeds: large where the
               arms of a task are alike

    variance of a contrast Σ c_a y_a for one seed:  (d0 · pool · Σ c_a² + (S − 1) · own) / (d0 + S − 1)

with min(d0 + S − 1, (K − 1)(S − 1)) degrees of freedom.

**d0 is estimated on the safe side.** The logarithms of the W_a of a task spread by ψ'((S − 1)/2) by chance alone; what
they spread beyond that over all tasks, e, is ψ'(d0/2) (Smyth 2004, section 6.2). From few arms e is known badly, and a
d0 that is too large makes intervals that are too narrow: taken as estimated, 7 to 11 % of tables without any effect had
a verdict. So d0 is that of e + one standard error of e, which more arms and seeds make small.

**Sorts of arms that vary otherwise are left out.** If training alone varies more, or less, than in company, the pool is
wrong for every contrast of its task. Such a difference shows in every task alike: a sort whose mean log W differs from
that of the others by more than 1.96 standard errors is taken out of the pool, and contrasts with it keep their own
variance.

With fewer than 4 arms a task (two tasks; or three without the joint arm) nothing of this can be seen, and each contrast
keeps its own variance. benchmarks/interference_statistics.py --only moderation measures all that is said here.

Smyth, "Linear models and empirical Bayes methods for assessing differential expression in microarray experiments",
Statistical Applications in Genetics and Molecular Biology 3, 2004.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from multitask.interference.statistics.intervals import Pool
from multitask.metrics.outputs import Floats

LEAST_ARMS = 4
"""Of a task, for a pool."""
UNLIKE = 1.96
"""Standard errors by which a sort of arms is unlike the others."""
CAUTION = 1.0
"""Standard errors that are added to the spread of variances."""
_FLOOR = 1e-4
"""Of W_a, in parts of the mean of its task: an arm whose seeds happen to agree has no logarithm."""


@dataclass(frozen=True)
class TaskPool:
    """The seed variance of a task's scores, and the arms that it holds for."""

    variance: float
    """Of one score over seeds, in points²."""
    df: float
    """d0"""
    arms: frozenset[Hashable]

    def of(self, coefficients: Mapping[Any, float]) -> Pool | None:
        """Of a contrast's value for one seed; None if one of its arms is not in the pool."""
        if not self.arms.issuperset(coefficients):
            return None
        return Pool(self.variance * sum(c * c for c in coefficients.values()), self.df, len(self.arms) - 1)


@dataclass(frozen=True)
class Moderation:
    """The pools of a study's tasks, for one metric of each."""

    pools: dict[str, TaskPool]
    """{task: …}; a task is missing if it has none."""
    df: float | None
    """d0; None without a pool."""
    unlike: tuple[str, ...]
    """The sorts of arms that were left out."""


def moderate(scores: Mapping[str, Mapping[Any, Floats]], sorts: Mapping[Any, str]) -> Moderation:
    """Pool the seed variances of each task's arms.

    Args:
        scores: {task: {arm: [S] in points}}. An arm with an undefined score is left out.
        sorts: {arm: its sort}
    """
    tables = {task: _defined(arms) for task, arms in scores.items()}
    unlike: list[str] = []
    while True:
        kept = {
            task: table
            for task, arms in tables.items()
            if len(table := {a: x for a, x in arms.items() if sorts[a] not in unlike}) >= LEAST_ARMS
        }
        spreads = {task: w for task, table in kept.items() if (w := _spreads(table)).sum() > 0}
        worst = _most_unlike([([sorts[a] for a in kept[task]], w) for task, w in spreads.items()], _degrees(kept))
        if worst is None:
            break
        unlike.append(worst)
    if not spreads:
        return Moderation({}, None, tuple(unlike))
    df = prior_degrees(list(spreads.values()), _degrees(kept))
    pools = {t: TaskPool(float(w.sum()) / (len(w) - 1), df, frozenset(kept[t])) for t, w in spreads.items()}
    return Moderation(pools, df, tuple(unlike))


def prior_degrees(spreads: list[Floats], degrees: int) -> float:
    """d0 from the W [K] of each task, whose seeds have so many degrees of freedom (S − 1)."""
    from scipy.special import polygamma  # type: ignore[import-untyped]

    chance = float(polygamma(1, degrees / 2))
    beyond, variance = 0.0, 0.0
    for w in spreads:
        count = len(w)
        # Residuals of K arms are correlated by −1 / (K − 1), which makes their logarithms spread a little less.
        beyond += float(_logarithms(w).var(ddof=1)) - chance + _covariance(1 / (count - 1) ** 2, degrees)
        variance += float(polygamma(3, degrees / 2)) / count + 2 * chance**2 / (count - 1)
    safe = beyond / len(spreads) + CAUTION * math.sqrt(variance) / len(spreads)
    return inverse_trigamma(safe) * 2 if safe > 0 else math.inf


def inverse_trigamma(value: float) -> float:
    """The x > 0 whose ψ'(x) is `value`.

    >>> round(inverse_trigamma(1.6449340668482264), 6)  # ψ'(1) = π²/6
    1.0
    """
    from scipy.special import polygamma

    low, high = -30.0, 30.0  # of log x: ψ' falls
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if float(polygamma(1, math.exp(middle))) > value else (low, middle)
    return math.exp((low + high) / 2)


def _defined(arms: Mapping[Any, Floats]) -> dict[Any, Floats]:
    return {arm: x for arm, x in arms.items() if len(x) > 1 and np.isfinite(x).all()}


def _degrees(tables: Mapping[str, Mapping[Any, Floats]]) -> int:
    return next((len(x) - 1 for table in tables.values() for x in table.values()), 1)


def _spreads(table: Mapping[Any, Floats]) -> Floats:
    """[K] W of each arm."""
    x = np.stack(list(table.values()))
    residual = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + x.mean()
    residual[np.abs(residual) < 1e-9] = 0.0  # what is left of equal scores by rounding
    return np.asarray((residual**2).sum(axis=1) / (x.shape[1] - 1))


def _logarithms(w: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(w, _FLOOR * w.mean())))


def _most_unlike(tasks: list[tuple[list[str], Floats]], degrees: int) -> str | None:
    """The sort of arms whose variance differs most from that of the others, if it differs by more than chance does."""
    from scipy.special import polygamma

    found: list[tuple[float, int, str]] = []
    for sort in dict.fromkeys(s for names, _ in tasks for s in names):
        differences, inverse = [], []
        for names, w in tasks:
            own = np.array([name == sort for name in names])
            if own.any() and not own.all():
                logs = _logarithms(w)
                differences.append(float(logs[own].mean() - logs[~own].mean()))
                inverse.append(1 / own.sum() + 1 / (~own).sum())
        if differences:
            error = math.sqrt(float(polygamma(1, degrees / 2)) * float(np.sum(inverse)))
            count = sum(names.count(sort) for names, _ in tasks)
            found.append((round(abs(float(np.sum(differences))) / error, 9), -count, sort))
    if not found:
        return None
    score, _, sort = max(found)  # of two equally unlike each other, the one with fewer arms
    return sort if score > UNLIKE else None


def _covariance(squared: float, degrees: int) -> float:
    """Of the logarithms of two sample variances, from normal data with that squared correlation."""
    total, term = 0.0, 1.0
    for k in range(1, 200):
        term *= squared * (max(k - 1, 1) / (degrees / 2 + k - 1))
        total += term / k
    return total
