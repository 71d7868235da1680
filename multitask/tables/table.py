"""A table without a format: a title, columns, rows of cells that know their value, their text and their verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, cast

from multitask.printable import visible

MARKS = {"gain": "▲", "loss": "▼", "equal": "=", "no evidence": ""}
"""{verdict: its mark}, so that colour is never the only carrier."""


class Column(NamedTuple):
    """A column's head, and what may be done to it where there is little room."""

    name: str
    left: bool = False
    """Text on the left, not numbers on the right."""
    short: str = ""
    """The name where the terminal is narrow."""
    optional: int = 0
    """From 1 on: left out where the terminal is narrow, the largest first."""
    wrap: bool = False
    """Text that may go on in a next line, at a space."""


class Cell(NamedTuple):
    """One entry."""

    text: str
    value: float | None = None
    """What it sorts by, unrounded."""
    verdict: str | None = None
    """One of MARKS; None where there is none."""
    detail: str = ""
    emphasis: str = ""
    """`strong`, `quiet` or `warning`; colour and weight only, never the only carrier of anything."""

    @property
    def marked(self) -> bool:
        """Whether it is an effect, which shows its verdict by a mark."""
        return self.value is not None and self.verdict in MARKS

    @property
    def mark(self) -> str:
        """The mark of its verdict, or nothing."""
        return MARKS[self.verdict or ""] if self.marked else ""


class Preface(NamedTuple):
    """What stands above tables."""

    lead: str
    """One line, in bold."""
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, repr=False)
class Table:
    """A table without a format. One without rows is shown as its title and its notes."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    key: str = ""
    """A stable name, for programs and for links."""
    grouped: bool = False
    """Whether rows of one key belong together: a terminal shows the key once."""
    keys: int = 1
    """So many columns, from the first, name a row: they stand in every part of a table that is printed in parts."""

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows} - {len(self.columns)}
        if widths:
            raise ValueError(f"table {self.title!r} has {len(self.columns)} columns and a row of {widths.pop()} cells.")

    @cached_property
    def marked_columns(self) -> frozenset[int]:
        """Positions of the columns of numbers in which some cell has a mark."""
        return frozenset(
            i for i, c in enumerate(self.columns) if not c.left and any(row[i].marked for row in self.rows)
        )

    def column(self, name: str) -> list[Cell]:
        """The cells of a column."""
        at = [c.name for c in self.columns].index(name)
        return [row[at] for row in self.rows]

    def without_empty_columns(self) -> Table:
        """The table without the columns that say nothing in any row; those that name a row stay."""
        kept = [i for i in range(len(self.columns)) if i < self.keys or any(row[i].text for row in self.rows)]
        rows = tuple(tuple(row[i] for i in kept) for row in self.rows)
        return dataclasses.replace(self, columns=tuple(self.columns[i] for i in kept), rows=rows)

    def __repr__(self) -> str:
        return f"<Table {self.title!r}: {len(self.rows)} × {len(self.columns)}>"

    def __str__(self) -> str:
        from multitask.tables.terminal import terminal_text

        return terminal_text([self], color=False)

    def __html__(self) -> str:
        """The table and its notes, for a template with autoescape."""
        from multitask.tables.html import html_notes, html_table

        return str(html_table(self) + html_notes(self))

    _repr_html_ = __html__


def text_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> Table:
    """A table of texts whose first `left` columns stand on the left.

    >>> text_table("Sizes", ("task", "rows"), [("span", "900")])
    <Table 'Sizes': 1 × 2>
    """
    heads = tuple(Column(name, left=i < left) for i, name in enumerate(columns))
    return Table(title, heads, tuple(tuple(map(Cell, row)) for row in rows))


T = TypeVar("T")


def visible_in(value: T) -> T:
    """Tables and what stands above them with all of their text as a terminal may be given it; see `printable`."""
    made: Any = value
    if isinstance(value, str):
        made = visible(value)
    elif isinstance(value, Table):
        made = Table(*(visible_in(getattr(value, f.name)) for f in dataclasses.fields(value)))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        made = type(value)(*map(visible_in, value))
    elif isinstance(value, (list, tuple)):
        made = type(value)(map(visible_in, value))
    return cast(T, made)
