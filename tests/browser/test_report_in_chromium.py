"""The study's page in Chromium: first screen, no errors, no network, what opens, phone, print, no script, dark mode.

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

from multitask.interference.report import write_report
from multitask.interference.results.answer import answer
from multitask.interference.results.record import LIKELIHOOD, StudyRecord

pytestmark = pytest.mark.browser
example_record = runpy.run_path(str(Path(__file__).parents[1] / "study_example.py"))["example_record"]
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
TASKS = ("span", "sst2", "tweet_sentiment_with_a_long_name", "stsb")
EFFECTS = "#effects tbody tr"


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    made: StudyRecord = example_record(TASKS)
    for about in made["tasks"]:
        about["baseline"] = 20.0
    made["warnings"].append("another one")
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


@pytest.mark.parametrize("width, height, phone", [(1400, 900, False), (390, 844, True)])
def test_answer_matrix_and_chip_stand_on_the_first_screen(
    browser: Any, address: str, record: StudyRecord, width: int, height: int, phone: bool
) -> None:
    size = {"width": width, "height": height}
    made = Opened(browser, address, viewport=size, is_mobile=phone, has_touch=phone)
    for selector in (".answer", ".chip > summary", "#first-matrix table.heat"):
        box = made.page.locator(selector).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height, selector
    lines = made.page.locator(".answer li").all_inner_texts()
    assert [" ".join(line.split()) for line in lines] == [
        " ".join(f"{s.mark} {s.text}".split()) for s in answer(record).sentences
    ]
    assert made.complaints == []
    made.context.close()


def test_a_large_matrix_stands_on_the_first_screen_too(browser: Any, tmp_path: Path) -> None:
    made: StudyRecord = example_record(tuple(f"a_task_with_a_long_name_{i}" for i in range(12)))
    made.update(changed=[], curves=[])
    write_report(made, tmp_path / "report.html")
    for width, height in ((1400, 900), (390, 844)):
        opened = Opened(browser, (tmp_path / "report.html").as_uri(), viewport={"width": width, "height": height})
        box = opened.page.locator("#first-matrix").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width
        if width > height:
            assert box["y"] + box["height"] <= height
        opened.context.close()


def test_it_opens_without_errors_and_asks_for_nothing(opened: Opened) -> None:
    assert opened.page.title() == "Interference: " + ", ".join(TASKS)
    assert opened.shown("main > section > h2") == 4
    opened.page.locator("nav a").nth(2).click()
    assert opened.page.locator("#together").is_visible()


def test_the_chip_opens_the_warnings(opened: Opened, record: StudyRecord) -> None:
    assert opened.shown(".chip li") == 0
    assert opened.page.locator(".chip > summary").inner_text() == "⚠ 2 warnings"
    opened.page.locator(".chip > summary").click()
    assert opened.page.locator(".chip li").all_inner_texts() == record["warnings"]


def test_a_cell_says_its_sentence_on_hover_and_on_focus(opened: Opened) -> None:
    cell = opened.page.locator("#first-matrix .heat a").nth(1)
    tip = cell.locator(".tip")
    opacity = "node => getComputedStyle(node).opacity"
    assert tip.evaluate(opacity) == "0"
    cell.hover()
    assert tip.evaluate(opacity) == "1"
    assert tip.inner_text().startswith("span with ")
    box, matrix = tip.bounding_box(), opened.page.locator("#first-matrix table").bounding_box()
    assert box["y"] >= matrix["y"] + matrix["height"]  # nothing of the matrix is covered
    opened.page.mouse.move(0, 0)
    assert tip.evaluate(opacity) == "0"
    opened.page.locator("#first-matrix .scroll").focus()
    opened.page.keyboard.press("Tab")
    assert opened.page.locator("#first-matrix .heat a .tip").first.evaluate(opacity) == "1"


def test_a_cell_leads_to_its_verdict_which_is_then_open(opened: Opened) -> None:
    cell = opened.page.locator("#first-matrix .heat a").first
    inside = opened.page.locator(cell.evaluate("link => link.hash"))
    assert not inside.is_visible()
    cell.click()
    inside.wait_for(state="visible")
    assert inside.locator(".dots").count() == 2
    assert "of the loss" in inside.inner_text() or "Δ of each seed" in inside.inner_text()


def test_a_verdict_opens_by_the_keyboard_and_shows_both_predictions(opened: Opened) -> None:
    summary = opened.page.locator("details.effect > summary").first
    summary.focus()
    opened.page.keyboard.press("Enter")
    article = opened.page.locator("details.effect[open] article").first
    assert article.is_visible()
    assert "<script>document.title = 'taken'</script> a needle & b" in article.inner_text()
    assert re.search(r"alone\s+with all", article.inner_text())


def test_a_click_on_a_header_sorts_and_says_so(opened: Opened) -> None:
    opened.page.evaluate("document.querySelector('#effects').closest('details').open = true")
    head = opened.page.locator("#effects thead th", has_text="Δ").first
    column = 8
    assert head.get_attribute("aria-sort") == "none"
    for direction in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        texts = opened.page.locator(f"{EFFECTS} > :nth-child({column + 1})").all_inner_texts()
        values = [float(t.replace("−", "-")) for t in texts if t != "–"]
        assert values == sorted(values, reverse=direction == "descending")
        assert len(values) == len(texts) - 1
        assert texts[-1] == "–"  # undefined: last both ways
    assert opened.page.locator("#effects th[aria-sort]:not([aria-sort=none])").count() == 1


def test_headers_sort_by_the_keyboard_and_words_as_words(opened: Opened) -> None:
    opened.page.evaluate("document.querySelector('#effects').closest('details').open = true")
    button = opened.page.locator("#effects thead button").first
    button.focus()
    opened.page.keyboard.press("Enter")
    opened.page.keyboard.press("Space")
    names = opened.page.locator(f"{EFFECTS} > :first-child").all_inner_texts()
    assert names == sorted(names, reverse=True)
    assert len(set(names)) == len(TASKS)


def test_the_filter_leaves_the_effects_that_have_every_word(opened: Opened, record: StudyRecord) -> None:
    opened.page.evaluate("document.querySelector('#effects').closest('details').open = true")
    place = opened.page.locator(".filter")
    assert opened.shown(EFFECTS) == len(record["effects"])
    place.locator("input").fill("SST2 pair compute log_likelihood stsb")
    wanted = [
        e
        for e in record["effects"]
        if (e["kind"], e["match"], e["metric"]) == ("pair", "steps", LIKELIHOOD)
        and {e["task"], e["companion"]} == {"sst2", "stsb"}
    ]
    assert opened.shown(EFFECTS) == len(wanted) == 2
    assert place.locator("output").inner_text() == f"2 of {len(record['effects'])}"
    place.locator("input").fill("")
    assert opened.shown(EFFECTS) == len(record["effects"])


def test_a_phone_never_scrolls_the_page_sideways(browser: Any, address: str) -> None:
    made = Opened(browser, address, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    for step in ("folded", "unfolded"):
        width = made.page.evaluate("document.documentElement.scrollWidth")
        assert width == 360, step
        outside = made.page.evaluate(
            "[...document.querySelectorAll('body *')].filter(node => !node.closest('.scroll, .sr, .skip, svg') "
            "&& node.getBoundingClientRect().right > 360.5).map(node => node.outerHTML.slice(0, 80))"
        )
        assert outside == []
        made.page.evaluate("document.querySelectorAll('details').forEach(node => { node.open = true; })")
    box = made.page.locator(".scroll:has(> #effects)")
    assert box.evaluate("node => node.scrollWidth > node.clientWidth")  # tables do, in their own box
    assert made.complaints == []
    made.context.close()


def test_it_prints_with_all_that_is_folded_and_without_controls(opened: Opened) -> None:
    pdf = opened.page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 8
    assert opened.page.locator("details[open]").count() == 0  # printing folds up again what it unfolded
    opened.page.emulate_media(media="print")
    opened.page.set_viewport_size({"width": 1032, "height": 703})  # A4 landscape between its margins
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.shown("main > section > h2") == 4
    assert opened.shown("article") == opened.page.locator(".effect:is(.gain, .loss) article").count() > 0
    assert opened.shown("#effects") == 1
    assert opened.shown(".chip li") == 2
    assert opened.shown(".filter, nav, .tip, .readout") == 0
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 1032  # nothing is cut at the right


def test_without_a_script_everything_is_there_but_the_controls(browser: Any, address: str) -> None:
    made = Opened(browser, address, java_script_enabled=False)
    assert made.shown("main > section > h2") == 4
    assert made.shown("button, select, input, .filter") == 0
    made.page.locator("details.effect > summary").first.click()
    assert made.shown("details.effect article") == 4
    cell = made.page.locator("#first-matrix .heat a").nth(2)
    target = str(cell.get_attribute("href"))
    assert not made.page.locator(target).is_visible()
    cell.click()
    made.page.locator(target).wait_for(state="visible")  # a link into what is folded unfolds it
    made.context.close()


def test_dark_mode_is_dark_and_paper_is_not(browser: Any, address: str) -> None:
    made = Opened(browser, address, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('.forest svg text')).fill"
    assert made.page.evaluate(ground) == "rgb(15, 20, 26)"
    assert made.page.evaluate(ink) == "rgb(163, 175, 187)"
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
    opened.page.locator("#effects thead button").first.click()  # the page's own script runs
    assert opened.page.locator("#effects th[aria-sort=ascending]").count() == 1
    assert opened.page.evaluate("window.taken") is None
    assert opened.page.locator("iframe, img, script:not(:last-of-type), a[href^=javascript]").count() == 0
    opened.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.taken = 1\">')")
    opened.page.wait_for_timeout(200)
    assert opened.page.evaluate("window.taken") is None  # the policy stops what escaping would have let through
    opened.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p id=late style=\"color:red\">x</p>')")
    assert opened.page.locator("#late").evaluate("node => getComputedStyle(node).color") != "rgb(255, 0, 0)"
    assert not [complaint for complaint in opened.complaints if "dialog" in complaint]
    assert len([r for r in opened.requests if not r.startswith("file:")]) == 0
    opened.context.close()
