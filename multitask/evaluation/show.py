"""Scores on the terminal or in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from multitask.tables.scores import score_table

if TYPE_CHECKING:
    from multitask.evaluation.scores import TaskScores
from multitask.tables.terminal import show_tables
from multitask.terminal.output import say


def print_scores(scores: Mapping[str, TaskScores], *, split: str = "validation") -> None:
    """Each task's metrics beside the baseline's, and what looks wrong with its answers."""
    table = score_table(
        {name: s.metrics for name, s in scores.items()},
        {name: {"answers": s.baseline_name, **s.baseline} for name, s in scores.items()},
        title=f"Scores on the {split} split",
        errors={name: s.standard_errors for name, s in scores.items()},
        invalid={name: s.invalid_rate for name, s in scores.items()},
        examples={name: len(s.frame) for name, s in scores.items()},
        generated=[name for name, s in scores.items() if s.generated],
    )
    show_tables(table)
    say(*(f"WARNING: {line}" for s in scores.values() for line in (*s.warnings, *s.below_baseline)))
