"""Pairs, and leaving one out: who does what to whom."""

from __future__ import annotations

from collections.abc import Mapping

from multitask.interference.results.learned import unlearned_tasks
from multitask.interference.results.lookup import effects_of, unit_of_metric
from multitask.interference.results.record import StudyRecord
from multitask.interference.tables.cells import UNDEFINED, budget_name, effect_cells, effect_notes, key_of, unit_of
from multitask.interference.tables.company import single_score
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import MISSING, number, plain
from multitask.tables.table import Table


def matrix_table(record: StudyRecord, kind: str, match: str, metrics: Mapping[str, str]) -> Table | None:
    """Row: the task evaluated; column: the companion, or in leave-one-out the task whose presence is judged.

    Args:
        record: The study.
        kind: `pair` or `without`.
        match: The budget.
        metrics: {task: metric}, in the order of rows and columns.
    """
    effects = effects_of(record, kind, match, dict(metrics))
    if not effects:
        return None
    _, unit, measure = unit_of(metrics)
    aside = unlearned_tasks(record)
    by = {(e["task"], e["companion"] or ""): e for e in effects}
    own = record["setting"]["per_step"]

    def cell(task: str, other: str) -> Cell:
        if task == other:
            # One single arm stands for all pairs only if they are all of one size.
            sizes = {own.get(task, 0.0) + own.get(u, 0.0) for t, u in by if t == task} if kind == "pair" else set()
            single = single_score(record, task, metrics[task], match, sizes.pop() if len(sizes) == 1 else None)
            if single is None:
                return Cell(MISSING)
            if single["mean"] is None:
                return Cell(UNDEFINED)
            digits, _ = unit_of_metric(metrics[task])
            sd = "" if single["sd"] is None else f"± {plain(single['sd'], digits)}"
            return number(single["mean"], digits)._replace(detail=sd, emphasis="quiet")
        found, bounds = effect_cells(by.get((task, other)), aside)
        return found._replace(detail="" if bounds.text == MISSING else bounds.text)

    rows = tuple((Cell(task), *(cell(task, other) for other in metrics)) for task in metrics)
    columns = (Column("task", left=True), *(Column(task) for task in metrics))
    if kind == "pair":
        name = "Pairs: Δ(task | {task, column})"
        note = "Row: the task evaluated. Column: its one companion. Diagonal: the single score, ± sd over seeds."
    else:
        name = "Leave one out: joint − joint without the column's task"
        note = (
            "Row: the task evaluated. Column: the task whose presence among all is judged; negative: it hurts. "
            "Diagonal: the single score, ± sd over seeds."
        )
    title = f"{name}, {measure}{unit}, {budget_name(match)}"
    return Table(title, columns, rows, (note, *effect_notes(effects, aside)), key_of(kind, match, metrics))
