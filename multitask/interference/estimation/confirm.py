"""The second stage of an estimate: which pairs to train, and what they say of the others.

Words
    hinge       a pair on which the suggested grouping hangs: at one end of its interval another grouping is the best
    confirmed   a pair that was trained, whose two effects are measured and no longer estimated
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from multitask.interference.estimation.matrix import EstimatedMatrix, Floats, as_pairs
from multitask.interference.results.grouping import best_grouping

Pair = tuple[int, int]


def choose_pairs(estimate: EstimatedMatrix, count: int, groups: int) -> list[Pair]:
    """The unordered pairs that matter most, in that order: hinges first, then the largest and least certain.

    The second rank is the farther end of the wider of a pair's two intervals: an effect that is large, or may be.

    Args:
        estimate: Of all pairs.
        count: How many; all if there are fewer.
        groups: Most groups of the suggested grouping.
    """
    n = len(estimate.tasks)
    mean, (low, high) = estimate.mean, estimate.interval()
    best = suggested(estimate.tasks, mean, groups)
    ranked = []
    for i in range(n):
        for j in range(i + 1, n):
            ends = [abs(v) for at in ((i, j), (j, i)) for v in (low[at], high[at]) if np.isfinite(v)]
            hinge = any(suggested(estimate.tasks, _with(mean, side, (i, j)), groups) != best for side in (low, high))
            ranked.append((not hinge, -max(ends, default=0.0), (i, j)))
    return [pair for *_, pair in sorted(ranked)[:count]]


def _with(mean: Floats, side: Floats, pair: Pair) -> Floats:
    found = mean.copy()
    for at in (pair, pair[::-1]):
        if np.isfinite(side[at]):
            found[at] = side[at]
    return found


def suggested(tasks: Sequence[str], matrix: Floats, groups: int) -> tuple[tuple[str, ...], ...]:
    """The grouping that a matrix of these tasks suggests; what it does not say counts as 0."""
    return best_grouping(tasks, as_pairs(tasks, np.nan_to_num(matrix)), groups).groups


class Refit(NamedTuple):
    """An estimate that was corrected by confirmed pairs."""

    values: Floats  # [n, n]
    low: Floats
    high: Floats
    slope: float
    """Measured effect for one of the estimate's units; 0 if what was measured is the estimate the other way round."""
    agreement: float
    """Rank correlation of the estimate with the confirmed effects."""


def refit(estimate: EstimatedMatrix, measured: Floats, low: Floats, high: Floats) -> Refit:
    """Confirmed effects as they were measured, and the others by what these say of the estimate.

    measured = a + b · estimate + a shift of the task, fitted on the confirmed effects: b halfway between the slope of
    least squares and the ratio of the spreads, which is 0 if both are ranked the other way round (the confirmed pairs
    were chosen for being large, so that least squares alone makes too little of the estimate; of three ways this was
    the best on four measured matrices, by 0.04); the shift of a task with m confirmed effects is m / (m + 1) of their
    mean residual. The interval of an unconfirmed effect is the spread of the residuals; with fewer than three confirmed
    ones there is none.

    Args:
        estimate: Of all pairs.
        measured: [n, n] NaN where a pair was not confirmed.
        low: [n, n] lower ends of the measured intervals.
        high: [n, n] upper ends.
    """
    mean = estimate.mean
    known = np.isfinite(measured) & np.isfinite(mean)
    x, y = mean[known], measured[known]
    slope = 1.0
    if len(x) > 1 and np.ptp(x) > 0:
        fit = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
        slope = max(0.0, (fit + float(y.std() / x.std())) / 2)
    level = float(y.mean() - slope * x.mean()) if len(x) else 0.0
    residuals = np.where(known, measured - level - slope * mean, 0.0)
    count = known.sum(1)
    shift = residuals.sum(1) / (count + 1)
    fitted = level + slope * mean + shift[:, None]
    left = np.where(known, measured - fitted, np.nan)
    free = int(known.sum()) - 2
    half = np.nan
    if free >= 1:
        half = float(np.sqrt(np.nansum(left**2) / free) * stats.t.ppf(0.975, free))
    agreement = float(stats.spearmanr(x, y).statistic) if len(x) > 2 and np.ptp(x) and np.ptp(y) else float("nan")
    return Refit(
        np.where(known, measured, fitted),
        np.where(known, low, fitted - half),
        np.where(known, high, fitted + half),
        slope,
        agreement,
    )
