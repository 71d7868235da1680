"""The tables beside the effects: tasks, scores, noise, formats, checkpoints, learning rates, advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multitask.interference.results.learned import learned, unlearned_tasks
from multitask.interference.results.lookup import BUDGETS, confidence, of_primary, primary, unit_of_metric, units_of
from multitask.interference.results.ranges import blind_tasks
from multitask.interference.results.record import Advice, StudyRecord
from multitask.interference.tables.cells import NO_CHANGE_NOTE, UNDEFINED, detectable_cell, measured_number
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import MISSING, change, number, percent, range_cell, tally
from multitask.tables.table import Table


def advice_table(record: StudyRecord) -> Table | None:
    """The tasks to train together and how far the evidence supports it; without advice, a sentence that says why."""
    advice = record["advice"]
    if advice is None:
        return (
            Table("Advice: which tasks to train together", (), (), (_no_advice(record),), "advice")
            if (record["effects"])
            else None
        )
    few = len(record["setting"]["seeds"]) < 3
    why = f"undefined: {len(record['setting']['seeds'])} seed{'s'[: len(record['setting']['seeds']) != 1]}"
    why = why if few else "undefined"
    rows = [
        (
            Cell(" + ".join(g["tasks"])),
            change(g["total"]),
            Cell("exact: trained alone", emphasis="quiet")
            if len(g["tasks"]) == 1
            else range_cell(g["low"], g["high"], undefined=why),
            tally(g["runs"]),
        )
        for g in advice["groups"]
    ]
    whole = range_cell(advice["low"], advice["high"], undefined=why)
    gain = change(advice["gain_over_joint"])
    rows.append(
        (Cell("all groups − one joint model"), Cell(UNDEFINED) if gain.text == MISSING else gain, whole, Cell(""))
    )
    columns = (
        Column("group", left=True, wrap=True),
        Column("total Δ"),
        Column(f"{confidence(record)} interval"),
        Column("runs", optional=1),
    )
    title = f"Advice: at most {advice['limit']} model{'s' if advice['limit'] > 1 else ''}"
    note = (
        "total Δ: against training each task of the group alone, summed points; its interval is not corrected for the "
        "group's being chosen. runs: trained models that it rests on."
    )
    return Table(title, columns, tuple(rows), (*_advice_sentences(record, advice), note), "advice")


def _advice_sentences(record: StudyRecord, advice: Advice) -> list[str]:
    said = [advice["sentence"]]
    aside = unlearned_tasks(record) & {t for g in advice["groups"] for t in g["tasks"]}
    if aside:
        said.append(f"It counts {', '.join(sorted(aside))}, which was not learned: better not followed.")
    return said


def _no_advice(record: StudyRecord) -> str:
    """Why there is none."""
    tasks = record["setting"]["tasks"]
    if len(tasks) < 2:
        return "No advice: there is one task."
    pairs = [e for e in of_primary(record, record["effects"]) if e["kind"] == "pair"]
    measured = {(e["task"], e["companion"]) for e in pairs}
    every = len(tasks) * (len(tasks) - 1)
    missing = [(t, u) for t in tasks for u in tasks if t != u and (t, u) not in measured]
    if missing:
        return (
            f"No advice: it takes the effect of every task on every other, and {len(missing):,} of {every:,} were not "
            "measured (--arms single,joint,pair measures them)."
        )
    return "No advice: too many effects of pairs are undefined, for a score has no value in one of the models."


_KNOWN = {True: Cell("yes"), False: Cell("no", emphasis="warning"), None: Cell("cannot be said", emphasis="quiet")}
"""Whether a task was learned."""


def tasks_table(record: StudyRecord) -> Table | None:
    """Which tasks, of which data."""
    if not record["tasks"]:
        return None
    rows = tuple(
        (
            Cell(t["name"]),
            Cell(t["unit"]),
            Cell(t["output"]),
            tally(t["rows"]),
            tally(t["validation"]),
            _KNOWN[learned(record, t["name"])],
            Cell(t["source"] + (" (generated)" if t["generated"] and "generated" not in t["source"] else "")),
            Cell(str(t["version"])),
        )
        for t in record["tasks"]
    )
    columns = (
        *(Column("task", left=True), Column("unit", left=True), Column("output", left=True, optional=2)),
        *(Column("rows"), Column("evaluated"), Column("learned", left=True)),
        *(Column("rows come from", left=True, optional=1, wrap=True), Column("version", left=True, optional=3)),
    )
    return Table("The tasks", columns, rows, (), "tasks")


def noise_table(record: StudyRecord) -> Table | None:
    """The changes of each task that this design can see."""
    if not record["tasks"]:
        return None
    one = len(record["setting"]["seeds"]) == 1
    margins = {e["task"]: e["margin"] for e in of_primary(record, record["effects"])}
    aside, blind = unlearned_tasks(record), blind_tasks(record)
    rows = tuple(
        (
            Cell(t["name"]),
            Cell(t["unit"]),
            tally(t["rows"]),
            tally(t["validation"]),
            measured_number(t["noise_floor"], 2),
            detectable_cell(t["detectable"], t["name"] in blind),
            number(margins.get(t["name"]), 2),
            number(t["baseline"]),
            range_cell(t["above_low"], t["above_high"], undefined=MISSING),
            Cell(t["baseline_name"] or MISSING),
        )
        for t in record["tasks"]
    )
    columns = (
        Column("task", left=True),
        Column("unit", left=True, optional=2),
        Column("rows", optional=4),
        Column("evaluated", optional=3),
        *(Column(h) for h in ("noise floor", "detectable", "margin", "baseline")),
        Column("above it", optional=2),
        Column("baseline answers", left=True, optional=1, wrap=True),
    )
    notes = [
        "noise floor: sd of the single score over seeds. detectable: the smallest Δ(t | M) that gets its verdict in "
        "this table, after correction, with 80 % probability. margin: half-width of the interval that counts as equal. "
        "above it: interval of single − baseline."
    ]
    if blind:
        notes.append(NO_CHANGE_NOTE)
    if one:
        notes.append(f"{UNDEFINED} undefined: 1 seed has no spread over seeds.")
    if aside:
        notes.append(f"not learned: {', '.join(sorted(aside))}, alone not above the baseline.")
    return Table("What this design can see, in points", columns, rows, tuple(notes), "noise")


def confusion_table(record: StudyRecord) -> Table | None:
    """Label tasks by ranking their labels and by free generation."""
    if not record["confusion"]:
        return None
    fields = [("ranked_single", "ranked single"), ("ranked_joint", "ranked joint")]
    fields += [("generated_single", "generated single"), ("generated_joint", "generated joint")]
    normalised = any(
        c["normalised_single"] is not None or c["normalised_joint"] is not None for c in record["confusion"]
    )
    if normalised:
        fields += [("normalised_single", "normalised single"), ("normalised_joint", "normalised joint")]
    rows = tuple(
        (
            Cell(c["task"]),
            Cell(BUDGETS.get(c["match"], c["match"])),
            change(c["format_part"]),
            *(number(_field(c, name)) for name, _ in fields),
            percent(c["foreign_single"]),
            percent(c["foreign_joint"]),
        )
        for c in record["confusion"]
    )
    columns = (
        Column("task", left=True),
        Column("budget", left=True, optional=2),
        Column("format part"),
        *(Column(head, short=_initials(head), optional=1 if "normalised" in head else 0) for _, head in fields),
        Column("foreign single", short="f. single", optional=1),
        Column("foreign joint", short="f. joint", optional=1),
    )
    note = (
        "format part = (generated − ranked) joint − (generated − ranked) single: what is only the wrong task's "
        "vocabulary. foreign: share of generated strings that are no label of the task."
        + (" normalised: ranked by log-probability per token." if normalised else "")
    )
    return Table("Format confusion of label tasks, in points", columns, rows, (note,), "confusion")


def _field(values: Mapping[str, Any], name: str) -> float | None:
    found: float | None = values[name]
    return found


def _initials(head: str) -> str:
    """A head that fits.

    >>> _initials("generated joint")
    'g. joint'
    """
    return f"{head[0]}. {head.split()[1]}"


def gaps_table(record: StudyRecord) -> Table | None:
    """The loss by one deployed checkpoint against each task's own."""
    if not record["gaps"]:
        return None
    rows = tuple(
        (Cell(g["task"]), number(g["deployed"]), number(g["per_task"]), number(g["gap"])) for g in record["gaps"]
    )
    columns = (Column("task", left=True), Column("deployed"), Column("per task"), Column("gap"))
    note = "The joint run's one deployed checkpoint against the best one for each task, chosen on the selection split."
    return Table("One checkpoint for all tasks, in points", columns, rows, (note,), "gaps")


