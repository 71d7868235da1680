"""Lists of effects: those of one kind, and every comparison of a study."""

from __future__ import annotations

from collections.abc import Mapping

from multitask.interference.results.learned import unlearned_tasks
from multitask.interference.results.lookup import BUDGETS, confidence, effects_of, unit_of_metric
from multitask.interference.results.ranges import blind_effects
from multitask.interference.results.record import LIKELIHOOD, Effect, StudyRecord
from multitask.interference.tables.cells import (
    NO_CHANGE_NOTE,
    budget_name,
    defined,
    detectable_cell,
    effect_cells,
    effect_notes,
    key_of,
    measured_number,
    unit_of,
    verdict_cell,
)
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import percent, probability
from multitask.tables.table import Table

COMPARISONS = {
    "company": "joint − single",
    "pair": "pair − single",
    "without": "joint − without",
    "null": "copy − single (null)",
    "noise": "noise − single",
    "content": "joint − noise",
    "treatment": "treatment − joint",
    "treated": "treatment − single",
    "rate": "rate − without",
    "rate_change": "rate − joint",
    "dilution": "dilution C − I",
    "non_additivity": "joint − sum of pairs",
}
"""{kind of effect: which score minus which}"""


def effects_table(record: StudyRecord, kind: str, match: str | None, metrics: Mapping[str, str]) -> Table | None:
    """Effects of one kind: non-additivity, the null control, or joint training, in points or in nats."""
    effects = effects_of(record, kind, match, dict(metrics))
    if not effects:
        return None
    _, unit, measure = unit_of(metrics)
    aside = unlearned_tasks(record)
    rows = tuple(
        (
            Cell(e["task"]),
            *(
                (measured_number(e[v], unit_of_metric(e["metric"])[0]) for v in ("base", "score"))
                if kind == "company"
                else ()
            ),
            *effect_cells(e, aside),
            defined(probability(e["p"])),
            defined(probability(e["q"])),
            verdict_cell(e, aside),
        )
        for e in effects
    )
    columns = (
        Column("task", left=True),
        *((Column("single"), Column("joint")) if kind == "company" else ()),
        Column("Δ"),
        Column(f"{confidence(record)} interval"),
        Column("p", optional=3),
        Column("q", optional=2),
        Column("verdict", left=True, optional=1),
    )
    names = {
        "company": "Company: joint − single",
        "null": "Null control: a task with a disjoint copy of itself",
        "non_additivity": "Non-additivity: joint effect − sum of the pair effects",
    }
    notes = [*(_null_notes(record) if kind == "null" and not measure else ()), *effect_notes(effects, aside)]
    title = ", ".join(filter(None, (f"{names[kind]}, {measure}{unit}", budget_name(match))))
    return Table(title, columns, rows, tuple(notes), key_of(kind, match, metrics))


def _null_notes(record: StudyRecord) -> tuple[str, ...]:
    null = record["null"]
    if not null:
        return ()
    if not any(e["verdict"] for e in record["effects"] if e["kind"] == "null"):
        return ("Without verdicts there is no false-alarm rate.",)
    rate = percent(null["rate"]).text
    return (f"{null['alarms']} of {null['cells']} effects say gain or loss: a false-alarm rate of {rate}.",)


def all_effects_table(record: StudyRecord) -> Table:
    """Every comparison, a row each, in the record's order; the rest of an effect stands where it can be opened."""
    aside = unlearned_tasks(record)
    blind = {id(e) for e in blind_effects(record, record["effects"])}
    rows = tuple(_effect_row(e, aside, id(e) in blind) for e in record["effects"])
    columns = (
        *(Column(name, left=True) for name in ("task", "comparison", "companion")),
        *(Column(name, left=True, optional=1) for name in ("budget", "metric")),
        Column("verdict", left=True),
        *(Column(name, optional=2) for name in ("without", "with")),
        *(Column(name) for name in ("Δ", "low", "high")),
        Column("p", optional=4),
        Column("q"),
        Column("detectable", optional=4),
    )
    note = (
        f"Points for metrics, nats for {LIKELIHOOD}. q is corrected over the effects of a table (comparison, budget, "
        "metric)."
    )
    none = [NO_CHANGE_NOTE] if blind else []
    return Table("All effects", columns, rows, (note, *none, *effect_notes(record["effects"], aside)), "effects")


def _effect_row(e: Effect, aside: frozenset[str], blind: bool) -> tuple[Cell, ...]:
    digits, _ = unit_of_metric(e["metric"])
    two = e["base"] is not None or e["score"] is not None or e["kind"] not in ("dilution", "non_additivity")
    scores = [measured_number(v, digits) if two else Cell("") for v in (e["base"], e["score"])]
    return (
        Cell(e["task"]),
        Cell(COMPARISONS.get(e["kind"], e["kind"])),
        Cell(companion_words(e)),
        Cell(BUDGETS.get(e["match"] or "", "both")),
        Cell(e["metric"]),
        verdict_cell(e, aside),
        *scores,
        effect_cells(e, aside)[0]._replace(verdict=None),  # one mark a row, at the verdict
        *(measured_number(e[end], digits) for end in ("low", "high")),
        *(defined(probability(v)) for v in (e["p"], e["q"])),
        detectable_cell(e["detectable"], blind, digits),
    )


def companion_words(e: Effect) -> str:
    """Who was there besides."""
    return e["companion"] or {
        "company": "all others",
        "null": "a copy of itself",
        "noise": "all, shuffled",
        "content": "all others",
    }.get(e["kind"], "")
