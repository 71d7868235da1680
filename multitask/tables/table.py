"""A table without a format: a title, columns, rows of cells that know their value, their text and their verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from multitask.tables.cells import Cell, Column

if TYPE_CHECKING:
    pass
from multitask.tables.terminal import print_tables


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


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Write a table of texts; its first `left` columns are text, the others are numbers."""
    print_tables(text_table(title, columns, rows, left=left))
