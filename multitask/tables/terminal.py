"""Tables on the terminal: every width, with colour and without. Colour is never the only carrier."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from multitask.tables.cells import Cell, Preface, visible_in
from multitask.terminal.live import in_notebook
from multitask.terminal.output import say
from multitask.terminal.width import is_terminal, output_width, shorten, wrap_words

if TYPE_CHECKING:
    from rich.text import Text

    from multitask.tables.table import Table

STYLES = {
    "gain": "color(33)",
    "loss": "color(166)",
    "equal": "bold",
    "no evidence": "dim",
    "strong": "bold",
    "quiet": "dim",
    "warning": "color(166)",
}
"""{verdict or emphasis: style}. Blue and orange of a brightness that stands out from white and from black."""


def print_tables(*tables: Table) -> None:
    """Write tables to standard output, for its width."""
    print(terminal_text(tables), end="", flush=True)


def terminal_text(
    tables: Sequence[Table], above: Preface | None = None, *, width: int | None = None, color: bool | None = None
) -> str:
    """Render the preface and the tables, an empty line between them.

    Args:
        tables: In the order to print.
        above: A line in bold, warnings and notes.
        width: Columns of text; by default the terminal's, and in a pipe COLUMNS or 160.
        color: By default if standard output is a terminal and NO_COLOR is not set.
    """
    if color is None:
        color = shows_colour()
    width = output_width() if width is None else width
    tables, above = visible_in(tables), visible_in(above)
    lines = [] if above is None else _above(above, width)
    said: set[str] = set()
    for table in tables:
        lines += [*_prose("", width), *_lines(table, width, said)]
    text = coloured(lines) if color else "\n".join(line.plain for line in lines)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n") + "\n"


def shows_colour() -> bool:
    """Whether text on standard output is coloured unless it is said otherwise."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(lines: Sequence[Text]) -> str:
    """Lines with the commands that colour them, each as wide as it is."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(
        file=file,
        width=10_000,  # the lines are made already
        force_terminal=True,
        force_jupyter=False,
        color_system="256",
        no_color=False,
        highlight=False,
        legacy_windows=False,
    )
    for line in lines:
        console.print(line)
    return file.getvalue()


def _prose(text: str, width: int, style: str = "", hanging: str = "  ") -> list[Text]:
    from rich.text import Text

    return [Text(line, style=style) for line in wrap_words(text, width, hanging=hanging)]


def _above(above: Preface, width: int) -> list[Text]:
    lines = _prose(above.lead, width, "bold")
    for warning in above.warnings:
        first, *rest = _prose(f"Warning: {' '.join(warning.split())}", width)
        first.stylize("bold color(166)", 0, len("Warning:"))
        lines += [first, *rest]
    for note in above.notes:
        lines += _prose(f"Note: {' '.join(note.split())}", width)
    return lines


def _lines(table: Table, width: int, said: set[str]) -> list[Text]:
    """One table; notes that were `said` under an earlier one are not repeated."""
    from multitask.tables.layout import arrange

    lines = _prose(table.title, width, "bold") if table.title else []
    layout = arrange(table, width)
    for i, part in enumerate(layout.parts if table.rows else ()):
        lines += [*(_prose("", width) if i else ()), *_grid(table, part, layout.heads)]
    notes = list(table.notes)
    if layout.left_out and table.rows:
        names = ", ".join(table.columns[i].name for i in layout.left_out)
        notes.insert(0, f"Left out at this width: {names}.")
    shown = {i for part in layout.parts for i in part if table.rows}
    short = [(h, c.name) for i, (h, c) in enumerate(zip(layout.heads, table.columns, strict=True)) if i in shown]
    shortened = [f"{head} {name}" for head, name in short if head != name]
    if shortened:
        notes.insert(0, ", ".join(shortened) + ".")
    for note in notes:
        if note not in said:
            lines += _prose(note, width, "dim", hanging="")
    said.update(notes)
    return lines


def _grid(table: Table, part: dict[int, int], heads: Sequence[str]) -> list[Text]:
    """The lines of some columns: heads, a rule, rows."""
    from rich.text import Text

    from multitask.tables.layout import GAP, lines_of

    def fitted(text: str, column: int) -> list[str]:
        """The lines of a text in a column: wrapped at spaces where that helps, else shortened."""
        lines = wrap_words(text, part[column], hanging="")
        return [shorten(line, part[column]) for line in lines]

    def block(columns: list[list[tuple[str, str]]], *, bottom: bool = False) -> list[Text]:
        """Columns of lines with their styles, side by side."""
        height = max(map(len, columns), default=0)
        made = []
        for k in range(height):
            line = Text()
            for (i, wide), lines in zip(part.items(), columns, strict=True):
                at = k - (height - len(lines)) if bottom else k
                text, style = lines[at] if 0 <= at < len(lines) else ("", "")
                if line.cell_len or i != next(iter(part)):
                    line.append(" " * GAP)
                piece = Text(text, style=style)
                space = " " * (wide - piece.cell_len)
                line.append(space if not table.columns[i].left else "")
                line.append_text(piece)
                line.append(space if table.columns[i].left else "")
            line.rstrip()
            made.append(line)
        return made

    lines = block([[(line, "bold") for line in fitted(heads[i], i)] for i in part], bottom=True)
    lines.append(Text("─" * (sum(part.values()) + GAP * (len(part) - 1))))
    for r, row in enumerate(table.rows):
        columns = []
        for i in part:
            first, *rest = lines_of(table, r, i)
            shown = [(line, _style(row[i])) for line in fitted(first, i)]
            columns.append(shown + [(line, "dim") for more in rest for line in fitted(more, i)])
        lines += block(columns)
    return lines


def _style(cell: Cell) -> str:
    return STYLES.get(cell.verdict or cell.emphasis, "")


def show_tables(*tables: Table) -> None:
    """Tables where a person looks: between empty lines on standard output, or as HTML in a notebook."""
    if not in_notebook():
        say("")
        print_tables(*tables)
        say("")
        return
    from IPython.display import display

    display(*tables)  # type: ignore[no-untyped-call]
