"""Tables on the terminal: every width, with colour and without.

Colour is never the only carrier: a verdict has its mark. A table too wide for the terminal loses its optional columns,
then takes the short names of the others, and is then printed in parts that each begin with the key column.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multitask.interference.cells import Cell, Column, Table
from multitask.interference.palette import MARKS
from multitask.interference.study_tables import Preface

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
"""Of output that is no terminal, as everywhere in this package."""
GAP = 2
"""Spaces between columns."""
STYLES = {"gain": "color(33)", "loss": "color(166)", "equal": "bold", "no evidence": "dim"}
"""Blue and orange of a brightness that stands out from white and from black."""


def terminal_text(
    tables: Sequence[Table], preface: Preface | None = None, *, width: int | None = None, color: bool | None = None
) -> str:
    """What stands above the tables, and the tables.

    Args:
        tables: In the order to print.
        preface: Budget, warnings and notes.
        width: Columns of text; by default the terminal's, and `PIPE_WIDTH` where there is none.
        color: By default if standard output is a terminal and NO_COLOR is not set.
    """
    from rich.console import Console
    from rich.text import Text

    live = sys.stdout.isatty()
    if color is None:
        color = live and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    if width is None:
        width = shutil.get_terminal_size().columns if live else PIPE_WIDTH
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=color,
        force_jupyter=False,
        color_system="256" if color else None,
        no_color=not color,
        highlight=False,
        legacy_windows=False,
    )
    if preface is not None:
        console.print(Text(preface.budget, style="bold"))
        for warning in preface.warnings:
            console.print(Text.assemble(("Warning: ", "bold color(166)"), warning))
        for note in preface.notes:
            console.print(Text(f"Note: {note}"))
    said: set[str] = set()
    for table in tables:
        console.print()
        _print(console, table, width, said)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip("\n") + "\n"


def _print(console: Console, table: Table, width: int, said: set[str]) -> None:
    """One table; notes that were `said` under an earlier one are not repeated."""
    from rich.text import Text

    console.print(Text(table.title, style="bold"))
    parts, heads = _parts(table, width)
    for i, part in enumerate(parts):
        if i:
            console.print()
        console.print(_grid(table, part, heads))
    notes = list(table.notes)
    shortened = [(h, c.name) for h, c in zip(heads, table.columns, strict=True) if h != c.name and not c.optional]
    if shortened:
        notes.insert(0, ", ".join(f"{h} {name}" for h, name in shortened) + ".")
    for note in notes:
        if note not in said:
            console.print(Text(note, style="dim"))
    said.update(notes)


def _parts(table: Table, width: int) -> tuple[list[list[int]], list[str]]:
    """Which columns to print beside each other, as positions, and what to call each column."""
    names = [c.name for c in table.columns]
    short = [c.short or c.name for c in table.columns]
    every = list(range(len(names)))
    needed = [i for i, c in enumerate(table.columns) if not c.optional]
    for columns, heads in ((every, names), (needed, names), (needed, short)):
        if _width(table, columns, heads) <= width:
            return [columns], heads
    parts = [needed[:2]]
    for i in needed[2:]:
        if _width(table, [*parts[-1], i], names) <= width:
            parts[-1].append(i)
        else:
            parts.append([needed[0], i])
    return parts, names


def _width(table: Table, columns: Sequence[int], heads: Sequence[str]) -> int:
    from rich.cells import cell_len

    lines = [[heads[i], *(line for row in table.rows for line in _lines(table, row, i))] for i in columns]
    return sum(max(map(cell_len, column)) for column in lines) + GAP * (len(columns) - 1)


def _lines(table: Table, row: Sequence[Cell], column: int) -> list[str]:
    """A cell's lines; in a column with marks what has none is indented, so that digits stand below digits."""
    cell = row[column]
    mark = MARKS.get(cell.verdict or "", "") if cell.marked else ""
    marks = not table.columns[column].left and any(r[column].marked for r in table.rows)
    first = f"{cell.text} {mark or ' '}" if marks else cell.text
    return [first, cell.detail] if cell.detail else [first]


def _grid(table: Table, columns: Sequence[int], heads: Sequence[str]) -> Any:
    """The columns of a table as rich draws them."""
    import rich.table
    from rich import box
    from rich.text import Text

    grid = rich.table.Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for i in columns:
        column: Column = table.columns[i]
        grid.add_column(
            Text(heads[i]),
            justify="left" if column.left else "right",
            overflow="fold",
            header_style="bold",
        )
    for row in table.rows:
        texts = []
        for i in columns:
            first, *rest = _lines(table, row, i)
            text = Text(first, style=STYLES.get(row[i].verdict or "", ""))
            for line in rest:
                text.append("\n" + line, style="dim")
            texts.append(text)
        grid.add_row(*texts)
    return grid
