"""Metrics of numbers: of strings that are read as numbers, and of the likelihood of the targets.

Words
    unreadable  a prediction that is no finite number, such as "banana" or "nan". It is invalid, and scored as the worst
                answer there is in the range. An unreadable target is an error
    range       from the least to the largest target of all that are scored together, and its width more on both sides
    sums        see `label_metrics`

An unreadable prediction stands at an end of the range: for an error at the end that is farther from its own target, for
a correlation at the end, or among the ranks at the place, where the unreadable predictions together make the
coefficient lowest. So writing no number never pays: the error is no smaller, and the coefficient no larger (0 where it
was below 0 already), than with any number of the range in its place. No rule can promise it of all numbers and be of
use: one that is far outside makes an error infinite and a correlation 0, so a rule that is below that too would throw a
whole evaluation away for one bad string.

T5's own code (`string_to_float`) reads such a string as -1.0, which is nearer to STS-B's 0.0 than most numbers are;
where all predictions can be read, as of any trained model, the scores are T5's. In a resample the places are those of
the whole evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from multitask.metrics.outputs import Floats, Integers, Misfit, Outputs
from multitask.terminal.escaping import shown


def as_number(text: str) -> float | None:
    """The finite number that `text` spells, or None.

    >>> as_number(" 3.8 "), as_number("about 3"), as_number("nan")
    (3.8, None, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None  # one "nan" or "inf" would make the whole score NaN


def not_a_number(target: str) -> str | None:
    """Why a metric of numbers cannot score this target; None if it can.

    >>> not_a_number("3.8"), not_a_number("inf")
    (None, "'inf' is no finite number")
    """
    return None if as_number(target) is not None else f"{shown(repr(target), 60)} is no finite number"


def constant_targets(outputs: Outputs) -> Misfit | None:
    """Find why a correlation is undefined on targets: they are all one number."""
    found = {as_number(target) for target in outputs.targets}
    if len(found) > 1 or not len(outputs):
        return None
    which = f"the target of all {len(outputs):,} examples" if len(outputs) > 1 else "the target of the only example"
    return Misfit(f"{which} is {outputs.targets[0]!r}, and a correlation with one number is undefined", undefined=True)


def read_numbers(outputs: Outputs, metric: str) -> tuple[Floats, Floats]:
    """([N] predictions, NaN where they are unreadable, [N] targets) as numbers.

    Raises:
        ValueError: If a target is no number.
    """
    targets = np.empty(len(outputs))
    for i, text in enumerate(outputs.targets):
        number = as_number(text)
        if number is None:
            raise ValueError(f"{metric} needs targets that are numbers. Got {text!r}.")
        targets[i] = number
    read = (as_number(text) for text in outputs.predictions)
    predictions = np.fromiter((math.nan if x is None else x for x in read), dtype=np.float64, count=len(outputs))
    return predictions, targets


def farthest(predictions: Floats, targets: Floats) -> Floats:
    """[N] the predictions, each unreadable one at the end of the range that is farther from its target.

    >>> farthest(np.array([np.nan, 2.0, np.nan]), np.array([1.0, 2.0, 5.0])).tolist()
    [9.0, 2.0, -3.0]
    """
    missing = np.isnan(predictions)
    if not missing.any():
        return predictions
    low, high = _range(targets)
    return np.where(missing, np.where(targets > low / 2 + high / 2, low, high), predictions)


def numbers(outputs: Outputs, metric: str) -> tuple[Floats, Floats]:
    """([N] predictions, [N] targets) as numbers, for errors: unreadable ones as in `farthest`.

    Raises:
        ValueError: If a target is no number.
    """
    predictions, targets = read_numbers(outputs, metric)
    return farthest(predictions, targets), targets


def _range(targets: Floats) -> tuple[float, float]:
    low, high = float(targets.min()), float(targets.max())
    width = high - low or abs(low) or 1.0  # around one number too there must be wrong ones
    return max(low - width, -LARGEST), min(high + width, LARGEST)


LARGEST = 1e300
"""An end of a range, so that nothing overflows."""


def lowest_pearson(predictions: Floats, targets: Floats) -> Floats:
    """[N] the predictions, unreadable ones at those ends of the range that make Pearson's r lowest.

    Where r stays at 0 or above whatever stands in their place, the lowest is at ends: the sets of predictions with an r
    of at least c ≥ 0 are convex. With k at the upper end it is lowest if those are the k with the smallest targets, so
    k is all that is tried.

    >>> lowest_pearson(np.array([0.0, 1.0, 2.0, np.nan, np.nan]), np.array([0.0, 1.0, 2.0, 0.0, 2.0])).tolist()
    [0.0, 1.0, 2.0, 4.0, -2.0]
    """
    missing = np.isnan(predictions)
    if not missing.any():
        return predictions
    low, high = _range(targets)
    size = max(abs(low), abs(high))
    x = (predictions[~missing] / size - low / size) / (high / size - low / size)  # 0 at the lower end, 1 at the upper
    y = _standard(targets)
    order = np.flatnonzero(missing)[np.argsort(targets[missing], kind="stable")]
    at_high = np.arange(len(order) + 1.0)
    of_high = np.concatenate([[0.0], np.cumsum(y[order])])
    known = [x.sum(), (x * x).sum(), (x * y[~missing]).sum()]
    fixed = np.ones_like(at_high)
    columns = [fixed * len(y), known[0] + at_high, fixed * y.sum(), known[1] + at_high, fixed * (y * y).sum()]
    r = pearson_of(np.stack([*columns, known[2] + of_high], axis=-1))
    best = 0 if np.isnan(r).all() else int(np.nanargmin(r))
    placed = np.where(missing, low, predictions)
    placed[order[:best]] = high
    return placed


def lowest_spearman(predictions: Floats, targets: Floats) -> Floats:
    """[N] numbers in the order of the predictions, unreadable ones at the places that make Spearman's lowest.

    What is minimised is the sum of rank × rank of target, with the readable predictions' order given: a schedule of one
    chain and single jobs (Sidney 1975). The chain falls into blocks of falling means, found by pooling neighbours, and
    an unreadable prediction goes in front of the first block whose mean is below its own target.

    >>> lowest_spearman(np.array([0.0, 1.0, 2.0, np.nan, np.nan]), np.array([0.0, 1.0, 2.0, 0.0, 2.0])).tolist()
    [1.0, 2.0, 3.0, 4.0, 0.0]
    """
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    missing = np.isnan(predictions)
    if not missing.any():
        return predictions
    y = np.asarray(rankdata(targets))
    _, group = np.unique(predictions[~missing], return_inverse=True)
    sums = np.asarray(np.bincount(group, weights=y[~missing]), dtype=np.float64)
    sizes = np.asarray(np.bincount(group), dtype=np.float64)
    values = np.concatenate([_falling(sums, sizes), y[missing]])
    # The chain is in order already, and stays so: the sort is stable.
    place = np.empty(len(values))
    place[np.argsort(-values, kind="stable")] = np.arange(len(values))
    placed = np.empty(len(predictions))
    placed[~missing], placed[missing] = place[group], place[len(sums) :]
    return placed


def _falling(sums: Floats, sizes: Floats) -> Floats:
    """[G] of each group in turn the mean of its block, blocks being pooled until their means fall."""
    blocks: list[tuple[float, float, int]] = []  # sum, examples, groups
    for total, size in zip(sums.tolist(), sizes.tolist(), strict=True):
        block = (total, size, 1)
        while blocks and blocks[-1][0] * block[1] <= block[0] * blocks[-1][1]:
            block = (blocks[-1][0] + block[0], blocks[-1][1] + block[1], blocks.pop()[2] + block[2])
        blocks.append(block)
    return np.array([total / size for total, size, groups in blocks for _ in range(groups)], dtype=np.float64)


def _standard(x: Floats) -> Floats:
    """`x` moved and scaled, which correlation does not see: sums of squares then neither overflow nor cancel."""
    x = x / max(np.abs(x).max(initial=0.0), np.finfo(np.float64).tiny)
    if not len(x) or (x == x[0]).all():
        return np.zeros_like(x)  # exactly: the rounded mean of equal numbers is not always their value
    x = x - x.mean()
    return np.asarray(x / np.sqrt((x**2).mean()))


def moments(x: Floats, y: Floats) -> Floats:
    """[N, 6] addends of a correlation: 1, x, y, x x, y y, x y."""
    x, y = _standard(x), _standard(y)
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)


