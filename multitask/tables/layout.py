"""Which columns stand beside each other in a terminal of some width, how wide each is and what it is called.

In this order, until it fits: heads and texts are wrapped at spaces; short names; optional columns are left out, those
of the largest number first; the table is printed in parts that each begin with the key column; names are shortened in
their middle. A word or a number is never broken over lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len

from multitask.tables.table import Table

GAP = 2
"""Spaces between columns."""
LEAST = 26
"""A text that is wrapped is no narrower than this, or its longest word."""
LEAST_KEY = 10
"""A key that is shortened keeps so many characters."""


class Layout(NamedTuple):
    """What to print."""

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
    marks = not table.columns[column].left and any(r[column].marked for r in table.rows)
    first = f"{cell.text} {cell.mark or ' '}" if marks else cell.text
    return [first, cell.detail] if cell.detail else [first]


def arrange(table: Table, width: int) -> Layout:
    """How to print a table in `width` columns."""
    names = [c.name for c in table.columns]
    every = list(range(len(names)))
    found = _fit(table, every, names, width, wrap=False)
    if found is not None:
        return Layout([found], names, [])
    short = _short_heads(table)
    optional = [i for i in every if table.columns[i].optional]
    optional.sort(key=lambda i: (table.columns[i].optional, i))
    for drop in range(len(optional) + 1):
        left_out = sorted(optional[len(optional) - drop :])
        shown = [i for i in every if i not in left_out]
        for heads in (names, short):
            found = _fit(table, shown, heads, width)
            if found is not None:
                return Layout([found], heads, left_out)
    key, *rest = [i for i in every if not table.columns[i].optional] or every
    parts: list[dict[int, int]] = []
    inside: list[int] = []
    for i in rest:
        together = _fit(table, [key, *inside, i], short, width)
        if together and inside:
            inside.append(i)
            parts[-1] = together
        else:
            inside = [i]
            parts.append(together or _shortened(table, key, i, short, width))
    return Layout(parts or [_shortened(table, key, None, short, width)], short, sorted(optional))


def _fit(
    table: Table, columns: Sequence[int], heads: Sequence[str], width: int, *, wrap: bool = True
) -> dict[int, int] | None:
    """The widths of columns that fit beside each other, or None."""
    room = width - GAP * (len(columns) - 1)
    most = {i: max(_content(table, i, cell_len), cell_len(heads[i])) for i in columns}
    if sum(most.values()) <= room:
        return most
    least = {i: _least(table, i, heads[i]) for i in columns}
    if not wrap or sum(least.values()) > room:
        return None
    spare = room - sum(least.values())
    heads_only = [i for i in columns if not table.columns[i].wrap]
    for i in sorted(heads_only, key=lambda i: most[i] - least[i]):  # who needs little first: more are whole then
        more = min(most[i] - least[i], spare)
        least[i] += more
        spare -= more
    wrapped = [i for i in columns if i not in heads_only]
    while spare and (growing := [i for i in wrapped if least[i] < most[i]]):  # texts of like width need fewest lines
        least[min(growing, key=least.__getitem__)] += 1
        spare -= 1
    return least


def _least(table: Table, column: int, head: str) -> int:
    whole = _content(table, column, cell_len)
    if table.columns[column].wrap:
        whole = min(whole, max(LEAST, _content(table, column, _longest_word)))
    return max(whole, _longest_word(head))


def _content(table: Table, column: int, measure: Callable[[str], int]) -> int:
    return max((measure(line) for row in range(len(table.rows)) for line in lines_of(table, row, column)), default=0)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _short_heads(table: Table) -> list[str]:
    """Short names where the name is what makes the column wide."""
    return [
        c.short if c.short and _longest_word(c.name) > _content(table, i, cell_len) else c.name
        for i, c in enumerate(table.columns)
    ]


def _shortened(table: Table, key: int, other: int | None, heads: Sequence[str], width: int) -> dict[int, int]:
    """A key and one column of which one has a name that is too long: the key gives way first."""
    if other is None:
        return {key: min(width, _least(table, key, heads[key]))}
    wanted = _least(table, other, heads[other])
    own = min(_least(table, key, heads[key]), max(LEAST_KEY, width - GAP - wanted))
    return {key: own, other: min(wanted, width - GAP - own)}
