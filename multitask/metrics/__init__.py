"""Metrics: predictions and targets of one task to one number. Importing this package registers the built-in ones.

Words
    unit          what a metric's value is in: 0 to 1 for most, 0 to 100 for BLEU and chrF, -1 to 1 for correlations
    points        value × scale: the 0 to 100 of tables
    per example   a number for each example, for predictions/TASK.parquet. For most metrics the value is their mean
    sums          [N, K] addends for each example, such that the value is a function of their total over the examples:
                  `of_sums(sums(outputs).sum(axis=0))`. Resampling needs the addends only, so that 10,000 resamples
                  with counts W [R, N] are `of_sums(W @ sums(outputs))`, without looking at a string again
    counts        [R, N] how often each example stands in each of R resamples; `resampler` gives their R values, by the
                  sums or `weighted` where a metric has them, else one resample after the other

All built-in ones work offline.
"""

from __future__ import annotations

from multitask.metrics.builtin import LIKELIHOOD_METRICS
from multitask.metrics.metric import METRICS, Metric
from multitask.metrics.naming import from_evaluate, known_metric, register_metric, resolve_metrics
from multitask.metrics.outputs import Outputs

__all__ = [
    "LIKELIHOOD_METRICS",
    "METRICS",
    "Metric",
    "Outputs",
    "from_evaluate",
    "known_metric",
    "register_metric",
    "resolve_metrics",
]
