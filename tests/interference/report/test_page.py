"""The study's page: complete, escaped, well-formed, self-contained, the same bytes every time, no contradictions."""

from __future__ import annotations

import copy
import math
import re
import runpy
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from multitask.interference.figures.palette import contrast
from multitask.interference.report import report_html, write_report
from multitask.interference.report.page import SECTIONS
from multitask.interference.results.answer import answer
from multitask.interference.results.learned import unlearned_tasks
from multitask.interference.results.ranges import bounds, range_of
from multitask.interference.results.record import LIKELIHOOD, StudyRecord
from multitask.interference.results.record_file import read_record
from multitask.interference.tables.cells import ONE_SEED, WITHOUT_VERDICT
from multitask.interference.tables.evidence import evidence
from multitask.storage.json_files import write_json
from multitask.tables.numbers import plain, signed

MADE = runpy.run_path(str(Path(__file__).parents[2] / "study_example.py"))
EXAMPLE, mark_not_learned = MADE["example_record"], MADE["mark_not_learned"]
VOID = {"meta", "wbr", "br", "input", "link", "img", "hr"}
HOSTILE = "</script><script>alert(1)</script><!-- & \" ' ]]> \u2028\u2029 \x00 \ud83d <img src=x onerror=alert(2)>"


def example_record(tasks: tuple[str, ...] = ("span", "sst2", "stsb"), seeds: int = 5) -> Any:
    """A study whose tasks were all learned."""
    record = EXAMPLE(tasks, seeds)
    for about in record["tasks"]:
        about["baseline"] = 20.0
    return record


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
        return " ".join("".join(data for tag, data in self.texts if tag not in ("script", "style")).split())

    def ids(self) -> list[str]:
        return [a["id"] or "" for _, a in self.elements if "id" in a]


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    made: StudyRecord = example_record()
    return made


@pytest.fixture(scope="module")
def html(record: StudyRecord) -> str:
    return report_html(record)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def first_matrix(html: str) -> str:
    start = html.index('<table class="heat"')
    return html[start : html.index("</table>", start)]


def cells_of(matrix: str) -> dict[str, tuple[str, str]]:
    """{key of the effect: (class of its cell, what is in it)}."""
    found = re.findall(r'<td class="([\w-]+)"><a href="#(e\d+)">(.*?)</td>', matrix, re.DOTALL)
    return {key: (look, inside) for look, key, inside in found}


# ---------------------------------------------------------------------------------------------------- the first screen


def test_the_answer_is_that_of_the_terminal_and_its_findings_can_be_opened(
    page: Page, html: str, record: StudyRecord
) -> None:
    at = 0
    for s in answer(record).sentences:
        at = page.words.index(" ".join(s.text.split()), at)
    assert at < page.words.index("Can I believe it?")
    findings = [s for s in answer(record).sentences if s.effect]
    opened = re.findall(r'<li class="finding">.*?<a href="#(e\d+)">', html, re.DOTALL)
    assert [record["effects"][int(key[1:])] for key in opened] == [s.effect for s in findings] != []


def test_one_chip_counts_the_warnings_and_opens_them(html: str) -> None:
    record = example_record(("span", "sst2"))
    record["warnings"] = ["one of `this`", "<b>two</b>"]
    made = report_html(record)
    (chip,) = re.findall(r'<details class="chip".*?</details>', made, re.DOTALL)
    assert "2 warnings" in chip
    assert "<code>this</code>" in chip
    assert "&lt;b&gt;two" in chip
    assert made.count("&lt;b&gt;two") == 1  # said once
    record["warnings"] = []
    assert 'class="chip"' not in report_html(record)


def test_sections_stand_in_the_order_of_a_readers_questions(page: Page) -> None:
    sections = [a["id"] for tag, a in page.elements if tag == "section" and a.get("id")]
    assert sections == [key for key, _ in SECTIONS] == ["believe", "hurt", "together", "made"]
    links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert [link for link in links if link in {f"#{s}" for s in sections}] == [f"#{s}" for s in sections]


