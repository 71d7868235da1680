"""Verdicts on a study's numbers: differences with intervals, corrected for their number.

Words
    arm        what is compared: one `Outputs` a seed, over the same examples in the same order
    contrast   {arm: coefficient}, e.g. {"joint": 1, "single": -1}, in points
    family     the p-values of one table, corrected together
    margin     half-width of the interval that counts as no difference; fixed beforehand, for with the study's noise in
               it the noisiest study would claim most

How intervals are made stands in `intervals`, how resamples are drawn in `resampling`. Seeds are drawn once for a whole
study (`seed_draws`): all arms and tasks of one seed belong together. Examples are drawn for each task by itself.

Benjamini and Hochberg, "Controlling the false discovery rate", Journal of the Royal Statistical Society B 57, 1995.
Maninis, Radosavovic and Kokkinos, "Attentive single-tasking of multiple tasks", CVPR 2019.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from multitask.interference.statistics.intervals import (
    ContrastPart,
    Estimate,
    Pool,
    estimate,
    sign_flip,
    two_level_draws,
)
from multitask.interference.statistics.resampling import Units, generator, score_draws, seed_draws
from multitask.metrics.metric import Metric
from multitask.metrics.outputs import Floats, Integers, Outputs

__all__ = [
    "Estimate",
    "TaskBootstrap",
    "benjamini_hochberg",
    "combine",
    "delta_m",
    "differing_units",
    "discovery_levels",
    "noise_floor",
    "seed_draws",
    "sign_flip",
    "split_half",
    "verdict_of",
]

FDR = 0.05
MARGIN = 1.0
"""Points."""
FEW_ROWS = 3
"""Evaluated rows that must differ between two arms for an interval. Rows that are drawn again say nothing of rows that
were not there: near the end of a metric's range (all right, all wrong) 20 to 200 rows of which none differed gave
intervals that held 69 % of true effects, with 1 or 2 it was 96 %, with more 97 to 99 %
(benchmarks/interference_belief.py --only few-rows)."""
SPLITS = 100


class TaskBootstrap:
    """The scores of one task's arms, as measured and on every resample; any contrast of them costs next to nothing.

    Args:
        metric: What is scored.
        arms: {arm: one Outputs a seed}, the same seeds and the same examples in every arm.
        resamples: R. A user's own metric is computed R × arms × seeds times: fewer may do.
        seed: Of the draws of examples: one for each task.
        seed_draws: [R, S] of the whole study, from `seed_draws`; by default a study of this task alone.

    Raises:
        ValueError: If arms differ in seeds or examples, or if `seed_draws` has another shape.
    """

    # Keys of the mappings are whatever names an arm, if it can be hashed; Any, because Mapping is invariant in its key.
    def __init__(
        self,
        metric: Metric,
        arms: Mapping[Any, Sequence[Outputs]],
        *,
        resamples: int = 10_000,
        seed: int,
        seed_draws: Integers | None = None,
    ) -> None:
        self.metric, self.seed = metric, seed
        self.scores, self.draws, units = score_draws(metric, arms, resamples=resamples, seed=seed)
        self.units, self.examples = units.number, len(units.of_example)
        self.seeds = len(next(iter(self.scores.values())))
        self.seed_draws = _default_seed_draws(self.seeds, resamples) if seed_draws is None else seed_draws
        if self.seed_draws.shape != (resamples, self.seeds):
            raise ValueError(
                f"seed_draws must have shape [R, S] = ({resamples}, {self.seeds}). Got {self.seed_draws.shape}."
            )

    scores: dict[Hashable, Floats]
    """{arm: [S]} in points."""
    draws: dict[Hashable, Floats]
    """{arm: [R, S]} in points, on each draw of examples."""

    def part(self, coefficients: Mapping[Any, float]) -> ContrastPart:
        """Σ coefficient × arm, as measured and on every draw of examples."""
        with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN: undefined
            return ContrastPart(
                np.sum([c * self.scores[arm] for arm, c in coefficients.items()], axis=0),
                np.sum([c * self.draws[arm] for arm, c in coefficients.items()], axis=0),
                self.units,
                self.examples,
            )

    def contrast(self, coefficients: Mapping[Any, float], pool: Pool | None = None) -> Estimate:
        """Σ coefficient × mean over seeds of the arm's score, with its interval; `pool` moderates the seed variance."""
        return estimate([self.part(coefficients)], pool)

    def resampled(self, coefficients: Mapping[Any, float]) -> Floats:
        """[R] the contrast on each draw of seeds and examples at once, uncalibrated."""
        return two_level_draws([self.part(coefficients)], self.seed_draws)


