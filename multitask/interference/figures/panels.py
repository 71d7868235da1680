"""How the runs are drawn: learning curves, mixture, every seed's score; a panel for each task."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from multitask.interference.figures.canvas import add_titles, any_number, blank_figure, engine, with_gaps
from multitask.interference.figures.palette import BAND, GAIN, INK, JOINT, LINE, MUTED, PAPER, SINGLE
from multitask.interference.results.lookup import BUDGETS, primary, score_of, short
from multitask.interference.results.record import Curve, StudyRecord
from multitask.tables.numbers import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_curves(record: StudyRecord) -> Figure | None:
    """Training loss and, if it was watched, score over the steps; single against joint."""
    curves = [c for c in record["curves"] if any_number(c["loss"]) or any_number(c["score"])]
    if not curves:
        return None
    tasks = [task for task in primary(record) if any(c["task"] == task for c in curves)]
    kinds = [k for k in ("loss", "score") if any(any_number(c[k]) for c in curves)]
    figure, axes = _panels(len(tasks), len(kinds), height=1.7)
    for i, task in enumerate(tasks):
        for j, kind in enumerate(kinds):
            ax = axes[len(kinds) * i + j]
            # The joint run first: where both are the same, the dashes on top still show it.
            for curve in sorted((c for c in curves if c["task"] == task), key=lambda c: c["arm"] == "single"):
                _curve(ax, curve, kind)
            if j == 0:
                ax.set_title(short(task, 22), fontsize=9)
            ax.set_ylabel("loss, nats a token" if kind == "loss" else "score, points", fontsize=8)
            ax.grid(axis="y")
            if j == len(kinds) - 1:
                ax.set_xlabel("step", fontsize=8)
    handles = {h.get_label(): h for ax in axes for h in ax.get_legend_handles_labels()[0]}
    figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=len(handles))
    seeds = len(record["setting"]["seeds"])
    under = "One seed." if seeds == 1 else f"Line: mean of {seeds} seeds. Band: their spread."
    add_titles(figure, "Learning curves: each task alone and in the joint run", under)
    return figure


def _curve(ax: Axes, curve: Curve, kind: str) -> None:
    c: dict[str, Any] = dict(curve)
    steps = c["steps"] if kind == "loss" else c["score_steps"]
    if not any_number(c[kind]):
        return
    colour, style = {"single": (SINGLE, (0, (4, 2))), "joint": (JOINT, "solid")}.get(curve["arm"], (GAIN, "dotted"))
    ax.plot(steps, with_gaps(c[kind]), color=colour, linestyle=style, linewidth=1.6, label=curve["arm"])
    if any_number(c[f"{kind}_low"]) and any_number(c[f"{kind}_high"]):
        low, high = with_gaps(c[f"{kind}_low"]), with_gaps(c[f"{kind}_high"])
        ax.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)


def draw_mix(record: StudyRecord) -> Figure | None:
    """Planned and realised shares of the joint arm, and the share of the loss."""
    given = {x["task"]: x for x in record["exposure"] if x["arm"] == "joint"}
    tasks = [task for task in primary(record) if task in given]
    if not tasks:
        return None
    longest = max(len(short(task)) for task in tasks)
    figure, (ax,) = blank_figure(5.4 + 0.075 * longest, 0.42 * len(tasks) + 1.7)
    at = range(len(tasks))
    planned, realised = ([100 * given[t][k] for t in tasks] for k in ("planned_share", "realised_share"))
    ax.barh(at, planned, height=0.7, color=BAND, edgecolor=MUTED, linewidth=0.7, label="planned")
    ax.barh(at, realised, height=0.3, color=JOINT, label="realised")
    losses = {y: 100 * share for y, t in enumerate(tasks) if (share := given[t]["loss_share"]) is not None}
    if losses:
        ax.plot(
            list(losses.values()),
            list(losses),
            linestyle="none",
            marker="D",
            markersize=5,
            markerfacecolor=PAPER,
            markeredgecolor=INK,
            label="of the loss",
        )
    right = max([*planned, *realised, *losses.values()])
    for y, (a, b) in enumerate(zip(planned, realised, strict=True)):
        ax.text(
            1.01, y, f"{plain(a, 1)} → {plain(b, 1)} %", va="center", fontsize=8, transform=ax.get_yaxis_transform()
        )
    ax.set_yticks(at, [short(task) for task in tasks])
    ax.set(xlim=(0, 1.06 * right or 1.0), ylim=(len(tasks) - 0.4, -0.6), xlabel="% of the joint run's examples")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    figure.legend(loc="outside lower center", ncols=3)
    add_titles(figure, "The joint run's mixture: planned → realised", "")
    return figure


def draw_scores(record: StudyRecord) -> Figure | None:
    """The score of every seed: alone at equal exposure, together, alone at equal compute."""
    metrics, match = primary(record), record["setting"]["match"]
    places = [("single", m, f"alone\n{BUDGETS[m]}") for m in match]
    places.insert(1, ("joint", match[0], "together"))
    found = {t: [score_of(record, t, arm, m, metric) for arm, m, _ in places] for t, metric in metrics.items()}
    tasks = [t for t, scores in found.items() if sum(s is not None and any_number(s["per_seed"]) for s in scores) > 1]
    if not tasks:
        return None
    figure, axes = _panels(len(tasks), 1, height=2.4)
    for ax, task in zip(axes, tasks, strict=False):
        columns = [with_gaps(s["per_seed"]) if s else [] for s in found[task]]
        for seed in range(max(map(len, columns))):
            ax.plot(
                *zip(*((x, c[seed]) for x, c in enumerate(columns) if seed < len(c)), strict=True), color=LINE, zorder=1
            )
        for x, (values, (arm, _, _)) in enumerate(zip(columns, places, strict=True)):
            look = {"marker": "o", "color": JOINT} if arm == "joint" else {"marker": "s", "color": SINGLE}
            ax.plot([x] * len(values), values, linestyle="none", markersize=4.5, zorder=2, **look)  # type: ignore[arg-type]
            whole = [v for v in values if math.isfinite(v)]
            if whole:
                ax.plot([x - 0.2, x + 0.2], [sum(whole) / len(whole)] * 2, color=INK, linewidth=1.6, zorder=3)
        ax.set_title(short(task, 22), fontsize=9)
        ax.set_xticks(range(len(places)), [label for _, _, label in places], fontsize=7.5)
        ax.set_xlim(-0.5, len(places) - 0.5)
        ax.set_ylabel(f"{metrics[task]}, points", fontsize=8)
        ax.grid(axis="y")
    add_titles(
        figure,
        "Every seed's score, alone and in the joint run",
        "A line joins the runs of one seed; the bar is their mean.",
    )
    return figure


def _panels(count: int, kinds: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels of `kinds` axes one above the other, panel by panel."""
    from matplotlib.figure import Figure

    across = count if count <= 3 else 3 if count in (5, 6, 9) else 4
    down = math.ceil(count / across)
    figure = Figure((max(5.4, 2.7 * across), height * kinds * down + 1.2), layout="constrained")
    engine(figure).set(hspace=0.06)
    grid = figure.add_gridspec(down * kinds, across)
    places = [(kinds * (i // across) + j, i % across) for i in range(count) for j in range(kinds)]
    return figure, [figure.add_subplot(grid[y, x]) for y, x in places]
