"""The page of a run in Chromium: first screen at both sizes, no errors, no network, what opens."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import multitask
from multitask.task import TASKS, add_task

pytestmark = pytest.mark.browser
_shared = runpy.run_path(str(Path(__file__).with_name("test_report_in_chromium.py")))
Opened, browser = _shared["Opened"], _shared["browser"]


@pytest.fixture(scope="module")
def address(toy_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    names = ("labels", "span", "number")
    tasks = [add_task(toy_task(kind)) for kind in names]
    run = multitask.train(
        tasks=[task.name for task in tasks],
        trainer={"max_steps": 4, "enable_progress_bar": False},
        batch_size=12,
        vocab_size=120,
        log_every=1,
        out=str(tmp_path_factory.mktemp("page") / "run"),
        quiet=True,
    )
    yield (run.folder / "report.html").as_uri()
    for task in tasks:
        TASKS.discard(task.name)


@pytest.mark.parametrize("width, height, phone", [(1400, 900, False), (390, 844, True)])
def test_the_answer_stands_on_the_first_screen(
    browser: Any, address: str, width: int, height: int, phone: bool
) -> None:
    size = {"width": width, "height": height}
    made = Opened(browser, address, viewport=size, is_mobile=phone, has_touch=phone)
    box = made.page.locator(".answer").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= height
    assert made.page.evaluate("document.documentElement.scrollWidth") == width
    assert made.page.locator(".strips tbody tr").count() == 3
    assert made.page.locator("figure.beside svg").first.is_visible()
    assert made.page.locator("main > section > h2").count() == 5
    assert made.complaints == []
    assert made.requests == [address]
    made.context.close()


def test_the_worst_examples_of_a_task_open(browser: Any, address: str) -> None:
    made = Opened(browser, address)
    more = made.page.locator("#worst details").nth(1)
    assert not more.locator("article").first.is_visible()
    more.locator("summary").click()
    assert more.locator("article").first.is_visible()
    assert made.page.locator(".curves svg").count() >= 3
    made.context.close()
