"""How far a study is, from its folder alone: which models are finished, under way, failed or still to come."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from multitask.interference.execution.cells import Cell
from multitask.interference.execution.failures import last_line
from multitask.runs.progress_file import finished_record, is_under_way, read_progress

State = Literal["done", "running", "failed", "interrupted", "waiting"]


class CellStatus(NamedTuple):
    """A model of a study and how far it is."""

    cell: Cell
    state: State
    step: int = 0
    evaluating: bool = False
    said: str = ""
    """Of one that failed: its last line."""
    seconds: float | None = None
    """Of one that is finished: how long it took."""


def look(cell: Cell) -> CellStatus:
    """How far a model is. A finished one is taken at its word: what it wrote is checked when it is used."""
    record = finished_record(cell.folder)
    if record is not None and (cell.folder / "metrics.json").is_file():
        return CellStatus(cell, "done", cell.steps, seconds=float(record.get("seconds") or 0.0))
    progress = read_progress(cell.folder)
    step, evaluating = (progress.step, bool(progress.evaluating)) if progress else (0, False)
    if is_under_way(cell.folder, progress):
        return CellStatus(cell, "running", step, evaluating)
    said = last_line(cell.log)
    if said:
        return CellStatus(cell, "failed", step, said=said)
    return CellStatus(cell, "interrupted" if (cell.folder / "config.yaml").is_file() else "waiting", step)


def seconds_left(found: Sequence[CellStatus]) -> float | None:
    """Seconds of work that is left, one model at a time, by what the finished ones took; None if there is none."""
    paces = [one.seconds / one.cell.cost for one in found if one.seconds and one.cell.cost]
    if not paces:
        return None
    left = sum(
        one.cell.cost * (1 - min(one.step / max(one.cell.steps, 1), 1.0)) for one in found if one.state != "done"
    )
    return left * statistics.median(paces)


def as_plain(found: Sequence[CellStatus]) -> list[dict[str, Any]]:
    """The same as plain values, for JSON."""
    return [
        {
            "number": one.cell.number,
            "name": one.cell.name,
            "folder": one.cell.folder.name,
            "state": one.state,
            "step": one.step,
            "steps": one.cell.steps,
            "evaluating": one.evaluating,
            "said": one.said,
            "seconds": one.seconds,
        }
        for one in found
    ]
