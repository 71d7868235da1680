"""Loggers and callbacks by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.registry import did_you_mean
from multitask.terminal.escaping import shown


def best_checkpoint(folder: Path, **settings: Any) -> Any:
    """Lightning's ModelCheckpoint, which says in a checkpoint which files of `folder` it keeps: by their names alone.

    Lightning's own writes whole paths, and deletes what a checkpoint says was the best so far. So a checkpoint from
    elsewhere could name any file, and one of the user's own told everybody where his home is, and lost its best when
    its folder was moved.
    """
    from pytorch_lightning.callbacks import ModelCheckpoint

    single = ("best_model_path", "kth_best_model_path", "last_model_path")

    class BestCheckpoint(ModelCheckpoint):
        def check_monitor_top_k(self, trainer: Any, current: Any = None) -> bool:
            """An undefined score is never the best, not even the first; Lightning would keep it until a better."""
            return not (current is not None and current.isnan()) and super().check_monitor_top_k(trainer, current)

        def state_dict(self) -> dict[str, Any]:
            state = super().state_dict()
            state.update({key: Path(state[key]).name for key in single}, dirpath="")
            state["best_k_models"] = {Path(path).name: score for path, score in state["best_k_models"].items()}
            return state

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            state = {**state_dict, "dirpath": self.dirpath}
            state.update({key: self._here(state[key]) if state[key] else "" for key in single})
            state["best_k_models"] = {self._here(path): score for path, score in state["best_k_models"].items()}
            super().load_state_dict(state)

        def _here(self, path: str) -> str:
            name = Path(path).name
            if not name.endswith(".ckpt"):  # ".." for one
                raise UserError(f"a checkpoint in {folder} says that the best is {path!r}, which is no checkpoint.")
            return str(Path(str(self.dirpath)) / name)

        @property
        def state_key(self) -> str:
            """As Lightning's own, by which older checkpoints hold it."""
            return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__)

    return BestCheckpoint(str(folder), **settings)


UNFIT = {
    **dict.fromkeys(("BaseFinetuning", "BasePredictionWriter", "Callback", "Checkpoint"), "is a base class"),
    **dict.fromkeys(("LambdaCallback", "ThroughputMonitor"), "needs functions, and a name gives none"),
    "BackboneFinetuning": "trains a part of the model that is called backbone, and a T5 has none",
    "BatchSizeFinder": "looks for a batch size, which the plan needs before training: give --batch-size or --per-step",
    "EMAWeightAveraging": "is made by --ema DECAY",
    "EarlyStopping": "is made by --patience",
    "GradientAccumulationScheduler": "would change the examples of a step: give --trainer.accumulate_grad_batches",
    "LearningRateFinder": "trains before the run does: give --lr, or try several with multitask interference --lr-grid",
    "ModelCheckpoint": "is made by --select, and --checkpoint-every says how often a state is kept",
    "ModelPruning": "needs to be told what to prune, and a name does not say it",
    "OnExceptionCheckpoint": "keeps states that no run can resume from: see --checkpoint-every",
    **dict.fromkeys(
        ("ProgressBar", "RichProgressBar", "TQDMProgressBar"),
        "would be a second progress bar: --trainer.enable_progress_bar false leaves out the one that is there",
    ),
    "SpikeDetection": "ends a run at a loss that it finds too high: see --on-nonfinite",
    "StochasticWeightAveraging": "needs a learning rate of its own: an average of the weights is made by --ema DECAY",
    "Timer": "needs a duration, and would hide that of --trainer.max_time",
    "WeightAveraging": "needs to be told which average: one is made by --ema DECAY",
}
"""Callbacks of Lightning that a name alone does not make useful here, and what to do instead."""


def named_callbacks(names: Sequence[str]) -> list[Any]:
    """Lightning's callbacks of these names, with their defaults.

    Raises:
        UserError: If there is none of that name, or it cannot be used by its name alone.
    """
    from pytorch_lightning import callbacks

    public = [n for n in dir(callbacks) if n[0].isupper()]
    made: list[Any] = []
    for i, name in enumerate(names):
        if name not in public:
            raise UserError(f"unknown callback '{name}': {did_you_mean(name, [n for n in public if n not in UNFIT])}")
        if name in UNFIT:
            raise UserError(f"--callbacks {name}: it {UNFIT[name]}.")
        if name in names[:i]:
            raise UserError(f"--callbacks names {name} twice.")
        if name == "DeviceStatsMonitor" and importlib.util.find_spec("psutil") is None:
            raise UserError(f"--callbacks {name}: it needs the package psutil: pip install psutil.")
        try:
            made.append(getattr(callbacks, name)())
        except Exception as error:  # of one that this version of Lightning has and the table above does not know
            raise UserError(f"--callbacks {name}: it cannot be made by its name alone: {shown(error)}.") from error
    return made


def callbacks_of(
    config: TrainConfig,
    checkpoints: Path,
    tasks: Sequence[str] = (),
    before_save: Callable[[int], None] | None = None,
) -> list[Any]:
    """Checkpoints to resume from, the best by `--select`, early stopping, weight averaging, and those by name.

    Args:
        config: The settings.
        checkpoints: The folder that they go to.
        tasks: Those that are watched: `--select per-task` keeps the best checkpoint of each.
        before_save: Called with the step before a checkpoint of it is written.
    """
    from pytorch_lightning import callbacks
    from pytorch_lightning.callbacks import EarlyStopping

    from multitask.training.checkpoints import ResumableCheckpoint

    made: list[Any] = []
    monitor = "val/mean" if config.select in ("last", "mean", "per-task") else f"val/{config.select}"
    kept = {"best-": monitor} if config.select != "last" else {}
    if config.select == "per-task":
        kept.update({f"best@{task}-": f"val/{task}" for task in tasks})
    for name, watched in kept.items():
        made.append(
            best_checkpoint(
                checkpoints,
                filename=name + "{step}",
                auto_insert_metric_name=False,
                monitor=watched,
                mode="max",
                save_top_k=1,
                save_weights_only=not config.ema,  # the average is put in by its callback, which a bare save leaves out
                enable_version_counter=False,
            )
        )
    if config.patience:
        # An undefined score ends nothing at once, as it would with `check_finite`: it is none better than before.
        made.append(EarlyStopping(monitor, mode="max", patience=config.patience, check_finite=False))
    if config.ema:
        made.append(callbacks.EMAWeightAveraging(decay=config.ema, use_buffers=False))
    made += named_callbacks(config.callbacks)
    if config.trainer.get("enable_checkpointing", True):
        # Last: it holds the others' states.
        made.append(ResumableCheckpoint(checkpoints, config.checkpoint_every, before=before_save))
    return made
