"""A task in one line, and in a few rows, as lists and notebooks show it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from multitask.sources.generated import sampled_name
from multitask.sources.in_memory import PythonSource
from multitask.sources.sample_rows import sample_rows
from multitask.sources.table import Row
from multitask.tables.cells import Cell, Column
from multitask.tables.table import Table
from multitask.terminal.escaping import shown

if TYPE_CHECKING:
    from multitask.task.example import Example
    from multitask.task.task import Task


class TaskRow(NamedTuple):
    """A task in one line."""

    name: str
    output: str
    """labels, span, number or text."""
    metric: str
    """The primary one."""
    source: str
    """Where rows come from without `--data`; empty if they have to be given."""
    sample: bool
    """Whether there is a generated sample, so that the task can be tried without any data."""
    description: str


def task_table(task: Task) -> Table:
    """A task in a few rows, with an example where that costs nothing: no file is read and nothing is loaded for it."""
    rows = [
        ("prefix", json.dumps(task.prefix, ensure_ascii=False)),
        ("labels" if task.labels else "output", ", ".join(task.labels) or task.output),
        ("metrics", ", ".join(metric.name for metric in task.metrics)),
        ("source", task_row(task).source or "none: its rows come from --data"),
    ]
    example = _example_at_hand(task)
    if example is not None:
        rows += [("input", shown(example.inputs, 400)), ("target", shown(example.target, 400) or '""')]
    title = f"{task.name}: {task.description}" if task.description else task.name
    columns = (Column("task", left=True), Column(task.name, left=True, wrap=True))
    return Table(title, columns, tuple(tuple(map(Cell, row)) for row in rows))


def _example_at_hand(task: Task) -> Example | None:
    """Make an example of a row in memory, or of the generated sample."""
    made = sampled_name(task.name, task.folder)
    try:
        rows: Sequence[Row] | None = task.source.at_hand(20) if isinstance(task.source, PythonSource) else None
        if rows is None and made is not None:
            rows = sample_rows(made, "train")[:20]
        return next((example for row in rows or () for example in task.examples(row, "train")), None)
    except Exception:  # a row that does not fit, or a formatter that is not ready yet: checks of the data say so
        return None


def task_row(task: Task) -> TaskRow:
    """The task in one line; nothing is read."""
    source = task.source.description if task.source is not None else ""
    # A commit's 40 digits would push all else from the table, and describe nothing to a reader.
    head, found, revision = source.rpartition(" at ")
    if found and len(revision) == 40:
        source = f"{head} at {revision[:7]}"
    sample = sampled_name(task.name, task.folder) is not None
    return TaskRow(task.name, task.output, task.primary.name, source, sample, task.description)
