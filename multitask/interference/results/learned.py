"""Whether a task was learned at all: where it was not, no companion can have helped or hurt it."""

from __future__ import annotations

import math

from multitask.interference.results.lookup import primary, score_of
from multitask.interference.results.ranges import range_of
from multitask.interference.results.record import StudyRecord
from multitask.interference.statistics.intervals import quantile


def learned(record: StudyRecord, task: str) -> bool | None:
    """Whether the task, trained alone, scores above its baseline: the interval of the difference lies above 0.

    The record holds the single score of each seed (S of them) and the number n of evaluated examples, but no
    predictions. So the variance of score − baseline is taken as s²/S + (v(score) + v(baseline))/n: s² is the variance
    over seeds; v(m) = (m − low)·(high − m) is the largest variance that examples of mean m can have within the metric's
    range. Student's t has the degrees of freedom of Welch and Satterthwaite. That is
    wide: a task is called learned only if it is. A metric without a range (an error) has the part of the seeds alone.

    Returns:
        None if it cannot be said: no baseline, no single arm, or nothing to make an interval of.
    """
    about = next(t for t in record["tasks"] if t["name"] == task)
    metric, baseline = primary(record)[task], about["baseline"]
    single = score_of(record, task, "single", record["setting"]["match"][0], metric)
    if baseline is None or single is None or single["mean"] is None or not math.isfinite(single["mean"]):
        return None
    if single["mean"] <= baseline:
        return False
    seeds = len(single["per_seed"])
    of_seeds = single["sd"] ** 2 / seeds if single["sd"] is not None and seeds > 1 else 0.0
    low, high = range_of(record, task)
    ranged = math.isfinite(high - low)
    of_examples = (
        sum((m - low) * (high - m) for m in (single["mean"], baseline)) / max(about["validation"], 1) if ranged else 0.0
    )
    variance = of_seeds + of_examples
    if variance == 0 and (seeds < 2 or not ranged):
        return None
    df = variance**2 / (of_seeds**2 / (seeds - 1)) if of_seeds else 1e6
    tail = (1 - record["setting"]["confidence"]) / 2
    return bool(single["mean"] - quantile(min(df, 1e6), tail) * math.sqrt(variance) > baseline)


def unlearned_tasks(record: StudyRecord) -> frozenset[str]:
    """Tasks that, trained alone, are not above their baseline."""
    return frozenset(task for task in primary(record) if learned(record, task) is False)
