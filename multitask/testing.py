"""For the tests of task authors: raw rows in, examples and scores out, without a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from multitask.examples.dataset import Examples
from multitask.examples.loading import load_examples
from multitask.examples.misfits import answer_outputs, undefined_metrics
from multitask.sources.in_memory import rows as rows_source
from multitask.sources.table import Row
from multitask.task import Task


class TaskCheck(NamedTuple):
    """The result of `check_task`."""

    examples: Examples
    """Prefix in front, ids given, empty ones left out, as in a run."""
    scores: dict[str, float]
    """{metric: value in its natural unit}; empty without predictions."""


def check_task(
    task: Task, rows: Iterable[Row], predictions: Sequence[str] | None = None, split: str = "validation"
) -> TaskCheck:
    """The examples that a task makes of rows and, with predictions, its scores, as an evaluation would give them.

    Args:
        task: Need not be registered.
        rows: Raw rows, as its source gives them.
        predictions: One string per *example*, as a model would generate it; the task's post-processing is applied.
        split: Which split the rows are formatted as.

    Raises:
        ValueError: If there is not one prediction per example.
        UserError: If a row cannot be formatted, or with predictions, if a metric cannot score the rows (see `misfits`).

    >>> from multitask.task import Example, Task
    >>> from multitask.metrics import resolve_metrics
    >>> ticket = Task(name="ticket", formatter=lambda row: Example(row["body"], row["queue"]), prefix="route: ",
    ...               labels=("billing", "technical"), output="labels", metrics=resolve_metrics(["accuracy"]))
    >>> rows = [{"body": "Charged twice", "queue": "billing"}, {"body": "It is broken", "queue": "technical"}]
    >>> check = check_task(ticket, rows, ["billing", "billing"])
    >>> check.examples[0].inputs, check.scores
    ('route: Charged twice', {'accuracy': 0.5})
    """
    examples = load_examples(task, rows_source({split: list(rows)}), split)
    if predictions is None:
        return TaskCheck(examples, {})
    if isinstance(predictions, str) or len(predictions) != len(examples):
        got = "a single string" if isinstance(predictions, str) else f"{len(predictions)} predictions"
        raise ValueError(f"task '{task.name}' needs one prediction per example, but got {got} for {len(examples)}.")
    undefined_metrics(task, examples)
    post = task.postprocess
    scored = [post(p, e) if post else p for p, e in zip(predictions, examples, strict=True)]
    outputs = answer_outputs(task, examples, scored)
    return TaskCheck(examples, {metric.name: metric.compute(outputs) for metric in task.metrics})
