"""A study seen from outside, by its folder alone: how far its models are, once or as a view that goes on."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from multitask.errors import UserError
from multitask.interference.design.arms import Arm, Design
from multitask.interference.design.folder import read_study
from multitask.interference.execution.cells import Cell, read_cells
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.status import CellStatus, as_plain, look, seconds_left
from multitask.interference.execution.watching import Progress
from multitask.mixing.schedule import exact
from multitask.task import TASKS
from multitask.terminal.counting import duration
from multitask.terminal.live import live
from multitask.terminal.output import say, say_as_it_is

EVERY = 1.0
"""Seconds between two looks at the folder."""
SHOWN = 12
"""Models of one state that are named, at most."""


def print_status(study: Path, *, as_json: bool = False) -> None:
    """Print which models are finished, under way, failed or to come, and what is left to do.

    Raises:
        UserError: If the folder is no study's.
    """
    found = [look(cell) for cell in read_cells(study)]
    if as_json:
        say_as_it_is(json.dumps(as_plain(found), indent=2))
        return
    count = Counter(one.state for one in found)
    words = [f"{count['done']} of {len(found)} models finished"]
    words += [f"{count[s]} {s}" for s in ("running", "failed", "interrupted", "waiting") if count[s]]
    say(f"{study}: {', '.join(words)}")
    for state in ("running", "failed", "interrupted"):
        named = [one for one in found if one.state == state]
        for one in named[:SHOWN]:
            say(f"  {state:<11}  {one.cell.number:>4}  {_said(one)}")
        if len(named) > SHOWN:
            say(f"  and {len(named) - SHOWN} more {state}")
    left = seconds_left(found)
    if count["done"] == len(found):
        tables = "its tables are there" if (study / "interference.json").is_file() else "its command makes the tables"
        say(f"all models are finished; {tables}")
    elif left is None:
        say("what is left to do is not known before one model is finished; --dry-run measures it")
    else:
        at_once = max(count["running"], 1)
        many = f", {at_once} at a time as now: {duration(left / at_once)}" if at_once > 1 else ""
        say(f"left: {duration(left)} of training and evaluation, by what the finished ones took{many}")


def _said(one: CellStatus) -> str:
    if one.state == "failed":
        return f"{one.cell.name}: {one.said} (log: {one.cell.log})"
    doing = "evaluating" if one.evaluating else f"step {one.step:,}/{one.cell.steps:,}"
    return f"{one.cell.name}  {doing}"


class Watched(Progress):
    """A study's progress as its folder says it."""

    def __init__(self, cells: Sequence[Cell], partial: Partial | None, arms: Sequence[Arm | None]) -> None:
        super().__init__(cells, [cell.cost for cell in cells], done=0, jobs=1, partial=None)
        self.began = time.monotonic()
        self.partial = partial
        self._arms = arms
        self._found = [CellStatus(cell, "waiting") for cell in cells]

    def look(self) -> None:
        """Look at the folder again; a finished model is not looked at twice."""
        for i, before in enumerate(self._found):
            if before.state == "done":
                continue
            now = self._found[i] = look(before.cell)
            if now.state == "done":
                arm = self._arms[i]
                if self.partial is not None and arm is not None:
                    self.partial.add(arm, now.cell.seed, now.cell.folder)
                self.running.pop(i, None)
                self.spent += now.cell.cost
                self.done += 1
            elif now.state == "running":
                self.evaluating(i) if now.evaluating else self.step(i, now.step)
            else:
                self.running.pop(i, None)

    @property
    def is_over(self) -> bool:
        """Whether all models are finished."""
        return self.done == self.total

    @property
    def left(self) -> str:
        """By what the finished ones took, at as many at a time as now."""
        seconds = seconds_left(self._found)
        failed = sum(one.state == "failed" for one in self._found)
        also = f", {failed} failed" if failed else ""
        known = seconds is not None and self.running
        return (f"{duration(seconds / len(self.running))} left" if seconds is not None and known else "… left") + also


def watch_study(study: Path) -> None:
    """Show how far a study is until it is finished; Ctrl-C ends the looking alone.

    Raises:
        UserError: If the folder is no study's.
    """
    cells = read_cells(study)
    partial, arms = differences(study, cells)
    watched = Watched(cells, partial, arms)
    watched.look()
    with live(watched.render, watched.line, every=30.0) as display:
        display.update(now=True)
        while not watched.is_over:
            time.sleep(EVERY)
            watched.look()
            display.update()
    print_status(study)


def differences(study: Path, cells: Sequence[Cell]) -> tuple[Partial | None, list[Arm | None]]:
    """What shows the differences so far, and the arm of each model; nothing where the tasks are not known here.

    A task of a file that the study included is known if the command includes it too: what a folder names is not run by
    itself.
    """
    none: list[Arm | None] = [None] * len(cells)
    try:
        stored = read_study(study)
        if stored is None:
            return None, none
        design, tasks = _design(stored), {str(name): TASKS.get(name) for name in stored["tasks"]}
    except (UserError, KeyError, TypeError, ValueError):
        return None, none
    by_plan = {_key(arm.tasks, design.per_step_of(arm), design.family(arm)): arm for arm in design.needed()}
    per_step = [cell.config.per_step for cell in cells]
    arms = [
        by_plan.get(_key(cell.tasks, rates if isinstance(rates, dict) else {}, cell.kind))
        for cell, rates in zip(cells, per_step, strict=True)
    ]
    return Partial(design, tasks), arms


def _design(stored: Mapping[str, Any]) -> Design:
    return Design(
        tuple(stored["tasks"]),
        {t: exact(b) for t, b in stored["per_step"].items()},
        arms=tuple(stored["arms"]),
        match=tuple(stored["match"]),
        seeds=tuple(stored["seeds"]),
    )


def _key(tasks: Sequence[str], per_step: Mapping[str, Any], kind: str) -> tuple[Any, ...]:
    return (tuple(tasks), tuple(sorted((t, float(b)) for t, b in per_step.items())), kind)
