"""A study's tables in an order, and the study as text: terminal, Markdown, CSV, JSON, LaTeX, HTML.

CSV is one tidy table: a row an effect with all of its fields and a column a seed, then a row a score with
kind `score`. JSON is the record itself. The others are the same tables with the budget, warnings and notes above them.

Words
    lead    the budget that the tables lead with: the first of `setting.match`
    nats    the table of the targets' log-likelihood that stands beside the one of the metrics
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from multitask.interference.results.lookup import likelihood, primary
from multitask.interference.results.record import Effect, Score, StudyRecord
from multitask.interference.tables.background import (
    advice_table,
    confusion_table,
    gaps_table,
    learning_rates_table,
    noise_table,
)
from multitask.interference.tables.company import budgets_table, company_table, summary_table
from multitask.interference.tables.control import noise_control_table, updates_table
from multitask.interference.tables.effects import effects_table
from multitask.interference.tables.matrices import matrix_table
from multitask.interference.tables.treatments import front_table, sweeps_table, treated_table, treatments_table
from multitask.storage.json_files import finite
from multitask.tables.cells import Preface
from multitask.tables.csv import csv_lines
from multitask.tables.render import Format, render_tables
from multitask.tables.table import Table
from multitask.terminal.escaping import visible

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
    return render_tables(tables(record), format, preface(record), width=width, color=color)


def preface(record: StudyRecord) -> Preface:
    """The budget line, every warning and every note; with one seed the warning that says what that is worth."""
    warnings = list(record["warnings"])
    if len(record["setting"]["seeds"]) == 1 and not any(ONE_SEED in w for w in warnings):
        warnings.insert(0, f"{ONE_SEED}.")
    return Preface(record["budget"], warnings, list(record["notes"]))


def tables(record: StudyRecord) -> list[Table]:
    """All tables that the study has the numbers for, the company table of the leading budget first."""
    main, nats = primary(record), likelihood(record)
    matches = record["setting"]["match"]
    found = [
        *(company_table(record, match, main) for match in matches),
        budgets_table(record, main),
        *(noise_control_table(record, match, main) for match in matches),
        updates_table(record),
        summary_table(record),
        treatments_table(record, main),
        *(treated_table(record, match, main) for match in matches),
        front_table(record),
        sweeps_table(record),
        *(matrix_table(record, kind, match, main) for kind in ("pair", "without") for match in matches),
        *(effects_table(record, "non_additivity", match, main) for match in matches),
        advice_table(record),
        *(effects_table(record, "null", match, main) for match in matches),
        noise_table(record),
        confusion_table(record),
        gaps_table(record),
        learning_rates_table(record),
    ]
    in_nats = [
        *(company_table(record, match, nats) for match in matches),
        budgets_table(record, nats),
        treatments_table(record, nats),
        *(noise_control_table(record, match, nats) for match in matches),
        *(matrix_table(record, kind, match, nats) for kind in ("pair", "without") for match in matches),
        *(effects_table(record, "non_additivity", match, nats) for match in matches),
        *(effects_table(record, "null", match, nats) for match in matches),
    ]
    there = [t for t in (*found, *(in_nats if nats != main else ())) if t is not None]
    legend = LEGEND_ONE_SEED if len(record["setting"]["seeds"]) == 1 else LEGEND
    return [dataclasses.replace(t, notes=(legend, *t.notes)) if i == 0 else t for i, t in enumerate(there)]


def main_table(record: StudyRecord) -> Table | None:
    """The one that shows the study at a glance: the matrix of pairs, else leave one out, else the company table."""
    main, lead = primary(record), record["setting"]["match"][0]
    matrices = (matrix_table(record, kind, lead, main) for kind in ("pair", "without"))
    return next((t for t in matrices if t is not None), None) or company_table(record, lead, main)


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