def pearson_sums(outputs: Outputs) -> Floats:
    """[N, 6] `moments` of predictions and targets, unreadable predictions as in `lowest_pearson`."""
    predictions, targets = read_numbers(outputs, "pearson")
    return moments(lowest_pearson(predictions, targets), targets)


def pearson_of(sums: Floats) -> Floats:
    """Pearson's r of [..., 6] total moments, in [-1, 1]; NaN if predictions or targets are all one number, as scipy.

    >>> x = np.array([1.0, 2.0, 3.0])
    >>> round(float(pearson_of(moments(x, -x).sum(axis=0))), 6)
    -1.0
    >>> float(pearson_of(moments(x, np.ones(3)).sum(axis=0)))
    nan
    """
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = n * xx - x * x, n * yy - y * y
    # A resample of one repeated example has a spread of rounding errors instead of 0.
    defined = np.minimum(spread_x, spread_y) > 1e-12 * n * n
    spread = np.sqrt(np.where(defined, spread_x * spread_y, 1.0))
    return np.where(defined, np.clip((n * xy - x * y) / spread, -1.0, 1.0), np.nan)


def spearman(outputs: Outputs) -> float:
    """Spearman's rank correlation, in [-1, 1], ties at their mean rank; NaN where Pearson's is."""
    from scipy.stats import rankdata

    predictions, targets = read_numbers(outputs, "spearman")
    predictions = lowest_spearman(predictions, targets)
    ranks = moments(np.asarray(rankdata(predictions)), np.asarray(rankdata(targets)))
    return float(pearson_of(ranks.sum(axis=0)))


