"""The scores that a task's metric can have, in points, and so the differences that there can be at all."""

from __future__ import annotations

import math
from collections.abc import Iterable

from multitask.interference.results.record import LIKELIHOOD, Effect, StudyRecord

Range = tuple[float, float]
"""The least and the largest; infinite where there is no such end or it is not known."""


def range_of(record: StudyRecord, task: str) -> Range:
    """The least and the largest score of a task's primary metric, in points that are higher for better.

    A range that a score of the record lies outside of is not believed: a metric may be someone's own.
    """
    about = next(t for t in record["tasks"] if t["name"] == task)
    low = -math.inf if about["low"] is None else about["low"]
    high = math.inf if about["high"] is None else about["high"]
    seen = [
        about["baseline"],
        *(v for s in record["scores"] if (s["task"], s["metric"]) == (task, about["metric"]) for v in s["per_seed"]),
    ]
    inside = all(low <= v <= high for v in seen if v is not None and math.isfinite(v))
    return (low, high) if inside else (-math.inf, math.inf)


def bounds(effect: Effect, of_task: Range) -> Range:
    """The least and the largest difference that can be: a score cannot leave its metric's range.

    >>> bounds({"base": 84.0, "metric": "accuracy"}, (0.0, 100.0))
    (-84.0, 16.0)
    """
    if effect["base"] is None or effect["metric"] == LIKELIHOOD:
        return -math.inf, math.inf
    return of_task[0] - effect["base"], of_task[1] - effect["base"]


def inside(effect: Effect, of_task: Range) -> tuple[float | None, float | None]:
    """The ends of an effect's interval as they are drawn."""
    least, most = bounds(effect, of_task)
    low, high = effect["low"], effect["high"]
    return (None if low is None else max(low, least)), (None if high is None else min(high, most))


def blind(effect: Effect, of_task: Range) -> bool:
    """Whether only changes beyond the metric's range would be found: no loss and no gain that can be.

    >>> blind({"base": 84.0, "metric": "accuracy", "detectable": 90.0}, (0.0, 100.0))
    True
    """
    least, most = bounds(effect, of_task)
    return effect["detectable"] is not None and effect["detectable"] > max(-least, most)


def blind_effects(record: StudyRecord, effects: Iterable[Effect]) -> list[Effect]:
    """Those of the effects by which this design sees nothing that can be."""
    ranges = {t["name"]: range_of(record, t["name"]) for t in record["tasks"]}
    return [e for e in effects if e["task"] in ranges and blind(e, ranges[e["task"]])]


def blind_tasks(record: StudyRecord) -> frozenset[str]:
    """Tasks of whose effect the record's `detectable` is beyond what its score can change by."""
    about = {t["name"]: t for t in record["tasks"]}
    found = (e for e in blind_effects(record, record["effects"]) if e["kind"] in ("company", "pair"))
    return frozenset(e["task"] for e in found if e["detectable"] == about[e["task"]]["detectable"])
