"""Finding things in a study's record, and saying them in words and numbers: what figures and report have in common.

Words
    lead    the budget that the tables lead with: the first of `setting.match`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from multitask.interference.results.record import LIKELIHOOD, Effect, Score, StudyRecord
from multitask.terminal.escaping import visible
from multitask.terminal.width import shorten

BUDGETS = {"examples": "equal exposure", "steps": "equal compute"}
"""{match: what it holds equal}"""
SYMBOLS = {"examples": "I", "steps": "C"}
MATRICES = {"pair": "matrix", "without": "leave_one_out"}
"""{kind of effect: name of its matrix}"""

Row = TypeVar("Row", Effect, Score)


def short(name: str, length: int = 26) -> str:
    """A name that fits into a figure, without characters that turn text round."""
    return shorten(visible(name), length)


def primary(record: StudyRecord) -> dict[str, str]:
    """{task: its primary metric}, in the study's order."""
    return {task["name"]: task["metric"] for task in record["tasks"]}


def likelihood(record: StudyRecord) -> dict[str, str]:
    """{task: the log-likelihood, which varies less}, in the study's order."""
    return dict.fromkeys(primary(record), LIKELIHOOD)


def of_primary(record: StudyRecord, rows: Iterable[Row]) -> list[Row]:
    """Those effects or scores that are of their task's primary metric."""
    metrics = primary(record)
    return [row for row in rows if row["metric"] == metrics.get(row["task"])]


def effects_of(record: StudyRecord, kind: str, match: str | None, metrics: dict[str, str]) -> list[Effect]:
    """Effects of one table, in the order of tasks and companions."""
    order = list(metrics)
    found = [
        e
        for e in record["effects"]
        if e["kind"] == kind and e["match"] == match and e["metric"] == metrics.get(e["task"])
    ]
    places: Callable[[Effect], tuple[int, int]] = lambda e: (  # noqa: E731
        order.index(e["task"]),
        order.index(e["companion"]) if e["companion"] in order else -1,
    )
    return sorted(found, key=places)


def measured(effects: list[Effect]) -> list[Effect]:
    """Those that have a value."""
    return [e for e in effects if e["delta"] is not None]


def score_of(record: StudyRecord, task: str, arm: str, match: str | None, metric: str) -> Score | None:
    """An arm's score of a task: of the `single` arm that matches this budget, or of the `joint` arm."""
    found = [s for s in record["scores"] if (s["task"], s["arm"], s["metric"]) == (task, arm, metric)]
    return next((s for m in (match, None) for s in found if s["match"] == m), None)


def unit_of_metric(metric: str) -> tuple[int, str]:
    """Decimals and unit of a metric's differences.

    >>> unit_of_metric("accuracy"), unit_of_metric("log_likelihood")
    ((1, 'points'), (3, 'nats'))
    """
    return (3, "nats") if metric == LIKELIHOOD else (1, "points")


def units_of(metrics: Mapping[str, str]) -> str:
    """The units of tasks together.

    >>> units_of({"sst2": "accuracy", "span": "log_likelihood"})
    'points or nats'
    """
    return " or ".join(dict.fromkeys(unit_of_metric(metric)[1] for metric in metrics.values()))


def confidence(record: StudyRecord) -> str:
    """The level of the intervals, for people.

    >>> confidence({"setting": {"confidence": 0.95}})
    '95 %'
    """
    return f"{100 * record['setting']['confidence']:g} %"
