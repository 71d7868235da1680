"""Tables as GitHub's Markdown, which shows all text as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from multitask.tables.cells import Cell, Preface, visible_in
from multitask.tables.table import Table


def markdown_text(tables: Sequence[Table], above: Preface | None = None) -> str:
    """Render the preface, and each table under a heading of the third level."""
    tables, above = visible_in(tables), visible_in(above)
    blocks = []
    if above is not None:
        blocks.append(f"**{escape_markdown(above.lead)}**")
        blocks += [f"> **Warning:** {escape_markdown(w)}" for w in above.warnings]
        if above.notes:
            blocks.append("\n".join(f"- {escape_markdown(n)}" for n in above.notes))
    for table in tables:
        blocks.append(f"### {escape_markdown(table.title)}")
        if table.rows:
            blocks.append(markdown_table(table))
        blocks += [escape_markdown(n) for n in table.notes]
    return "\n\n".join(blocks) + "\n"


def markdown_table(table: Table) -> str:
    """The table alone, without its title and notes."""
    table = visible_in(table)
    lines = [
        [escape_markdown(c.name) for c in table.columns],
        [":---" if c.left else "---:" for c in table.columns],
        *([_cell(cell) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    r"""Text that Markdown shows as it is.

    >>> print(escape_markdown("a|b <i> tweet_sentiment _x_ *"))
    a\|b &lt;i> tweet_sentiment \_x\_ \*
    """
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    text = re.sub(r"([\\|*`$]|~(?=~)|\](?=[(\[:]))", r"\\\1", text)  # ](, ][ and ]: would make links
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # inside a word it means nothing


def _cell(cell: Cell) -> str:
    text = escape_markdown(f"{cell.text} {cell.mark}".rstrip())
    return f"{text}<br>{escape_markdown(cell.detail)}" if cell.detail else text
