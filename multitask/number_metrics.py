"""Metrics of numbers: of strings that are read as numbers, and of the likelihood of the targets.

Words
    unreadable  a prediction that is no finite number. It is read as -1.0, as in T5 (`string_to_float`), which lies
                outside the usual ranges (0 to 5, 0 to 1). An unreadable target is an error
    sums        see `label_metrics`
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from multitask.outputs import Floats, Integers, Outputs

UNREADABLE = -1.0


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


def numbers(outputs: Outputs, metric: str) -> tuple[Floats, Floats]:
    """([N] predictions, [N] targets) as numbers.

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
    predictions = np.fromiter((UNREADABLE if x is None else x for x in read), dtype=np.float64, count=len(outputs))
    return predictions, targets


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
    """[N, 6] `moments` of predictions and targets."""
    return moments(*numbers(outputs, "pearson"))


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
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    predictions, targets = numbers(outputs, "spearman")
    ranks = moments(np.asarray(rankdata(predictions)), np.asarray(rankdata(targets)))
    return float(pearson_of(ranks.sum(axis=0)))


def spearman_weighted(outputs: Outputs) -> Callable[[Floats], Floats]:
    """From counts [R, N] to Spearman's correlation [R] of those resamples; NaN where one of the two is all one number.

    The ranks are those of the resample: ties, copies among them, at their mean rank. Everything is counted over the
    distinct (prediction, target) pairs, which are few where numbers are rounded, as in STS-B.
    """
    predictions, targets = numbers(outputs, "spearman")
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
    """[N] (prediction - target)², at least 0. An unreadable prediction is off by target + 1, which can be little."""
    predictions, targets = numbers(outputs, "mse")
    with np.errstate(over="ignore"):  # a prediction of 1e200 has an infinite squared error
        return np.asarray((predictions - targets) ** 2)


def log_likelihood(outputs: Outputs) -> Floats:
    """[N] summed log p(target) in nats; NaN if it was not measured."""
    if outputs.log_likelihood is None:
        return np.full(len(outputs), np.nan)
    return np.asarray(outputs.log_likelihood, dtype=np.float64)


def perplexity_sums(outputs: Outputs) -> Floats:
    """[N, 2] negative log-likelihood in nats and tokens of each target; NaN if one of them was not measured."""
    if outputs.log_likelihood is None or outputs.target_tokens is None:
        return np.full((len(outputs), 2), np.nan)
    return np.stack([-log_likelihood(outputs), np.asarray(outputs.target_tokens, dtype=np.float64)], axis=-1)


def token_probability_of(sums: Floats) -> Floats:
    """1 / perplexity of [..., 2] totals: the geometric mean of the target tokens' probabilities, 0 to 1.

    Perplexity on a scale that can stand beside other metrics: bounded, and larger is better.

    >>> float(np.round(token_probability_of(np.array([3 * np.log(8.0), 3.0])), 6))
    0.125
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.exp(-sums[..., 0] / sums[..., 1]))


def perplexity_of(sums: Floats) -> Floats:
    """exp(nats per token) of [..., 2] totals: every token counts the same, long targets more; at least 1.

    >>> float(np.round(perplexity_of(np.array([3 * np.log(8.0), 3.0])), 6))
    8.0
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # inf and NaN are the answers then
        return np.asarray(np.exp(sums[..., 0] / sums[..., 1]))
