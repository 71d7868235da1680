"""Scores of the likelihood that a model gives to the target."""

from __future__ import annotations

import numpy as np

from multitask.metrics.outputs import Floats, Outputs


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
