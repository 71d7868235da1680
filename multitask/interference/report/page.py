"""The values of the study's page, gathered from its record; the templates say where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multitask.interference.report import tables
from multitask.interference.report.forest import MANY, forest
from multitask.interference.report.matrix import agreement, matrix
from multitask.interference.report.pictures import alone, curves, front, sweeps
from multitask.interference.results.answer import answer
from multitask.interference.results.learned import unlearned_tasks
from multitask.interference.results.lookup import BUDGETS, SYMBOLS, confidence, likelihood, of_primary, primary, short
from multitask.interference.results.record import StudyRecord
from multitask.pages import render_page, write_page
from multitask.tables.numbers import plain

SECTIONS = [
    ("believe", "Can I believe it?"),
    ("hurt", "How was a task hurt?"),
    ("together", "What should I train together?"),
    ("made", "How was it made?"),
]
"""The order of a reader's questions."""


def report_html(record: StudyRecord) -> str:
    """The whole page; the same record gives the same bytes."""
    return render_page("study.html.j2", package="multitask.interference.report", **_values(record))


def write_report(record: StudyRecord, path: Path) -> None:
    """Write report.html; a crash leaves no half file."""
    write_page(path, report_html(record))


def _values(record: StudyRecord) -> dict[str, Any]:
    setting = record["setting"]
    lead = setting["match"][0]
    not_learned = unlearned_tasks(record)
    keys = {id(e): f"e{i}" for i, e in enumerate(record["effects"])}
    metrics, nats = primary(record), likelihood(record)
    opened = {id(e): keys[id(e)] for e in of_primary(record, record["effects"])}

    def made(kind: str, match: str, of: dict[str, str] = metrics) -> Any:
        return matrix(record, kind, match, of, not_learned, opened)

    first = made("pair", lead) or made("company", lead) or made("without", lead)
    more = [made(kind, m) for m in setting["match"] for kind in ("pair", "without")]
    return {
        "title": _title(record),
        "sections": SECTIONS,
        "record": record,
        "setting": setting,
        "answer": [(s, opened.get(id(s.effect), "")) for s in answer(record).sentences],
        "first": first,
        "more_matrices": [m for m in more if m is not None and m != first],
        "nats": [m for m in (made("pair", lead, nats) or made("company", lead, nats),) if m is not None],
        "agreement": agreement(record, lead, not_learned),
        "one_seed": len(setting["seeds"]) == 1,
        "level": confidence(record),
        "many": len(record["effects"]) > MANY,
        "alone": alone(record),
        "curves": curves(record),
        "forest": forest(record, not_learned, keys),
        "split_half": [
            (BUDGETS.get(s["match"], s["match"]), plain(s["split_half"]))
            for s in record["summary"]
            if s["split_half"] is not None
        ],
        "front": front(record),
        "sweeps": sweeps(record),
        "tables": tables.by_place(record, opened),
        "facts": _facts(record),
        "made": record["made"],
    }


def _title(record: StudyRecord) -> str:
    names = [short(name, 40) for name in record["setting"]["tasks"]]
    return f"Interference: {', '.join(names)}" if len(names) <= 4 else f"Interference among {len(names)} tasks"


def _facts(record: StudyRecord) -> list[tuple[str, str]]:
    s = record["setting"]
    same = len(set(s["lr"].values())) == 1
    rates = (
        f"{next(iter(s['lr'].values())):g} for all arms"
        if same
        else ", ".join(f"{arm} {value:g}" for arm, value in s["lr"].items())
    )
    kept = {"last": "the last step", "mean": "best mean over tasks", "per-task": "best of each task"}
    return [
        ("model", f"{s['model']}, {s['parameters']:,} parameters"),
        ("data", s["data"]),
        ("arms", ", ".join(s["arms"])),
        ("budgets", ", ".join(f"{BUDGETS[m]} ({SYMBOLS[m]}, --match {m})" for m in s["match"])),
        ("seeds", ", ".join(map(str, s["seeds"]))),
        ("trained models", f"{s['cells']:,}"),
        ("optimizer steps", f"{s['steps']:,}"),
        ("examples a step", ", ".join(f"{t} {n:g}" for t, n in s["per_step"].items())),
        ("loss", s["loss"]),
        ("optimizer", s["optimizer"]),
        ("learning rate", rates),
        ("tuned on", ", ".join(f"{v:g}" for v in s["lr_grid"]) or "nothing: one rate, not tuned"),
        ("checkpoint", kept.get(s["select"], s["select"])),
        ("intervals", f"{confidence(record)}, {s['resamples']:,} bootstrap resamples over seeds and examples"),
        ("seed variances", "moderated over the table's arms" if s["intervals"] == "moderated" else "of each effect"),
        ("false discovery rate", f"{s['fdr']:g} (Benjamini–Hochberg, within a table)"),
        ("equal means within", f"±{s['margin']:g} points, fixed beforehand"),
    ]
