"""multitask: fine-tune one text-to-text model on many tasks, and see which tasks help and hurt each other.

    from multitask import Example, register_task, train

    @register_task(prefix="route ticket: ", labels=("billing", "technical"), metrics=["accuracy"])
    def ticket(row):
        return Example(row["body"], row["queue"])

    run = train(tasks="ticket", data="data/")      # data/ticket/train.jsonl, validation.jsonl
    run.metrics                                    # a DataFrame: task, metric, score, se, baseline

    study = multitask.measure_interference(tasks="span,sst2", seeds=5)
    print(study)                                   # which tasks help and which hurt each other

What needs torch or pandas is imported on first use, so that the command line's `--help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from multitask.version import __version__ as __version__

if TYPE_CHECKING:
    from multitask.config import TrainConfig
    from multitask.errors import UserError
    from multitask.interference.measure import estimate_interference, measure_interference
    from multitask.interference.study import Study
    from multitask.metrics.metric import Metric
    from multitask.metrics.naming import register_metric
    from multitask.mixing.mixture import Mixture, mixing_rates, register_mixture
    from multitask.mixing.plan import MixingPlan
    from multitask.plugins import include
    from multitask.runs.export import export
    from multitask.runs.inference import evaluate, predict
    from multitask.runs.run import Run, StoppedError
    from multitask.runs.train import train
    from multitask.sources.hugging_face import hub
    from multitask.sources.in_memory import dataset, rows
    from multitask.sources.local_files import files
    from multitask.task import Decoding, Example, Row, Task, add_task, register_task
    from multitask.testing import check_task

_HOMES = {
    **dict.fromkeys(("Decoding", "Example", "Row", "Task", "add_task", "register_task"), "task"),
    **dict.fromkeys(("Metric", "register_metric"), "metrics"),
    **dict.fromkeys(("Mixture", "register_mixture"), "mixing.mixture"),
    **dict.fromkeys(("dataset", "files", "hub", "rows"), "sources"),
    **dict.fromkeys(("Run", "StoppedError"), "runs.run"),
    **dict.fromkeys(("evaluate", "predict"), "runs.inference"),
    "MixingPlan": "mixing.plan",
    "Study": "interference.study",
    "TrainConfig": "config",
    "UserError": "errors",
    "check_task": "testing",
    "export": "runs.export",
    "include": "plugins",
    "estimate_interference": "interference.measure",
    "measure_interference": "interference.measure",
    "mixing_rates": "mixing.rates",
    "train": "runs.train",
}

__all__ = [
    "Decoding",
    "Example",
    "Metric",
    "MixingPlan",
    "Mixture",
    "Row",
    "Run",
    "StoppedError",
    "Study",
    "Task",
    "TrainConfig",
    "UserError",
    "add_task",
    "check_task",
    "dataset",
    "estimate_interference",
    "evaluate",
    "export",
    "files",
    "hub",
    "include",
    "measure_interference",
    "mixing_rates",
    "predict",
    "register_metric",
    "register_mixture",
    "register_task",
    "rows",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES and "torch" not in sys.modules:
        # OpenMP reads it when torch is loaded: see terminal/quiet.py.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if name in _HOMES:
        from multitask.gc_pause import pause_garbage_collection
        from multitask.training.signals import deliver_interrupts

        with deliver_interrupts(whole=True), pause_garbage_collection(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm's, in a notebook without widgets
            return getattr(importlib.import_module(f"multitask.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'multitask' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
