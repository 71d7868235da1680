"""report.html: a study as one page that needs nothing else, neither network nor fonts nor a script to be read.

The page is `report.html.in` with `report.css` and `report.js` in it, and the sections. All that comes from data is
escaped; the script holds none of it, and the page's policy lets only this very script run and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from multitask.folder import atomic
from multitask.interference import report_background as background
from multitask.interference import report_matrices as matrices
from multitask.interference import report_tables as tables
from multitask.interference.figures import figures, svg_of
from multitask.interference.lookup import primary
from multitask.interference.record import StudyRecord
from multitask.interference.report_effects import LABELS, Section, keys_of
from multitask.interference.report_examples import changed
from multitask.interference.report_parts import Markup, element, join, text


def report_html(record: StudyRecord) -> str:
    """The whole page; the same record gives the same bytes."""
    drawn = {name: svg_of(figure, text="none") for name, figure in figures(record, LABELS).items()}
    shown = _sections(record, drawn)
    style, script = (_resource(f"report.{kind}") for kind in ("css", "js"))
    links = (element("li", element("a", s.title, href=f"#{s.key}")) for s in shown)
    return Template(_resource("report.html.in")).substitute(
        policy=_policy(script),
        title=text(_title(record)),
        style=style,
        header=_header(record),
        contents=element("ol", *links),
        sections=join((_section(s) for s in shown), "\n"),
        footer=element("p", "Made by multitask from interference.json, which holds every number of this page."),
        script=script,
    )


def write_report(record: StudyRecord, path: Path) -> None:
    """Write report.html; a crash leaves no half file."""
    page = report_html(record)
    with atomic(path) as temporary:
        temporary.write_bytes(page.encode())  # bytes: the policy names the script by its hash, line ends included


def _sections(record: StudyRecord, drawn: dict[str, str]) -> list[Section]:
    keys = keys_of(record)
    table = tables.company(record, primary(record))
    company = Section("company", "All tasks together", table) if table else None
    found = [
        tables.summary(record),
        company,
        matrices.matrix_section(record, "pair", keys),
        matrices.matrix_section(record, "without", keys),
        background.forest(record, drawn),
        background.dilution(record),
        background.advice(record),
        changed(record, keys),
        background.confusion(record),
        matrices.twin(record, keys),
        background.noise(record),
        background.null_control(record),
        background.scores(record, drawn),
        background.curves(record, drawn),
        background.learning_rates(record),
        background.mixture(record, drawn),
        tables.all_effects(record, keys),
        background.settings(record),
    ]
    return [section for section in found if section is not None]


def _section(s: Section) -> Markup:
    return element(
        "section", element("h2", s.title, id=f"{s.key}-title"), s.content, id=s.key, aria_labelledby=f"{s.key}-title"
    )


def _title(record: StudyRecord) -> str:
    names = record["setting"]["tasks"]
    return f"Interference: {', '.join(names)}" if len(names) <= 6 else f"Interference among {len(names)} tasks"


def _header(record: StudyRecord) -> Markup:
    s = record["setting"]
    seeds = f"{len(s['seeds'])} seed{'s'[: len(s['seeds']) != 1]}"
    parts = [
        element("h1", _title(record)),
        element(
            "p",
            f"Which of {len(s['tasks'])} tasks help and hurt each other. Model {s['model']} ({s['parameters']:,} "
            f"parameters); arms {', '.join(s['arms'])}; {seeds}, {s['steps']:,} steps, {s['cells']:,} trained models. "
            f"Data: {s['data']}.",
            class_="lead",
        ),
        element("p", element("strong", "Budget: "), record["budget"], class_="budget"),
    ]
    if record["warnings"]:
        items = element("ul", *(element("li", _prose(w)) for w in record["warnings"]))
        heading = element("h2", "⚠ Read this first", id="warnings-title")
        parts.append(element("section", heading, items, class_="warnings", aria_labelledby="warnings-title"))
    if record["notes"]:
        parts.append(element("ul", *(element("li", _prose(n)) for n in record["notes"]), class_="notes"))
    return join(parts)


def _prose(line: str) -> Markup:
    """A sentence in which `words` stand between backticks."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", text(line)))


def _policy(script: str) -> str:
    """Nothing is loaded, nothing is sent, and no other script runs: not even one that escaping has let through."""
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _resource(name: str) -> str:
    return files("multitask.interference").joinpath(name).read_text(encoding="utf-8")
