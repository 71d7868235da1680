"""Lightning's loggers by name, and trackio's; what each is given of a finished run."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.tables.markdown import escape_markdown

if TYPE_CHECKING:
    import pandas as pd

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

    run, group = _run_and_group(folder.parent)
    made: list[Any] = [RunCsvLogger(folder, flush_every=config.log_every, rows=logged.get("CSVLogger", 0))]
    for name in config.loggers:
        if name == "csv":
            continue
        if importlib.util.find_spec(name) is None:
            raise UserError(f"logger '{name}' needs the package {name}: pip install 'multitask-t5[{name}]'.")
        if name == "tensorboard":
            # What an interrupted run logged from `start` on is logged again: TensorBoard is to forget the first time.
            purge: dict[str, Any] = {"purge_step": start} if start else {}
            made.append(loggers.TensorBoardLogger(str(folder), name="", version="tensorboard", **purge))
        elif name == "wandb":
            made.append(
                loggers.WandbLogger(
                    name=run,
                    group=group,
                    project=os.environ.get("WANDB_PROJECT") or "multitask",
                    save_dir=str(folder),
                    id=logged.get("WandbLogger"),
                    resume="allow",
                )
            )
        elif name == "mlflow":
            from multitask.training.mlflow_log import MLFlowRunLogger

            made.append(MLFlowRunLogger(folder, group or "multitask", run, logged.get("MLFlowRunLogger")))
        else:
            from multitask.training.trackio_log import TrackioLogger, project

            made.append(TrackioLogger(project(), run, group, logged.get("TrackioLogger")))
    return made


def _run_and_group(out: Path) -> tuple[str, str | None]:
    """What a run is called, and the study that it belongs to, by its folder."""
    if out.parent.name == "cells" and (out.parent.parent / "study.yaml").is_file():
        return out.name, out.parent.parent.resolve().name
    return out.resolve().name, None


def log_results(loggers: Iterable[Any], scores: pd.DataFrame, mix: pd.DataFrame, step: int) -> None:
    """Log a finished run's scores as numbers, and its scores and its mixture as tables, in each logger's own form.

    Args:
        loggers: Of the run; the CSV log has no tables, and stays as training left it.
        scores: A row a task and metric, with the columns task, metric and score.
        mix: A row a task.
        step: The last one.
    """
    columns = (scores[name] for name in ("task", "metric", "score"))
    final = {f"final/{task}/{metric}": float(score) for task, metric, score in zip(*columns, strict=True)}
    for logger in loggers:
        kinds = {kind.__name__ for kind in type(logger).__mro__}
        if "CSVLogger" in kinds:
            continue
        logger.log_metrics(final, step)
        for name, table in (("scores", scores), ("mix", mix)):
            if "TensorBoardLogger" in kinds:
                logger.experiment.add_text(name, _markdown(table), step)
            elif "WandbLogger" in kinds:
                logger.log_table(name, dataframe=table)
            elif hasattr(logger, "log_table"):
                logger.log_table(name, table)
        logger.finalize("success")
        if "WandbLogger" in kinds:  # else the next run of this process would go on with it
            logger.experiment.finish()


def _markdown(table: pd.DataFrame) -> str:
    rows = [["" if value != value else str(value) for value in row] for row in table.itertuples(index=False)]
    lines = [
        list(map(str, table.columns)),
        ["---"] * len(table.columns),
        *([escape_markdown(c) for c in r] for r in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
