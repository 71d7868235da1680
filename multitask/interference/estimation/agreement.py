"""How near an estimated matrix comes to a measured one.

All of it is about order and sign: estimates are in other units than points. `pooled` ranks all ordered pairs at once;
`within` ranks each task's companions alone and takes the mean over tasks, which is the question a user asks ("with what
shall I train this one?") and the harder one, for pooled ranks are good already if a task that always loses is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from multitask.interference.estimation.matrix import Floats, as_pairs
from multitask.interference.results.grouping import Evidence, best_grouping


def pooled(estimate: Floats, measured: Floats) -> float:
    """Spearman's rank correlation over all ordered pairs that both have; NaN if one of them is constant."""
    both = np.isfinite(estimate) & np.isfinite(measured)
    return _spearman(estimate[both], measured[both])


def within(estimate: Floats, measured: Floats) -> float:
    """The mean over tasks of the rank correlation among its companions; tasks with fewer than 3 are left out."""
    found = []
    for row, truth in zip(estimate, measured, strict=True):
        both = np.isfinite(row) & np.isfinite(truth)
        if both.sum() >= 3:
            found.append(_spearman(row[both], truth[both]))
    known = [v for v in found if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def _spearman(a: Floats, b: Floats) -> float:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(stats.spearmanr(a, b).statistic)


def sign_f1(estimate: Floats, measured: Floats, least: Floats | float = 0.0) -> float:
    """Macro F1 of the signs, helps or hurts, over the pairs whose measured effect is larger than `least`.

    NaN if no pair is.
    """
    both = np.isfinite(estimate) & np.isfinite(measured) & (np.abs(np.nan_to_num(measured)) > least)
    if not both.any():
        return float("nan")
    truth, said = measured[both] > 0, estimate[both] > 0
    scores = []
    for sign in (True, False):
        if (truth == sign).any() or (said == sign).any():
            hit = ((truth == sign) & (said == sign)).sum()
            scores.append(2 * hit / ((truth == sign).sum() + (said == sign).sum()))
    return float(np.mean(scores))


def reliability(per_seed: Floats, how: str = "pooled") -> float:
    """How well the mean over the seeds ranks pairs as another mean of as many seeds would: split halves, stepped up.

    The mean rank correlation over all splits of the seeds into halves (of an odd number, one is left out in turn),
    by Spearman and Brown's formula for the whole. With two seeds and more; NaN with one.
    """
    seeds = len(per_seed)
    half = seeds // 2
    if half < 1:
        return float("nan")
    compare = pooled if how == "pooled" else within
    halves = [
        (list(first), list(second))
        for first, second in combinations(combinations(range(seeds), half), 2)
        if not {*first} & {*second}
    ]
    found = [compare(per_seed[first].mean(0), per_seed[second].mean(0)) for first, second in halves]
    known = [v for v in found if np.isfinite(v)]
    if not known:
        return float("nan")
    r = max(float(np.mean(known)), 0.0)
    factor = seeds / half
    return factor * r / (1 + (factor - 1) * r)


def ceiling(per_seed: Floats, how: str = "pooled") -> float:
    """The correlation with the measured mean that a perfect estimate can expect: √reliability."""
    return float(np.sqrt(reliability(per_seed, how)))


def regret(tasks: Sequence[str], estimate: Floats, measured: Floats, limit: int = 3) -> float:
    """Measured points that the grouping chosen by the estimate loses to the one chosen by the measured effects.

    Summed over tasks, as groupings are judged: 0 if both choose alike. NaN where a pair is missing.
    """
    if not all(np.isfinite(m[~np.eye(len(tasks), dtype=bool)]).all() for m in (estimate, measured)):
        return float("nan")
    truth = as_pairs(tasks, measured)
    best = best_grouping(tasks, truth, limit)
    chosen = best_grouping(tasks, as_pairs(tasks, estimate), limit)
    evidence = Evidence(tasks, {pair: np.array([v]) for pair, v in truth.items()}, {})
    return best.total - sum(float(evidence.value(group)[0]) for group in chosen.groups)
