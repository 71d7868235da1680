"""The HTML report: complete, escaped, well-formed, self-contained, and the same bytes every time."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
import runpy
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.interference.palette import contrast
from multitask.interference.record import LIKELIHOOD, StudyRecord
from multitask.interference.report import report_html, write_report
from multitask.interference.report_parts import Cell, Column, element, inline_figure, join, table, text

example_record = runpy.run_path(str(Path(__file__).with_name("study_example.py")))["example_record"]
VOID = {"meta", "wbr", "br", "input", "link", "img", "hr"}
HOSTILE = "</script><script>alert(1)</script><!-- & \" ' ]]> \u2028\u2029 \x00 \ud83d <img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """Elements of a page, with a check that all that is opened is closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def words(self) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if tag not in ("script", "style")).split())

    def ids(self) -> list[str]:
        return [a["id"] or "" for _, a in self.elements if "id" in a]


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    return example_record()


@pytest.fixture(scope="module")
def html(record: StudyRecord) -> str:
    return report_html(record)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def poor(tasks: tuple[str, ...] = ("span", "sst2"), seeds: int = 5) -> StudyRecord:
    """A record without anything that draws a figure: reports of it are quick to make."""
    record = example_record(tasks, seeds)
    record.update(curves=[], exposure=[], scores=[])
    record["effects"] = [e for e in record["effects"] if e["kind"] not in ("company", "pair", "dilution")]
    return record


def test_every_part_of_a_study_has_a_section_and_is_linked(page: Page) -> None:
    sections = [a["id"] for tag, a in page.elements if tag == "section" and a.get("id")]
    assert sections == [
        *(
            "summary",
            "company",
            "matrix",
            "leave-one-out",
            "forest",
            "dilution",
            "advice",
            "examples",
            "confusion",
            "twin",
        ),
        *("noise", "null", "scores", "curves", "rates", "mixture", "effects", "settings"),
    ]
    links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert links[1 : len(sections) + 1] == [f"#{s}" for s in sections]
    assert {link for link in links if link} <= {f"#{i}" for i in page.ids()}


def test_ids_are_unique(page: Page) -> None:
    ids = page.ids()
    assert len(ids) > 100
    assert sorted(ids) == sorted(set(ids))


def test_budget_warnings_and_notes_stand_above_everything(page: Page, record: StudyRecord) -> None:
    start = page.words.index("Summary")  # the first entry of the contents
    for line in (record["budget"], *record["warnings"], *record["notes"]):
        assert 0 < page.words.index(line) < start


def test_every_effect_is_a_row_with_its_numbers(html: str, record: StudyRecord) -> None:
    rows = dict(re.findall(r'<tr id="(e\d+)">(.*?)</tr>', html, re.DOTALL))
    assert len(rows) == len(record["effects"])
    for i, e in enumerate(record["effects"]):
        keys = re.findall(r'data-key="([^"]+)"', rows[f"e{i}"])
        given = (e["base"], e["score"], e["delta"], e["low"], e["high"], e["p"], e["q"], e["p_sign_flip"])
        given += (e["margin"], e["detectable"], e["examples"])
        assert [float(k) for k in keys] == pytest.approx([v for v in given if v is not None], rel=1e-4)


def test_what_was_not_measured_is_a_dot_and_never_0(html: str, record: StudyRecord) -> None:
    assert record["effects"][3]["delta"] is None
    (row,) = re.findall(r'<tr id="e3">(.*?)</tr>', html, re.DOTALL)
    assert row.count(">·<") == 8  # verdict, without, with, Δ, low, high, p, q
    first = html[html.index('class="heat"') : html.index("</table>", html.index('class="heat"'))]
    assert first.count('<td class="none">') == 1
    assert "not measured" in first


def test_cells_of_a_matrix_tell_their_details_and_lead_to_row_and_examples(page: Page, record: StudyRecord) -> None:
    cells = {a["href"]: a for tag, a in page.elements if tag == "a" and "title" in a}
    at = next(i for i, e in enumerate(record["effects"]) if e["kind"] == "pair" and e["delta"] is not None)
    cell = cells[f"#e{at}"]
    e = record["effects"][at]
    assert (cell["title"] or "").splitlines()[0] == f"{e['task']} with {e['companion']}, against alone; {e['metric']}"
    assert f"q {e['q']:.3f}" in (cell["title"] or "")
    assert cell["data-examples"] in page.ids()