def _default_seed_draws(seeds: int, resamples: int) -> Integers:
    return seed_draws(seeds, resamples, 0)


def combine(terms: Iterable[tuple[TaskBootstrap, Mapping[Any, float], float]]) -> Estimate:
    """Σ weight × contrast over tasks, e.g. their mean Δ: tasks are given, seeds and each task's examples are drawn.

    Args:
        terms: (bootstrap of a task, coefficients, weight). A bootstrap may come more than once.

    Raises:
        ValueError: If there are no terms, or if bootstraps differ in their draws of seeds.
    """
    of_task: dict[tuple[int, int, int], ContrastPart] = {}
    first: TaskBootstrap | None = None
    for bootstrap, coefficients, weight in terms:
        first = first or bootstrap
        if not np.array_equal(bootstrap.seed_draws, first.seed_draws):
            raise ValueError("tasks are combined over the same draws of the same seeds, but these bootstraps differ.")
        part = bootstrap.part(coefficients)
        per_seed, draws = weight * part.per_seed, weight * part.draws
        # Two metrics or contrasts of one task share its draws of examples: they are one part.
        key = (bootstrap.seed, bootstrap.units, bootstrap.examples)
        if key in of_task:
            per_seed, draws = per_seed + of_task[key].per_seed, draws + of_task[key].draws
        of_task[key] = part._replace(per_seed=per_seed, draws=draws)
    if not of_task:
        raise ValueError("there is nothing to combine.")
    return estimate(list(of_task.values()))


def benjamini_hochberg(p: Sequence[float | None]) -> list[float | None]:
    """q-values of a family: the smallest false-discovery rate at which each is among the discoveries.

    What has no p (None or NaN) is no member of the family and has no q.

    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    [0.03, None, 0.04, 0.04]
    """
    # By hand: scipy.stats.false_discovery_control gives 29 % of q-values with another last bit (p · (m / i) instead of
    # (p · m) / i), and so other bytes of the studies that there are.
    members = [(value, i) for i, value in enumerate(p) if value is not None and not math.isnan(value)]
    q: list[float | None] = [None] * len(p)
    least = 1.0
    for rank, (value, i) in sorted(enumerate(sorted(members), start=1), reverse=True):
        least = min(least, value * len(members) / rank)
        q[i] = least
    return q


def differing_units(metric: Metric, arms: Sequence[Sequence[Outputs]]) -> int:
    """How many units (examples, or groups of them) the metric sees otherwise in one arm than in another, in any seed.

    Args:
        metric: One without sums sees the predictions as strings.
        arms: One `Outputs` a seed of each, over the same examples.
    """
    seen = [[_seen(metric, outputs) for outputs in arm] for arm in arms]
    differ = np.zeros(len(arms[0][0]), bool)
    for other in seen[1:]:
        for one, two in zip(seen[0], other, strict=True):
            differ |= (one != two).reshape(len(differ), -1).any(axis=1)
    return len(np.unique(Units.of(arms[0][0]).of_example[differ]))


def _seen(metric: Metric, outputs: Outputs) -> Any:
    sums = None if metric.sums is None else metric.sums(outputs)
    return np.asarray(outputs.predictions, dtype=object) if sums is None else sums


def discovery_levels(p: Sequence[float | None], fdr: float = FDR) -> list[float]:
    """Below which p each member of a family would be a discovery, the others being as they are.

    For Benjamini and Hochberg that is fdr · R / m of m members, of which R would be discoveries if its own p were 0.

    >>> [round(level, 4) for level in discovery_levels([0.001, 0.8, 0.02, 0.9])]
    [0.025, 0.0375, 0.025, 0.0375]
    """
    members = [value for value in p if value is not None and not math.isnan(value)]
    levels = []
    for value in p:
        others = list(members)
        if value is not None and not math.isnan(value):
            others.remove(value)
        found = benjamini_hochberg([0.0, *others])
        levels.append(fdr * sum(q is not None and q <= fdr for q in found) / len(found))
    return levels


