"""The command that trains a run again."""

from __future__ import annotations

import dataclasses
import json
import shlex
from typing import Any

from multitask.config import OPERATIONAL, TrainConfig, flag, tasks_option
from multitask.config_checks import fill_defaults
from multitask.model.from_scratch import is_from_scratch

NEVER = ("tasks", "include", "trainer", "out", "resume", "overwrite", "rate_schedule")
"""Settings that are not told by their name and value."""


def train_command(config: TrainConfig) -> str:
    """`multitask train` with all settings that are none of their defaults; without the folder that it writes to.

    >>> train_command(TrainConfig(tasks=["a", "b"], loss_weights={"a": 2.0}, lr=0.5, trainer={"max_steps": 9}))
    'multitask train --tasks a,b --steps 9 --loss-weights.a 2.0 --lr 0.5'
    """
    config = fill_defaults(config, from_scratch=is_from_scratch(config.model))
    if config.rate_schedule:  # it has no form on the command line
        return f"multitask train --config {shlex.quote(f'{config.out}/config.yaml')} --out FOLDER"
    words = ["multitask", "train", "--tasks", tasks_option(config)]
    words += [word for file in config.include for word in ("--include", file)]
    trainer = dict(config.trainer)
    if "max_steps" in trainer:
        words += ["--steps", str(trainer.pop("max_steps"))]
    words += [w for k, v in trainer.items() if k != "enable_progress_bar" for w in (f"--trainer.{k}", _written(v))]
    like_it = TrainConfig(model=config.model, trainer=config.trainer)
    usual = fill_defaults(like_it, from_scratch=is_from_scratch(config.model))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        plain = TrainConfig().model if field.name == "model" else getattr(usual, field.name)
        if field.name in NEVER or field.name in OPERATIONAL or value == plain:
            continue
        words += _nested(flag(field.name), value)
    return shlex.join(words)


def _nested(option: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for k, v in value.items() for word in _nested(f"{option}.{k}", v)]
    return [option, _written(value)]


def _written(value: Any) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, (list, dict)):
        return json.dumps(value)
    return str(value)
