"""What any company does to a task: the noise control, and how much of each update is the task's own."""

from __future__ import annotations

from collections.abc import Mapping

from multitask.interference.results.learned import unlearned_tasks
from multitask.interference.results.lookup import confidence, effects_of
from multitask.interference.results.record import StudyRecord, Update
from multitask.interference.tables.cells import budget_name, effect_cells, effect_notes, key_of, unit_of
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import number, percent
from multitask.tables.table import Table


def noise_control_table(record: StudyRecord, match: str, metrics: Mapping[str, str]) -> Table | None:
    """Company = noise + content, side by side; None without the noise control."""
    parts = [
        {e["task"]: e for e in effects_of(record, kind, at, dict(metrics))}
        for kind, at in (("company", match), ("noise", match), ("content", None))
    ]
    names = [task for task in metrics if task in parts[1]]
    if not names:
        return None
    _, unit, measure = unit_of(metrics)
    aside = unlearned_tasks(record)
    rows = tuple((Cell(t), *(c for part in parts for c in effect_cells(part.get(t), aside))) for t in names)
    heads = ("company", "noise", "content")
    columns = (Column("task", left=True), *(Column(n) for h in heads for n in (h, f"{confidence(record)} of {h}")))
    note = (
        "noise: joint − single where the other tasks' targets are shuffled, so that they have the same texts, lengths "
        "and steps and nothing to teach. content: joint − that. company is their sum."
    )
    title = ", ".join(filter(None, (f"Noise control, {measure}{unit}", budget_name(match))))
    notes = (note, *effect_notes([e for part in parts for e in part.values()], aside))
    return Table(title, columns, rows, notes, key_of("noise_control", match, metrics))


def updates_table(record: StudyRecord) -> Table | None:
    """Gradient norms and clipping, alone and in company."""
    found = [u for u in record["updates"] if u["arm"] in ("single", "joint", "noise")]
    if not any(u["arm"] != "single" for u in found):
        return None
    rows = tuple(
        (
            Cell(u["task"]),
            Cell(_arm(u)),
            number(u["gradient_norm"], 2),
            percent(u["clipped"], 0) if u["clipped"] is not None else number(None),
            number(u["clip_factor"], 2),
            number(u["own_norm"], 2),
            percent(u["own_part"], 0) if u["own_part"] is not None else number(None),
            number(None if None in (u["own_norm"], u["clip_factor"]) else _applied(u), 2),
        )
        for u in found
    )
    columns = (
        *(Column("task", left=True), Column("trained", left=True), Column("gradient", optional=2)),
        *(Column("clipped steps"), Column("kept", optional=1), Column("own gradient", optional=3)),
        *(Column("own part"), Column("own, clipped")),
    )
    note = (
        "Means over logged steps and seeds. gradient: norm of the whole one. kept: what clipping leaves of it. own "
        "gradient: norm of the task's own term. own part: its share of the update's direction, 1 alone; a task that "
        "is pulled back has less than 0. own, clipped: own gradient × kept, what reaches the optimiser."
    )
    title = "How much of each update is the task's own"
    return Table(title, columns, rows, (note,), "updates", grouped=True, keys=2)


def _arm(u: Update) -> str:
    steps = ", equal compute" if u["arm"] == "single" and u["match"] == "steps" else ""
    return {"single": f"alone{steps}", "joint": "with all", "noise": "with all, shuffled"}[u["arm"]]


def _applied(u: Update) -> float:
    return (u["own_norm"] or 0.0) * (u["clip_factor"] or 0.0)
