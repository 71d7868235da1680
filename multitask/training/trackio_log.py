"""Trackio's log: metrics and tables in a database of this machine, which `trackio show` shows.

Lightning has no logger for it. The run is found again by its name, which a checkpoint keeps.
"""

from __future__ import annotations

import contextlib
import io
import os
import uuid
from collections.abc import Mapping
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only


class TrackioLogger(Logger):
    """A run of a trackio project.

    Args:
        project: Its name.
        name: What the run is called; a few letters are added, for two folders may have one name.
        group: Of runs that belong together; None for none.
        version: The full name of the run that a resumed one goes on with.
    """

    def __init__(self, project: str, name: str, group: str | None = None, version: str | None = None) -> None:
        super().__init__()
        self._project, self._group = project, group
        self._version = version or f"{name}-{uuid.uuid4().hex[:6]}"
        self._experiment: Any = None
        self._config: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str:
        """The run's full name."""
        return self._version

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Trackio's `Run`, made when it is first asked for, and in the first process only."""
        if self._experiment is None:
            import trackio

            with contextlib.redirect_stdout(io.StringIO()):  # it greets
                self._experiment = trackio.init(
                    self._project,
                    name=self._version,
                    group=self._group,
                    config=self._config or None,
                    resume="allow",
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The settings, from before the first metric on."""
        self._config.update(params if isinstance(params, Mapping) else vars(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Numbers of a step."""
        self.experiment.log({name: float(value) for name, value in metrics.items()}, step=step)

    @rank_zero_only
    def log_table(self, name: str, table: Any) -> None:
        """A pandas frame."""
        import trackio

        self.experiment.log({name: trackio.Table(dataframe=table)})

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is waiting; what is logged later begins where it ended."""
        if self._experiment is not None:
            with contextlib.redirect_stdout(io.StringIO()):
                self._experiment.finish()
            self._experiment = None


def project() -> str:
    """The project that runs are logged to: `TRACKIO_PROJECT`, or multitask."""
    return os.environ.get("TRACKIO_PROJECT") or "multitask"