def test_links_lead_somewhere_and_ids_are_unique(page: Page) -> None:
    ids = page.ids()
    assert len(ids) > 40
    assert sorted(ids) == sorted(set(ids))
    assert {a["href"] for tag, a in page.elements if tag == "a"} <= {f"#{i}" for i in ids}


def test_a_study_without_pairs_shows_the_company_column() -> None:
    record = example_record()
    record["setting"]["arms"] = ["single", "joint"]
    record["effects"] = [e for e in record["effects"] if e["kind"] == "company"]
    record.update(changed=[], advice=None)
    html = report_html(record)
    matrix = first_matrix(html)
    assert "<em>all</em>" in matrix
    assert "with </span><em>sst2" not in matrix
    lead = [f"e{i}" for i, e in enumerate(record["effects"]) if e["match"] == "examples" and e["metric"] != LIKELIHOOD]
    assert list(cells_of(matrix)) == lead
    words = Page(html).words
    assert "No advice: it takes the effect of every task on every other" in words


# ------------------------------------------------------------------------------------------------------------ evidence


def test_colour_says_evidence_and_not_size(html: str, record: StudyRecord) -> None:
    cells = cells_of(first_matrix(html))
    assert len(cells) > 8
    for key, (look, inside) in cells.items():
        e = record["effects"][int(key[1:])]
        assert look == {"no evidence": "none", None: "undefined"}.get(e["verdict"], e["verdict"])
        assert ("▲" in inside, "▼" in inside) == (e["verdict"] == "gain", e["verdict"] == "loss")
    large = copy.deepcopy(record)
    for e in large["effects"]:
        e.update(verdict="no evidence", delta=-40.0)
    assert {look for look, _ in cells_of(first_matrix(report_html(large))).values()} == {"none"}


def test_effects_on_a_task_that_was_not_learned_are_marked_and_have_no_colour(record: StudyRecord) -> None:
    made = copy.deepcopy(record)
    mark_not_learned(made, "sst2")
    assert unlearned_tasks(made) == {"sst2"}
    html = report_html(made)
    for key, (look, inside) in cells_of(first_matrix(html)).items():
        if made["effects"][int(key[1:])]["task"] == "sst2":
            assert look in ("unlearned", "undefined")
            assert not re.search("▲|▼", inside)
    row = first_matrix(html)
    row = row[row.index('<th scope="row" title="sst2">') :]
    assert "<strong>not learned</strong>" in row[: row.index("</tr>")]
    start = html.index('<section class="forest" aria-label="sst2">')
    forest = html[start : html.index("</section>", start)]
    assert not re.search(r'class="(span )?(gain|loss)"|▲|▼', forest.split('class="examples"')[0])
    assert "not learned, so not judged" in forest
    assert "<strong>no</strong>" in html  # in the table of every task alone


def test_one_seed_gives_no_verdict_and_says_so_everywhere_alike() -> None:
    html = report_html(example_record(("span", "sst2"), seeds=1))
    page = Page(html)
    assert "1 seed: evaluation noise only" in page.words
    assert WITHOUT_VERDICT[ONE_SEED] in page.words
    assert "1 seed: none" not in page.words
    assert {look for look, _ in cells_of(first_matrix(html)).values()} == {"one-seed"}
    assert not re.search("▲ gain|▼ loss", page.words.replace("▲ gain, ▼ loss, ■ equal", ""))
    verdicts = set(re.findall(r'<span class="verdict">(.*?)</span></summary>', html))
    assert verdicts == {WITHOUT_VERDICT[ONE_SEED], "undefined"}
    assert 'class="loss"' not in html.split('id="believe"')[0]


def test_what_was_not_measured_is_never_said_of_a_number(html: str, record: StudyRecord) -> None:
    assert record["effects"][3]["delta"] is None
    look, inside = cells_of(first_matrix(html))["e3"]
    assert look == "undefined"
    assert "undefined" in inside
    made = copy.deepcopy(record)
    del made["effects"][3]
    matrix = first_matrix(report_html(made))
    assert matrix.count('<td class="missing">') == 1
    for cell in re.findall(r'<td class="missing">.*?</td>', matrix, re.DOTALL):
        assert "Not measured" in cell
        assert "<b>·</b>" in cell
        assert "[" not in cell
    legend = re.findall(r'<p class="legend">.*?</p>', html, re.DOTALL)[0]
    assert "not measured" not in legend  # there is none in this one
    assert "·" not in legend


