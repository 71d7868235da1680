"""The CSV log of a run, which a resumed run goes on writing as if it had never stopped."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from multitask.storage.atomic import atomic
from multitask.storage.locking import check_owner

NAME = "csv"


class RunCsvLogger(CSVLogger):
    """`FOLDER/csv/metrics.csv`.

    Lightning's empties a file that it finds, and rewrites it in place when a column is added.

    Args:
        folder: Where the logs of all loggers are.
        flush_every: Steps between two times that it writes.
        rows: How many of the rows that are there are of the run before it was resumed; the others go.
    """

    def __init__(self, folder: Path, *, flush_every: int, rows: int = 0) -> None:
        super().__init__(str(folder), name="", version=NAME, flush_logs_every_n_steps=flush_every)
        self._kept = rows

    @property
    def rows(self) -> int:
        """Rows in the file; 0 in a process that does not log."""
        return self._experiment.rows if isinstance(self._experiment, _Writer) else 0

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer, made when it is first asked for, and in the first process only."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir, self._kept)
        return self._experiment


class _Writer(ExperimentWriter):
    def __init__(self, log_dir: str, kept: int) -> None:
        self.rows = kept
        super().__init__(log_dir)

    def _check_log_dir_exists(self) -> None:
        """Keep the first `rows` rows of a file that is there."""
        path = Path(self.metrics_file_path)
        rows = _rows(path)[: self.rows] if self.rows and path.is_file() else []
        self.rows = len(rows)
        if not rows:
            path.unlink(missing_ok=True)
            return
        self.metrics_keys = sorted({name for row in rows for name, value in row.items() if value != ""})
        self._replace(rows)

    def save(self) -> None:
        """Write what was logged since, unless the folder is another process's by now."""
        check_owner(Path(self.metrics_file_path))
        self.rows += len(self.metrics)
        super().save()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self._replace(_rows(Path(self.metrics_file_path)))

    def _replace(self, rows: list[dict[str, str]]) -> None:
        with atomic(Path(self.metrics_file_path)) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
