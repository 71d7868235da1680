"""Figures of a study: what is drawn, that nothing is cut or overlaps, and that the same record gives the same bytes."""

from __future__ import annotations

import copy
import itertools
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.interference.figures.figures import figures, svg_of, write_figures
from multitask.interference.figures.palette import BAND, FILLS, GAIN, INK, LOSS, MUTED, PAPER, SINGLE, contrast
from multitask.interference.results.lookup import short
from multitask.interference.results.record import LIKELIHOOD, StudyRecord
from multitask.tables.numbers import interval, plain, signed
from multitask.terminal.escaping import visible

MADE = runpy.run_path(str(Path(__file__).parents[2] / "study_example.py"))
EXAMPLE, mark_not_learned = MADE["example_record"], MADE["mark_not_learned"]
LONG = ("span", "tweet_sentiment_with_a_rather_long_name", "stsb")


def example_record(tasks: tuple[str, ...] = ("span", "sst2", "stsb"), seeds: int = 5) -> Any:
    """A study whose tasks were all learned."""
    record = EXAMPLE(tasks, seeds)
    for about in record["tasks"]:
        about["baseline"] = 20.0
    return record


def texts(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]


def undrawn_ticks(figure: Any) -> set[Any]:
    """Labels of ticks that matplotlib keeps but does not draw: spare ones, and those outside the axis."""
    from matplotlib.axis import Tick
    from matplotlib.text import Text

    found: set[Any] = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            spare = set(axis.findobj(Text)) - set(axis.get_ticklabels()) - {axis.label, axis.get_offset_text()}
            outside = {
                t for tick in axis.findobj(Tick) if not low <= tick.get_loc() <= high for t in tick.findobj(Text)
            }
            found |= spare | outside
    return found


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    return example_record()


@pytest.fixture(scope="module")
def drawn(record: StudyRecord) -> dict[str, Any]:
    return figures(record)


def test_every_figure_is_drawn_from_a_full_record(drawn: dict[str, Any]) -> None:
    matrices = ["matrix", "leave_one_out", "matrix_steps", "leave_one_out_steps"]
    assert list(drawn) == [*matrices, "forest", "curves", "mix", "scores"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRecord, list[Path]]:
    record = example_record(("span", "sst2"))
    record["setting"]["match"] = ["examples"]
    return record, write_figures(record, tmp_path_factory.mktemp("figures"))


def test_figures_are_written_as_png_and_svg_with_the_same_bytes_every_time(
    written: tuple[StudyRecord, list[Path]], tmp_path: Path
) -> None:
    record, first = written
    # In a process of its own, so that neither order of drawing nor hash seed nor the user's settings can matter.
    (tmp_path / "record.json").write_text(json.dumps(record))
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: none\nlines.linewidth: 9\n")
    script = (
        "import json, pathlib, sys; from multitask.interference.figures.figures import write_figures;"
        "write_figures(json.loads(pathlib.Path('record.json').read_text()), pathlib.Path('b'));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "5", "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    names = ["matrix", "leave_one_out", "forest", "curves", "mix", "scores"]
    assert [p.name for p in first] == [f"{name}.{kind}" for name in names for kind in ("svg", "png")]
    for path in first:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_files_hold_neither_date_nor_maker_and_the_png_has_200_dots_per_inch(
    written: tuple[StudyRecord, list[Path]],
) -> None:
    from PIL import Image

    for path in written[1]:
        content = path.read_bytes()
        assert b"atplotlib" not in content.replace(b"matplotlib.axis", b""), path.name
        assert b"dc:date" not in content
    with Image.open(written[1][1]) as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)


def test_drawing_changes_no_global_setting(record: StudyRecord) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    svg_of(figures(record, {"mix"})["mix"])
    assert dict(matplotlib.rcParams) == before


def test_a_cell_of_the_matrix_shows_effect_interval_and_mark(drawn: dict[str, Any], record: StudyRecord) -> None:
    shown = texts(drawn["matrix"])
    cells = [e for e in record["effects"] if (e["kind"], e["match"]) == ("pair", "examples")]
    cells = [e for e in cells if e["metric"] != LIKELIHOOD and e["delta"] is not None]
    assert len(cells) == 5
    for e in cells:
        mark = {"gain": " ▲", "loss": " ▼", "equal": " =", "no evidence": ""}[e["verdict"] or ""]
        assert f"{signed(e['delta'], 1)}{mark}" in shown
        assert interval(e["low"], e["high"], 1) in shown


