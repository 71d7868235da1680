"""All tables of a study, from its record; nothing is computed anew. `tables` renders them.

Words
    lead    the budget that the tables lead with: the first of `setting.match`
    twin    the table of the targets' log-likelihood that stands beside the one of the metrics
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from multitask.interference.cells import (
    Cell,
    Column,
    Table,
    budget_name,
    change,
    count,
    effect_cells,
    number,
    percent,
    probability,
    spread,
    unit_of,
    verdict_cell,
)
from multitask.interference.lookup import MISSING, confidence, effects_of, likelihood, plain, primary
from multitask.interference.record import LIKELIHOOD, Exposure, Score, StudyRecord
from multitask.interference.side_tables import (
    advice_table,
    confusion_table,
    gaps_table,
    learning_rates_table,
    noise_table,
    summary_table,
)

ONE_SEED = "1 seed: evaluation noise only"
"""What stands above every table of a study with one seed."""
LEGEND = "▲ gain, ▼ loss, = equal (the interval lies inside the margin), no mark: no evidence; · not measured."
LEGEND_ONE_SEED = "· not measured; one seed gives no verdicts."


class Preface(NamedTuple):
    """What stands above every table."""

    budget: str
    warnings: list[str]
    notes: list[str]


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
    """The one that shows the study at a glance: the matrix of pairs, else leave one out, else what company does."""
    main, lead = primary(record), record["setting"]["match"][0]
    matrices = (matrix_table(record, kind, lead, main) for kind in ("pair", "without"))
    return next((t for t in matrices if t is not None), None) or company_table(record, lead, main)


def company_table(record: StudyRecord, match: str, metrics: Mapping[str, str]) -> Table | None:
    """What training with all the others does to each task: Δ(t | M) = joint − single."""
    effects = effects_of(record, "company", match, dict(metrics))
    if not effects:
        return None
    if LIKELIHOOD in metrics.values():  # what an arm was given stands in the table of the metrics
        return effects_table(record, "company", match, metrics)
    digits, unit, _ = unit_of(metrics)
    rows, notes = [], []
    for e in effects:
        single = _single(record, e["task"], e["metric"], match, _joint_budget(record, e["task"]))
        alone, joint = _exposures(record, e["task"], match)
        invalid = None if alone is None or joint is None else 100 * (joint["invalid"] - alone["invalid"])
        seen = (joint["input_tokens"] + joint["target_tokens"]) if joint else None
        if alone and joint and abs(alone["examples"] - joint["examples"]) > 0.005 * joint["examples"]:
            notes.append(f"{e['task']} alone saw {alone['examples']:,.0f} examples, {alone['epochs']:,.1f} epochs.")
        rows.append(
            (
                Cell(e["task"]),
                Cell(e["metric"]),
                spread(e["base"], single["sd"] if single else None, digits),
                number(e["score"], digits),
                *effect_cells(e, digits),
                probability(e["p"]),
                probability(e["q"]),
                verdict_cell(e),
                count(joint["examples"] if joint else None),
                number(joint["epochs"] if joint else None),
                count(seen),
                change(invalid, unit=" %"),
            )
        )
    columns = (
        Column("task", left=True),
        Column("metric", left=True),
        Column("single"),
        Column("joint"),
        Column("Δ"),
        Column(f"{confidence(record)} interval"),
        Column("p", optional=True),
        Column("q"),
        Column("verdict", left=True),
        Column("examples", short="ex."),
        Column("epochs", short="ep."),
        Column("tokens", short="tok."),
        Column("invalid", short="inv."),
    )
    explained = (
        "single: mean ± sd over seeds. examples, epochs, tokens (input + target): of the task in the joint run. "
        "invalid: change in the share of outputs that are not of the kind asked for, joint − single."
    )
    title = f"Company: joint − single, {unit}, {budget_name(match)}"
    return Table(title, columns, tuple(rows), (explained, *notes))


def _joint_budget(record: StudyRecord, task: str) -> float | None:
    return next((s["budget"] for s in record["scores"] if s["task"] == task and s["arm"] == "joint"), None)


def _single(record: StudyRecord, task: str, metric: str, match: str, budget: float | None) -> Score | None:
    """The score of the single arm that an effect was measured against; at equal compute that of the same `budget`."""
    found = [
        s
        for s in record["scores"]
        if (s["task"], s["arm"], s["metric"]) == (task, "single", metric) and s["match"] in (match, None)
    ]
    exact = [s for s in found if budget is not None and abs(s["budget"] - budget) < 1e-6]
    # At equal compute a task may have several single arms: one as large as a pair, one as large as the joint run.
    return (exact or found)[0] if exact or len(found) == 1 else None


def _exposures(record: StudyRecord, task: str, match: str) -> tuple[Exposure | None, Exposure | None]:
    """Of the single arm that matches the joint run under this budget, and of the joint run."""
    found = [x for x in record["exposure"] if x["task"] == task]
    joint = next((x for x in found if x["arm"] == "joint"), None)
    alone = [x for x in found if x["arm"] == "single" and x["match"] in (match, None)]
    if match == "steps" and joint is not None:
        alone = [x for x in alone if abs(x["budget"] - joint["budget"]) < 1e-6]
    return (alone[0] if alone else None), joint


def budgets_table(record: StudyRecord, metrics: Mapping[str, str]) -> Table | None:
    """Exposure, compute and dilution side by side, where both budgets were matched."""
    if not {"examples", "steps"} <= set(record["setting"]["match"]):
        return None
    digits, unit, measure = unit_of(metrics)
    parts = [
        {e["task"]: e for e in effects_of(record, kind, match, dict(metrics))}
        for kind, match in (("company", "examples"), ("company", "steps"), ("dilution", None))
    ]
    names = [task for task in metrics if any(task in part for part in parts)]
    if not names:
        return None
    rows = tuple((Cell(t), *(c for part in parts for c in effect_cells(part.get(t), digits))) for t in names)
    heads = ("exposure I", "compute C", "dilution D")
    columns = (Column("task", left=True), *(Column(n) for h in heads for n in (h, f"{h[-1]} interval")))
    note = (
        "I: joint − single at equal examples. C: joint − single at equal steps. "
        "D = C − I: the price of seeing fewer of one's own examples, a matter of mixing rates."
    )
    return Table(f"Exposure, compute and dilution: {measure}{unit}", columns, rows, (note,))


def matrix_table(record: StudyRecord, kind: str, match: str, metrics: Mapping[str, str]) -> Table | None:
    """Row: the task evaluated; column: the companion, or in leave-one-out the task whose presence is judged."""
    effects = effects_of(record, kind, match, dict(metrics))
    if not effects:
        return None
    digits, unit, measure = unit_of(metrics)
    by = {(e["task"], e["companion"] or ""): e for e in effects}
    own = record["setting"]["per_step"]

    def cell(task: str, other: str) -> Cell:
        if task == other:
            # One single arm stands for all pairs only if they are all of one size.
            sizes = {own.get(task, 0.0) + own.get(u, 0.0) for t, u in by if t == task} if kind == "pair" else set()
            single = _single(record, task, metrics[task], match, sizes.pop() if len(sizes) == 1 else None)
            if single is None or single["mean"] is None:
                return Cell(MISSING)
            sd = "" if single["sd"] is None else f"± {plain(single['sd'], digits)}"
            return number(single["mean"], digits)._replace(detail=sd)
        found, bounds = effect_cells(by.get((task, other)), digits)
        return found._replace(detail="" if bounds.text == MISSING else bounds.text)

    rows = tuple((Cell(task), *(cell(task, other) for other in metrics)) for task in metrics)
    columns = (Column("task", left=True), *(Column(task) for task in metrics))
    if kind == "pair":
        name = "Pairs: Δ(task | {task, column})"
        note = "Row: the task evaluated. Column: its one companion. Diagonal: the single score, ± sd over seeds."
    else:
        name = "Leave one out: joint − joint without the column's task"
        note = (
            "Row: the task evaluated. Column: the task whose presence among all is judged; negative: it hurts. "
            "Diagonal: the single score, ± sd over seeds."
        )
    return Table(f"{name}, {measure}{unit}, {budget_name(match)}", columns, rows, (note,))


def effects_table(record: StudyRecord, kind: str, match: str, metrics: Mapping[str, str]) -> Table | None:
    """Effects of one kind as a list: non-additivity, the null control, and company in the twin."""
    effects = effects_of(record, kind, match, dict(metrics))
    if not effects:
        return None
    digits, unit, measure = unit_of(metrics)
    rows = tuple(
        (
            Cell(e["task"]),
            *((number(e["base"], digits), number(e["score"], digits)) if kind == "company" else ()),
            *effect_cells(e, digits),
            probability(e["p"]),
            probability(e["q"]),
            verdict_cell(e),
        )
        for e in effects
    )
    columns = (
        Column("task", left=True),
        *((Column("single"), Column("joint")) if kind == "company" else ()),
        Column("Δ"),
        Column(f"{confidence(record)} interval"),
        Column("p", optional=True),
        Column("q"),
        Column("verdict", left=True),
    )
    names = {
        "company": "Company: joint − single",
        "null": "Null control: a task with a disjoint copy of itself",
        "non_additivity": "Non-additivity: joint effect − sum of the pair effects",
    }
    notes = _null_notes(record) if kind == "null" and not measure else ()
    return Table(f"{names[kind]}, {measure}{unit}, {budget_name(match)}", columns, rows, notes)


def _null_notes(record: StudyRecord) -> tuple[str, ...]:
    null = record["null"]
    if not null:
        return ()
    rate = percent(null["rate"]).text
    return (f"{null['alarms']} of {null['cells']} cells say gain or loss: a false-alarm rate of {rate}.",)
