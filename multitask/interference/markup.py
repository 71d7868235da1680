"""Tables as text with markup: Markdown, LaTeX, HTML.

All text that comes from a study (names of tasks, warnings) is escaped: each format shows it as it is.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

from multitask.interference.cells import Cell, Table
from multitask.interference.palette import MARKS
from multitask.interference.study_tables import Preface


def markdown_text(found: Sequence[Table], above: Preface | None) -> str:
    """GitHub's Markdown: what stands above the tables, and each table under a heading of the third level."""
    blocks = []
    if above is not None:
        blocks.append(f"**{_md(above.budget)}**")
        blocks += [f"> **Warning:** {_md(w)}" for w in above.warnings]
        if above.notes:
            blocks.append("\n".join(f"- {_md(n)}" for n in above.notes))
    for table in found:
        lines = [
            [_md(c.name) for c in table.columns],
            [":---" if c.left else "---:" for c in table.columns],
            *([_md_cell(cell) for cell in row] for row in table.rows),
        ]
        blocks.append(f"### {_md(table.title)}")
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
    text = _md(_with_mark(cell))
    return f"{text}<br>{_md(cell.detail)}" if cell.detail else text


def _with_mark(cell: Cell) -> str:
    mark = MARKS.get(cell.verdict or "", "") if cell.marked else ""
    return f"{cell.text} {mark}".rstrip()


_LATEX = {
    **{c: f"\\{c}" for c in "_%&#${}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "−": "$-$",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "…": r"\ldots{}",
    "→": r"$\to$",
    "▲": r"$\uparrow$",
    "▼": r"$\downarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "α": r"$\alpha$",
}
"""Characters that LaTeX reads otherwise or its default fonts lack; arrows need no package, triangles do."""


def _tex(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> print(_tex("a_b & 5 % −1.3 ▼"))
    a\_b \& 5 \% $-$1.3 $\downarrow$
    """
    return "".join(_LATEX.get(c, c) for c in " ".join(text.split()))


def latex_text(found: Sequence[Table], above: Preface | None) -> str:
    """LaTeX with the booktabs package: a float a table, a first line that says so."""
    blocks = [r"% \usepackage{booktabs}"]
    if above is not None:
        blocks.append(rf"\noindent\textbf{{{_tex(above.budget)}}}\par")
        blocks += [rf"\noindent\textbf{{Warning:}} {_tex(w)}\par" for w in above.warnings]
        blocks += [rf"\noindent {_tex(n)}\par" for n in above.notes]
    for table in found:
        lines = [
            r"\begin{table}[htbp]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{_tex(table.title)}}}",
            rf"\begin{{tabular}}{{{''.join('l' if c.left else 'r' for c in table.columns)}}}",
            r"\toprule",
            " & ".join(_tex(c.name) for c in table.columns) + r" \\",
            r"\midrule",
            *map(_tex_row, table.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        if table.notes:
            notes = " ".join(map(_tex, table.notes))
            lines.append(rf"\par\smallskip\parbox{{0.95\linewidth}}{{\footnotesize {notes}}}")
        blocks.append("\n".join([*lines, r"\end{table}"]))
    return "\n\n".join(blocks) + "\n"


def _tex_row(row: Sequence[Cell]) -> str:
    # The row before ends in \\, and LaTeX would read a [ or * after that as its options.
    return "{}" * row[0].text.startswith(("[", "*")) + " & ".join(map(_tex_cell, row)) + r" \\"


def _tex_cell(cell: Cell) -> str:
    text = _tex(_with_mark(cell))
    return rf"\shortstack[r]{{{text}\\{{}}{_tex(cell.detail)}}}" if cell.detail else text


def html_text(found: Sequence[Table], above: Preface | None) -> str:
    """A fragment: no page, no style, all text escaped."""
    e = html.escape
    lines = ['<section class="tables">']
    if above is not None:
        lines.append(f'<p class="budget"><strong>{e(above.budget)}</strong></p>')
        lines += [f'<p class="warning" role="note"><strong>Warning:</strong> {e(w)}</p>' for w in above.warnings]
        lines += [f'<p class="note">{e(n)}</p>' for n in above.notes]
    for table in found:
        lines += ["<table>", f"<caption>{e(table.title)}</caption>", "<thead>", "<tr>"]
        lines += [f'<th scope="col" class="{"text" if c.left else "number"}">{e(c.name)}</th>' for c in table.columns]
        lines += ["</tr>", "</thead>", "<tbody>"]
        for key, *row in table.rows:
            lines += ["<tr>", f'<th scope="row">{e(key.text)}</th>', *map(_html_cell, row), "</tr>"]
        lines += ["</tbody>", "</table>"]
        lines += [f'<p class="note">{e(n)}</p>' for n in table.notes]
    return "\n".join([*lines, "</section>"]) + "\n"


def _html_cell(cell: Cell) -> str:
    verdict = cell.verdict
    attributes = f' class="{html.escape(verdict.replace(" ", "-"))}"' if verdict else ""
    if cell.value is not None and math.isfinite(cell.value):
        attributes += f' data-value="{cell.value!r}"'
    text = html.escape(cell.text)
    if cell.marked and verdict:
        text += f' <span role="img" aria-label="{verdict}" title="{verdict}">{MARKS.get(verdict, "")}</span>'
    if cell.detail:
        text += f"<br><small>{html.escape(cell.detail)}</small>"
    return f"<td{attributes}>{text}</td>"
