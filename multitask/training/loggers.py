"""Lightning's loggers by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError

NOTHING: Mapping[str, Any] = {}
"""Logged so far."""


def loggers_of(config: TrainConfig, folder: Path, start: int = 0, logged: Mapping[str, Any] = NOTHING) -> list[Any]:
    """The CSV logger, always, and those that the config names.

    Args:
        config: The settings.
        folder: Where they write.
        start: The step that a resumed run begins at.
        logged: What each had of the run before that step; see `checkpoints.logged_by`.

    Raises:
        UserError: If a logger's package is not installed.
    """
    from pytorch_lightning import loggers

    from multitask.training.csv_log import RunCsvLogger

    made: list[Any] = [RunCsvLogger(folder, flush_every=config.log_every, rows=logged.get("CSVLogger", 0))]
    for name in config.loggers:
        if name == "csv":
            continue
        package = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}[name]
        if importlib.util.find_spec(package) is None:
            raise UserError(f"logger '{name}' needs the package {package}: pip install 'multitask-t5[{name}]'.")
        if name == "tensorboard":
            # What an interrupted run logged from `start` on is logged again: TensorBoard is to forget the first time.
            purge: dict[str, Any] = {"purge_step": start} if start else {}
            made.append(loggers.TensorBoardLogger(str(folder), name="", version="tensorboard", **purge))
        elif name == "wandb":
            made.append(loggers.WandbLogger(save_dir=str(folder), id=logged.get("WandbLogger"), resume="allow"))
        else:
            made.append(loggers.MLFlowLogger(save_dir=str(folder / "mlruns"), run_id=logged.get("MLFlowLogger")))
    return made
