"""Ways of training together side by side, and the joint arm at other rates of a companion."""

from __future__ import annotations

from collections.abc import Mapping

from multitask.interference.results.learned import unlearned_tasks
from multitask.interference.results.lookup import confidence, unit_of_metric
from multitask.interference.results.record import Effect, StudyRecord, TreatmentRecord
from multitask.interference.results.treatment_words import seen
from multitask.interference.tables.cells import budget_name, defined, effect_cells, effect_notes, key_of, unit_of
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import MISSING, change, range_cell, tally
from multitask.tables.table import Table
from multitask.terminal.counting import duration

CHOSEN = "groups: the grouping was suggested by the pairs' scores on these very rows and seeds, which favours it."
SIMPLE = "simple: ways without a method of their own, which critics found to match the others; marked ○."


def treatments_table(record: StudyRecord, metrics: Mapping[str, str]) -> Table | None:
    """Δ of each task against the plain joint arm; a column a treatment, its cost under the tasks."""
    return _side_by_side(record, "treatment", None, metrics, "Treatments: Δ against plain joint training")


def treated_table(record: StudyRecord, match: str, metrics: Mapping[str, str]) -> Table | None:
    """The same against each task alone, the plain joint arm first."""
    return _side_by_side(record, "treated", match, metrics, "Treatments: Δ against each task alone")


def _side_by_side(
    record: StudyRecord, kind: str, match: str | None, metrics: Mapping[str, str], title: str
) -> Table | None:
    names = [t["name"] for t in record["treatments"]]
    kinds = {(kind, match), *({("company", match)} if kind == "treated" else ())}
    effects = [
        e for e in record["effects"] if (e["kind"], e["match"]) in kinds and e["metric"] == metrics.get(e["task"])
    ]
    by = {(e["task"], e["companion"] or record["treatments"][0]["name"]): e for e in effects} if names else {}
    shown = [name for name in names if any((task, name) in by for task in metrics)]
    if not any(e["kind"] == kind for e in effects) or not shown:
        return None
    _, unit, measure = unit_of(metrics)
    aside = unlearned_tasks(record)

    def cell(effect: Effect | None) -> Cell:
        found, bounds = effect_cells(effect, aside)
        return found._replace(detail="" if bounds.text == MISSING else bounds.text)

    rows = [(Cell(task), *(cell(by.get((task, name))) for name in shown)) for task in metrics]
    of = {t["name"]: t for t in record["treatments"]}
    nats = bool(measure)
    if not nats:
        rows += [
            (Cell("wall time", emphasis="quiet"), *(_time(of[name]) for name in shown)),
            (Cell("memory", emphasis="quiet"), *(_memory(of[name]) for name in shown)),
        ]
    columns = (Column("task", left=True), *(Column(_head(of[name])) for name in shown))
    notes = [] if nats else [SIMPLE] if any(t["simple"] for t in of.values()) else []
    if not nats and any(t["kind"] == "groups" for t in of.values()):
        notes.append(CHOSEN)
    full = ", ".join(filter(None, (title, f"{measure}{unit}", budget_name(match))))
    return Table(full, columns, tuple(rows), (*notes, *effect_notes(effects, aside)), key_of(kind, match, metrics))


def _head(treatment: TreatmentRecord) -> str:
    return f"{treatment['name']} ○" if treatment["simple"] else treatment["name"]


def _time(treatment: TreatmentRecord) -> Cell:
    seconds = treatment["seconds"]
    return Cell(MISSING) if seconds is None else Cell(duration(seconds), seconds, emphasis="quiet")


def _memory(treatment: TreatmentRecord) -> Cell:
    size = treatment["memory_mb"]
    return Cell(MISSING) if size is None else Cell(f"{size:,.0f} MB", size, emphasis="quiet")


def front_table(record: StudyRecord) -> Table | None:
    """Each treatment over all tasks: mean, worst task, whether it is on the front, and its price."""
    if not record["treatments"]:
        return None
    rows = tuple(
        (
            Cell(_head(t), emphasis="strong" if t["front"] else ""),
            defined(change(t["mean"])),
            range_cell(t["mean_low"], t["mean_high"], undefined="undefined"),
            Cell("") if i == 0 else defined(change(t["mean_over_joint"], verdict=t["over_verdict"])),
            Cell("") if i == 0 else range_cell(t["over_low"], t["over_high"], undefined="undefined"),
            defined(change(t["worst"])),
            Cell(t["worst_task"] or MISSING),
            Cell("front" if t["front"] else "", emphasis="strong"),
            tally(t["models"]),
            _time(t),
            _memory(t),
            Cell(t["says"]),
        )
        for i, t in enumerate(record["treatments"])
    )
    level = confidence(record)
    columns = (
        Column("treatment", left=True),
        Column("mean Δ"),
        Column(f"{level} interval", optional=3),
        Column("over joint"),
        Column(f"{level} of over joint"),
        Column("worst Δ"),
        Column("worst task", left=True, optional=4),
        Column("front", left=True),
        Column("models", optional=6),
        Column("wall time", optional=2),
        Column("memory", optional=5),
        Column("what differs from joint", left=True, optional=1, wrap=True),
    )
    front = [t["name"] for t in record["treatments"] if t["front"]]
    notes = [
        "mean Δ and worst Δ: against each task alone, in points. over joint: mean Δ against the plain joint arm (sum), "
        "its mark corrected for the number of treatments. "
        "front: no other is better in both the mean and the worst task, by the estimates: "
        f"{', '.join(front) or 'none'}.",
        "wall time: of training and evaluating all models that serve the tasks, mean over seeds; of a merge with the "
        "single models. memory: the peak of training, on the GPU or else in the process beyond what it held before.",
    ]
    if not any(seen(t) for t in record["treatments"]):
        notes.insert(1, "No treatment is told apart from the plain joint arm in the mean over tasks.")
    return Table("Treatments over all tasks", columns, rows, tuple(notes), "treatments-summary")


def sweeps_table(record: StudyRecord) -> Table | None:
    """What each companion does to each task at each of its rates, and whether that is weak or strong."""
    if not record["sweeps"]:
        return None
    factors = sorted({p["factor"] for p in record["sweeps"]})
    by = {(p["task"], p["companion"], p["factor"]): p for p in record["sweeps"]}
    metrics = {t["name"]: t["metric"] for t in record["tasks"]}
    rows = []
    for s in record["strengths"]:
        digits, _ = unit_of_metric(metrics[s["task"]])
        cells = []
        for factor in factors:
            point = by.get((s["task"], s["companion"], factor))
            if point is None:
                cells.append(Cell(MISSING))
                continue
            bounds = range_cell(point["low"], point["high"], digits, undefined="undefined")
            found = defined(change(point["delta"], digits, verdict=point["verdict"]))
            cells.append(found._replace(detail=bounds.text))
        rows.append((Cell(s["task"]), Cell(s["companion"]), *cells, Cell(s["strength"])))
    columns = (
        Column("task", left=True),
        Column("companion", left=True),
        *(Column(f"× {factor:g}") for factor in factors),
        Column("interference", left=True),
    )
    note = (
        "× f: the companion has f times its examples a step, all else the same; Δ: joint with it − joint without it. "
        "weak: at another rate the task is better than at × 1 and at no loss. strong: at a loss at every rate. none "
        "seen: no loss at × 1."
    )
    title = "Rates of a companion: weak or strong interference, points"
    return Table(title, columns, tuple(rows), (note,), "rates")
