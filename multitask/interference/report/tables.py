"""The page's tables, by the question that they belong to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from markupsafe import Markup

from multitask.interference.results.lookup import likelihood, primary
from multitask.interference.results.record import StudyRecord
from multitask.interference.tables.background import (
    advice_table,
    confusion_table,
    gaps_table,
    learning_rates_table,
    scores_table,
    tasks_table,
)
from multitask.interference.tables.company import budgets_table, exposure_table, summary_table
from multitask.interference.tables.control import noise_control_table, updates_table
from multitask.interference.tables.effects import all_effects_table, effects_table
from multitask.interference.tables.treatments import front_table, sweeps_table, treated_table, treatments_table
from multitask.pages import scroll
from multitask.tables.cells import visible_in
from multitask.tables.html import html_notes, html_table
from multitask.tables.table import Table


def by_place(record: StudyRecord, opened: Mapping[int, str]) -> dict[str, list[Markup]]:
    """{place of the page: its tables}; a place may have none.

    Args:
        record: The study.
        opened: {id of an effect: where it can be opened}
    """
    metrics, nats = primary(record), likelihood(record)
    matches = record["setting"]["match"]
    found: dict[str, list[Table | None]] = {
        "null": [effects_table(record, "null", m, metrics) for m in matches],
        "twin": [effects_table(record, kind, m, nats) for kind in ("company", "null") for m in matches],
        "summary": [summary_table(record)],
        "dilution": [
            budgets_table(record, metrics),
            *(noise_control_table(record, m, metrics) for m in matches),
            updates_table(record),
        ],
        "treatments": [
            treatments_table(record, metrics),
            *(treated_table(record, m, metrics) for m in matches),
            front_table(record),
        ],
        "sweeps": [sweeps_table(record)],
        "confusion": [confusion_table(record)],
        "gaps": [gaps_table(record)],
        "rates": [learning_rates_table(record)],
        "exposure": [exposure_table(record)],
        "scores": [scores_table(record)],
        "tasks": [tasks_table(record)],
    }
    made = {place: [shown(t) for t in tables if t is not None] for place, tables in found.items()}
    advice = advice_table(record)
    # The sentence first, then what it rests on.
    lead = [Markup('<p class="lead">{}</p>').format(visible_in(advice.notes[0]))] if advice else []
    made["advice"] = [*lead, shown(dataclasses.replace(advice, notes=advice.notes[1:]))] if advice else []
    effects = all_effects_table(record)
    links = {(i, 0): f"#{opened[id(e)]}" for i, e in enumerate(record["effects"]) if id(e) in opened}
    # Without keys: they are a third of a table of a thousand effects.
    table = html_table(effects, id="effects", links=links, keys=False)
    made["effects"] = [scroll(table, effects.title) + html_notes(effects)] if effects.rows else []
    return made


def shown(table: Table) -> Markup:
    """A table in its box, then its notes; without rows the notes alone."""
    return scroll(html_table(table), table.title) + html_notes(table) if table.rows else html_notes(table)
