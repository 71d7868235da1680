"""The output of `multitask tasks`: the list of tasks, and one task in full."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from multitask.errors import UserError
from multitask.examples.choose_source import resolve_source
from multitask.examples.example_text import LONGEST_INPUT, example_lines
from multitask.examples.loading import load_examples
from multitask.metrics.metric import Metric
from multitask.sources.local_files import FileSource, PathSource
from multitask.sources.protocol import Source
from multitask.sources.table import Rows
from multitask.tables.cells import Cell, Column
from multitask.tables.table import Table
from multitask.tables.terminal import print_tables
from multitask.task import TASKS, Task
from multitask.task.table import TaskRow, task_row
from multitask.terminal.escaping import shown


def list_tasks() -> list[TaskRow]:
    """All registered tasks, by name."""
    return [task_row(TASKS.get(name)) for name in TASKS]


def print_tasks() -> None:
    """The list as a table on standard output."""
    print_tables(tasks_table(list_tasks()))


def tasks_table(tasks: Sequence[TaskRow]) -> Table:
    """A row a task."""
    rows = tuple(
        tuple(map(Cell, (t.name, t.output, t.metric, "yes" if t.sample else "", t.source, t.description)))
        for t in tasks
    )
    columns = (
        Column("task", left=True),
        Column("output", left=True, optional=2),
        Column("metric", left=True, optional=1),
        Column("sample", left=True, optional=3),
        Column("source", left=True, optional=4, wrap=True),
        Column("what", left=True, wrap=True),
    )
    return Table("Tasks", columns, rows, key="tasks")


def describe_task(name: str, data: str | None = None) -> str:
    """A task in full: prefix, labels, metrics, source, limits, decoding, and an example.

    Args:
        name: The task's.
        data: As `--data`, for the example; without it nothing is downloaded, and no large file read.

    Raises:
        UserError: If there is no task of that name.
    """
    task = TASKS.get(name)
    row = task_row(task)
    settings = task.decoding
    if task.output == "labels":
        decoding = "the labels are scored and the likeliest wins"
    elif task.output == "span":
        decoding = {
            "best": "the most probable of all pieces of the source",
            "expected": "the piece of the source with the largest expected word overlap",
            "likelihood": "the piece of the source with the largest summed log-likelihood",
            "greedy": f"a piece of the source, token by token, {settings.max_new_tokens} at most",
            "generate": f"freely, {settings.max_new_tokens} tokens at most, then aligned with the source",
        }[settings.span] + (", or nothing" if settings.no_answer else "")
    else:
        beams = "greedy" if settings.num_beams == 1 else f"{settings.num_beams} beams"
        decoding = f"{beams}, {settings.max_new_tokens} tokens at most"
    facts = {
        "prefix": repr(task.prefix),
        "output": task.output,
        "labels": ", ".join(task.labels),
        "metrics": ", ".join(
            f"{m.name}{_counted_class(task, m)}{'' if m.higher_is_better else ' (lower is better)'}"
            f"{' (primary)' if m is task.primary else ''}"
            for m in task.metrics
        ),
        "source": row.source or "none: its rows come from --data",
        "sample": "generated rows: --data sample" if row.sample else "none",
        "folder": f"DIR/{task.folder}/train.EXT under --data DIR",
        "columns": ", ".join(f"{ours} from {theirs}" for ours, theirs in task.columns.items()),
        "limits": f"{task.max_input_tokens} input tokens, {task.max_target_tokens} target tokens",
        "decoding": decoding,
        "version": str(task.version),
        "defined in": TASKS.holder(name),
    }
    lines = [f"{name}: {task.description}" if task.description else name, ""]
    lines += [f"  {word:<11}{text}" for word, text in facts.items() if text]
    example = _example(task, data)
    return "\n".join([*lines, "", example] if example else lines)


def _counted_class(task: Task, metric: Metric) -> str:
    return f" of '{task.labels[1]}'" if metric.name == "f1" and len(task.labels) == 2 else ""


LARGE = 2**26
"""Bytes of a training file from which on it is not read for one example."""


def _example(task: Task, data: str | None) -> str:
    """A row of the source or of the sample and what it becomes; else the example in the module's docstring."""
    try:
        source = resolve_source(task, data)
        too_large = source.size("train") > LARGE if isinstance(source, (FileSource, PathSource)) else False
    except UserError as error:
        if data is not None or task.source is not None:
            return _documented(task) or f"  no example: {error}"
        return _documented(task)
    if too_large:
        return _documented(task)
    try:
        return _first_example(task, source)
    except UserError as error:
        return f"  no example: {error}"


def _first_example(task: Task, source: Source) -> str:
    rows = source.rows("train")
    made = load_examples(task, _Read(source.description, source.generated, rows), "train", limit=1)
    if not len(made):
        return "  no example: the task makes none of its rows."
    at = min(sum(made.skipped.values()), len(rows) - 1)  # rows of which nothing was made, of one example a row at most
    row = f"  row        {shown(repr(dict(rows[at])), LONGEST_INPUT)}"
    return "\n".join([row, *example_lines(made[0], 11), f"  from       {rows.where(at)}"])


@dataclass(frozen=True)
class _Read:
    """Rows that are read already, as a source."""

    description: str
    generated: bool
    found: Rows

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def rows(self, split: str) -> Rows:
        return self.found


def _documented(task: Task) -> str:
    module = inspect.getmodule(task.formatter)
    for text in (inspect.getdoc(task.formatter), inspect.getdoc(module) if module else None):
        block = [p for p in (text or "").split("\n\n") if p.startswith("    row ")]
        if block:
            return textwrap.indent(textwrap.dedent(block[0]), "  ")
    return ""
