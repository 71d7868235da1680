"""The HTML report in Chromium: no errors, no network, sorting, filters, details, phone, print, no script, dark mode.

Chromium is Debian's package `chromium`. Without it these tests fail: a report that nobody opened is not tested.
"""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multitask.interference.record import LIKELIHOOD, StudyRecord
from multitask.interference.report import write_report

pytestmark = pytest.mark.browser
example_record = runpy.run_path(str(Path(__file__).parents[1] / "study_example.py"))["example_record"]
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
TASKS = ("span", "sst2", "tweet_sentiment_with_a_long_name", "stsb")
EFFECTS = "#effects-table tbody tr"


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    made: StudyRecord = example_record(TASKS)
    made["changed"][0]["inputs"] = "<img src=x onerror=alert(1)> <script>document.title = 'taken'</script> a needle & b"
    return made


@pytest.fixture(scope="module")
def address(record: StudyRecord, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(record, path)
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield opened
        opened.close()


class Opened:
    """A page, with all that it complained about and asked for."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append("dialog") or dialog.dismiss())
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)

    def shown(self, selector: str) -> int:
        return int(self.page.locator(f":is({selector}):visible").count())


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Opened]:
    made = Opened(browser, address)
    yield made
    made.context.close()
    assert made.complaints == []  # after whatever the test did
    assert made.requests == [address]


def test_it_opens_without_errors_and_asks_for_nothing(opened: Opened) -> None:
    assert opened.page.title() == "Interference: " + ", ".join(TASKS)
    assert opened.shown("section h2") == 19  # 18 sections and the warnings
    assert opened.page.locator("svg.figure").count() == 4


def test_a_click_on_a_header_sorts_and_says_so(opened: Opened) -> None:
    head = opened.page.locator("#effects-table thead th", has_text="Δ").first
    column = 8
    assert head.get_attribute("aria-sort") == "none"
    for direction in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        keys = opened.page.locator(f"{EFFECTS} > :nth-child({column + 1})").evaluate_all(
            "cells => cells.map(cell => cell.dataset.key === undefined ? null : Number(cell.dataset.key))"
        )
        values = [k for k in keys if k is not None]
        assert values == sorted(values, reverse=direction == "descending")
        assert len(values) == len(keys) - 1
        assert keys[-1] is None  # not measured: last both ways
    assert opened.page.locator("#effects-table th[aria-sort]:not([aria-sort=none])").count() == 1


def test_headers_sort_by_the_keyboard_and_words_as_words(opened: Opened) -> None:
    button = opened.page.locator("#effects-table thead button").first
    button.focus()
    opened.page.keyboard.press("Enter")
    opened.page.keyboard.press("Space")
    names = opened.page.locator(f"{EFFECTS} > :first-child").all_inner_texts()
    assert names == sorted(names, reverse=True)
    assert len(set(names)) == len(TASKS)


def test_every_table_but_the_heat_maps_can_be_sorted(opened: Opened) -> None:
    heads = "table.sortable thead th"
    assert opened.page.locator(heads).count() > 100
    assert opened.page.locator(f"{heads}:not([aria-sort])").count() == 0
    assert opened.page.locator(f"{heads}:not(:has(button))").count() == 0


def test_filters_leave_the_effects_that_were_asked_for(opened: Opened, record: StudyRecord) -> None:
    place = opened.page.locator(".filters[data-table]")
    assert opened.shown(EFFECTS) == len(record["effects"])
    place.get_by_label("task").select_option("sst2")
    place.get_by_label("comparison").select_option("pair − single")
    place.get_by_label("budget").select_option("equal compute")
    place.get_by_label("metric").select_option(LIKELIHOOD)
    wanted = [
        e
        for e in record["effects"]
        if (e["task"], e["kind"], e["match"], e["metric"]) == ("sst2", "pair", "steps", LIKELIHOOD)
    ]
    assert opened.shown(EFFECTS) == len(wanted) == 3
    assert place.locator("output").inner_text() == f"3 of {len(record['effects'])} effects"
    place.get_by_label("text").fill("stsb")
    assert opened.shown(EFFECTS) == 1
    place.get_by_role("button", name="Show all").click()
    assert opened.shown(EFFECTS) == len(record["effects"])
    place.get_by_label("verdict").select_option("▼ loss")
    losses = [e for e in record["effects"] if e["verdict"] == "loss" and e["kind"] != "non_additivity"]
    assert opened.shown(EFFECTS) == len(losses) > 0


def test_filters_leave_the_examples_that_were_asked_for(opened: Opened, record: StudyRecord) -> None:
    place = opened.page.locator(".filters[data-examples]")
    output = place.locator("output")
    count = len(record["changed"])
    assert output.inner_text() == f"{count} of {count} examples"
    assert opened.shown("details.group > article") == 4  # the first group is unfolded
    place.get_by_label("comparison").select_option("pair − single")
    place.get_by_label("task").select_option("stsb")
    place.get_by_label("companion").select_option("span")
    place.get_by_label("direction").select_option("worse")
    assert opened.shown("details.group > article") == 2
    assert opened.shown("details.group") == 1
    assert set(opened.page.locator("details.group > article:visible h4").all_inner_texts()) == {
        f"▼ worse −1.00 (score, 0 to 1) validation:{i}" for i in range(2)
    }
    place.get_by_role("button", name="Show all").click()
    place.get_by_label("text").fill("NEEDLE")
    assert output.inner_text() == f"1 of {count} examples"
    shown = opened.page.locator("details.group > article:visible").inner_text()
    assert "<script>document.title = 'taken'</script> a needle & b" in shown
    place.get_by_label("text").fill("nowhere")
    assert opened.shown("details.group") == 0


def test_a_cell_shows_its_details_on_hover_focus_and_tap(opened: Opened) -> None:
    tip = opened.page.locator("#tip")
    cells = opened.page.locator("#matrix .heat a")
    assert not tip.is_visible()
    cells.nth(0).hover()
    assert re.search(r"span with sst2, against alone; jaccard\nΔ .* points, 95 % interval \[", tip.inner_text())
    assert "each seed: " in tip.inner_text()
    opened.page.keyboard.press("Escape")
    assert not tip.is_visible()
    cells.nth(3).focus()
    assert "sst2 with" in tip.inner_text()
    cells.nth(0).click()
    tip.get_by_role("link", name="Changed examples").click()
    group = opened.page.locator("details.group:target")
    assert group.get_attribute("open") is not None
    assert group.locator("summary").inner_text().startswith("span with sst2, against alone")
    assert not tip.is_visible()


def test_a_link_to_something_filtered_away_shows_it_again(opened: Opened) -> None:
    opened.page.locator(".filters[data-table]").get_by_label("task").select_option("stsb")
    row = opened.page.locator("#matrix .heat a").first.evaluate("link => link.hash")
    assert not opened.page.locator(row).is_visible()
    opened.page.evaluate("hash => { location.hash = hash; }", row)
    opened.page.locator(row).wait_for(state="visible")


def test_a_phone_never_scrolls_the_page_sideways(browser: Any, address: str) -> None:
    made = Opened(browser, address, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    for step in ("folded", "unfolded"):
        width = made.page.evaluate("document.documentElement.scrollWidth")
        assert width == 360, step
        outside = made.page.evaluate(
            "[...document.querySelectorAll('body *')].filter(node => !node.closest('.scroll, .sr, .skip') "
            "&& node.getBoundingClientRect().right > 360.5).map(node => node.outerHTML.slice(0, 80))"
        )
        assert outside == []
        made.page.evaluate("document.querySelectorAll('details').forEach(node => { node.open = true; })")
    box = made.page.locator("#effects .scroll")
    assert box.evaluate("node => node.scrollWidth > node.clientWidth")  # tables do, in their own box
    made.page.locator("#matrix .heat a").first.tap()
    edges = made.page.locator("#tip").evaluate(
        "node => { const r = node.getBoundingClientRect(); return [r.left, r.right]; }"
    )
    assert 0 <= edges[0] < edges[1] <= 360
    assert made.complaints == []
    made.context.close()


def test_it_prints_with_all_sections_and_without_controls(opened: Opened) -> None:
    pdf = opened.page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 8
    assert opened.page.locator("details[open]").count() == 1  # printing folds up again what it unfolded
    opened.page.emulate_media(media="print")
    opened.page.set_viewport_size({"width": 1032, "height": 703})  # A4 landscape between its margins
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.shown("section h2") == 19
    assert opened.shown("details.group > article") == opened.page.locator("article").count()
    assert opened.shown(".filters, nav, #tip") == 0
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 1032  # nothing is cut at the right


def test_without_a_script_everything_is_there_but_the_controls(browser: Any, address: str, record: StudyRecord) -> None:
    made = Opened(browser, address, java_script_enabled=False)
    assert made.shown(EFFECTS) == len(record["effects"])
    assert made.shown("section h2") == 19
    assert made.shown("button, select, input, .filters") == 0
    made.page.locator("details.group > summary").nth(1).click()
    assert made.shown("details.group > article") == 8
    assert "against alone" in (made.page.locator("#matrix .heat a").first.get_attribute("title") or "")
    made.context.close()


def test_dark_mode_is_dark_and_paper_is_not(browser: Any, address: str) -> None:
    made = Opened(browser, address, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#forest svg text')).fill"
    assert made.page.evaluate(ground) == "rgb(15, 20, 26)"
    assert made.page.evaluate(ink) in ("rgb(230, 237, 243)", "rgb(163, 175, 187)")
    made.page.emulate_media(media="print", color_scheme="dark")
    assert made.page.evaluate(ground) == "rgb(255, 255, 255)"
    made.context.close()


def test_text_that_is_seen_has_enough_contrast_in_both_themes(browser: Any, address: str) -> None:
    script = """() => {
      const channels = (text) => text.match(/[\\d.]+/g).map(Number);
      const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = (node) => {
        for (let n = node; n; n = n.parentElement) {
          const c = channels(getComputedStyle(n).backgroundColor);
          if (c.length === 3 || c[3] > 0.5) return c;
        }
        return [255, 255, 255];
      };
      const poor = new Set();
      for (const node of document.querySelectorAll("body *:not(svg *):not(.sr):not(script)")) {
        if (![...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim())) continue;
        const [low, high] = [light(channels(getComputedStyle(node).color)), light(ground(node))].sort((a, b) => a - b);
        if ((high + 0.05) / (low + 0.05) < 4.5) poor.add(`${node.tagName} ${node.className}: ${node.textContent}`);
      }
      return [...poor];
    }"""
    for scheme in ("light", "dark"):
        made = Opened(browser, address, color_scheme=scheme)
        assert made.page.evaluate(script) == []
        made.context.close()


ATTACKS = (
    "<script>window.taken = 1</script>",
    "</script><script>window.taken = 1</script>",
    '"><img src=x onerror="window.taken = 1; alert(1)">',
    "javascript:window.taken=1",
    "<svg onload=window.taken=1>\u2028\u2029",
    "]]></style><iframe srcdoc='<script>parent.taken = 1</script>'></iframe>",
)


def test_nothing_in_a_record_runs_in_the_report(browser: Any, tmp_path: Path) -> None:
    made: StudyRecord = example_record(ATTACKS[:4])
    made["warnings"] += ATTACKS
    made["notes"] += ATTACKS
    for setting in ("model", "data", "command", "optimizer"):
        made["setting"][setting] = "".join(ATTACKS)  # type: ignore[literal-required]
    for example in made["changed"]:
        example.update(inputs="".join(ATTACKS), target=ATTACKS[4], base=list(ATTACKS), with_company=list(ATTACKS))
    for task in made["tasks"]:
        task.update(baseline_name=ATTACKS[1], source=ATTACKS[2], unit=ATTACKS[5])
    write_report(made, tmp_path / "report.html")
    opened = Opened(browser, (tmp_path / "report.html").as_uri())
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    opened.page.locator("#effects-table thead button").first.click()  # the page's own script runs
    assert opened.page.locator("#effects-table th[aria-sort=ascending]").count() == 1
    assert opened.page.evaluate("window.taken") is None
    assert opened.page.locator("iframe, img, script:not(:last-of-type), a[href^=javascript]").count() == 0
    opened.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.taken = 1\">')")
    opened.page.wait_for_timeout(200)
    assert opened.page.evaluate("window.taken") is None  # the policy stops what escaping would have let through
    assert not [complaint for complaint in opened.complaints if "dialog" in complaint]
    assert len([r for r in opened.requests if not r.startswith("file:")]) == 0
    opened.context.close()