def test_colour_says_evidence_and_not_size(record: StudyRecord) -> None:
    from matplotlib.colors import to_hex
    from matplotlib.patches import Rectangle

    for verdict, fill in (("gain", GAIN), ("loss", LOSS), ("equal", PAPER), ("no evidence", BAND)):
        made = copy.deepcopy(record)
        for i, e in enumerate(made["effects"]):
            if e["delta"] is not None:
                e.update(verdict=verdict, delta=float(i))
        cells = figures(made, {"matrix"})["matrix"].findobj(Rectangle)
        assert {to_hex(c.get_facecolor()) for c in cells if c.get_width() == 0.96} == {fill, PAPER}


def test_effects_on_a_task_that_was_not_learned_have_no_colour(record: StudyRecord) -> None:
    made = copy.deepcopy(record)
    mark_not_learned(made, "sst2")
    drawn = figures(made, {"matrix", "forest"})
    assert "sst2\nnot learned" in texts(drawn["matrix"])
    assert "sst2 (accuracy, not learned: not judged)" in texts(drawn["forest"])
    assert {line.get_marker() for line in drawn["forest"].axes[1].get_lines()} == {"None", "o"}


def test_what_is_undefined_or_was_not_measured_is_hatched_and_never_0(record: StudyRecord) -> None:
    from matplotlib.patches import Rectangle

    made = copy.deepcopy(record)
    assert made["effects"][3]["delta"] is None
    gone = next(e for e in made["effects"] if (e["kind"], e["task"], e["companion"]) == ("pair", "stsb", "span"))
    made["effects"].remove(gone)
    figure = figures(made, {"matrix"})["matrix"]
    assert (texts(figure).count("·"), texts(figure).count("–")) == (1, 1)
    hatched = [r for r in figure.findobj(Rectangle) if r.get_hatch()]
    assert [(round(r.get_x()), round(r.get_y())) for r in hatched] == [(2, 0), (0, 2)]  # span with stsb, stsb with span
    assert not {"0.0", "+0.0"} & set(texts(figure))


def test_every_task_has_an_axis_of_its_own_and_intervals_stay_in_the_range(record: StudyRecord) -> None:
    made = copy.deepcopy(record)
    e = next(e for e in made["effects"] if (e["kind"], e["task"], e["match"]) == ("company", "span", "examples"))
    e.update(base=98.0, score=97.0, delta=-1.0, low=-20.0, high=18.0)
    axes = figures(made, {"forest"})["forest"].axes
    assert len(axes) == 3
    assert len({ax.get_xlim() for ax in axes}) == 3
    lines = axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines if len(line.get_xdata()) == 2 and -20.0 in line.get_xdata()] == [
        [-20.0, 2.0]
    ]
    assert [line.get_xdata()[0] for line in lines if line.get_marker() == ">"] == [2.0]
    assert "−1.00 [−20.00, 18.00]" in texts(axes[0].figure)


def test_the_diagonal_shows_the_score_alone(drawn: dict[str, Any], record: StudyRecord) -> None:
    alone = next(
        s
        for s in record["scores"]
        if (s["task"], s["arm"], s["match"], s["metric"]) == ("sst2", "single", "examples", "accuracy")
    )
    assert f"± {plain(alone['sd'], 1)}" in texts(drawn["matrix"])


def test_markers_are_filled_only_where_there_is_a_verdict(drawn: dict[str, Any], record: StudyRecord) -> None:
    lines = [line for ax in drawn["forest"].axes for line in ax.get_lines()]
    points = {line.get_xdata()[0]: line for line in lines if line.get_marker() not in ("None", "")}
    effects = [e for e in record["effects"] if (e["kind"], e["metric"]) == ("company", "accuracy")]
    assert effects
    for e in effects:
        filled = [
            line.get_markerfacecolor() != PAPER
            for line in lines
            if line.get_marker() in "^vso" and line.get_xdata()[0] == e["delta"]
        ]
        assert (e["verdict"] != "no evidence") in filled
    assert points


def test_the_forest_has_exposure_compute_and_dilution_of_each_task(drawn: dict[str, Any]) -> None:
    shown = texts(drawn["forest"])
    for label in ("all, equal exposure (I)", "all, equal compute (C)", "dilution (C − I)"):
        assert shown.count(label) == 3