def spearman_weighted(outputs: Outputs) -> Callable[[Floats], Floats]:
    """From counts [R, N] to Spearman's correlation [R] of those resamples; NaN where one of the two is all one number.

    The ranks are those of the resample: ties, copies among them, at their mean rank. Everything is counted over the
    distinct (prediction, target) pairs, which are few where numbers are rounded, as in STS-B.
    """
    predictions, targets = read_numbers(outputs, "spearman")
    predictions = lowest_spearman(predictions, targets)
    x, y = (np.unique(values, return_inverse=True)[1] for values in (predictions, targets))
    pairs, of_example = np.unique(np.stack([x, y]), axis=1, return_inverse=True)
    order, starts = _runs(of_example.reshape(-1))
    of_y, starts_y = _runs(pairs[1])
    _, starts_x = _runs(pairs[0])  # pairs are in the order of x already

    def values(counts: Floats) -> Floats:
        cells = np.add.reduceat(counts[:, order], starts, axis=1)  # [R, pairs]
        at_x, at_y = np.add.reduceat(cells, starts_x, axis=1), np.add.reduceat(cells[:, of_y], starts_y, axis=1)
        rank_x, rank_y = _centred_ranks(at_x), _centred_ranks(at_y)
        spread = (at_x * rank_x**2).sum(axis=1) * (at_y * rank_y**2).sum(axis=1)
        shared = (cells * rank_x[:, pairs[0]] * rank_y[:, pairs[1]]).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is NaN, the answer
            return np.asarray(np.clip(shared / np.sqrt(spread), -1.0, 1.0))

    return values


def _runs(codes: Integers) -> tuple[Integers, Integers]:
    """(positions in the order of 0 … U−1 codes, [U] where each code's run begins in that order)."""
    order = np.argsort(codes, kind="stable")
    return order, np.searchsorted(codes[order], np.arange(codes[order[-1]] + 1))


def _centred_ranks(counts: Floats) -> Floats:
    """[R, U] mean rank of each of U rising values with counts [R, U], less the mean of all ranks."""
    upto = counts.cumsum(axis=1)
    return np.asarray(upto - counts / 2 - upto[:, -1:] / 2)


def squared_error(outputs: Outputs) -> Floats:
    """[N] (prediction - target)², at least 0. An unreadable prediction stands at the farther end of the range."""
    predictions, targets = numbers(outputs, "mse")
    with np.errstate(over="ignore"):  # a prediction of 1e200 has an infinite squared error
        return np.asarray((predictions - targets) ** 2)
