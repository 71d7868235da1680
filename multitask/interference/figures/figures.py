"""A study's figures, from its record alone: `matrix`, `leave_one_out`, `forest`, `curves`, `mix`, `scores`.

The same record gives the same bytes: a fixed salt for SVG's ids, no dates, the font that comes with matplotlib, and its
default settings in place of the user's. Nothing global is changed: figures are objects, `pyplot` is not used.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from multitask.interference.figures.palette import INK, LINE, MUTED, PAPER
from multitask.interference.results.lookup import MATRICES
from multitask.interference.results.record import StudyRecord
from multitask.storage.atomic import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
"""Of the PNG files."""

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "text.hinting": "none",  # hinted letters are wider at some resolutions than where the layout was made
    "text.parse_math": False,  # a task's name may hold a dollar sign
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "figure.dpi": DPI,
    "figure.constrained_layout.w_pad": 0.07,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.hashsalt": "multitask",
}


def figures(record: StudyRecord, names: Container[str] | None = None) -> dict[str, Figure]:
    """{name: figure}; what has nothing to show is left out.

    With two matched budgets the matrices come once for each: `matrix` is that of the first, `matrix_steps` that of
    the other.

    Args:
        record: The study.
        names: Which to draw; all if None.
    """
    from multitask.interference.figures.drawings import draw_forest, draw_matrix
    from multitask.interference.figures.panels import draw_curves, draw_mix, draw_scores

    lead, *others = record["setting"]["match"]
    ways: dict[str, Callable[[], Figure | None]] = {
        **{name: partial(draw_matrix, record, kind, lead) for kind, name in MATRICES.items()},
        **{f"{name}_{m}": partial(draw_matrix, record, kind, m) for m in others for kind, name in MATRICES.items()},
        "forest": partial(draw_forest, record),
        "curves": partial(draw_curves, record),
        "mix": partial(draw_mix, record),
        "scores": partial(draw_scores, record),
    }
    with _style("path"):
        drawn = {name: draw() for name, draw in ways.items() if names is None or name in names}
        made = {name: figure for name, figure in drawn.items() if figure is not None}
        for figure in made.values():
            for _ in range(2):  # labels are made when first drawn, in this style; the second pass gives them their room
                figure.draw_without_rendering()
            figure.set_layout_engine("none")  # where things stand is settled: drawing again costs a fraction
    return made


def write_figures(record: StudyRecord, folder: Path) -> list[Path]:
    """Write each figure as NAME.svg and NAME.png (200 dpi); gives the files, in the order of `figures`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    written = []
    for name, figure in figures(record).items():
        with atomic(folder / f"{name}.svg") as temporary:
            temporary.write_text(svg_of(figure), encoding="utf-8")
        with atomic(folder / f"{name}.png") as temporary, _style("path"):
            FigureCanvasAgg(figure)
            figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
        written += [folder / f"{name}.svg", folder / f"{name}.png"]
    return written


def svg_of(figure: Figure, *, text: str = "path") -> str:
    """A figure as SVG, without a date or the name of its maker.

    Args:
        figure: From `figures`.
        text: `path` draws letters as shapes, which look the same everywhere; `none` leaves them text, which can be
            searched and copied, in a font that the reader has.
    """
    file = io.StringIO()
    with _style(text):
        figure.savefig(file, format="svg")
    return re.sub(r"\s*<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)


@contextlib.contextmanager
def _style(text: str) -> Iterator[None]:
    import matplotlib.style

    style = {**_STYLE, "svg.fonttype": text}
    with matplotlib.style.context(style, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font"
        )  # a box is drawn; the tables have the name
        yield
