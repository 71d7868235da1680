"""`RunReader`: the one reader of a finished run's folder, for its page, its tables, studies and the command line."""

from __future__ import annotations

import csv
import functools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multitask.errors import UserError
from multitask.mixing.halves import parts_of
from multitask.runs.conflict_file import Conflict, read_conflict
from multitask.runs.files import OTHERS, PREDICTIONS, Baselines, Metrics, MixFile, RunFile
from multitask.runs.folder import read_predictions
from multitask.storage.json_files import read_json
from multitask.storage.schema import check_shape
from multitask.task import UNLABELLED
from multitask.terminal.escaping import shown

if TYPE_CHECKING:
    import pandas as pd


class RunReader:
    """One finished run, alone or of a study; a file is read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"RunReader({str(self.folder)!r})"

    @functools.cached_property
    def record(self) -> dict[str, Any]:
        """run.json."""
        return dict(read_json(self.folder / "run.json", RunFile))

    @functools.cached_property
    def metrics(self) -> dict[str, dict[str, float | None]]:
        """metrics.json."""
        return dict(read_json(self.folder / "metrics.json", Metrics))

    @functools.cached_property
    def mix(self) -> dict[str, Any]:
        """mix.json."""
        return dict(read_json(self.folder / "mix.json", MixFile))

    @functools.cached_property
    def baselines(self) -> dict[str, dict[str, Any]]:
        """baselines.json."""
        path = self.folder / "baselines.json"
        found: Baselines = read_json(path, Baselines)
        numbers = {task: {name: v for name, v in of.items() if name not in OTHERS} for task, of in found.items()}
        check_shape(numbers, Metrics, path)
        check_shape([of.get("answers", "") for of in found.values()], list[str], path)
        check_shape([of.get("others", {}) for of in found.values()], list[Metrics], path)
        return dict(found)

    @functools.cached_property
    def errors(self) -> Metrics:
        """standard_errors.json; empty in runs of before it was written."""
        path = self.folder / "standard_errors.json"
        return dict(read_json(path, Metrics)) if path.is_file() else {}

    @functools.cached_property
    def conflict(self) -> Conflict | None:
        """conflict.safetensors: its conflict probes; None if it has none."""
        return read_conflict(self.folder)

    @functools.cached_property
    def model_settings(self) -> dict[str, Any]:
        """The tasks' entries in config.json of the model."""
        found = read_json(self.folder / "model" / "config.json", dict[str, Any]).get("task_specific_params") or {}
        return dict(found)

    @functools.cached_property
    def deployed(self) -> dict[str, dict[str, float | None]] | None:
        """deployed.json: with `--select per-task`, what the one model that is kept scores."""
        path = self.folder / "deployed.json"
        return dict(read_json(path, Metrics)) if path.is_file() else None

    def predictions(self, task: str) -> pd.DataFrame:
        """All rows of the task's predictions.

        Raises:
            UserError: If the run has none, or the file is damaged.
        """
        return read_predictions(self.folder / "predictions" / f"{task}.parquet", PREDICTIONS)

    def frame(self, task: str) -> pd.DataFrame:
        """The labelled rows of the task's predictions; raises as `predictions`."""
        frame = self.predictions(task)
        return frame[frame["target"] != UNLABELLED].reset_index(drop=True)

    def exposure(self, task: str) -> dict[str, float]:
        """The examples and tokens that the model was given of the task; of two halves together."""
        halves = [self.mix["tasks"][name] for name in parts_of(task, self.mix["tasks"])]
        realised = [half["realised"] for half in halves]
        total = {name: float(sum(r[name] for r in realised)) for name in ("examples", "input_tokens", "target_tokens")}
        rows = sum(half["rows"] for half in halves)
        if rows < 1 or task not in self.metrics:
            raise UserError(f"{self.folder} is not as it was written: mix.json or metrics.json knows no '{task}'.")
        cut = [self.record["tasks"][name]["cut"]["inputs"] for name in parts_of(task, self.record["tasks"])]
        return {
            **total,
            "epochs": total["examples"] / rows,
            "loss_share": sum(_number(r["loss_share"]) for r in realised),
            "realised_share": float(sum(r["rate"] for r in realised)),
            "planned_share": float(sum(half["planned"]["rate"] for half in halves)),
            "cut_inputs": sum(cut) / rows,
            "invalid": _number(self.metrics[task].get("invalid_rate")),
        }

    @functools.cached_property
    def logged(self) -> dict[str, dict[int, float]]:
        """{column: {step: value}} of the CSV logs; where a resumed run logged a step again, the last one."""
        found: dict[str, dict[int, float]] = {}
        for path in _logs(self.folder / "events"):
            try:
                with path.open(newline="", encoding="utf-8") as file:
                    for row in csv.DictReader(file):
                        step = int(row["step"]) + 1  # Lightning counts the step that is under way
                        for name, value in row.items():
                            if name not in ("step", "epoch") and value:
                                found.setdefault(name, {})[step] = float(value)
            except (KeyError, TypeError, ValueError, csv.Error) as error:  # of UTF-8 too
                raise UserError(f"{path} is not as it was written: {shown(error)}.") from error
        return found


def bucketed(values: Mapping[int, float], steps: int, buckets: int = 30) -> dict[int, float]:
    """A noisy log as means over equal stretches of the steps, at their last steps.

    >>> bucketed({1: 4.0, 2: 2.0, 3: 1.0, 4: 1.0}, 4, buckets=2)
    {2: 3.0, 4: 1.0}
    """
    width = max(1, math.ceil(steps / buckets))
    gathered: dict[int, list[float]] = {}
    for step, value in values.items():
        gathered.setdefault(min(steps, width * math.ceil(step / width)), []).append(value)
    return {step: float(np.mean(of)) for step, of in sorted(gathered.items())}


def _logs(events: Path) -> list[Path]:
    """`csv/metrics.csv`, then `csv-2`, … of older runs that were resumed; a user's copy of such a folder is no log."""
    numbered = {path: re.fullmatch(r"csv(?:-([0-9]+))?", path.parent.name) for path in events.glob("csv*/metrics.csv")}
    ours = {path: int(match[1] or 1) for path, match in numbered.items() if match}
    return sorted(ours, key=lambda path: ours[path])


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
