"""Finding things in a study's record, and saying them in words and numbers: what figures and report have in common.

Words
    lead    the budget that the tables lead with: the first of `setting.match`
"""

from __future__ import annotations

import math
from collections.abc import Callable

from multitask.interference.palette import limit_of
from multitask.interference.record import LIKELIHOOD, Effect, Exposure, Score, StudyRecord

MISSING = "·"
"""What was not measured; never 0."""
BUDGETS = {"examples": "equal exposure", "steps": "equal compute"}
"""{match: what it holds equal}"""
SYMBOLS = {"examples": "I", "steps": "C"}
MATRICES = {"pair": "matrix", "without": "leave_one_out"}
"""{kind of effect: name of its matrix}"""


def signed(value: float | None, digits: int = 2) -> str:
    """A difference, with its sign; never "-0.00".

    >>> signed(1.5), signed(-0.25), signed(-0.001), signed(None)
    ('+1.50', '−0.25', '0.00', '·')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    shown = f"{value:+,.{digits}f}"
    return shown.replace("-", "−") if float(shown.replace(",", "")) else shown[1:]


def plain(value: float | None, digits: int = 2) -> str:
    """A number; a minus only where it is one.

    >>> plain(1234.5, 1), plain(-0.3, 1), plain(None)
    ('1,234.5', '−0.3', '·')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return signed(value, digits).removeprefix("+")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Both ends of an interval.

    >>> interval(-0.31, 2.0, 1), interval(None, None)
    ('[−0.3, 2.0]', '·')
    """
    return MISSING if low is None or high is None else f"[{plain(low, digits)}, {plain(high, digits)}]"


def short(name: str, length: int = 26) -> str:
    """A name that fits, its middle left out: tasks often differ only at their ends.

    >>> short("sst2"), short("tweet_sentiment_of_film_reviews", 20)
    ('sst2', 'tweet_sent…m_reviews')
    """
    return name if len(name) <= length else f"{name[: length // 2]}…{name[length // 2 + 1 - length :]}"


def primary(record: StudyRecord) -> dict[str, str]:
    """{task: its primary metric}, in the study's order."""
    return {task["name"]: task["metric"] for task in record["tasks"]}


def likelihood(record: StudyRecord) -> dict[str, str]:
    """{task: the metric of the twin}, in the study's order."""
    return dict.fromkeys(primary(record), LIKELIHOOD)


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


def scale_limit(record: StudyRecord, metrics: dict[str, str]) -> float:
    """The end of the colour scale: one for all matrices of a study, so that colours can be compared between them."""
    twin = LIKELIHOOD in metrics.values()
    values = [
        e["delta"] or 0.0
        for e in record["effects"]
        if e["kind"] in MATRICES and e["metric"] == metrics.get(e["task"]) and e["delta"] is not None
    ]
    return limit_of(values, least=0.01 if twin else 1.0)


def score_of(record: StudyRecord, task: str, arm: str, match: str | None, metric: str) -> Score | None:
    """An arm's score of a task: of the `single` arm that matches this budget, or of the `joint` arm."""
    found = [s for s in record["scores"] if (s["task"], s["arm"], s["metric"]) == (task, arm, metric)]
    return next((s for m in (match, None) for s in found if s["match"] == m), None)


def exposure_of(record: StudyRecord, task: str, arm: str, match: str | None) -> Exposure | None:
    """What an arm was given of a task."""
    found = [x for x in record["exposure"] if (x["task"], x["arm"]) == (task, arm)]
    return next((x for m in (match, None) for x in found if x["match"] == m), None)


def confidence(record: StudyRecord) -> str:
    """The level of the intervals, for people.

    >>> confidence({"setting": {"confidence": 0.95}})
    '95 %'
    """
    return f"{100 * record['setting']['confidence']:g} %"
