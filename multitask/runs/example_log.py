"""examples/: the step, task and id of every example that was trained on (`--log-examples`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multitask.storage.atomic import atomic


class ExampleLog:
    """The record of one process, kept in memory until a checkpoint is written.

    Args:
        folder: examples/ in the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ids: dict[str, Sequence[Any]] = {}
        self._rank = 0
        self._rows: list[Any] = []

    def begin(self, ids: dict[str, Sequence[Any]], rank: int) -> None:
        """Say what the rows are.

        Args:
            ids: {task: its training examples, in the order of their numbers}, the tasks in the order of theirs.
            rank: The number of this process.
        """
        self._ids, self._rank = ids, rank

    def add(self, rows: Any) -> None:
        """Record a tensor [N, 3]: step, number of the task, row."""
        self._rows.append(rows)

    def write(self, end: int) -> None:
        """Write what was recorded up to step `end` and is not written yet, as a file of its own."""
        if not self._rows:
            return
        import pandas as pd
        import torch

        names = list(self._ids)
        rows = torch.cat(self._rows).tolist()
        late = [row for row in rows if row[0] >= end]  # of a step that is under way, and will be made again
        frame = pd.DataFrame(
            [(step, names[t], self._ids[names[t]][row].id) for step, t, row in rows if step < end],
            columns=["step", "task", "id"],
        )
        self._rows[:] = [torch.tensor(late, dtype=torch.int64)] if late else []
        if len(frame):
            first = int(frame["step"].min())
            with atomic(self.folder / f"from-{first}-process-{self._rank}.parquet") as temporary:
                frame.to_parquet(temporary, index=False)


def delete_examples_from(folder: Path, start: int) -> None:
    """Delete the record of the steps from `start` on, which are made again."""
    for path in folder.glob("from-*-process-*.parquet"):
        ours = re.fullmatch(r"from-([0-9]+)-process-[0-9]+\.parquet", path.name)  # a user's copy of one is not
        if ours and int(ours[1]) >= start:
            path.unlink()
