"""A run's scores in every format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from multitask.storage.json_files import finite
from multitask.tables.csv import csv_text
from multitask.tables.render import Format, render_tables
from multitask.tables.scores import Scores, score_table
from multitask.terminal.escaping import visible


def render_run(
    scores: Scores,
    baselines: Mapping[str, Mapping[str, Any]] | None,
    format: Format,
    *,
    errors: Scores | None = None,
    width: int | None = None,
    color: bool | None = None,
) -> str:
    """A run in one of `FORMATS`: a row a task and metric, each in its own unit.

    Args:
        scores: metrics.json.
        baselines: baselines.json; None if there is none.
        format: As in `render_tables`; csv has the same rows, json the three files.
        errors: standard_errors.json; None if there is none.
        width: As in `render_tables`.
        color: As in `render_tables`.
    """
    if format == "json":
        everything = {"scores": scores, "baselines": baselines, **({"standard_errors": errors} if errors else {})}
        return visible(json.dumps(finite(everything), indent=2, ensure_ascii=False)) + "\n"
    table = score_table(scores, baselines, errors=errors)
    return csv_text(table) if format == "csv" else render_tables([table], format, width=width, color=color)
