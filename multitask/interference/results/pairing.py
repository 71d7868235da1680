"""Predictions of finished cells side by side: the same examples for each arm and seed. No model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from multitask.errors import UserError
from multitask.metrics.outputs import Outputs
from multitask.runs.reader import RunReader
from multitask.task import Task

if TYPE_CHECKING:
    import pandas as pd


def outputs_of_frame(task: Task, frame: pd.DataFrame, column: str = "prediction") -> Outputs:
    """Make `Outputs` of a predictions file; `column` may be another way of decoding."""
    groups = frame["group"].tolist() if "group" in frame and frame["group"].notna().any() else ()
    return Outputs(
        predictions=frame[column].tolist(),
        targets=frame["target"].tolist(),
        references=[tuple(r) for r in frame["references"]],
        groups=groups,
        labels=task.labels,
        log_likelihood=frame["log_likelihood"].to_numpy(np.float64),
        target_tokens=frame["target_tokens"].to_numpy(np.int64),
    )


def aligned(task: str, cells: Mapping[Any, Sequence[RunReader]]) -> dict[Any, list[pd.DataFrame]]:
    """The task's predictions of each arm and seed, checked to be of the same examples in the same order.

    Raises:
        UserError: Names two runs whose examples differ.
    """
    frames: dict[Any, list[pd.DataFrame]] = {}
    first: tuple[RunReader, list[str]] | None = None
    for arm, runs in cells.items():
        frames[arm] = []
        for run in runs:
            frame = run.frame(task)
            ids = [*frame["id"], *frame["inputs"], *frame["target"]]
            if first is None:
                first = run, ids
            elif ids != first[1]:
                raise UserError(
                    f"{first[0].folder} and {run.folder} were evaluated on other examples of '{task}': "
                    "runs are compared example by example, so train both on the same data and --data-seed."
                )
            frames[arm].append(frame)
    return frames
