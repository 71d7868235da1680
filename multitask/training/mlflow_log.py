"""MLflow's log, made when it is first written to.

Lightning's own logger opens its store at once, which leaves files where no run may lie yet; and MLflow's store in
plain files, Lightning's default, is refused by MLflow from 3.17 on. So the store is a database of the run's own folder,
unless `MLFLOW_TRACKING_URI` names a server.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

DATABASE, ARTIFACTS = "mlflow.db", "mlflow"
"""In the folder of the loggers' files."""


class MLFlowRunLogger(Logger):
    """A run of MLflow.

    Args:
        folder: For the database, and for tables.
        experiment: Its name.
        name: Of the run.
        run_id: Of the run that a resumed one goes on with.
    """

    def __init__(self, folder: Path, experiment: str, name: str, run_id: str | None = None) -> None:
        super().__init__()
        self._folder, self._experiment_name, self._name, self._known = folder, experiment, name, run_id
        self._own: Any = None

    @property
    def own(self) -> Any:
        """Lightning's logger."""
        if self._own is None:
            from pytorch_lightning.loggers import MLFlowLogger

            logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every table that it makes
            self._folder.mkdir(parents=True, exist_ok=True)
            server = os.environ.get("MLFLOW_TRACKING_URI")
            self._own = MLFlowLogger(
                experiment_name=self._experiment_name,
                run_name=self._name,
                tracking_uri=server or f"sqlite:///{(self._folder / DATABASE).resolve()}",
                artifact_location=None if server else (self._folder / ARTIFACTS).resolve().as_uri(),
                run_id=self._known,
            )
        return self._own

    @property
    def name(self) -> str:
        """The experiment's."""
        return self._experiment_name

    @property
    def version(self) -> str | None:
        """The run's id; None before anything was logged."""
        return self.run_id

    @property
    def run_id(self) -> str | None:
        """The run's id; None before anything was logged."""
        return self._known if self._own is None else self._own.run_id

    @property
    def experiment(self) -> Any:
        """MLflow's client."""
        return self.own.experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The settings."""
        self.own.log_hyperparams(params, *args, **kwargs)

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Numbers of a step."""
        self.own.log_metrics(metrics, step)

    @rank_zero_only
    def log_table(self, name: str, table: Any) -> None:
        """A pandas frame."""
        self.experiment.log_table(self.run_id, table, f"{name}.json")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Say how the run ended."""
        if self._own is not None:
            self._own.finalize(status)
