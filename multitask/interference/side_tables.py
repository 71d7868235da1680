"""The tables beside the effects: summary, advice, noise, format confusion, checkpoints, learning rates; a run's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multitask.interference.cells import Cell, Column, Table, change, number, percent, tally
from multitask.interference.lookup import BUDGETS, MISSING, confidence, interval, primary
from multitask.interference.record import StudyRecord


def summary_table(record: StudyRecord) -> Table | None:
    """Each budget's company table in one line."""
    if not record["summary"]:
        return None
    rows, notes = [], []
    for s in record["summary"]:
        judged = s["gains"] + s["losses"] + s["equals"] + s["no_evidence"] > 0
        rows.append(
            (
                Cell(BUDGETS.get(s["match"], s["match"])),
                change(s["mean_delta"]),
                Cell(interval(s["low"], s["high"], 1), s["low"]),
                *(tally(s[name] if judged else None) for name in ("gains", "losses", "equals", "no_evidence")),
                change(s["delta_m"], unit=" %"),
                number(s["split_half"], 2),
            )
        )
        if s["delta_m_left_out"]:
            left = ", ".join(s["delta_m_left_out"])
            notes.append(
                f"Δm at {BUDGETS.get(s['match'], s['match'])} leaves out {left}: the single score is not above 0."
            )
        if s["mean_left_out"]:
            left = ", ".join(s["mean_left_out"])
            notes.append(
                f"mean Δ at {BUDGETS.get(s['match'], s['match'])} leaves out {left}: the score is undefined in a model."
            )
    columns = (
        Column("budget", left=True),
        Column("mean Δ"),
        Column(f"{confidence(record)} interval"),
        *(Column(n) for n in ("gains", "losses", "equal", "no evidence", "Δm", "split-half")),
    )
    explained = "mean Δ: over tasks, in points. split-half: reliability of the pair matrix over seeds, at most 1."
    return Table("Summary: what company does to the tasks", columns, tuple(rows), (explained, *notes))


def advice_table(record: StudyRecord) -> Table | None:
    """The tasks to train together, and the sentence that says how far the evidence supports it."""
    advice = record["advice"]
    if advice is None:
        return None
    rows = [
        (
            Cell(" + ".join(g["tasks"])),
            change(g["total"]),
            Cell(interval(g["low"], g["high"], 1), g["low"]),
            tally(g["runs"]),
        )
        for g in advice["groups"]
    ]
    whole = Cell(interval(advice["low"], advice["high"], 1), advice["low"])
    rows.append((Cell("all groups − one joint model"), change(advice["gain_over_joint"]), whole, Cell("")))
    columns = (Column("group", left=True), Column("total Δ"), Column(f"{confidence(record)} interval"), Column("runs"))
    title = f"Advice: at most {advice['limit']} model{'s' if advice['limit'] > 1 else ''}"
    note = (
        "total Δ: against training each task of the group alone, summed points; its interval is not corrected for the "
        "group's being chosen. runs: trained models that it rests on."
    )
    return Table(title, columns, tuple(rows), (advice["sentence"], note))


def noise_table(record: StudyRecord) -> Table | None:
    """What this design can see of each task."""
    if not record["tasks"]:
        return None
    margins = {e["task"]: e["margin"] for e in record["effects"] if e["metric"] == primary(record).get(e["task"])}
    rows = tuple(
        (
            Cell(t["name"]),
            Cell(t["unit"]),
            tally(t["rows"]),
            tally(t["validation"]),
            number(t["noise_floor"], 2),
            number(t["detectable"]),
            number(margins.get(t["name"]), 2),
            number(t["baseline"]),
            Cell(t["baseline_name"] or MISSING),
        )
        for t in record["tasks"]
    )
    heads = ("rows", "evaluated", "noise floor", "detectable", "margin", "baseline")
    columns = (
        Column("task", left=True),
        Column("unit", left=True),
        *(Column(h) for h in heads),
        Column("baseline answers", left=True, optional=True),
    )
    note = (
        "noise floor: sd of the single score over seeds. detectable: the smallest Δ(t | M) that this design finds with "
        "80 % probability. margin: half-width of the interval that counts as equal."
    )
    return Table("What this design can see, in points", columns, rows, (note,))


