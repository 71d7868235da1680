"""A study's tables in an order, and they and a run's as text: terminal, Markdown, CSV, JSON, LaTeX, HTML.

CSV of a study is one tidy table: a row an effect with all of its fields and a column a seed, then a row a score with
kind `score`. JSON is the record itself. The others are the same tables with the budget, warnings and notes above them.

Words
    lead    the budget that the tables lead with: the first of `setting.match`
    twin    the table of the targets' log-likelihood that stands beside the one of the metrics
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from multitask.folder import finite
from multitask.interference.lookup import likelihood, primary
from multitask.interference.record import Effect, Score, StudyRecord
from multitask.interference.tables.background import (
    advice_table,
    confusion_table,
    gaps_table,
    learning_rates_table,
    noise_table,
)
from multitask.interference.tables.company import budgets_table, company_table, summary_table
from multitask.interference.tables.effects import effects_table
from multitask.interference.tables.matrices import matrix_table
from multitask.printable import visible
from multitask.tables.csv import csv_lines, csv_text
from multitask.tables.html import html_text
from multitask.tables.latex import latex_text
from multitask.tables.markdown import markdown_text
from multitask.tables.scores import score_table
from multitask.tables.table import Preface, Table
from multitask.tables.terminal import terminal_text

Format = Literal["table", "markdown", "csv", "json", "latex", "html"]
FORMATS: tuple[str, ...] = get_args(Format)

NULL = "null_control"
"""Kind `null` in CSV: readers take the word null for an empty field."""
EFFECT_COLUMNS = tuple(name for name in Effect.__annotations__ if name != "per_seed")
SCORE_COLUMNS = ("arm", "budget", "sd")
"""What a score has besides: its companions are joined by +, its mean stands in `score`."""

ONE_SEED = "1 seed: evaluation noise only"
"""What stands above every table of a study with one seed."""
LEGEND = "▲ gain, ▼ loss, = equal (the interval lies inside the margin), no mark: no evidence; · not measured."
LEGEND_ONE_SEED = "· not measured; 1 seed gives no verdicts."


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
    errors: Mapping[str, Mapping[str, float | None]] | None = None,
    width: int | None = None,
    color: bool | None = None,
) -> str:
    """A run in one of `FORMATS`: a row a task and metric, each in its own unit.

    Args:
        scores: metrics.json.
        baselines: baselines.json; None if there is none.
        format: As in `render`.
        errors: standard_errors.json; None if there is none.
        width: As in `render`.
        color: As in `render`.
    """
    if format == "json":
        return _json({"scores": scores, "baselines": baselines, **({"standard_errors": errors} if errors else {})})
    table = score_table(scores, baselines, errors=errors)
    return csv_text(table) if format == "csv" else _render([table], format, None, width, color)


def preface(record: StudyRecord) -> Preface:
    """The budget line, every warning and every note; with one seed the warning that says what that is worth."""
    warnings = list(record["warnings"])
    if len(record["setting"]["seeds"]) == 1 and not any(ONE_SEED in w for w in warnings):
        warnings.insert(0, f"{ONE_SEED}.")
    return Preface(record["budget"], warnings, list(record["notes"]))


def tables(record: StudyRecord) -> list[Table]:
    """All tables that the study has the numbers for, the company table of the leading budget first."""
    main, twin = primary(record), likelihood(record)
    matches = record["setting"]["match"]
    found = [
        *(company_table(record, match, main) for match in matches),
        budgets_table(record, main),
        summary_table(record),
        *(matrix_table(record, kind, match, main) for kind in ("pair", "without") for match in matches),
        *(effects_table(record, "non_additivity", match, main) for match in matches),
        advice_table(record),
        *(effects_table(record, "null", match, main) for match in matches),
        noise_table(record),
        confusion_table(record),
        gaps_table(record),
        learning_rates_table(record),
        *(company_table(record, match, twin) for match in matches),
        budgets_table(record, twin),
        *(matrix_table(record, kind, match, twin) for kind in ("pair", "without") for match in matches),
        *(effects_table(record, "non_additivity", match, twin) for match in matches),
        *(effects_table(record, "null", match, twin) for match in matches),
    ]
    there = [t for t in found if t is not None]
    legend = LEGEND_ONE_SEED if len(record["setting"]["seeds"]) == 1 else LEGEND
    return [dataclasses.replace(t, notes=(legend, *t.notes)) if i == 0 else t for i, t in enumerate(there)]


def main_table(record: StudyRecord) -> Table | None:
    """The one that shows the study at a glance: the matrix of pairs, else leave one out, else the company table."""
    main, lead = primary(record), record["setting"]["match"][0]
    matrices = (matrix_table(record, kind, lead, main) for kind in ("pair", "without"))
    return next((t for t in matrices if t is not None), None) or company_table(record, lead, main)


def _render(found: Sequence[Table], format: str, above: Preface | None, width: int | None, color: bool | None) -> str:
    if format == "table":
        return terminal_text(found, above, width=width, color=color)
    if format == "markdown":
        return markdown_text(found, above)
    if format == "latex":
        return latex_text(found, above)
    if format == "html":
        return str(html_text(found, above))
    raise ValueError(f"format must be one of {', '.join(FORMATS)}. Got {format!r}.")


# Files for programs


def _json(value: Any) -> str:
    return visible(json.dumps(finite(value), indent=2, ensure_ascii=False)) + "\n"


def _csv(record: StudyRecord) -> str:
    seeds = record["setting"]["seeds"]
    head = [*EFFECT_COLUMNS, *SCORE_COLUMNS, *(f"seed_{s}" for s in seeds)]
    rows = [_effect_row(e) | _seed_values(e["per_seed"], seeds) for e in record["effects"]]
    rows += [_score_row(s) | _seed_values(s["per_seed"], seeds) for s in record["scores"]]
    return csv_lines(head, [[row.get(name) for name in head] for row in rows])


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