def learning_rates_table(record: StudyRecord) -> Table | None:
    """The trials of the learning-rate search."""
    if not record["learning_rates"]:
        return None
    rows = tuple(
        (
            Cell(r["arm"]),
            Cell(f"{r['lr']:g}", r["lr"]),
            measured_number(r["score"], 2),
            Cell("chosen" if r["chosen"] else "", emphasis="strong" if r["chosen"] else ""),
        )
        for r in record["learning_rates"]
    )
    columns = (Column("arm", left=True), Column("learning rate"), Column("score"), Column("", left=True))
    note = "score: mean points on the selection split. Every type of arm was given the same trials."
    return Table("Learning rates that were tried", columns, rows, (note,), "learning-rates", grouped=True)


def scores_table(record: StudyRecord) -> Table | None:
    """The primary score of every arm and seed."""
    seeds = record["setting"]["seeds"]
    found = of_primary(record, record["scores"])
    if not found:
        return None
    columns = (
        *(Column(name, left=True) for name in ("task", "arm", "companions", "budget")),
        *map(Column, ("mean", "sd", *(f"seed {seed}" for seed in seeds))),
    )
    rows = tuple(
        (
            Cell(s["task"]),
            Cell(s["arm"]),
            Cell(", ".join(s["companions"])),
            Cell(BUDGETS.get(s["match"] or "", "")),
            *(measured_number(v, unit_of_metric(s["metric"])[0] + 1) for v in (s["mean"], s["sd"], *s["per_seed"])),
            *(number(None) for _ in seeds[len(s["per_seed"]) :]),
        )
        for s in found
    )
    return Table(f"The score of every arm and seed, {units_of(primary(record))}", columns, rows)