def confusion_table(record: StudyRecord) -> Table | None:
    """Label tasks by ranking their labels and by free generation."""
    if not record["confusion"]:
        return None
    fields = [("ranked_single", "ranked, single"), ("ranked_joint", "ranked, joint")]
    fields += [("generated_single", "generated, single"), ("generated_joint", "generated, joint")]
    normalised = any(
        c["normalised_single"] is not None or c["normalised_joint"] is not None for c in record["confusion"]
    )
    if normalised:
        fields += [("normalised_single", "normalised, single"), ("normalised_joint", "normalised, joint")]
    rows = tuple(
        (
            Cell(c["task"]),
            Cell(c["match"]),
            change(c["format_part"]),
            *(number(_field(c, name)) for name, _ in fields),
            percent(c["foreign_single"]),
            percent(c["foreign_joint"]),
        )
        for c in record["confusion"]
    )
    columns = (
        Column("task", left=True),
        Column("matched", left=True),
        Column("format part"),
        *(Column(head, short=_initials(head)) for _, head in fields),
        Column("foreign, single", short="f. single"),
        Column("foreign, joint", short="f. joint"),
    )
    note = (
        "format part = (generated − ranked) joint − (generated − ranked) single: what is only the wrong task's "
        "vocabulary. foreign: share of generated strings that are no label of the task."
        + (" normalised: ranked by log-probability per token." if normalised else "")
    )
    return Table("Format confusion of label tasks, in points", columns, rows, (note,))


def _field(values: Mapping[str, Any], name: str) -> float | None:
    found: float | None = values[name]
    return found


def _initials(head: str) -> str:
    """A head that fits.

    >>> _initials("generated, joint")
    'g. joint'
    """
    return f"{head[0]}. {head.split(', ')[1]}"


def gaps_table(record: StudyRecord) -> Table | None:
    """What one deployed checkpoint loses against each task's own."""
    if not record["gaps"]:
        return None
    rows = tuple(
        (Cell(g["task"]), number(g["deployed"]), number(g["per_task"]), number(g["gap"])) for g in record["gaps"]
    )
    columns = (Column("task", left=True), Column("deployed"), Column("per task"), Column("gap"))
    note = "The joint run's one deployed checkpoint against the best one for each task, chosen on the selection split."
    return Table("One checkpoint for all tasks, in points", columns, rows, (note,))


def learning_rates_table(record: StudyRecord) -> Table | None:
    """The trials of the learning-rate search."""
    if not record["learning_rates"]:
        return None
    rows = tuple(
        (Cell(r["arm"]), Cell(f"{r['lr']:g}", r["lr"]), number(r["score"], 2), Cell("chosen" if r["chosen"] else ""))
        for r in record["learning_rates"]
    )
    columns = (Column("arm", left=True), Column("learning rate"), Column("score"), Column("", left=True))
    note = "score: mean points on the selection split. Every type of arm was given the same trials."
    return Table("Learning rates that were tried", columns, rows, (note,))


def run_table(
    scores: Mapping[str, Mapping[str, float | None]], baselines: Mapping[str, Mapping[str, Any]] | None = None
) -> Table:
    """A run's metrics.json beside its baselines.json: a row a task and metric, in each metric's own unit."""
    rows = []
    for task, metrics in scores.items():
        base = (baselines or {}).get(task, {})
        for metric, value in metrics.items():
            other = base.get(metric)
            over = value - other if value is not None and other is not None else None
            answers = base.get("answers") or MISSING if other is not None else MISSING
            rows.append(
                (Cell(task), Cell(metric), number(value, 3), number(other, 3), change(over, 3), Cell(str(answers)))
            )
    columns = (
        Column("task", left=True),
        Column("metric", left=True),
        Column("score"),
        Column("baseline"),
        Column("difference"),
        Column("baseline answers", left=True),
    )
    return Table("Scores", columns, tuple(rows))
