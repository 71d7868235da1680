"""A table without a format: a title, columns, rows of cells that know their value, their text and their verdict.

Words
    key       the first column: it is repeated where a table is too wide for the terminal and is printed in parts
    detail    a second line of a cell: the interval under an effect
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from multitask.interference.lookup import BUDGETS, MISSING, interval, plain, signed
from multitask.interference.record import LIKELIHOOD, VERDICTS, Effect


class Column(NamedTuple):
    """A column's head."""

    name: str
    left: bool = False
    """Text on the left, not numbers on the right."""
    short: str = ""
    """The name where the terminal is narrow."""
    optional: bool = False
    """Left out where the terminal is narrow."""


class Cell(NamedTuple):
    """One entry."""

    text: str
    value: float | None = None
    """What it sorts by, unrounded."""
    verdict: str | None = None
    """One of VERDICTS; None where there is none."""
    detail: str = ""

    @property
    def marked(self) -> bool:
        """Whether it is an effect, which shows its verdict by a mark."""
        return self.value is not None and self.verdict in VERDICTS


@dataclass(frozen=True)
class Table:
    """A table without a format."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows} - {len(self.columns)}
        if widths:
            raise ValueError(f"table {self.title!r} has {len(self.columns)} columns and a row of {widths.pop()} cells.")


def number(value: float | None, digits: int = 1, *, unit: str = "") -> Cell:
    """A number, or what stands for one that was not measured."""
    text = plain(value, digits)
    return Cell(MISSING) if text == MISSING else Cell(text + unit, value)


def change(value: float | None, digits: int = 1, *, verdict: str | None = None, unit: str = "") -> Cell:
    """A difference with its sign."""
    text = signed(value, digits)
    return Cell(MISSING) if text == MISSING else Cell(text + unit, value, verdict)


def count(value: float | None) -> Cell:
    """A large number as people say it: 9,600 · 239k · 1.2M."""
    if value is None:
        return Cell(MISSING)
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= max(size, 99_950) or (size > 1e3 and value >= size):
            scaled = value / size
            return Cell(f"{scaled:.{0 if scaled >= 99.5 else 1}f}{letter}", value)
    return Cell(f"{value:,.0f}", value)


def probability(value: float | None) -> Cell:
    """A p or q with as many digits as matter: 0.24 · 0.012 · <0.001."""
    if value is None:
        return Cell(MISSING)
    return Cell("<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.0995 else f"{value:.2f}", value)


def tally(value: int | None) -> Cell:
    """A whole number."""
    return Cell(MISSING) if value is None else Cell(f"{value:,}", value)


def percent(value: float | None, digits: int = 1) -> Cell:
    """A share 0..1 in %."""
    return Cell(MISSING) if value is None else number(100 * value, digits, unit=" %")


def spread(mean: float | None, sd: float | None, digits: int) -> Cell:
    """A mean over seeds with its standard deviation; with one seed the mean alone."""
    if mean is None:
        return Cell(MISSING)
    return Cell(plain(mean, digits) if sd is None else f"{plain(mean, digits)} ± {plain(sd, digits)}", mean)


def effect_cells(effect: Effect | None, digits: int) -> tuple[Cell, Cell]:
    """The effect with its mark, and its interval."""
    if effect is None:
        return Cell(MISSING), Cell(MISSING)
    cell = change(effect["delta"], digits, verdict=effect["verdict"])
    return cell, Cell(interval(effect["low"], effect["high"], digits), effect["low"])


def verdict_cell(effect: Effect) -> Cell:
    """The verdict in words."""
    return Cell(effect["verdict"] or MISSING, None, effect["verdict"])


def unit_of(metrics: Mapping[str, str]) -> tuple[int, str, str]:
    """Decimals, unit, and what a title adds: the low-variance twin is in nats."""
    twin = LIKELIHOOD in metrics.values()
    return (3, "nats", "log-likelihood of the targets, ") if twin else (1, "points", "")


def budget_name(match: str | None) -> str:
    """What a budget is called in a title."""
    return f"{BUDGETS[match]} ({match} matched)" if match in BUDGETS else ""
