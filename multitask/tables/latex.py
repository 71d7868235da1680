"""Tables as LaTeX with the booktabs package; all text is printed as it is."""

from __future__ import annotations

from collections.abc import Sequence

from multitask.tables.cells import Cell, Preface, visible_in
from multitask.tables.table import Table

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
    "–": "--",
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


def latex_text(tables: Sequence[Table], above: Preface | None = None) -> str:
    """Render the preface, and a float a table; a first line names the package."""
    tables, above = visible_in(tables), visible_in(above)
    blocks = [r"% \usepackage{booktabs}"]
    if above is not None:
        blocks.append(rf"\noindent\textbf{{{_tex(above.lead)}}}\par")
        blocks += [rf"\noindent\textbf{{Warning:}} {_tex(w)}\par" for w in above.warnings]
        blocks += [rf"\noindent {_tex(n)}\par" for n in above.notes]
    for table in tables:
        if not table.rows:
            blocks += [
                rf"\noindent\textbf{{{_tex(table.title)}}}\par",
                *(rf"\noindent {_tex(n)}\par" for n in table.notes),
            ]
            continue
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
    text = _tex(f"{cell.text} {cell.mark}".rstrip())
    return rf"\shortstack[r]{{{text}\\{{}}{_tex(cell.detail)}}}" if cell.detail else text
