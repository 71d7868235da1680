"""How precisely a score is known: its standard error over the examples that it was measured on.

It says how far the score of this one model would move on other examples of the same kind; nothing of other seeds.

Words
    unit    what is drawn together: an example, or all examples of a group
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np

from multitask.metrics.metric import Metric
from multitask.metrics.outputs import Floats, Outputs

RESAMPLES = 200
"""Of the bootstrap, for a metric that is no function of totals: the error of the error is 5 %."""


def scored(metric: Metric, outputs: Outputs) -> tuple[float, float]:
    """`metric.compute(outputs)` and its standard error, for about the price of one of them."""
    of_totals = metric.sums is not None and getattr(metric.function, "sums", None) is metric.sums
    if not (of_totals and len(outputs)):
        return metric.compute(outputs), standard_error(metric, outputs)
    assert metric.sums is not None
    assert metric.of_sums is not None
    outputs.check(metric.name)
    sums = metric.sums(outputs)
    return float(metric.of_sums(sums.sum(axis=0))), _of_totals(metric.of_sums, sums, *_units(outputs))


def standard_error(metric: Metric, outputs: Outputs) -> float:
    """The standard error of `metric.compute(outputs)` over examples, in the metric's own unit.

    By the delete-one jackknife (Efron & Stein 1981): of a mean that is sd / √n, to the last bit of what that formula
    gives; F1, correlations and BLEU are computed again without each unit, all at once, from their totals. For a rank
    correlation a bootstrap with a seed of its own, so the same outputs have the same error.

    Returns:
        NaN where there are fewer than two units, where the score is undefined without one of them, or for a metric of a
        user's own that is neither a function of totals nor the mean of its per-example column.

    >>> from multitask.metrics import METRICS
    >>> round(standard_error(METRICS.get("accuracy"), Outputs(["a", "b", "b", "b"], ["a", "a", "b", "b"])), 4)
    0.25
    """
    number, of_example = _units(outputs)
    if number < 2:
        return math.nan
    if metric.sums is not None and metric.of_sums is not None:
        return _of_totals(metric.of_sums, metric.sums(outputs), number, of_example)
    if metric.weighted is not None:
        return _bootstrap(metric, outputs, number, of_example)
    values = metric.scores(outputs)
    mean = float(np.mean(values))
    if number == len(values) and math.isclose(mean, metric.compute(outputs), rel_tol=1e-9, abs_tol=1e-12):
        return mean_error(values)
    return math.nan


def mean_error(values: np.ndarray) -> float:
    """The standard error of the mean: sd / √n.

    >>> round(mean_error(np.array([1.0, 0.0, 1.0, 1.0])), 4)
    0.25
    """
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def _units(outputs: Outputs) -> tuple[int, np.ndarray]:
    """How many units there are, and [N] which one an example is of."""
    if not len(outputs.groups):
        return len(outputs), np.arange(len(outputs))
    position: dict[object, int] = {}
    keys = ((i,) if group is None else group for i, group in enumerate(outputs.groups))
    of_example = np.array([position.setdefault(key, len(position)) for key in keys], dtype=np.int64)
    return len(position), of_example


def _of_totals(of_sums: Callable[[Floats], Floats], sums: Floats, number: int, of_example: np.ndarray) -> float:
    """By the jackknife: from the values without each unit in turn."""
    if number < 2:
        return math.nan
    totals = np.zeros((number, sums.shape[1]))
    np.add.at(totals, of_example, sums)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        without_one = np.asarray(of_sums(totals.sum(axis=0) - totals), dtype=np.float64)
        spread = float(np.sum((without_one - without_one.mean()) ** 2))
    return math.sqrt((number - 1) / number * spread)


def _bootstrap(metric: Metric, outputs: Outputs, number: int, of_example: np.ndarray) -> float:
    seed = int.from_bytes(hashlib.blake2b(f"{metric.name}/{number}".encode(), digest_size=8).digest(), "little")
    draw, resample = np.random.default_rng(seed), metric.resampler(outputs)
    values = []
    rows = max(1, 4_000_000 // len(of_example))
    for start in range(0, RESAMPLES, rows):
        drawn = draw.integers(0, number, size=(min(rows, RESAMPLES - start), number))
        counts = np.stack([np.bincount(row, minlength=number) for row in drawn])[:, of_example]
        with np.errstate(invalid="ignore", divide="ignore"):
            values.append(resample(counts.astype(np.float64)))
    found = np.concatenate(values)
    found = found[np.isfinite(found)]
    return float(np.std(found, ddof=1)) if len(found) > RESAMPLES // 2 else math.nan
