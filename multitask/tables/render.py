"""Tables in a format that is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from multitask.tables.cells import Preface
from multitask.tables.html import html_text
from multitask.tables.latex import latex_text
from multitask.tables.markdown import markdown_text
from multitask.tables.table import Table
from multitask.tables.terminal import terminal_text

Format = Literal["table", "markdown", "csv", "json", "latex", "html"]
FORMATS: tuple[str, ...] = get_args(Format)
"""Of which csv and json are for programs: each result has its own."""


def render_tables(
    tables: Sequence[Table],
    format: str,
    above: Preface | None = None,
    *,
    width: int | None = None,
    color: bool | None = None,
) -> str:
    """Tables in a format for people, ending in a newline.

    Args:
        tables: In their order.
        format: table (for a terminal), markdown, latex or html.
        above: What stands above them.
        width: Of `table`; by default the terminal's, and in a pipe COLUMNS or 160.
        color: Of `table`; by default on a terminal, unless NO_COLOR is set.
    """
    if format == "table":
        return terminal_text(tables, above, width=width, color=color)
    if format == "markdown":
        return markdown_text(tables, above)
    if format == "latex":
        return latex_text(tables, above)
    if format == "html":
        return str(html_text(tables, above))
    raise ValueError(f"format must be one of {', '.join(FORMATS)}. Got {format!r}.")
