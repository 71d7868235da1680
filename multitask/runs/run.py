"""`Run`: a finished run, as `train` returns it."""

from __future__ import annotations

import html
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError
from multitask.field_docs import explain_fields
from multitask.runs.reader import RunReader
from multitask.short_repr import short_repr

if TYPE_CHECKING:
    import pandas as pd


class StoppedError(Exception):
    """Training was interrupted (Ctrl-C, SIGTERM, SIGUSR1); the run can be continued with `--resume`."""

    signal = signal.SIGINT
    """By what."""

    _render_traceback_ = UserError._render_traceback_


@explain_fields
@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its folder, and what pandas likes to see of it."""

    folder: Path
    """The run folder."""

    def __repr__(self) -> str:
        return short_repr(self, str(self.folder))

    def _repr_html_(self) -> str:
        from multitask.runs.facts import run_scores

        try:
            return run_scores(self.folder)._repr_html_()
        except UserError as error:  # not finished, or not as it was written
            return html.escape(f"{self!r}: {error}")

    @property
    def metrics(self) -> pd.DataFrame:
        """A row a task and metric: task, metric, score, se (its standard error over examples), baseline."""
        import pandas as pd

        run = RunReader(self.folder)
        rows = [
            {
                "task": task,
                "metric": metric,
                "score": value,
                "se": run.errors.get(task, {}).get(metric),
                "baseline": run.baselines.get(task, {}).get(metric),
            }
            for task, values in run.metrics.items()
            for metric, value in values.items()
        ]
        return pd.DataFrame(rows, columns=["task", "metric", "score", "se", "baseline"])

    @property
    def mix(self) -> pd.DataFrame:
        """A row a task: task, rows, and `planned_…` and `realised_…` examples, epochs, tokens and shares."""
        import pandas as pd

        tasks = RunReader(self.folder).mix["tasks"]
        return pd.json_normalize([{"task": name, **said} for name, said in tasks.items()], sep="_")

    def predictions(self, task: str) -> pd.DataFrame:
        """The task's predictions on its validation split."""
        return RunReader(self.folder).predictions(task)

    def predict(self, task: str, inputs: Sequence[str | Mapping[str, Any]], *, scores: bool = False) -> pd.DataFrame:
        """Predictions for new inputs, with their likelihoods if `scores`; see `multitask.predict`."""
        from multitask.runs.inference import predict

        return predict(self.folder, task, inputs, scores=scores)