def test_an_undefined_score_is_not_one_that_was_not_measured() -> None:
    made = example_record()
    for s in made["scores"]:
        if s["task"] == "stsb":
            s.update(mean=None, sd=None, per_seed=[None] * 5)
    html = report_html(made)
    assert re.findall(r'<td class="alone"><b>(.)</b></td>', html)[0] == "–"
    assert re.search("<small>[a-z]+, alone –, baseline", html)


def test_what_is_in_nats_says_nats_everywhere() -> None:
    made = example_record()
    for t in made["tasks"]:
        t["metric"] = LIKELIHOOD
    html = report_html(made)
    believe, hurt = html[: html.index('id="hurt"')], html[html.index('id="hurt"') : html.index('id="together"')]
    assert "Δ in nats" in hurt
    assert "Δ in points" not in hurt
    assert "does to each task, points" not in believe + hurt
    assert "score, points" not in hurt


def test_long_names_are_cut_in_the_title() -> None:
    assert "a" * 60 not in re.findall(r"<h1>(.*?)</h1>", report_html(example_record(("a" * 300, "b", "c"))))[0]


def test_a_verdict_has_one_word(html: str) -> None:
    words = Page(html).words
    assert "more than the sum" not in words
    assert "less than the sum" not in words


def test_an_interval_stays_within_the_metrics_range(record: StudyRecord) -> None:
    assert range_of(record, "span") == (0.0, 100.0)
    assert range_of(record, "stsb") == (-100.0, 100.0)  # a correlation
    made = copy.deepcopy(record)
    made["tasks"][1].update(low=None, high=0.0, baseline=-30.0)  # an error
    for s in made["scores"]:
        if s["task"] == "sst2":
            s["per_seed"] = [-v for v in s["per_seed"] if v is not None]
    assert range_of(made, "sst2") == (-math.inf, 0.0)
    made["tasks"][1]["high"] = -50.0  # scores lie above it
    assert range_of(made, "sst2") == (-math.inf, math.inf)
    e = next(e for e in made["effects"] if e["kind"] == "pair" and e["task"] == "span" and e["metric"] == "jaccard")
    e.update(base=98.0, score=97.0, delta=-1.0, low=-30.0, high=28.0)
    assert bounds(e, (0.0, 100.0)) == (-98.0, 2.0)
    key = f"e{made['effects'].index(e)}"
    page = report_html(made)
    summary = page[: page.index(f'id="{key}"')].rsplit("<summary", 1)[1]
    assert summary.count("v8z") == 1  # the arrowhead at the end that cannot be
    assert "[−30.0, 28.0]" in summary


def test_every_effect_can_be_opened_and_is_a_row_with_its_numbers(html: str, record: StudyRecord) -> None:
    table = html[html.index('<table id="effects"') :]
    rows = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")], re.DOTALL)[1:]
    assert len(rows) == len(record["effects"])
    for i, (e, row) in enumerate(zip(record["effects"], rows, strict=True)):
        digits = 3 if e["metric"] == LIKELIHOOD else 1
        for v in (e["low"], e["high"], e["detectable"]):
            assert v is None or f'<td class="n">{plain(v, digits)}</td>' in row
        assert e["delta"] is None or signed(e["delta"], digits) in row
        word = evidence(e, unlearned_tasks(record)).word
        assert word in row
        if e["metric"] != LIKELIHOOD:
            assert html.count(f'<div class="inside" id="e{i}">') == 1
            assert f'href="#e{i}"' in row


