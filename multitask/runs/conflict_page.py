"""The part of a run's page that says who moved whom: curves and tables of its conflict probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from multitask.pages import charts
from multitask.runs.conflict_file import Conflict, over_probes
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import change, number
from multitask.tables.table import Table

if TYPE_CHECKING:
    from markupsafe import Markup


class ConflictView(NamedTuple):
    """What the page shows of them."""

    lead: str
    curves: list[tuple[str, Markup, Markup]]
    """(task, its held-out loss taken apart, cosines with the others' gradients)."""
    moved: Table
    cosines: Table
    blocks: Table


def conflict_view(found: Conflict) -> ConflictView:
    """The curves and tables of a run's probes."""
    n, probes = len(found.tasks), len(found.steps)
    own = -found.own_steps.reshape(probes, n, 2, n).sum(2).cumsum(0) * found.every  # [K, i, j], above 0: it helped
    cosines = found.cosines()
    steps = [float(s) + 1 for s in found.steps]
    curves = []
    for j, task in enumerate(found.tasks):
        others = [i for i in range(n) if i != j]
        parts = [
            charts.Series("joint", steps, [*own[:, j, j]]),
            charts.Series("ink", steps, [*own[:, others, j].sum(1)]),
        ]
        angles = [charts.Series("quiet", steps, [*cosines[:, i, j]]) for i in others]
        curves.append(
            (
                task,
                charts.curves(
                    parts,
                    label=f"What {task}'s own examples and all others' did to its held-out loss",
                    unit="nats saved",
                ),
                charts.curves(angles, label=f"Cosines of {task}'s gradient with each other task's", unit="cosine"),
            )
        )
    total = found.attribution.sum(0)
    changed = (found.after - found.before).sum(0)
    residual = found.residual()
    worst = float(np.nanmax(residual)) if np.isfinite(residual).any() else float("nan")
    where = "every step of the training" if found.every == 1 else f"{probes:,} steps, one in {found.every:,},"
    lead = (
        f"Over {where} each held-out loss changed by what the tasks' parts of the updates add up to, but for "
        f"{100 * worst:.1f} % of what it moved at most: so far the attribution can be trusted."
    )
    return ConflictView(
        lead,
        curves,
        _moved(found, own[-1] / max(1, probes * found.every), total, changed),
        _cosines(found),
        _blocks(found),
    )


def _moved(found: Conflict, own: np.ndarray, total: np.ndarray, changed: np.ndarray) -> Table:
    rows = [
        (
            Cell(task),
            *(change(own[i, j], 3) for i in range(len(found.tasks))),
            change(changed[j], 3),
            change(total[:, j].sum(), 3),
            change(found.parts[:, len(found.tasks) :, j].sum(), 3),
        )
        for j, task in enumerate(found.tasks)
    ]
    columns = (
        Column("held-out loss of", left=True),
        *(Column(f"saved by {task}") for task in found.tasks),
        *map(Column, ("change", "by the tasks", "by the rest")),
    )
    notes = (
        "Saved: nats an example in a step, as the task's own fresh gradient will have moved it in the "
        "end; below 0 it costs. Change: nats, over the probed steps themselves; by the tasks and by the rest "
        "(momentum of earlier steps, weight decay, dropout's masks) add up to it.",
    )
    return Table("Who moved whose held-out loss", columns, tuple(rows), notes, key="conflict")


def _cosines(found: Conflict) -> Table:
    plain, freed = over_probes(found.cosines())[0], found.mean_cosines()
    halves, ratios = over_probes(found.noise())[0], over_probes(found.ratios())[0]
    n = len(found.tasks)
    rows = [
        (
            Cell(found.tasks[i]),
            Cell(found.tasks[j]),
            change(plain[i, j], 3),
            change(freed[i, j], 2),
            change(halves[i], 3),
            change(halves[j], 3),
            number(ratios[i, j], 2),
        )
        for i in range(n)
        for j in range(i + 1, n)
    ]
    columns = (
        Column("task", left=True),
        Column("with", left=True),
        *map(Column, ("cosine", "freed of noise", "halves of the task", "of the other", "times as long")),
    )
    notes = (
        "Halves: the cosine between gradients of two halves of one task's own examples, which is 1 without noise. "
        "Freed of noise: mean inner products over lengths from halves; by chance it may lie beyond ±1, and – says that "
        "there was nothing but noise.",
    )
    return Table("Cosines between gradients, means over probes", columns, tuple(rows), notes, key="cosines")


def _blocks(found: Conflict) -> Table:
    n = len(found.tasks)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    rows = []
    for b, block in enumerate(found.blocks):
        cosines, halves = over_probes(found.cosines(b))[0], over_probes(found.noise(b))[0]
        values = [cosines[i, j] for i, j in pairs]
        at = int(np.nanargmin(values)) if np.isfinite(values).any() else 0
        rows.append(
            (
                Cell(block),
                change(float(over_probes(np.array(values))[0]), 3),
                change(float(values[at]), 3),
                Cell(" and ".join(found.tasks[k] for k in pairs[at])),
                change(float(over_probes(halves)[0]), 3),
            )
        )
    columns = (
        Column("block", left=True),
        *map(Column, ("mean cosine", "lowest")),
        Column("between", left=True),
        Column("halves of a task"),
    )
    return Table("Conflict by block of the model", columns, tuple(rows), key="blocks")
