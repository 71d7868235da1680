"""Checks of settings before anything long starts; options of the Trainer, and defaults filled in."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import operator
from typing import Any, get_args, get_origin, get_type_hints

from multitask.config import ADAPTER_LR, DEFAULT_STEPS, LEARNING_RATES, PATHS, OptimizerName, TrainConfig, flag
from multitask.errors import UserError
from multitask.registry import did_you_mean
from multitask.storage.schema import problem_of
from multitask.storage.yaml_files import load_yaml
from multitask.terminal.escaping import shown

FINITE = ("per_step", "weight_decay")
"""Settings of which an infinite value is not refused by their range; none is ever not a number."""


def check_config(config: TrainConfig) -> None:
    """Refuse values that cannot work, before anything is loaded.

    Raises:
        UserError: One sentence a mistake.
    """
    for name, low in (
        ("batch_size", 1),
        ("batch_tokens", 1),
        ("checkpoint_every", 1),
        ("log_every", 1),
        ("eval_limit", 1),
        ("eval_every", 0),
        ("patience", 0),
        ("workers", 0),
        ("selection_rows", 1),
        ("seed", 0),
        ("data_seed", 0),
        ("validation_rows", 1),
        ("weight_decay", 0),
        ("warmup_steps", 0),
        ("lora_rank", 1),
    ):
        value = getattr(config, name)
        if value is not None and value < low:
            raise UserError(f"{flag(name)} must be at least {low}. Got {value}.")
    for name in ("lr", "temperature", "temperature_end", "max_epochs", "cap", "vocab_size"):
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"{flag(name)} must be above 0. Got {value}.")
    if not 0 < config.holdout < 1:
        raise UserError(f"--holdout is a share between 0 and 1. Got {config.holdout}.")
    if not 0 <= config.ema < 1:
        raise UserError(f"--ema is a decay from 0 to below 1, e.g. 0.998. Got {config.ema}.")
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise UserError(f"--dropout must be from 0 to below 1. Got {config.dropout}.")
    if config.clip < 0:
        raise UserError(f"--clip must be 0 (none) or above. Got {config.clip}.")
    if config.per_step is not None:
        given = {"mixing": config.mixing, "temperature": config.temperature, "cap": config.cap, "scale": config.scale}
        for name, value in {**given, "rate_schedule": config.rate_schedule}.items():
            if value:
                raise UserError(
                    f"--per-step fixes the examples of each task, so {flag(name)} would do nothing: give one."
                )
    if config.rate_base is not None:
        if config.per_step is None:
            raise UserError("--rate-base is what --per-step is divided by: give --per-step too.")
        if not (math.isfinite(config.rate_base) and config.rate_base > 0):
            raise UserError(f"--rate-base must be above 0. Got {config.rate_base}.")
    if config.gradients_every < 0:
        raise UserError(f"--gradients-every must be 0 (never) or above. Got {config.gradients_every}.")
    if config.conflict_every < 0:
        raise UserError(f"--conflict-every must be 0 (never) or above. Got {config.conflict_every}.")
    if config.conflict_every:
        _check_conflict(config)
    if config.twin is not None and config.per_step is None:
        raise UserError("--twin gives each half of a task the same examples per step: say how many with --per-step.")
    if config.rate_schedule and (config.mixing or config.temperature or config.cap or config.scale):
        raise UserError("rate_schedule gives the rates, so mixing, temperature, cap and scale would do nothing.")
    for at, rates in config.rate_schedule.items():
        if not _is_number(at) or not isinstance(rates, dict):
            raise UserError(
                "rate_schedule gives rates at fractions of the steps, as in {0: {sst2: 1, span: 3}, 1: {sst2: 1, "
                f"span: 1}}}}. Got {shown(repr(at), 60)}: {shown(repr(rates), 60)}."
            )
    if config.temperature_end is not None and config.temperature is None:
        raise UserError("--temperature-end needs the temperature to start from: give --temperature too.")
    for task, weight in config.loss_weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise UserError(f"--loss-weights.{task} must be 0 or above. Got {weight}.")
    if config.patience and not config.eval_every:
        raise UserError("--patience counts evaluations during training: give --eval-every STEPS too.")
    if config.select != "last" and not config.eval_every:
        raise UserError(f"--select {config.select} chooses among evaluations during training: give --eval-every STEPS.")
    if config.adapters == "task" and not config.peft:
        raise UserError("--adapters task gives each task an adapter of its own: give --peft lora too.")
    if config.adapters == "task" and config.balance != "sum":
        raise UserError(
            f"--balance {config.balance} weighs the tasks' pulls on the weights that they share, and with --adapters "
            "task they share none that are trained: leave one out."
        )
    if config.peft and config.ema:
        raise UserError("--ema averages a whole model's weights, and --peft trains adapters alone: leave one out.")
    if (config.merge is None) != (not config.merge_runs):
        raise UserError("--merge says how finished runs are merged, and --merge-runs which: give both.")
    if config.merge_scale is not None and config.merge is None:
        raise UserError("--merge-scale says how much is merged: give --merge and --merge-runs too.")
    if config.merge and config.select != "last":
        raise UserError(f"--select {config.select} chooses a checkpoint of a training, and --merge trains nothing.")
    if config.resume and config.overwrite:
        raise UserError("--resume continues the run in --out and --overwrite replaces it: give one of them.")
    for logger in config.loggers:
        if logger not in LOGGERS:
            raise UserError(f"unknown logger '{logger}': {did_you_mean(logger, list(LOGGERS))}")
    for name, value in [(n, getattr(config, n)) for n in PATHS] + [("include", file) for file in config.include]:
        if value is not None and not _is_name(value):
            raise UserError(f"{flag(name)} {shown(repr(value))} is no path in UTF-8, which all that is written needs.")
    for name, value in vars(config).items():
        given = {f".{key}": one for key, one in value.items()} if isinstance(value, dict) else {"": value}
        for key, one in given.items():
            if isinstance(one, float) and (math.isnan(one) or (math.isinf(one) and name in FINITE)):
                raise UserError(f"{flag(name)}{key} must be a number that is finite. Got {one}.")
    check_trainer(config.trainer)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))  # `no: {…}` is false to YAML, and not 0
    except (TypeError, ValueError):
        return False


def _is_name(path: str) -> bool:
    try:
        return b"\0" not in path.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8 come as halves of surrogate pairs
        return False


LOGGERS = ("csv", "tensorboard", "wandb", "mlflow", "trackio")


_OURS = {
    "logger": "--loggers",
    "callbacks": "--callbacks",
    "use_distributed_sampler": "the plan, which already gives each process its own part of a step",
    "reload_dataloaders_every_n_epochs": "nothing: a plan has no epochs to reload at",
    "max_epochs": "--trainer.max_steps: a mixture has no epoch of its own",
    "min_epochs": "--trainer.min_steps",
    "val_check_interval": "--eval-every",
    "check_val_every_n_epoch": "--eval-every",
    "limit_train_batches": "--trainer.max_steps: a mixture has no epoch to cut short",
    "overfit_batches": "--trainer.max_steps: a mixture has no epoch to cut short",
    "fast_dev_run": "--trainer.max_steps 1: it would leave no checkpoint and no log",
    "barebones": "nothing: it would leave no checkpoint, log or progress",
}
"""Trainer options that have another name here, and which."""


def check_trainer(options: dict[str, Any]) -> None:
    """Refuse `--trainer.*` options that Lightning does not have, or that would undo what this project promises."""
    for name, value in options.items():
        if name == "precision" and "16" in str(value) and "bf" not in str(value):
            check_precision(str(value))
        if name in _OURS:
            raise UserError(f"--trainer.{name} is set by {_OURS[name]}.")
    steps = options.get("max_steps", DEFAULT_STEPS)
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise UserError(f"--steps (the Trainer's max_steps) is a number of optimizer steps, 1 or more. Got {steps!r}.")
    accumulate = options.get("accumulate_grad_batches", 1)
    if not isinstance(accumulate, int) or accumulate < 1:
        raise UserError(f"--trainer.accumulate_grad_batches must be a whole number, 1 or more. Got {accumulate!r}.")


def check_trainer_names(options: dict[str, Any]) -> None:
    """Refuse unknown Trainer options, and values that are of another kind: Lightning finds some of those in training.

    Apart from `check_trainer` because it imports Lightning, which takes seconds.
    """
    from pytorch_lightning import Trainer

    known = [n for n in inspect.signature(Trainer.__init__).parameters if n != "self"]
    hints = get_type_hints(Trainer.__init__)
    for name, value in options.items():
        if name not in known:
            raise UserError(f"unknown option --trainer.{name}: {did_you_mean(name, known)}")
        # What a file or a command line can say, without Lightning's classes.
        plain = [one for one in get_args(hints[name]) if get_origin(one) or one in (str, int, float, bool, type(None))]
        problem = problem_of(value, functools.reduce(operator.or_, plain) if plain else hints[name])
        if problem is not None:
            raise UserError(f"--trainer.{name} {problem}.")


def check_precision(value: str) -> None:
    """Refuse fp16 under any of its names, and what is no precision at all."""
    if value in ("fp16", "16", "16-mixed", "16-true"):
        raise UserError(
            f"precision {value} is refused: T5's activations overflow in fp16 and the loss becomes NaN. "
            "Use --precision bf16 or fp32."
        )
    if value not in ("auto", "fp32", "bf16"):
        raise UserError(f"--precision is auto, fp32 or bf16. Got {value}.")


def parse_options(options: dict[str, Any]) -> dict[str, Any]:
    """`--trainer.*` values as YAML reads them: the command line gives strings."""
    import yaml

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: read(v) for k, v in value.items()}
        try:
            return load_yaml(value) if isinstance(value, str) else value
        except yaml.YAMLError:  # text that only looks like YAML, as in --trainer.profiler "[x"
            return value

    return {name: read(value) for name, value in options.items()}


def fill_defaults(config: TrainConfig, *, from_scratch: bool) -> TrainConfig:
    """The config with every default that depends on the model filled in: what `config.yaml` in the run folder says."""
    usual: OptimizerName = "adamw" if config.peft else "adamw-scaled" if from_scratch else "adafactor"
    optimizer = config.optimizer or usual
    lr = config.lr or (ADAPTER_LR if config.peft else LEARNING_RATES[optimizer])
    trainer = {"max_steps": DEFAULT_STEPS, **parse_options(config.trainer)}
    check_trainer(trainer)
    steps = int(trainer["max_steps"])
    return dataclasses.replace(
        config,
        optimizer=optimizer,
        lr=lr,
        schedule=config.schedule or ("linear" if from_scratch else "constant"),
        warmup_steps=config.warmup_steps if config.warmup_steps is not None else min(500, steps // 20),
        dropout=0.1 if config.dropout is None and from_scratch else config.dropout,
        trainer=trainer,
    )


def no_sum_over_tasks(config: TrainConfig) -> tuple[str, str] | None:
    """A flag by which an update is no plain sum over tasks, and why; None if it is one."""
    reasons = {
        "--balance": config.balance != "sum"
        and f"--balance {config.balance} weighs the tasks' gradients anew each step",
        "--adapters": config.adapters == "task" and "--adapters task gives each task weights of its own",
        "--merge": config.merge and "--merge trains nothing",
        "--trainer.gradient_clip_algorithm": config.trainer.get("gradient_clip_algorithm") == "value"
        and "clipping by value cuts each coordinate of their sum",
    }
    return next(((flag, reason) for flag, reason in reasons.items() if reason), None)


def _check_conflict(config: TrainConfig) -> None:
    found = no_sum_over_tasks(config)
    if found:
        name, reason = found
        raise UserError(
            f"--conflict-every takes an update apart into a sum over tasks, and {reason}: leave {name} or it out."
        )
