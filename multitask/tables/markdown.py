"""Tables as GitHub's Markdown, which shows all text as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from multitask.tables.table import Cell, Preface, Table, visible_in


def markdown_text(tables: Sequence[Table], above: Preface | None = None) -> str:
    """What stands above the tables, and each table under a heading of the third level."""
    tables, above = visible_in(tables), visible_in(above)
    blocks = []
    if above is not None:
        blocks.append(f"**{_md(above.lead)}**")
        blocks += [f"> **Warning:** {_md(w)}" for w in above.warnings]
        if above.notes:
            blocks.append("\n".join(f"- {_md(n)}" for n in above.notes))
    for table in tables:
        blocks.append(f"### {_md(table.title)}")
        lines = [
            [_md(c.name) for c in table.columns],
            [":---" if c.left else "---:" for c in table.columns],
            *([_md_cell(cell) for cell in row] for row in table.rows),
        ]
        if table.rows:
            blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        blocks += [_md(n) for n in table.notes]
    return "\n\n".join(blocks) + "\n"


def _md(text: str) -> str:
    r"""Text that Markdown shows as it is.

    >>> print(_md("a|b <i> tweet_sentiment _x_ *"))
    a\|b &lt;i> tweet_sentiment \_x\_ \*
    """
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    text = re.sub(r"([\\|*`$]|~(?=~)|\](?=[(\[:]))", r"\\\1", text)  # ](, ][ and ]: would make links
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # inside a word it means nothing


def _md_cell(cell: Cell) -> str:
    text = _md(f"{cell.text} {cell.mark}".rstrip())
    return f"{text}<br>{_md(cell.detail)}" if cell.detail else text
