"""The matrix: a row a task, a column a companion; colour says what the evidence supports, never a number's size."""

from __future__ import annotations

from typing import NamedTuple

from multitask.interference.results.lookup import (
    BUDGETS,
    effects_of,
    likelihood,
    measured,
    primary,
    score_of,
    short,
    unit_of_metric,
    units_of,
)
from multitask.interference.results.ranges import range_of
from multitask.interference.results.record import LIKELIHOOD, Effect, StudyRecord
from multitask.interference.tables.cells import UNDEFINED, shown_score
from multitask.interference.tables.evidence import Evidence, evidence, sentence
from multitask.tables.numbers import MISSING, interval, plain, signed

ROOMY = 5
"""Up to so many tasks a cell has its interval as well."""
NAMES = {"pair": "with", "without": "from", "company": ""}


class CellView(NamedTuple):
    """One effect."""

    claim: Evidence
    shown: str = ""
    interval: str = ""
    sentence: str = ""
    key: str = ""
    """Where the effect can be opened; empty where there is nothing to open."""
    own: bool = False
    """Whether it is the task with itself."""


class RowView(NamedTuple):
    """A task."""

    task: str
    label: str
    """The name, its middle left out where there is no room for all of it."""
    metric: str
    alone: str
    sd: str
    learned: bool
    cells: list[CellView]


class MatrixView(NamedTuple):
    """A matrix of effects at one budget."""

    kind: str
    title: str
    columns: list[tuple[str, str]]
    """Name and label of each companion."""
    whole: bool
    """Whether there is a last column, of all tasks together."""
    rows: list[RowView]
    roomy: bool
    opens: bool
    """Whether its effects can be opened."""
    looks: list[str]
    """Those that there are, for the legend."""


def matrix(
    record: StudyRecord,
    kind: str,
    match: str,
    metrics: dict[str, str],
    not_learned: frozenset[str],
    keys: dict[int, str],
) -> MatrixView | None:
    """Effects of one kind, with those of all companions together in the last column.

    Args:
        record: The study.
        kind: `pair`, `without`, or `company` for the last column alone.
        match: The budget.
        metrics: {task: metric}, as `primary` gives it.
        not_learned: From `learned.unlearned_tasks`.
        keys: {id of an effect: where it can be opened}.
    """
    found = {(e["task"], e["companion"]): e for e in effects_of(record, kind, match, metrics)}
    whole = {e["task"]: e for e in effects_of(record, "company", match, metrics)} if kind != "without" else {}
    if not measured([*found.values(), *whole.values()]) or (kind != "company" and not measured(list(found.values()))):
        return None
    ranges = {task: range_of(record, task) for task in metrics}
    names = list(metrics) if kind != "company" else []
    roomy = len(names) <= ROOMY
    length = 22 if roomy else 15

    def view(e: Effect | None) -> CellView:
        claim = evidence(e, not_learned)
        if e is None:
            return CellView(claim, MISSING, sentence="Not measured.")
        said = sentence(record, e, not_learned, ranges[e["task"]])
        if e["delta"] is None:
            return CellView(claim, UNDEFINED, sentence=said, key=keys.get(id(e), ""))
        digits, _ = unit_of_metric(e["metric"])
        ends = interval(e["low"], e["high"], digits) if e["low"] is not None else ""
        return CellView(claim, signed(e["delta"], digits), ends, said, keys.get(id(e), ""))

    rows = []
    for task, metric in metrics.items():
        single = score_of(record, task, "single", match, metric)
        cells = [
            CellView(Evidence("own", "", ""), own=True) if other == task else view(found.get((task, other)))
            for other in names
        ]
        cells += [view(whole.get(task))] if whole else []
        digits, _ = unit_of_metric(metric)
        sd = single["sd"] if single else None
        around = plain(sd, digits) if sd is not None else ""
        rows.append(
            RowView(
                task, short(task, length), metric, shown_score(single, digits), around, task not in not_learned, cells
            )
        )
    looks = dict.fromkeys(c.claim.look for row in rows for c in row.cells if not c.own)
    order = ("loss", "gain", "equal", "none", "one-seed", "few-rows", "unlearned", "undefined", "missing")
    titles = {
        "pair": "What each companion does to each task",
        "company": "What training together does to each task",
        "without": "What each task does to the others, among all",
    }
    unit = units_of(metrics)
    return MatrixView(
        kind,
        f"{titles[kind]}, {unit} at {BUDGETS.get(match, match)}",
        [(name, short(name, length)) for name in names],
        bool(whole),
        rows,
        roomy,
        any(c.key for row in rows for c in row.cells),
        [look for look in order if look in looks],
    )


def agreement(record: StudyRecord, match: str, not_learned: frozenset[str]) -> str:
    """Whether scores and log-likelihoods lead to the same verdicts on pairs and on all together, in a sentence."""
    words: dict[tuple[str, str, str | None], dict[str, str]] = {}
    for name, metrics in (("score", primary(record)), ("nats", likelihood(record))):
        for kind in ("pair", "company"):
            for e in effects_of(record, kind, match, metrics):
                claim = evidence(e, not_learned)
                if claim.look in ("gain", "loss", "equal", "none"):
                    words.setdefault((kind, e["task"], e["companion"]), {})[name] = claim.look
    both = [(w["score"], w["nats"]) for w in words.values() if len(w) == 2]
    if not both or set(primary(record).values()) == {LIKELIHOOD}:
        return ""
    said = ("gain", "loss")
    same = sum(a == b for a, b in both)
    opposite = sum(a != b and a in said and b in said for a, b in both)
    only = sum(b in said and a not in said for a, b in both), sum(a in said and b not in said for a, b in both)
    s, have = ("s", "have") if len(both) != 1 else ("", "has")
    return (
        f"{same} of {len(both)} effect{s} {have} the same verdict in both. Gain or loss in the log-likelihood alone: "
        f"{only[0]}; in the score alone: {only[1]}; one in the one and the other in the other: {opposite}."
    )
