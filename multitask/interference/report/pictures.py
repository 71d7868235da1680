"""Curves, and every task alone against its baseline: the pictures of the page that are not effects."""

from __future__ import annotations

import math
from typing import NamedTuple

from markupsafe import Markup

from multitask.interference.figures.canvas import any_number
from multitask.interference.results.learned import learned
from multitask.interference.results.lookup import of_primary, primary, score_of, short, unit_of_metric
from multitask.interference.results.ranges import blind_tasks, range_of
from multitask.interference.results.record import Curve, StudyRecord
from multitask.interference.tables.cells import detectable_cell, measured_number, shown_score
from multitask.pages import charts
from multitask.pages.scatter import Point, scatter
from multitask.tables.numbers import plain


class AloneView(NamedTuple):
    """A task alone: what everything else is compared with."""

    task: str
    metric: str
    points: Markup
    score: str
    baseline: str
    baseline_name: str
    learned: bool | None
    noise: str
    detectable: str
    margin: str
    evaluated: str


class CurvesView(NamedTuple):
    """Charts of one task."""

    task: str
    loss: Markup
    score: Markup


def alone(record: StudyRecord) -> list[AloneView]:
    """A row a task, with the points of its seeds beside its baseline."""
    lead = record["setting"]["match"][0]
    margins = {e["task"]: e["margin"] for e in of_primary(record, record["effects"])}
    blind = blind_tasks(record)
    found = []
    for t in record["tasks"]:
        single = score_of(record, t["name"], "single", lead, t["metric"])
        values = single["per_seed"] if single else []
        low, high = range_of(record, t["name"])
        if math.isfinite(low) and math.isfinite(high):
            axis = charts.Axis(low, high, 5, 175)
        else:
            axis = charts.axis_of([*values, t["baseline"]], 5, 175)
        digits, _ = unit_of_metric(t["metric"])
        sd = single["sd"] if single else None
        found.append(
            AloneView(
                t["name"],
                t["metric"],
                charts.strip(axis, values, baseline=t["baseline"], label=f"Score of each seed of {t['name']} alone"),
                shown_score(single, digits) + (f" ± {plain(sd, digits)}" if sd is not None else ""),
                plain(t["baseline"], digits),
                t["baseline_name"],
                learned(record, t["name"]),
                measured_number(t["noise_floor"], digits + 1).text,
                detectable_cell(t["detectable"], t["name"] in blind, digits).text,
                f"±{plain(margin, digits + 1)}" if (margin := margins.get(t["name"])) is not None else "·",
                f"{t['validation']:,}",
            )
        )
    return found


def curves(record: StudyRecord) -> list[CurvesView]:
    """Loss and, if it was watched, score over the steps; alone and in the joint run."""
    found = []
    for task, metric in primary(record).items():
        own = [c for c in record["curves"] if c["task"] == task]
        loss = [_series(c, "loss") for c in own if any_number(c["loss"])]
        score = [_series(c, "score") for c in own if any_number(c["score"])]
        if loss or score:
            of_loss = charts.curves(loss, label=f"Training loss of {task}", unit="loss, nats a token")
            of_score = charts.curves(score, label=f"Score of {task}", unit=f"score, {unit_of_metric(metric)[1]}")
            found.append(CurvesView(task, of_loss if loss else Markup(), of_score if score else Markup()))
    return found


class SweepView(NamedTuple):
    """What a companion does to a task, over its rates."""

    title: str
    chart: Markup


def front(record: StudyRecord) -> Markup:
    """Each treatment by its mean over tasks and its worst task."""
    points = [
        Point(t["mean"], t["worst"], short(t["name"], 24), "gain" if t["front"] else "quiet")
        for t in record["treatments"]
        if t["mean"] is not None and t["worst"] is not None
    ]
    if not points:
        return Markup()
    return scatter(
        points,
        label="Mean over tasks and worst task of each treatment, against each task alone",
        across="mean Δ over tasks, points",
        up="worst task's Δ, points",
    )


def sweeps(record: StudyRecord) -> list[SweepView]:
    """A chart a task and companion: Δ over the factor on the companion's rate."""
    found = []
    for s in record["strengths"]:
        own = [p for p in record["sweeps"] if (p["task"], p["companion"]) == (s["task"], s["companion"])]
        x = [p["factor"] for p in own]
        line = charts.Series("joint", x, *([p[part] for p in own] for part in ("delta", "low", "high")))
        zero = charts.Series("quiet", [0.0, max(x)], [0.0, 0.0])
        title = f"{s['task']}, by the rate of {s['companion']}: {s['strength']}"
        label = f"Effect of {s['companion']} on {s['task']} at other rates"
        found.append(SweepView(title, charts.curves([zero, line], label=label, unit="Δ, points; × its rate")))
    return found


def _series(c: Curve, kind: str) -> charts.Series:
    look = c["arm"] if c["arm"] in ("single", "joint") else "quiet"
    if kind == "loss":
        return charts.Series(look, c["steps"], c["loss"], c["loss_low"], c["loss_high"])
    return charts.Series(look, c["score_steps"], c["score"], c["score_low"], c["score_high"])