def test_text_on_cells_can_be_read_in_light_and_dark(html: str) -> None:
    pairs = re.findall(r"--l:(#\w+);--k:(#\w+);--d:(#\w+);--e:(#\w+)", html)
    assert len(pairs) > 20
    assert all(contrast(a, b) >= 4.5 and contrast(c, d) >= 4.5 for a, b, c, d in pairs)


def test_text_of_the_page_can_be_read_in_light_and_dark() -> None:
    css = files("multitask.interference").joinpath("report.css").read_text()
    themes = [
        dict(re.findall(r"--(\w[\w-]*): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]
    assert len(themes) == 2
    for theme in themes:
        for ground in ("bg", "soft", "band"):
            for ink in ("ink", "muted", "gain", "loss", "link"):
                if ground != "band" or ink == "ink":
                    assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
        assert contrast(theme["ink"], theme["warn"]) >= 4.5


def test_nothing_is_loaded_from_outside(html: str, page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img")
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
        assert "url(http" not in (attributes.get("style") or "")
    assert "@import" not in html
    assert not re.search(r"https?://", html)


def test_the_policy_allows_this_script_and_no_other(html: str, page: Page) -> None:
    scripts = [data for tag, data in page.texts if tag == "script"]
    assert scripts == ["\n" + files("multitask.interference").joinpath("report.js").read_text(encoding="utf-8")]
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert not any(name.startswith("on") for _, a in page.elements for name in a)


def test_every_string_of_the_record_is_escaped(record: StudyRecord) -> None:
    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: spoil(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [spoil(v, key) for v in value]
        fixed = {"kind", "match", "arm", "arms", "verdict", "direction", "measure", "metric", "select"}
        return value + HOSTILE if isinstance(value, str) and key not in fixed else value

    spoiled = spoil(copy.deepcopy(example_record(("span", "sst2"))))
    spoiled["setting"]["lr"] = {"single" + HOSTILE: 0.1, "joint": 0.2}
    html = report_html(spoiled)
    page = Page(html)
    clean = Page(report_html(example_record(("span", "sst2"))))
    assert [tag for tag, _ in page.elements if tag in ("script", "img")] == ["script"]
    # The same elements, but for axis labels and wrapped lines in the figures.
    names = {tag for tag, _ in clean.elements} - {"svg", "g", "path", "text", "use", "tspan"}
    for name in names:
        assert sum(t == name for t, _ in page.elements) == sum(t == name for t, _ in clean.elements), name
    assert "\x00" not in html
    html.encode()  # no half of a surrogate pair is left
    assert "<img src=x onerror=alert(2)>" in page.words


@given(st.text(), st.text())
def test_text_comes_back_as_it_was_and_makes_no_markup(value: str, title: str) -> None:
    page = Page(element("p", value, title=title))
    assert [tag for tag, _ in page.elements] == ["p"]
    printable = "".join(c for c in value if c.isprintable() or c in " \n\t")
    shown = "".join(data for _, data in page.texts)
    assert "".join(c for c in shown if c in printable) == "".join(c for c in printable if c in shown)
    if value.isprintable():
        assert shown == value


def test_joined_strings_are_escaped_unless_they_are_markup() -> None:
    assert join(["<", text("<"), element("b", "x")], " & ") == "&lt; & &lt; & <b>x</b>"


def test_a_table_needs_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="shorter"):
        table("t", [Column("a"), Column("b")], [["1"]])
    made = table("t", [Column("a", number=False), Column("b")], [["<", Cell("1", 1.0)]])
    assert '<th scope="row">&lt;</th><td class="n" data-key="1">1</td>' in made


def test_an_inline_figure_shares_no_id_and_no_style_with_the_page() -> None:
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns:xlink="a" xmlns="b" width="9pt"><defs><style>*{}</style></defs>'
        '<!-- x --><g id="text_1" style="fill: #1f2328"><path id="p1" clip-path="url(#c1)"/><clipPath id="c1">'
        '</clipPath><use xlink:href="#p1"/></g></svg>'
    )
    assert inline_figure(svg, "mix", "A & B") == (
        '<svg role="img" aria-label="A &amp; B" class="figure" width="9pt"><defs></defs><g style="fill: var(--ink)">'
        '<path id="mix-p1" clip-path="url(#mix-c1)"/><clipPath id="mix-c1"></clipPath><use href="#mix-p1"/></g></svg>'
    )


def test_the_same_record_gives_the_same_bytes(html: str, record: StudyRecord, tmp_path: Path) -> None:
    write_report(copy.deepcopy(record), tmp_path / "deep" / "report.html")
    assert (tmp_path / "deep" / "report.html").read_bytes() == html.encode()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["report.html"]


def test_a_large_study_with_long_examples_stays_below_two_megabytes() -> None:
    record = example_record(("span", "sst2", "tweet_sentiment", "stsb", "trec", "emotion"))
    tasks = record["setting"]["tasks"]
    cells = [
        (kind, t, u, m)
        for kind in ("pair", "without")
        for t in tasks
        for u in tasks
        if u != t
        for m in ("examples", "steps")
    ]
    cells += [("company", t, None, m) for t in tasks for m in ("examples", "steps")]
    one = record["changed"][0]
    record["changed"] = [
        {**one, "kind": kind, "task": t, "companion": u, "match": m, "direction": d, "inputs": "words & more " * 300}
        for kind, t, u, m in cells
        for d in ("worse", "better")
        for _ in range(20)
    ]
    html = report_html(record)
    assert len(html.encode()) < 2_000_000
    assert html.count("<article") == 2 * 3 * len(cells)
    assert f"{2 * 17 * len(cells):,} more are in interference.json" in html
    assert "more characters)" in html


def test_changed_examples_show_both_answers_of_every_seed() -> None:
    record = poor()
    record["changed"] = [
        {
            **record["changed"][0],
            "target": "joy",
            "base": ["joy", "joy", "anger", "joy", ""],
            "with_company": ["anger", "anger", "joy", "joy", "joy"],
        }
    ]
    page = Page(report_html(record))
    words = page.words[page.words.index("Changed examples The") :]
    assert "span with all, against alone equal exposure, 1 worse" in words
    assert "seed alone with all" in words
    assert "0, 1 joy ✓ the target anger 2 anger joy ✓ the target 3 joy ✓ the target joy ✓ the target" in words
    assert "4 (empty) joy ✓ the target" in words


def test_one_seed_gives_no_verdict_and_says_so() -> None:
    page = Page(report_html(example_record(("span", "sst2"), seeds=1)))
    assert "1 seed: evaluation noise only. Nothing here says what training again would give." in page.words
    assert "One seed: evaluation noise only, no verdict about training." in page.words
    table = page.words[page.words.index("All effects task") :]
    assert "1 seed: none" in table
    assert not re.search("▲ gain|▼ loss|no evidence", table)


def test_two_tasks_without_pairs_have_no_empty_matrices() -> None:
    record = poor()
    record["effects"] = [e for e in record["effects"] if e["kind"] == "null" and e["metric"] != LIKELIHOOD]
    record.update(changed=[], advice=None, confusion=[], gaps=[], learning_rates=[], null=None, summary=[])
    page = Page(report_html(record))
    assert [a["id"] for tag, a in page.elements if tag == "section" and a.get("id")] == [
        *("summary", "noise", "effects", "settings")
    ]
    assert not [tag for tag, _ in page.elements if tag == "svg"]


def test_words_between_backticks_are_code_and_still_escaped() -> None:
    record = poor()
    record["notes"] = ["`equal` means `<b>`; a ` alone stays"]
    html = report_html(record)
    assert "<li><code>equal</code> means <code>&lt;b&gt;</code>; a ` alone stays</li>" in html


def test_advice_without_an_interval_claims_no_gain() -> None:
    record = poor()
    assert record["advice"] is not None
    record["advice"].update(gain_over_joint=None, low=None, high=None)
    words = Page(report_html(record)).words
    assert "At most 2 models. The best grouping found, points" in words  # on to the table


def test_an_unknown_learning_rate_score_or_gap_is_a_dot() -> None:
    record = poor()
    record["learning_rates"] = [{"arm": "single", "lr": 0.01, "score": None, "chosen": True}]
    record["gaps"] = [{"task": "span", "deployed": None, "per_task": None, "gap": None}]
    words = Page(report_html(record)).words
    assert "single 0.01 · ✓ chosen" in words
    assert "span · · ·" in words


def test_the_settings_repeat_the_study(page: Page, record: StudyRecord) -> None:
    words = page.words[page.words.index("To repeat it multitask") :]
    assert record["setting"]["command"] in words
    assert "intervals 95 %, 10,000 bootstrap resamples over seeds and examples" in words
    assert "learning rate 0.01 for all arms" in words


def test_controls_are_hidden_until_the_script_has_filled_them(page: Page) -> None:
    assert "button" not in {tag for tag, _ in page.elements}
    places = [a for _, a in page.elements if a.get("class") == "filters"]
    assert len(places) == 2
    assert all("hidden" in a for a in places)
