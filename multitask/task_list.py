"""What `multitask tasks` shows: the list of tasks, and one task in full."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from multitask.errors import UserError, shown
from multitask.example_text import LONGEST_INPUT, example_lines
from multitask.examples import load_examples
from multitask.metrics import Metric
from multitask.python_sources import PythonSource
from multitask.sample import sample_rows
from multitask.sources import FileSource, PathSource, Source, resolve_source, sampled_name
from multitask.table import Row, Rows
from multitask.tables.table import Cell, Column, Table
from multitask.tables.terminal import print_tables
from multitask.task import TASKS, Example, Task


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


def list_tasks() -> list[TaskRow]:
    """All registered tasks, by name."""
    return [_row(TASKS.get(name)) for name in TASKS]


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
    row = _row(task)
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


def task_table(task: Task) -> Table:
    """A task in a few rows, with an example where that costs nothing: no file is read and nothing is loaded for it."""
    rows = [
        ("prefix", json.dumps(task.prefix, ensure_ascii=False)),
        ("labels" if task.labels else "output", ", ".join(task.labels) or task.output),
        ("metrics", ", ".join(metric.name for metric in task.metrics)),
        ("source", _row(task).source or "none: its rows come from --data"),
    ]
    example = _example_at_hand(task)
    if example is not None:
        rows += [("input", shown(example.inputs, 400)), ("target", shown(example.target, 400) or '""')]
    title = f"{task.name}: {task.description}" if task.description else task.name
    columns = (Column("task", left=True), Column(task.name, left=True, wrap=True))
    return Table(title, columns, tuple(tuple(map(Cell, row)) for row in rows))


def _example_at_hand(task: Task) -> Example | None:
    """What a row in memory, or of the generated sample, becomes."""
    made = sampled_name(task.name, task.folder)
    try:
        rows: Sequence[Row] | None = task.source.at_hand(20) if isinstance(task.source, PythonSource) else None
        if rows is None and made is not None:
            rows = sample_rows(made, "train")[:20]
        return next((example for row in rows or () for example in task.examples(row, "train")), None)
    except Exception:  # a row that does not fit, or a formatter that is not ready yet: checks of the data say so
        return None


def _row(task: Task) -> TaskRow:
    source = task.source.description if task.source is not None else ""
    # A commit's 40 digits would push all else from the table, and describe nothing to a reader.
    head, found, revision = source.rpartition(" at ")
    if found and len(revision) == 40:
        source = f"{head} at {revision[:7]}"
    sample = sampled_name(task.name, task.folder) is not None
    return TaskRow(task.name, task.output, task.primary.name, source, sample, task.description)


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
