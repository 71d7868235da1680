"""Which columns stand beside each other in a terminal of some width, how wide each is and what it is called.

In this order, until it fits: heads and texts are wrapped at spaces; short names; optional columns are left out, those
of the largest number first; the table is printed in parts that each begin with the key column; names are shortened in
their middle. A word or a number is never broken over lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from multitask.tables.cells import Column

if TYPE_CHECKING:
    from multitask.tables.table import Table

GAP = 2
"""Spaces between columns."""
LEAST = 26
"""A text that is wrapped is no narrower than this, or its longest word."""
LEAST_KEY = 10
"""A key that is shortened keeps so many characters."""


class Layout(NamedTuple):
    """The columns and rows to print."""

    parts: list[dict[int, int]]
    """[{position of a column: its width}], printed below each other."""
    heads: list[str]
    """Of all columns."""
    left_out: list[int]
    """Positions of the columns that are not shown."""


def lines_of(table: Table, row: int, column: int) -> list[str]:
    """A cell's lines; in a column with marks what has none is indented, so that digits stand below digits."""
    cell = table.rows[row][column]
    if table.grouped and column == 0 and row and table.rows[row - 1][0] == cell:
        return [""]
    first = f"{cell.text} {cell.mark or ' '}" if column in table.marked_columns else cell.text
    return [first, cell.detail] if cell.detail else [first]


class _Sizes(NamedTuple):
    """How wide the cells of a column are, without its head."""

    whole: int
    word: int
    """The longest word."""

    @classmethod
    def of(cls, table: Table, column: int) -> _Sizes:
        lines = [line for row in range(len(table.rows)) for line in lines_of(table, row, column)]
        return cls(max(map(cell_len, lines), default=0), max(map(_longest_word, lines), default=0))

    def least(self, column: Column, head: str) -> int:
        """The narrowest that the column can be."""
        whole = min(self.whole, max(LEAST, self.word)) if column.wrap else self.whole
        return max(whole, _longest_word(head))


def arrange(table: Table, width: int) -> Layout:
    """How to print a table in `width` columns."""
    names = [c.name for c in table.columns]
    every = list(range(len(names)))
    sizes = [_Sizes.of(table, i) for i in every]

    def fit(columns: Sequence[int], heads: Sequence[str], *, wrap: bool = True) -> dict[int, int] | None:
        """The widths of columns that fit beside each other, or None."""
        room = width - GAP * (len(columns) - 1)
        most = {i: max(sizes[i].whole, cell_len(heads[i])) for i in columns}
        if sum(most.values()) <= room:
            return most
        least = {i: sizes[i].least(table.columns[i], heads[i]) for i in columns}
        if not wrap or sum(least.values()) > room:
            return None
        return _spread(least, most, room, [i for i in columns if table.columns[i].wrap])

    found = fit(every, names, wrap=False)
    if found is not None:
        return Layout([found], names, [])
    # A short name only where the name is what makes the column wide.
    short = [
        c.short if c.short and _longest_word(c.name) > size.whole else c.name
        for c, size in zip(table.columns, sizes, strict=True)
    ]
    optional = [i for i in every if table.columns[i].optional]
    optional.sort(key=lambda i: (table.columns[i].optional, i))
    for drop in range(len(optional) + 1):
        left_out = sorted(optional[len(optional) - drop :])
        shown = [i for i in every if i not in left_out]
        for heads in (names, short):
            found = fit(shown, heads)
            if found is not None:
                return Layout([found], heads, left_out)
    needed = [i for i in every if not table.columns[i].optional] or every
    keys, rest = needed[: table.keys], needed[table.keys :]
    least = {i: sizes[i].least(table.columns[i], short[i]) for i in every}
    parts: list[dict[int, int]] = []
    inside: list[int] = []
    for i in rest:
        together = fit([*keys, *inside, i], short)
        if together is not None and inside:
            inside.append(i)
            parts[-1] = together
        else:
            inside = [i]
            parts.append(_shortened([*keys, i], least, width) if together is None else together)
    return Layout(parts or [_shortened(keys, least, width)], short, sorted(optional))


def _spread(least: dict[int, int], most: dict[int, int], room: int, wrapped: Sequence[int]) -> dict[int, int]:
    """Widths between the least and the most that fill the room."""
    widths = dict(least)
    spare = room - sum(least.values())
    for i in sorted(widths.keys() - set(wrapped), key=lambda i: (most[i] - least[i], i)):
        more = min(most[i] - least[i], spare)  # who needs little first: more heads are whole then
        widths[i] += more
        spare -= more
    while spare and (growing := [i for i in wrapped if widths[i] < most[i]]):  # texts of like width need fewest lines
        widths[min(growing, key=widths.__getitem__)] += 1
        spare -= 1
    return widths


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _shortened(columns: Sequence[int], least: dict[int, int], width: int) -> dict[int, int]:
    """Widths of columns that do not fit beside each other: the widest of those before the last give way first."""
    widths = {i: least[i] for i in columns}
    room = width - GAP * (len(columns) - 1)
    for giving in (columns[:-1], columns):
        while sum(widths.values()) > room and (wide := [i for i in giving if widths[i] > LEAST_KEY]):
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths
