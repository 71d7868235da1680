"""The base of HTML pages and their small charts: escaped, policed by hashes, and the same every time."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markupsafe import Markup

from multitask import pages
from multitask.pages import charts

HOSTILE = "</script><script>alert(1)</script><!-- & \" ' ]]> \u2028\u2029 \x00 \ud83d <img src=x onerror=alert(2)>"


def page(**values: object) -> str:
    return pages.render_page("base.html.j2", package="multitask.pages", **{"title": "A page", **values})


def test_the_policy_allows_this_style_and_this_script_and_no_other():
    html = page()
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in html.replace("&#39;", "'")
    assert "default-src 'none'" in html.replace("&#39;", "'")
    assert "unsafe" not in html


def test_what_comes_from_data_is_escaped_and_printable():
    html = page(title=HOSTILE, sections=[(HOSTILE, HOSTILE)])
    assert html.count("<script>") == 1
    assert "<img" not in html
    assert "\x00" not in html
    html.encode()  # no lone surrogate is left
    assert html == page(title=HOSTILE, sections=[(HOSTILE, HOSTILE)])


def test_a_name_that_a_template_does_not_have_is_an_error():
    template = pages.environment("multitask.pages").from_string("{{ misspelt }}")
    with pytest.raises(UndefinedError, match="misspelt"):
        template.render()


def test_no_template_and_no_chart_has_a_style_attribute():
    # The policy would refuse it.
    for path in Path(pages.__file__).parents[1].rglob("templates/*.j2"):
        assert not re.search(r"\sstyle=|\son\w+=|\|\s*safe\b|autoescape", path.read_text(encoding="utf-8")), path


NUMBERS = st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=6)


@settings(max_examples=40)
@given(NUMBERS, st.text())
def test_charts_take_any_numbers_and_any_words(values: list[float | None], words: str):
    axis = charts.axis_of(values, 60, 200)
    assert math.isfinite(axis.at(1.0))
    made = [
        charts.curves([charts.Series("ink", range(len(values)), values, values, values)], label=words, unit=words),
        charts.points(axis, [(words, "single", values)], label=words),
    ]
    made += [charts.interval(axis, v, v, v, label=words) for v in values]
    for svg in made:
        assert isinstance(svg, Markup)
        assert "nan" not in re.sub(r'aria-label="[^"]*"|<text[^>]*>[^<]*', "", svg)
        assert re.sub(r"[^<]", "", svg).count("<") == len(re.findall(r"<(?:/?svg|path|circle|rect|/?text|/?g)\b", svg))


def test_one_value_is_a_point_and_its_axis_has_round_ticks():
    svg = charts.curves([charts.Series("joint", [60], [3.667])])
    assert svg.count('class="dots joint"') == 1
    assert re.findall(r">(3\.\d+)<", svg) == ["3.5", "3.6", "3.7", "3.8"]
    assert "dots" not in charts.curves([charts.Series("joint", [30, 60], [3.0, 4.0])])


def test_an_interval_ends_where_the_value_cannot_go_and_says_so():
    axis = charts.Axis(-10, 10, 0, 200)
    inside = charts.interval(axis, 2.0, -5.0, 8.0)
    cut = charts.interval(axis, 2.0, -5.0, 8.0, bounds=(-100.0, 4.0))
    assert 'd="M50 13.5L180 13.5"' in inside
    assert 'd="M50 13.5L140 13.5"' in cut
    assert cut.count("<path") == inside.count("<path") + 1  # the arrowhead
