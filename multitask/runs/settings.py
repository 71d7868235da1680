"""The settings of a run with all defaults filled in, checked before anything is read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from multitask.config import TrainConfig, default_folder, expand_paths
from multitask.config_checks import check_config, check_precision, check_trainer_names, fill_defaults
from multitask.examples.choose_source import data_setting
from multitask.model.availability import check_model
from multitask.model.from_scratch import is_from_scratch
from multitask.training.precision import settle_precision


class RunSettings(NamedTuple):
    """The settings that are asked for."""

    config: TrainConfig
    out: Path
    """The run folder."""
    own_warmup: bool
    """Whether the warm-up was given; else a resumed run keeps its own."""


def prepare_settings(config: TrainConfig) -> RunSettings:
    """Fill in all defaults, and check what can be checked without data.

    Raises:
        UserError: For the first setting that cannot work.
    """
    config = expand_paths(dataclasses.replace(config, trainer=dict(config.trainer), data=data_setting(config.data)))
    check_precision(config.precision)
    own_warmup = config.warmup_steps is not None
    config = fill_defaults(config, from_scratch=is_from_scratch(config.model))
    check_config(config)
    check_trainer_names(config.trainer)
    check_model(config.model, config.revision)
    # Both import torch, for which a mistake in the other settings should not wait.
    if config.balance != "sum":
        from multitask.training.balance import check_balance

        check_balance(config)
    if config.peft:
        from multitask.model.adapters import check_peft

        check_peft()
    config = settle_precision(config)
    out = Path(config.out or default_folder(config))
    return RunSettings(dataclasses.replace(config, out=str(out)), out, own_warmup)
