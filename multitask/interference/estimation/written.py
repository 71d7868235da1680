"""An estimate as people and programs see it: marked as estimated in every form, and without verdicts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from multitask.interference.design.arms import Design
from multitask.interference.estimation.confirm import Refit, suggested
from multitask.interference.estimation.matrix import EstimatedMatrix, Floats
from multitask.storage.atomic import atomic
from multitask.storage.json_files import write_json
from multitask.tables.cells import Cell, Column, Preface
from multitask.tables.csv import csv_lines
from multitask.tables.numbers import MISSING, interval, signed
from multitask.tables.render import render_tables
from multitask.tables.table import Table

ESTIMATED = "ESTIMATED, not measured"
"""What stands first in every form."""
MARK = "~"
"""Before each number that is estimated."""
DIGITS = {"points": 1, "nats an example": 3, "share of the loss": 5, "cosine": 3}
OF_JOINED = "In its validation it ranked generated tasks' pairs well, and a real study's no better than chance"
OF_OTHERS = "In its validation it was not reliable (joined was better, and no method was right on a real study)"
MEND = "--confirm K trains the K pairs that matter most."
"""Ends the first line of every form, after one of these two: docs/estimate.md has the figures."""


class Confirmed(NamedTuple):
    """The second stage."""

    pairs: list[tuple[str, str]]
    """In the order in which they matter."""
    refit: Refit
    before: tuple[tuple[str, ...], ...]
    """The grouping that the estimate alone suggested."""
    cost: float
    """Joint runs of a seed: the single models and the pairs."""


@dataclasses.dataclass(frozen=True, eq=False)
class Estimated:
    """An estimated pair matrix, perhaps with confirmed pairs."""

    matrix: EstimatedMatrix
    cost: float
    """Joint runs of a seed, the confirmed pairs not counted."""
    full_cost: float
    """Of the whole pair matrix with its singles."""
    seeds: tuple[int, ...]
    groups: tuple[tuple[str, ...], ...]
    """The grouping that the values suggest."""
    confirmed: Confirmed | None
    warnings: list[str]

    @classmethod
    def of(
        cls,
        matrix: EstimatedMatrix,
        cost: float,
        design: Design,
        confirmed: Confirmed | None,
        groups: int,
        warnings: list[str],
    ) -> Estimated:
        """An estimate of a study's design."""
        values = matrix.mean if confirmed is None else confirmed.refit.values
        best = suggested(matrix.tasks, values, groups)
        return cls(matrix, cost, float(len(design.tasks)), design.seeds, best, confirmed, warnings)

    @property
    def tasks(self) -> tuple[str, ...]:
        """In the order of rows and columns."""
        return self.matrix.tasks

    @property
    def values(self) -> Floats:
        """[n, n] the best that is known of each pair; row: the task evaluated, column: its companion."""
        return self.matrix.mean if self.confirmed is None else self.confirmed.refit.values

    @property
    def interval(self) -> tuple[Floats, Floats]:
        """[n, n] twice: the ends of the 95 % intervals."""
        found = self.confirmed
        return self.matrix.interval() if found is None else (found.refit.low, found.refit.high)

    @property
    def unit(self) -> str:
        """Of the values: points once pairs are confirmed."""
        return "points" if self.confirmed is not None else self.matrix.unit

    def is_measured(self, task: str, companion: str) -> bool:
        """Whether this effect was confirmed."""
        pairs = [] if self.confirmed is None else [set(pair) for pair in self.confirmed.pairs]
        return {task, companion} in pairs

    def rows(self) -> list[dict[str, Any]]:
        """A row an ordered pair, as estimate.csv has them."""
        low, high = self.interval
        return [
            {
                "task": task,
                "companion": other,
                "estimated": not self.is_measured(task, other),
                "method": "measured" if self.is_measured(task, other) else self.matrix.method,
                "unit": self.unit,
                "value": _number(self.values[i, j]),
                "low": _number(low[i, j]),
                "high": _number(high[i, j]),
                "first_estimate": _number(self.matrix.mean[i, j]),
                "per_seed": [_number(v) for v in self.matrix.per_seed[:, i, j]],
            }
            for i, task in enumerate(self.tasks)
            for j, other in enumerate(self.tasks)
            if i != j
        ]

    def as_dict(self) -> dict[str, Any]:
        """estimate.json."""
        found = self.confirmed
        return {
            "estimated": True,
            "verdicts": None,
            "said": self.lead(),
            "method": self.matrix.method,
            "unit": self.unit,
            "tasks": list(self.tasks),
            "seeds": list(self.seeds),
            "cost": {"estimate": self.cost, "confirm": found.cost if found else 0.0, "full": self.full_cost},
            "groups": [list(g) for g in self.groups],
            "confirmed": None
            if found is None
            else {
                "pairs": [list(p) for p in found.pairs],
                "slope": _number(found.refit.slope),
                "agreement": _number(found.refit.agreement),
                "groups_before": [list(g) for g in found.before],
                "changes": self.changes(),
            },
            "pairs": self.rows(),
            "warnings": list(self.warnings),
        }

    def lead(self) -> str:
        """The first line of every form."""
        cost = self.cost + (self.confirmed.cost if self.confirmed else 0.0)
        seeds = f"{len(self.seeds)} seed{'s'[: len(self.seeds) != 1]}"
        line = (
            f"{ESTIMATED}: what a companion would do to a task, by {self.matrix.method}; {seeds}, at the cost of "
            f"{cost:.1f} joint runs each, where all pairs and single models cost {self.full_cost:.0f}; no verdicts."
        )
        caution = OF_JOINED if self.matrix.method == "joined" else OF_OTHERS
        return f"{line} {caution}: {MEND}" if self.confirmed is None else line

    def changes(self) -> list[str]:
        """What the confirmed pairs changed, in sentences."""
        found = self.confirmed
        if found is None:
            return []
        agreement = "" if np.isnan(found.refit.agreement) else f" (rank correlation {found.refit.agreement:+.2f})"
        told = [f"{len(found.pairs)} of {math.comb(len(self.tasks), 2)} pairs were trained{agreement}."]
        if found.refit.agreement <= 0:
            told.append("They do not bear the estimate out: what is left of it says little of the other pairs.")
        turned = [
            f"{task} with {other} ({signed(self.matrix.mean[i, j], 1)} → {signed(self.values[i, j], 1)})"
            for i, task in enumerate(self.tasks)
            for j, other in enumerate(self.tasks)
            if i != j and self.is_measured(task, other) and self.matrix.mean[i, j] * self.values[i, j] < 0
        ]
        if turned:
            told.append(f"Measured to have the other sign than estimated: {', '.join(turned)}.")
        if found.before == self.groups:
            told.append("The grouping that is suggested stays the same.")
        else:
            told.append(f"The grouping that is suggested was {_said(found.before)}, and is {_said(self.groups)}.")
        return told

    def render(self, format: str = "table", *, width: int | None = None, color: bool | None = None) -> str:
        """In one of `tables.render.FORMATS`, ending in a newline."""
        if format == "json":
            return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if format == "csv":
            return csv_text(self)
        notes = [*self.changes(), f"Grouping that these numbers suggest, no more: {_said(self.groups)}."]
        return render_tables(
            [self.table()], format, Preface(self.lead(), self.warnings, notes), width=width, color=color
        )

    def table(self) -> Table:
        """The matrix: row the task evaluated, column its companion."""
        low, high = self.interval
        digits = DIGITS[self.unit]

        def cell(i: int, j: int) -> Cell:
            value = float(self.values[i, j])
            if i == j or not np.isfinite(value):
                return Cell(MISSING)
            mark = "" if self.is_measured(self.tasks[i], self.tasks[j]) else MARK
            ends = (float(low[i, j]), float(high[i, j]))
            bounds = interval(*ends, digits) if np.isfinite(ends).all() else ""
            return Cell(f"{mark}{signed(value, digits)}", value, detail=bounds)

        rows = tuple((Cell(task), *(cell(i, j) for j in range(len(self.tasks)))) for i, task in enumerate(self.tasks))
        columns = (Column("task", left=True), *(Column(task) for task in self.tasks))
        over = f"{len(self.seeds)} seeds" if len(self.seeds) > 1 else "one seed's examples or probes alone"
        notes = (
            f"{MARK} estimated; without it measured. Row: the task evaluated. Column: its one companion; above 0 it "
            f"helps. Intervals: 95 %, over {over}; of what is estimated they do not hold how far the method is off.",
        )
        return Table(f"{ESTIMATED}: pairs, {self.unit}", columns, rows, notes, key="estimate")


def csv_text(found: Estimated) -> str:
    """estimate.csv: a row an ordered pair, with a column that says which are estimated."""
    rows = found.rows()
    names = [name for name in rows[0] if name != "per_seed"]
    head = [*names, *(f"seed_{seed}" for seed in found.seeds)]
    body = [[row[n] for n in names] + row["per_seed"] for row in rows]
    return csv_lines(head, body)


def write_estimate(out: Path, found: Estimated) -> None:
    """Write estimate.csv and estimate.json into the study's folder."""
    with atomic(out / "estimate.csv") as temporary:
        temporary.write_text(csv_text(found), encoding="utf-8")
    write_json(out / "estimate.json", found.as_dict())


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _said(groups: Sequence[Sequence[str]]) -> str:
    return " | ".join(" + ".join(group) for group in groups)
