"""The scores of one run as a table: a row a task and metric, beside what an answer without a model scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import MISSING, change, number, percent, tally
from multitask.tables.table import Table

Scores = Mapping[str, Mapping[str, float | None]]
"""{task: {metric: value}}"""


def score_table(
    scores: Scores,
    baselines: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    title: str = "Scores",
    errors: Scores | None = None,
    invalid: Mapping[str, float] | None = None,
    examples: Mapping[str, int] | None = None,
    generated: Collection[str] = (),
) -> Table:
    """A run's scores, each metric in its own unit. Columns of nothing that was given are left out.

    Args:
        scores: As in metrics.json.
        baselines: As in baselines.json: the same metrics, and the name of each task's `answers`.
        title: What was evaluated.
        errors: Standard errors of the scores over examples.
        invalid: {task: share of outputs that are not of the kind asked for, 0..1}.
        examples: {task: evaluated examples}.
        generated: Tasks whose examples are the generated sample.
    """
    rows = []
    for task, metrics in scores.items():
        base = (baselines or {}).get(task, {})
        for i, (metric, value) in enumerate(metrics.items()):
            other = base.get(metric)
            over = value - other if value is not None and other is not None else None
            answers = str(base.get("answers") or MISSING) if other is not None else MISSING
            row = [Cell(task), Cell(metric), number(value, 3)]
            if errors is not None:
                row.append(number(errors.get(task, {}).get(metric), 3))
            row += [number(other, 3), change(over, 3), Cell(answers)]
            if invalid is not None:
                row.append(percent(invalid.get(task)) if i == 0 else Cell(""))
            if examples is not None:
                row.append(tally(examples.get(task)) if i == 0 else Cell(""))
            rows.append(tuple(row))
    columns = (
        Column("task", left=True),
        Column("metric", left=True),
        Column("score"),
        *[Column("± se", optional=1)] * (errors is not None),
        Column("baseline"),
        Column("difference", short="diff.", optional=2),
        Column("baseline answers", left=True, optional=3, wrap=True),
        *[Column("invalid", optional=4)] * (invalid is not None),
        *[Column("examples", optional=5)] * (examples is not None),
    )
    notes = ["± se: standard error of the score over examples."] if errors is not None else []
    made_up = [task for task in scores if task in generated]
    if made_up:
        notes.append(f"On the generated sample: {', '.join(made_up)}.")
    return Table(title, columns, tuple(rows), tuple(notes), key="scores", grouped=True, keys=2)