def test_an_opened_verdict_shows_scores_seeds_shares_and_both_predictions(record: StudyRecord) -> None:
    made = copy.deepcopy(record)
    c = next(c for c in made["changed"] if c["kind"] == "pair" and c["task"] == "span")
    c.update(
        target="joy", base=["joy", "joy", "anger", "joy", ""], with_company=["anger", "anger", "joy", "joy", "joy"]
    )
    e = next(e for e in made["effects"] if (e["kind"], e["task"], e["companion"]) == ("pair", "span", c["companion"]))
    key = made["effects"].index(e)
    html = report_html(made)
    start = html.index(f'<div class="inside" id="e{key}">')
    inside = html[start : html.index("</details>", start)]
    words = Page(inside.rsplit("</div>", 1)[0] + "</div>").words
    assert f"{e['base']:.1f} alone → {e['score']:.1f} with sst2" in words
    for arm in ("single", "joint"):
        (dots,) = re.findall(rf'class="dots {arm}" d="([^"]+)"', inside)
        assert dots.count("M") == 5
    assert re.search(r"0, 1\s*joy ✓ the target\s*anger\s*2\s*anger\s*joy ✓ the target", words)
    assert re.search(r"4\s*\(empty\)\s*joy ✓ the target", words)
    start = html.index(f'id="e{made["effects"].index(next(e for e in made["effects"] if e["kind"] == "company"))}"')
    company = html[start : html.index("</details>", start)]
    assert "<b>span</b> 9,600 examples: 33.3 % of the examples, 33.0 % of the loss" in company


# ---------------------------------------------------------------------------------------------------------- provenance


def test_the_footer_says_with_what_from_what_and_how_to_repeat_it(html: str, record: StudyRecord) -> None:
    footer = Page(html[html.index("<footer>") : html.index("</footer>") + 9]).words
    for part in ("2026-01-01 12:00:00 UTC", "multitask 0.1.0, torch 2.13.0", "abababab", "cdcdcdcd"):
        assert part in footer
    assert record["setting"]["command"] in footer


def test_a_record_of_an_earlier_version_is_read_and_has_no_date(record: StudyRecord, tmp_path: Path) -> None:
    old: dict[str, Any] = {**copy.deepcopy(record)}
    del old["made"]
    write_json(tmp_path / "interference.json", old)
    html = report_html(read_record(tmp_path / "interference.json"))
    assert "Last model finished" not in html
    assert "Data fingerprints" not in html


def test_the_same_record_gives_the_same_bytes(html: str, record: StudyRecord, tmp_path: Path) -> None:
    write_report(copy.deepcopy(record), tmp_path / "deep" / "report.html")
    assert (tmp_path / "deep" / "report.html").read_bytes() == html.encode()
    assert html.endswith("</html>\n")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["report.html"]


# ------------------------------------------------------------------------------------------- safe, small, and readable


