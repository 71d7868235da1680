"""The matrix: a row a task, a column a companion; colour says what the evidence supports, never a number's size."""

from __future__ import annotations

from typing import NamedTuple

from multitask.interference.evidence import Evidence, evidence, sentence
from multitask.interference.lookup import (
    BUDGETS,
    MISSING,
    effects_of,
    interval,
    measured,
    plain,
    score_of,
    short,
    signed,
)
from multitask.interference.record import LIKELIHOOD, Effect, StudyRecord
from multitask.interference.tables.cells import UNDEFINED

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
        not_learned: From `tables.cells.unlearned_tasks`.
        keys: {id of an effect: where it can be opened}.
    """
    found = {(e["task"], e["companion"]): e for e in effects_of(record, kind, match, metrics)}
    whole = {e["task"]: e for e in effects_of(record, "company", match, metrics)} if kind != "without" else {}
    if not measured([*found.values(), *whole.values()]) or (kind != "company" and not measured(list(found.values()))):
        return None
    names = list(metrics) if kind != "company" else []
    digits = 3 if LIKELIHOOD in metrics.values() else 1
    roomy = len(names) <= ROOMY
    length = 22 if roomy else 15

    def view(e: Effect | None) -> CellView:
        claim = evidence(e, not_learned)
        if e is None:
            return CellView(claim, MISSING, sentence="Not measured.")
        said = sentence(record, e, not_learned)
        if e["delta"] is None:
            return CellView(claim, UNDEFINED, sentence=said, key=keys.get(id(e), ""))
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
        mean, sd = (single["mean"], single["sd"]) if single else (None, None)
        around = plain(sd, digits) if sd is not None else ""
        rows.append(
            RowView(task, short(task, length), metric, plain(mean, digits), around, task not in not_learned, cells)
        )
    looks = dict.fromkeys(c.claim.look for row in rows for c in row.cells if not c.own)
    order = ("loss", "gain", "equal", "none", "one-seed", "unlearned", "undefined", "missing")
    titles = {
        "pair": "What each companion does to each task",
        "company": "What training together does to each task",
        "without": "What each task does to the others, among all",
    }
    unit = "nats" if digits == 3 else "points"
    return MatrixView(
        kind,
        f"{titles[kind]}, {unit} at {BUDGETS.get(match, match)}",
        [(name, short(name, length)) for name in names],
        bool(whole),
        rows,
        roomy,
        [look for look in order if look in looks],
    )