def verdict_of(
    *,
    low: float | None,
    high: float | None,
    delta: float | None,
    q: float | None,
    margin: float | None,
    seeds: int,
    fdr: float = FDR,
) -> str | None:
    """`gain`, `loss`, `equal` or `no evidence`; None with one seed, which says nothing of training, or if undefined.

    A gain or loss needs q ≤ fdr and an interval that leaves 0 out. What is neither is `equal` if the whole interval is
    within ±margin, both ends included; never without a margin.
    """
    if seeds < 2 or low is None or high is None or delta is None or q is None:
        return None
    if q <= fdr and (low > 0 or high < 0):
        return "gain" if delta > 0 else "loss"
    return "equal" if margin is not None and -margin <= low and high <= margin else "no evidence"


def noise_floor(scores: Sequence[float] | Floats) -> float | None:
    """Standard deviation over seeds (n − 1 below the line); None with one seed or an undefined score."""
    values = np.asarray(scores, dtype=np.float64)
    return float(values.std(ddof=1)) if len(values) > 1 and np.isfinite(values).all() else None


def split_half(effects: Floats) -> float | None:
    """Reliability of a table [cells, S] over seeds: the correlation over cells of the means of two halves of the seeds.

    The mean over all splits into halves (100 seeded ones where there are more) whose sizes differ by one at most. It is
    not extrapolated to the whole (Spearman–Brown): what is shown is measured. Both halves were evaluated on the same
    examples, so this is about training alone.

    None with fewer than 2 seeds or 3 cells (cells with an undefined seed are left out), or where a half of the seeds
    has the same value in all cells.
    """
    table = np.asarray(effects, dtype=np.float64)
    if table.ndim != 2:
        return None
    table = table[np.isfinite(table).all(axis=1)]
    cells, seeds = table.shape
    if seeds < 2 or cells < 3:
        return None
    halves = list(combinations(range(seeds), seeds // 2)) if math.comb(seeds, seeds // 2) <= 4 * SPLITS else []
    if seeds % 2 == 0:
        halves = [half for half in halves if 0 in half]  # the other half is the same split
    draw = generator("splits", seeds)
    if not halves:
        halves = [tuple(draw.permutation(seeds)[: seeds // 2]) for _ in range(SPLITS)]
    elif len(halves) > SPLITS:
        halves = [halves[i] for i in sorted(draw.choice(len(halves), SPLITS, replace=False))]
    found = []
    for half in halves:
        chosen = np.isin(np.arange(seeds), half)
        one, other = table[:, chosen].mean(axis=1), table[:, ~chosen].mean(axis=1)
        if min(float(one.std()), float(other.std())) < 1e-12:
            return None
        found.append(float(np.corrcoef(one, other)[0, 1]))
    return float(np.mean(found))


def delta_m(scores: Mapping[str, tuple[float, float, bool]]) -> tuple[float | None, list[str]]:
    """(Δm in % of Maninis et al. 2019: the mean of (joint − single) / single, and the tasks it is not defined for).

    Args:
        scores: {task: (single, joint, whether the metric itself is better when higher)}, in points: errors negated.

    A task is left out whose metric, not negated, is not above 0 in `single`: a correlation of 0, a log-likelihood.

    >>> delta_m({"a": (80.0, 84.0, True), "b": (-2.0, -1.5, False), "mcc": (-3.0, 4.0, True)})
    (15.0, ['mcc'])
    """
    relative, left_out = [], []
    for task, (single, joint, higher_is_better) in scores.items():
        base = single if higher_is_better else -single
        if not (math.isfinite(base) and math.isfinite(joint) and base > 0):
            left_out.append(task)
        else:
            relative.append(100.0 * (joint - single) / base)
    return (float(np.mean(relative)) if relative else None), left_out