def test_nothing_is_loaded_from_outside(html: str, page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img")
        assert not {"src", "style"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#"), (tag, attributes)
    assert "@import" not in html
    assert "url(" not in html
    assert not re.search(r"https?://", html)


def test_every_string_of_the_record_is_escaped() -> None:
    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: spoil(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [spoil(v, key) for v in value]
        fixed = {"kind", "match", "arm", "arms", "verdict", "unjudged", "direction", "measure", "metric", "select"}
        return value + HOSTILE if isinstance(value, str) and key not in fixed else value

    spoiled = spoil(copy.deepcopy(example_record(("span", "sst2"))))
    spoiled["setting"]["lr"] = {"single" + HOSTILE: 0.1, "joint": 0.2}
    spoiled["made"]["data"] = {
        t: spoil(v) for t, v in zip(spoiled["setting"]["tasks"], [{"train": "ab"}] * 2, strict=True)
    }
    spoiled["made"]["versions"] = {"torch" + HOSTILE: "2" + HOSTILE}
    html = report_html(spoiled)
    page = Page(html)
    clean = Page(report_html(example_record(("span", "sst2"))))
    assert [tag for tag, _ in page.elements if tag in ("script", "img", "style")] == ["style", "script"]
    # The same elements, but for breaks in long names, brackets that stay together and code between backticks.
    names = {tag for tag, _ in clean.elements} - {"wbr", "span", "code"}
    for name in names:
        assert sum(t == name for t, _ in page.elements) == sum(t == name for t, _ in clean.elements), name
    assert "\x00" not in html
    html.encode()  # no lone surrogate is left
    assert "<img src=x onerror=alert(2)>" in page.words


def test_words_between_backticks_are_code_and_still_escaped() -> None:
    record = example_record(("span", "sst2"))
    record["notes"] = ["`equal` means `<b>`; a ` alone stays"]
    html = report_html(record)
    assert "<li><code>equal</code> means <code>&lt;b&gt;</code>; a ` alone stays</li>" in html


def test_a_large_study_with_long_examples_stays_small() -> None:
    record = example_record(tuple(f"task_{i}" for i in range(12)))
    tasks = record["setting"]["tasks"]
    cells = [(kind, t, u) for kind in ("pair", "without") for t in tasks for u in tasks if u != t]
    cells += [("company", t, None) for t in tasks]
    one = record["changed"][0]
    record["changed"] = [
        {**one, "kind": kind, "task": t, "companion": u, "direction": d, "inputs": "words & more " * 300}
        for kind, t, u in cells
        for d in ("worse", "better")
        for _ in range(3)
    ]
    html = report_html(record)
    assert len(html.encode()) < 2_300_000  # 1,320 effects; the page before this one took 2.75 million bytes for them
    found = [
        e
        for e in record["effects"]
        if (e["match"], e["metric"]) == ("examples", "accuracy")
        and (e["kind"], e["task"], e["companion"]) in cells
        and e["verdict"] in ("gain", "loss")
    ]
    assert html.count("<article") == 2 * len(found)  # the same number for each gain or loss and direction
    assert "more characters)" in html
    assert 'class="matrix many"' in html


def test_text_of_the_page_can_be_read_in_light_and_dark() -> None:
    css = files("multitask.pages").joinpath("templates", "page.css").read_text(encoding="utf-8")
    themes = [
        dict(re.findall(r"--(\w[\w-]*): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]
    assert len(themes) == 2
    for theme in themes:
        for ground in ("bg", "soft"):
            for ink in ("ink", "muted", "gain", "loss", "link"):
                assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
        assert contrast(theme["ink"], theme["warn"]) >= 4.5
        assert contrast(theme["muted"], theme["band"]) >= 4.5
        for ground in ("gain", "loss"):
            assert contrast(theme["on"], theme[ground]) >= 4.5


def test_a_record_with_next_to_nothing_is_a_page() -> None:
    record = example_record(("span", "sst2"))
    record.update(effects=[], scores=[], exposure=[], curves=[], confusion=[], changed=[], gaps=[], learning_rates=[])
    record.update(advice=None, null=None, summary=[])
    words = Page(report_html(record)).words
    assert "Nothing was compared" in words


def test_an_unknown_learning_rate_score_or_gap_is_no_number() -> None:
    record = example_record(("span", "sst2"))
    record["learning_rates"] = [{"arm": "single", "lr": 0.01, "score": None, "chosen": True}]
    record["gaps"] = [{"task": "span", "deployed": None, "per_task": None, "gap": None}]
    html = report_html(record)
    assert re.search(r"0\.01</td><td[^>]*>–</td><td[^>]*>chosen", html)
    assert re.search(r">span</th><td[^>]*>·</td><td[^>]*>·</td><td[^>]*>·</td>", html)


def test_score_and_log_likelihood_are_compared_in_a_sentence(record: StudyRecord) -> None:
    made = copy.deepcopy(record)
    for e in made["effects"]:
        e["verdict"] = "no evidence"
    assert "9 of 9 effects have the same verdict in both" not in report_html(made)  # one is undefined
    assert "8 of 8 effects have the same verdict in both" in report_html(made)
    for e in made["effects"]:
        if e["kind"] == "company" and e["match"] == "examples":
            e["verdict"] = "gain" if e["metric"] == LIKELIHOOD else "loss"
    words = Page(report_html(made)).words
    assert "5 of 8 effects have the same verdict in both." in words
    assert "one in the one and the other in the other: 3." in words
