"""The arms of a study before any is trained: `--dry-run`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import number, tally
from multitask.tables.table import Table


class PlannedArm(NamedTuple):
    """One arm, over all seeds."""

    name: str
    tasks: tuple[str, ...]
    budget: float
    """Examples a step, over all tasks."""
    models: int
    finished: int
    """Of the models."""


def planned_table(arms: Iterable[PlannedArm], steps: int) -> Table:
    """A row an arm, of `steps` steps each."""
    rows = tuple(
        (
            Cell(arm.name),
            Cell(", ".join(arm.tasks)),
            Cell(f"{arm.budget:g}", arm.budget),
            number(arm.budget * steps, 0),
            tally(arm.models),
            tally(arm.finished),
        )
        for arm in arms
    )
    columns = (
        Column("cell", left=True),
        Column("tasks", left=True, optional=2, wrap=True),
        Column("examples a step", optional=1),
        Column("examples"),
        Column("models"),
        Column("finished"),
    )
    return Table(f"Cells of {steps:,} steps", columns, rows, key="cells")
