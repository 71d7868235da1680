"""A study's tables, and those of a run, as text: terminal, Markdown, CSV, JSON, LaTeX, HTML.

CSV is one tidy table: a row an effect with all of its fields and a column a seed, then a row a score with kind `score`.
JSON is the record itself. The others are the same tables (`study_tables`) with what stands above them, drawn by
`terminal` and `markup`.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, cast, get_args

from multitask.folder import finite
from multitask.interference.cells import Table
from multitask.interference.lookup import MISSING
from multitask.interference.markup import html_text, latex_text, markdown_text
from multitask.interference.record import Effect, Score, StudyRecord
from multitask.interference.side_tables import run_table
from multitask.interference.study_tables import Preface, main_table, preface, tables
from multitask.interference.terminal import terminal_text
from multitask.printable import visible

__all__ = ["FORMATS", "Format", "Table", "main_table", "render", "render_run", "render_tables", "tables"]

Format = Literal["table", "markdown", "csv", "json", "latex", "html"]
FORMATS: tuple[str, ...] = get_args(Format)

NULL = "null_control"
"""Kind `null` in CSV: readers take the word null for an empty field."""
EFFECT_COLUMNS = tuple(name for name in Effect.__annotations__ if name != "per_seed")
SCORE_COLUMNS = ("arm", "budget", "sd")
"""What a score has besides: its companions are joined by +, its mean stands in `score`."""


def render(record: StudyRecord, format: Format, *, width: int | None = None, color: bool | None = None) -> str:
    """The study in one of `FORMATS`, ending in a newline.

    Args:
        record: The content of interference.json.
        format: `table` is for the terminal.
        width: Of `table`; by default the terminal's, 160 in a pipe.
        color: Of `table`; by default on a terminal, unless NO_COLOR is set.
    """
    if format == "csv":
        return _csv(record)
    if format == "json":
        return _json(record)
    return _render(tables(record), format, preface(record), width, color)


def render_tables(found: Sequence[Table], format: Format) -> str:
    """Some of the tables alone, in a format for people."""
    return _render(found, format, None, None, None)


def render_run(
    scores: Mapping[str, Mapping[str, float | None]],
    baselines: Mapping[str, Mapping[str, Any]] | None,
    format: Format,
    *,
    width: int | None = None,
    color: bool | None = None,
) -> str:
    """A run in one of `FORMATS`: a row a task and metric, each in its own unit.

    Args:
        scores: metrics.json.
        baselines: baselines.json; None if there is none.
        format: As in `render`.
        width: As in `render`.
        color: As in `render`.
    """
    if format == "json":
        return _json({"scores": scores, "baselines": baselines})
    table = run_table(scores, baselines)
    if format == "csv":
        head = [c.name.replace(" ", "_") for c in table.columns]
        rows = [
            [c.text if column.left else c.value for column, c in zip(table.columns, row, strict=True)]
            for row in table.rows
        ]
        return _lines_of_csv(head, [[None if v == MISSING else v for v in row] for row in rows])
    return _render([table], format, None, width, color)


def _render(found: Sequence[Table], format: str, above: Preface | None, width: int | None, color: bool | None) -> str:
    found, above = visible_in(found), visible_in(above)
    if format == "table":
        return terminal_text(found, above, width=width, color=color)
    if format == "markdown":
        return markdown_text(found, above)
    if format == "latex":
        return latex_text(found, above)
    if format == "html":
        return html_text(found, above)
    raise ValueError(f"format must be one of {', '.join(FORMATS)}. Got {format!r}.")


T = TypeVar("T")


def visible_in(value: T) -> T:
    """Tables and what stands above them with all of their text as a terminal may be given it; see `printable`."""
    made: Any = value
    if isinstance(value, str):
        made = visible(value)
    elif isinstance(value, Table):
        made = Table(*(visible_in(getattr(value, f.name)) for f in dataclasses.fields(value)))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        made = type(value)(*map(visible_in, value))
    elif isinstance(value, (list, tuple)):
        made = type(value)(map(visible_in, value))
    return cast(T, made)


# Files for programs


def _json(value: Any) -> str:
    return visible(json.dumps(finite(value), indent=2, ensure_ascii=False)) + "\n"


def _csv(record: StudyRecord) -> str:
    seeds = record["setting"]["seeds"]
    head = [*EFFECT_COLUMNS, *SCORE_COLUMNS, *(f"seed_{s}" for s in seeds)]
    rows = [_effect_row(e) | _seed_values(e["per_seed"], seeds) for e in record["effects"]]
    rows += [_score_row(s) | _seed_values(s["per_seed"], seeds) for s in record["scores"]]
    return _lines_of_csv(head, [[row.get(name) for name in head] for row in rows])


def _effect_row(effect: Effect) -> dict[str, Any]:
    return {**effect, "kind": NULL if effect["kind"] == "null" else effect["kind"]}


def _score_row(score: Score) -> dict[str, Any]:
    return {
        **score,
        "kind": "score",
        "companion": "+".join(score["companions"]),
        "score": score["mean"],
        "seeds": len(score["per_seed"]),
    }


def _seed_values(per_seed: Sequence[float | None], seeds: Sequence[int]) -> dict[str, float | None]:
    return {f"seed_{s}": v for s, v in zip(seeds, per_seed, strict=False)}  # nothing is measured in fewer seeds


def _lines_of_csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Numbers in full, an empty field for what was not measured, and text that no spreadsheet takes for a formula."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([_csv_field(value) for value in row] for row in (head, *rows))
    return file.getvalue()


def _csv_field(value: Any) -> Any:
    """What stands in a field; numbers are left alone, minus and all.

    Text that begins as a formula does gets an apostrophe before it: the spreadsheet that opens the file would run it.

    >>> [_csv_field(v) for v in ("span", "=1+1", "-1", -1.5, float("nan"), None)]
    ['span', "'=1+1", "'-1", -1.5, '', None]
    """
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if value.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
    return "" if isinstance(value, float) and not math.isfinite(value) else value
