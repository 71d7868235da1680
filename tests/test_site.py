"""The documentation's pages: their Python runs, their links lead somewhere, nothing is left out of the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from multitask.metrics.metric import METRICS
from multitask.task import TASKS

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(
    p for p in DOCS.rglob("*.md") if not p.is_relative_to(DOCS / "reference" / "commands") and "_build" not in p.parts
)
GENERATED = {"reference/run-folder.md", "reference/study-folder.md"}
"""Pages that a build of the site makes."""
OWN = [p for p in PAGES if p.parent.name in ("howto", "tutorials") and "```python" in p.read_text(encoding="utf-8")]


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", OWN, ids=name_of)
def test_the_python_of_a_page_runs_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks, metrics = set(TASKS.registered()), set(METRICS.registered())
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    try:
        exec(compile("\n".join(blocks), name_of(page), "exec"), {"__name__": "page"})
    finally:
        for name in set(TASKS.registered()) - tasks:
            TASKS.discard(name)
        for name in set(METRICS.registered()) - metrics:
            METRICS.discard(name)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_link_to_a_file_leads_to_one(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", text):
        assert (page.parent / target).exists(), target


def test_every_page_stands_in_the_contents():
    listed = set(re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE))
    pages = {name_of(p).removesuffix(".md") for p in PAGES} | {n.removesuffix(".md") for n in GENERATED}
    assert pages - {"index"} <= listed
    assert listed - pages <= {"notebook"}
