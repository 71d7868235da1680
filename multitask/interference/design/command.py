"""The command that repeats a study."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from multitask.config import TrainConfig
from multitask.interference.design.arms import Design
from multitask.interference.design.config import StudyConfig

SKIPPED = {"tasks", "per_step", "trainer", "seed", "out", "resume", "overwrite", "labels_by", "hold_selection"}
"""Training settings that the study says in another way, or sets itself."""


def study_command(config: StudyConfig, design: Design) -> str:
    """Give the command line of a study, without the folder that it is written to.

    Args:
        config: With the study's defaults filled in.
        design: Of these settings.
    """
    words = ["multitask", "interference", "--tasks", ",".join(design.tasks)]
    train, plain = config.train, TrainConfig()
    if design.arms != tuple(StudyConfig().arms):
        words += ["--arms", ",".join(design.arms)]
    words += ["--seeds", _seeds(design.seeds), "--match", ",".join(design.match)]
    each = {float(b) for b in design.per_step.values()}
    if len(each) == 1:
        words += ["--per-step", f"{each.pop():g}"]
    else:
        words += [w for t, b in design.per_step.items() for w in (f"--per-step.{t}", f"{float(b):g}")]
    for name, value in train.trainer.items():
        words += [f"--trainer.{name}", str(value)]
    if design.null:
        words += ["--null", ",".join(design.null)]
    if design.noise:
        words += ["--control", "noise"]
    if config.treatments:
        words += ["--treatments", ",".join(config.treatments)]
        words += [] if config.simple_treatments else ["--simple-treatments", "false"]
    if config.rates_sweep:
        words += ["--rates-sweep", ",".join(config.rates_sweep)]
    for name in ("margin", "intervals", "resamples", "groups"):
        if getattr(config, name) != getattr(StudyConfig(), name):
            words += [f"--{name}", f"{value:g}" if isinstance(value := getattr(config, name), float) else str(value)]
    if config.lr_grid:
        words += ["--lr-grid", ",".join(f"{lr:g}" for lr in config.lr_grid)]
    for field in dataclasses.fields(TrainConfig):
        value = getattr(train, field.name)
        if field.name in SKIPPED or value == getattr(plain, field.name):
            continue
        if field.name == "data_seed" and value == design.seeds[0]:
            continue
        option = "--" + field.name.replace("_", "-")
        if isinstance(value, dict):
            words += [w for k, v in value.items() for w in (f"{option}.{k}", str(v))]
        elif isinstance(value, list):
            words += [option, ",".join(map(str, value))]
        else:
            words += [option, str(value).lower() if isinstance(value, bool) else str(value)]
    return shlex.join(words)


def _seeds(seeds: Sequence[int]) -> str:
    return str(len(seeds)) if tuple(seeds) == tuple(range(len(seeds))) else ",".join(map(str, seeds))
