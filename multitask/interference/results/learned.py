"""Whether a task was learned at all: where it was not, no companion can have helped or hurt it.

A task counts as learned if the 95 % interval of single score − baseline lies above 0, else as not learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from multitask.interference.results.record import StudyRecord
from multitask.interference.statistics.intervals import CONFIDENCE, quantile

if TYPE_CHECKING:
    from multitask.interference.results.task_runs import TaskRuns
    from multitask.interference.statistics.verdicts import TaskBootstrap
    from multitask.metrics.outputs import Outputs

Interval = tuple[float, float]


def learned(record: StudyRecord, task: str) -> bool | None:
    """Whether the task, trained alone, scores above its baseline; None if it cannot be said."""
    return next(t for t in record["tasks"] if t["name"] == task)["learned"]


def unlearned_tasks(record: StudyRecord) -> frozenset[str]:
    """Tasks that, trained alone, are not above their baseline."""
    return frozenset(about["name"] for about in record["tasks"] if about["learned"] is False)


def above_baseline(
    of: TaskRuns, boot: TaskBootstrap, outputs: Sequence[Outputs], bounds: tuple[float | None, float | None]
) -> Interval | None:
    """The interval of single score − baseline in points, or None: no single arm, no baseline, no score.

    A baseline that always gives one answer ("always 'positive'") is scored on the same resamples as the models, so that
    the interval is that of any effect. Of another one only the score is known: see `bounded_interval`. Where an answer
    without a model has no score (a correlation of one number with anything), the baseline is 0, no correlation.

    Args:
        of: The task's runs.
        boot: Of its primary metric.
        outputs: Of its single arm, one a seed.
        bounds: The ends of its metric's range, in points.
    """
    from multitask.interference.statistics.verdicts import TaskBootstrap

    alone, metric = of.alone, of.task.primary
    if alone is None:
        return None
    about = of.runs(alone)[0].baselines.get(of.name, {})
    value = about.get(metric.name)
    answer = constant_answer(str(about.get("answers", "")))
    low = bounds[0]
    if value is None or not math.isfinite(float(value)):
        if not about or low is None or low >= 0:
            return None
        found = boot.contrast({alone: 1.0})
    elif answer is not None:
        one = outputs[0]
        constant = type(one)(
            [answer] * len(one), one.targets, references=one.references, groups=one.groups, labels=one.labels
        )
        both = TaskBootstrap(
            metric,
            {"single": outputs, "baseline": [constant] * len(outputs)},
            resamples=len(boot.seed_draws),
            seed=boot.seed,
            seed_draws=boot.seed_draws,
        )
        found = both.contrast({"single": 1.0, "baseline": -1.0})
    else:
        return bounded_interval(boot.scores[alone].tolist(), metric.points(float(value)), boot.examples, bounds)
    return None if found.low is None or found.high is None else (found.low, found.high)


def constant_answer(name: str) -> str | None:
    """The one answer of a baseline, from its name.

    >>> constant_answer("always 'positive'"), constant_answer("always 2.5"), constant_answer("the whole text")
    ('positive', '2.5', None)
    """
    kind, _, answer = name.partition("always ")
    if kind or not answer or answer.endswith(" examples)"):
        return None
    quoted = len(answer) > 1 and answer[0] == answer[-1] == "'"
    return answer[1:-1] if quoted else answer


def bounded_interval(
    scores: Sequence[float | None], baseline: float, examples: int, bounds: tuple[float | None, float | None]
) -> Interval | None:
    """An interval of mean score − baseline that no example is known for: wider than it need be.

    The variance is s²/S + (v(score) + v(baseline))/n: s² is that over the S seeds, and v(m) = (m − low)·(high − m) the
    largest that n examples of mean m can have within the metric's range. Student's t has the degrees of freedom of
    Welch and Satterthwaite. A metric without a range (an error) has the part of the seeds alone.
    """
    values = np.array([math.nan if v is None else v for v in scores], dtype=float)
    if not len(values) or not np.isfinite(values).all():
        return None
    seeds, mean = len(values), float(values.mean())
    of_seeds = float(values.var(ddof=1)) / seeds if seeds > 1 else 0.0
    of_examples = 0.0
    ranged = bounds[0] is not None and bounds[1] is not None
    if bounds[0] is not None and bounds[1] is not None:
        of_examples = sum((m - bounds[0]) * (bounds[1] - m) for m in (mean, baseline)) / max(examples, 1)
    variance = of_seeds + of_examples
    if variance <= 0 and (seeds < 2 or not ranged):
        return None
    df = variance**2 / (of_seeds**2 / (seeds - 1)) if of_seeds else 1e6
    half = quantile(min(df, 1e6), (1 - CONFIDENCE) / 2) * math.sqrt(max(variance, 0.0))
    return mean - baseline - half, mean - baseline + half
