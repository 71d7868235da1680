"""Tables as HTML: no page, no style, all text escaped; `Markup`, which a template with autoescape takes as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from multitask.tables.cells import MARKS, Cell, Column, Preface, visible_in

if TYPE_CHECKING:
    from multitask.tables.table import Table


def html_table(
    table: Table,
    *,
    id: str = "",
    links: Mapping[tuple[int, int], str] = {},
    keys: bool = True,
) -> Markup:
    """One `<table>` that the pages' script sorts; the first cell of a row names it. Without rows, the title alone.

    Args:
        table: Its title is the caption.
        id: Of the table, if something points to it.
        links: {(row, column), from 0: where the text of this cell leads to}.
        keys: Whether cells have `data-key`; without, a large table is much smaller, and sorts by what it shows.
    """
    table = visible_in(table)
    if not table.rows:
        return Markup('<p class="caption">{}</p>\n').format(table.title)
    heads = Markup("\n").join(_head(c) for c in table.columns)
    lines = [
        Markup("<table{}>").format(_attributes({"id": id or None, "class": "sortable"})),
        Markup("<caption>{}</caption>").format(table.title),
        Markup("<thead>\n<tr>\n{}\n</tr>\n</thead>\n<tbody>").format(heads),
    ]
    for i, row in enumerate(table.rows):
        cells = (
            _cell(c, column, j == 0, links.get((i, j)), keys)
            for j, (column, c) in enumerate(zip(table.columns, row, strict=True))
        )
        lines.append(Markup("<tr>{}</tr>").format(Markup("").join(cells)))
    return Markup("\n").join([*lines, Markup("</tbody>\n</table>\n")])


def html_notes(table: Table) -> Markup:
    """The notes, a paragraph each."""
    return Markup("").join(Markup('<p class="note">{}</p>\n').format(visible_in(note)) for note in table.notes)


def html_text(tables: Sequence[Table], above: Preface | None = None) -> Markup:
    """Render the preface, the tables and their notes, in one section."""
    parts = [Markup('<section class="tables">\n')]
    if above is not None:
        above = visible_in(above)
        parts.append(Markup('<p class="budget"><strong>{}</strong></p>\n').format(above.lead))
        warning = Markup('<p class="warning" role="note"><strong>Warning:</strong> {}</p>\n')
        parts += [warning.format(w) for w in above.warnings]
        parts += [Markup('<p class="note">{}</p>\n').format(n) for n in above.notes]
    for table in tables:
        parts += [html_table(table), html_notes(table)]
    return Markup("").join([*parts, Markup("</section>\n")])


def _head(column: Column) -> Markup:
    own = {"scope": "col", "class": None if column.left else "n"}
    return Markup("<th{}>{}</th>").format(_attributes(own), column.name)


def _cell(cell: Cell, column: Column, first: bool, link: str | None, keys: bool) -> Markup:
    classes = ["" if column.left else "n", (cell.verdict or "").replace(" ", "-"), cell.emphasis]
    finite = cell.value is not None and math.isfinite(cell.value)
    own = {
        "scope": "row" if first else None,
        "class": " ".join(filter(None, classes)) or None,
        "data-key": repr(float(cell.value)) if keys and finite and cell.value is not None else None,
    }
    text: Markup = escape(cell.text)
    if cell.marked and cell.verdict in MARKS:
        said = _attributes({"role": "img", "aria-label": cell.verdict, "title": cell.verdict})
        text += Markup(" <span{}>{}</span>").format(said, cell.mark)
    if link is not None:
        text = Markup('<a href="{}">{}</a>').format(link, text)
    if cell.detail:
        text += Markup("<br><small>{}</small>").format(cell.detail)
    name = "th" if first else "td"
    return Markup("<{0}{1}>{2}</{0}>").format(name, _attributes(own), text)


def _attributes(values: Mapping[str, str | None]) -> Markup:
    return Markup("").join(Markup(' {}="{}"').format(k, v) for k, v in values.items() if v is not None)