@pytest.mark.parametrize("tasks", [("span", "sst2"), (*LONG, "trec", "emotion", "boolq")])
def test_no_text_is_cut_or_covers_another(tasks: tuple[str, ...]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    names = {"matrix", "forest", "curves", "mix", "scores"}
    for name, figure in figures(example_record(tasks), names).items():
        renderer = FigureCanvasAgg(figure).get_renderer()
        width, height = figure.bbox.width, figure.bbox.height
        boxes, unused = [], undrawn_ticks(figure)
        for t in figure.findobj(Text):
            if not t.get_visible() or not t.get_text().strip() or t.get_alpha() == 0:
                continue
            if t in unused:
                continue
            box = t.get_window_extent(renderer)
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, (name, t.get_text())
            if not t.get_rotation() % 90:  # the box of slanted text is larger than the text
                boxes.append((t.get_text(), box.shrunk(0.98, 0.9)))
        covered = [(a, b) for (a, x), (b, y) in itertools.combinations(boxes, 2) if x.overlaps(y)]
        assert not covered, name


def test_a_forest_of_twelve_tasks_is_not_taller_than_three_pages() -> None:
    figure = figures(example_record(tuple(f"task{i}" for i in range(12))), {"forest"})["forest"]
    assert figure.get_figheight() < 16
    assert len(figure.axes) == 12
    headings = [t for t in texts(figure) if t.endswith("(accuracy)")]
    assert headings == [f"task{i} (accuracy)" for i in range(12)]


def test_two_tasks_without_pairs_or_curves_leave_those_figures_out() -> None:
    record = example_record(("span", "sst2"))
    record["effects"] = [e for e in record["effects"] if e["kind"] == "company"]
    record["curves"], record["exposure"] = [], []
    assert list(figures(record)) == ["forest", "scores"]


def test_an_empty_study_has_no_figures() -> None:
    record = example_record()
    record.update(effects=[], curves=[], exposure=[], scores=[])
    assert figures(record) == {}


def test_one_seed_is_drawn_without_any_verdict() -> None:
    drawn = figures(example_record(seeds=1), {"matrix", "forest"})
    assert any("1 seed: evaluation noise only, no verdict" in t.replace("\n", " ") for t in texts(drawn["forest"]))
    assert not [t for t in texts(drawn["matrix"]) if t.endswith(("▲", "▼"))]
    markers = {line.get_marker() for ax in drawn["forest"].axes for line in ax.get_lines()}
    assert not markers & {"^", "v", "s"}


def test_a_name_with_dollar_signs_or_tags_is_drawn_as_it_is() -> None:
    record = example_record(("a$x_1$b", "<script>&", "\u4e2d\u6587"))
    drawn = figures(record, {"matrix", "mix"})
    for figure in drawn.values():
        for text in ("path", "none"):
            assert "<script" not in svg_of(figure, text=text)
        assert "a$x_1$b" in texts(figure)


def test_curves_with_gaps_are_drawn_where_there_are_numbers() -> None:
    record = example_record(("span", "sst2"))
    for curve in record["curves"]:
        curve["score"] = [None] * len(curve["score"])
        curve["loss"][3] = None
    drawn = figures(record, {"curves"})["curves"]
    assert len(drawn.axes) == 2  # no panels for scores
    joint = drawn.axes[0].get_lines()[0].get_ydata()
    assert [str(v) for v in joint].index("nan") == 3


# -------------------------------------------------------------------------------------------------- colours and numbers


def test_muted_and_coloured_text_can_be_read_on_paper() -> None:
    for colour in (INK, MUTED, GAIN, LOSS, SINGLE):
        assert contrast(colour, PAPER) >= 4.5
    for fill, ink in FILLS.values():
        assert contrast(fill, ink) >= 4.5


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_a_signed_number_reads_back_and_is_never_minus_zero(value: float, digits: int) -> None:
    shown = signed(value, digits).replace("−", "-").replace(",", "")
    assert float(shown) == pytest.approx(value, abs=0.5 * 10**-digits + 1e-9)
    assert not re.fullmatch(r"[-+]0(\.0*)?", shown)


@given(st.text(min_size=1, max_size=60), st.integers(4, 40))
def test_a_shortened_name_fits_and_keeps_both_ends(name: str, length: int) -> None:
    cut = short(name, length)
    assert len(cut) <= length
    whole = visible(name)
    assert cut[0] == whole[0] and cut[-1] == whole[-1]


def test_a_name_that_turns_text_round_is_escaped_in_figures():
    assert short("\u202etxt") == "\\u202etxt"
