"""The settings of training as the command line shows them: their groups, the words for their values, who uses them.

`GROUPS` is the one table of where a setting stands in `--help`; a test holds it complete.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from multitask.config import DEFAULT_STEPS, TrainConfig, flag
from multitask.field_docs import field_texts

GROUPS: Mapping[str, tuple[str, ...]] = {
    "tasks and data": ("tasks", "data", "include", "columns", "holdout", "on_bad_row", "data_seed"),
    "mixture": (
        *("mixing", "temperature", "temperature_end", "cap", "scale", "max_epochs", "rate_schedule"),
        *("batch_size", "per_step", "rate_base", "twin", "shuffle_targets"),
    ),
    "model": (
        *("model", "revision", "vocab", "vocab_size", "dropout", "gated", "copy_head", "peft", "adapters", "lora_rank"),
        *("merge", "merge_runs", "merge_scale", "gradient_checkpointing"),
    ),
    "training": (
        *("trainer", "loss", "loss_weights", "balance", "balance_scale"),
        *("optimizer", "lr", "weight_decay", "schedule", "warmup_steps", "clip"),
        *("on_nonfinite", "ema", "execution", "precision", "tf32", "seed", "workers"),
    ),
    "evaluation": (
        *("eval_every", "eval_limit", "select", "patience", "selection_rows", "hold_selection", "validation_rows"),
        *("evaluate_on", "labels_by", "eval_precision", "batch_tokens"),
    ),
    "run folder": (
        *("out", "resume", "overwrite", "checkpoint_every", "log_every", "gradients_every", "conflict_every"),
        *("log_examples",),
        *("loggers", "callbacks"),
    ),
}
"""{title: the settings under it}, in the order of `--help`."""

SETTINGS = frozenset(f.name for f in dataclasses.fields(TrainConfig))
"""All of them: what `multitask train` uses."""

_ROWS = frozenset({"eval_every", "select", "patience", "selection_rows", "hold_selection", "validation_rows"})
"""They decide which rows are left for training."""
CHECKED = frozenset(
    {*GROUPS["tasks and data"], *_ROWS, "evaluate_on", "seed", "trainer", "model", "revision", "vocab", "vocab_size"}
)
"""What the check of data looks at: rows, and their tokens."""
PLANNED = CHECKED | frozenset(GROUPS["mixture"])
"""What a planned mixture follows from."""
STUDIED = SETTINGS - {
    *("mixing", "temperature", "temperature_end", "cap", "scale", "max_epochs", "rate_schedule", "batch_size"),
    *("merge", "merge_runs", "merge_scale"),
    *("twin", "shuffle_targets", "rate_base", "patience", "labels_by", "resume"),
}
"""What a study leaves to its user; it says itself why it sets the others."""

USED: Mapping[str, frozenset[str]] = {
    "train": SETTINGS,
    "interference": STUDIED,
    "mix": PLANNED,
    "tasks check": CHECKED,
}
"""{command: the settings that it uses}."""

_METAVARS: Mapping[str, str] = {
    "tasks": "NAMES",
    "data": "DIR|hub|sample",
    "include": "FILE",
    "holdout": "SHARE",
    "temperature": "T",
    "temperature_end": "T",
    "cap": "EXAMPLES",
    "max_epochs": "EPOCHS",
    "rate_schedule": "RATES",
    "batch_size": "EXAMPLES",
    "per_step": "EXAMPLES",
    "rate_base": "EXAMPLES",
    "twin": "TASK",
    "shuffle_targets": "TASKS",
    "model": "NAME|DIR|ID",
    "revision": "COMMIT",
    "vocab": "DIR",
    "vocab_size": "PIECES",
    "dropout": "RATE",
    "balance": "METHOD",
    "merge_runs": "FOLDERS",
    "merge_scale": "NUMBER",
    "lr": "RATE",
    "weight_decay": "RATE",
    "warmup_steps": "STEPS",
    "clip": "NORM",
    "ema": "DECAY",
    "precision": "auto|fp32|bf16",
    "eval_every": "STEPS",
    "eval_limit": "ROWS",
    "select": "last|mean|TASK|per-task",
    "selection_rows": "ROWS",
    "validation_rows": "ROWS",
    "batch_tokens": "TOKENS",
    "checkpoint_every": "STEPS",
    "log_every": "STEPS",
    "gradients_every": "STEPS",
    "conflict_every": "STEPS",
    "loggers": "NAMES",
    "callbacks": "NAMES",
    "out": "DIR",
    "resume": "[RUN]",
}
"""The word for a value, where its type says too little."""

_SPELLINGS: Mapping[str, str] = {
    "columns": "--columns.TASK.COLUMN NAME",
    "scale": "--scale.TASK FACTOR",
    "loss_weights": "--loss-weights.TASK FACTOR",
    "trainer": "--trainer.OPTION VALUE",
}
"""Settings that are given a part at a time."""

_DEFAULTS: Mapping[str, str] = {
    "temperature": "none",
    "temperature_end": "the temperature stays",
    "cap": "no cap",
    "per_step": "none",
    "twin": "none",
    "shuffle_targets": "none",
    "revision": "the newest",
    "patience": "never stops early",
    "merge": "none: a model is trained",
    "merge_scale": "chosen",
    "peft": "none: all weights are trained",
}
"""Defaults that are no value."""


class Option(NamedTuple):
    """One setting as `--help` shows it."""

    spelling: str
    """With the word for its value: `--lr RATE`."""
    text: str
    """What it does, and its default in words."""


STEPS = Option(
    "--steps N", f"Optimizer steps, the same as --trainer.max_steps. (default: {DEFAULT_STEPS:,}, in a study 500)"
)


@functools.cache
def setting_options() -> Mapping[str, Option]:
    """{setting: how `--help` shows it}, from the text under each field of `TrainConfig`."""
    texts, hints = field_texts(TrainConfig), typing.get_type_hints(TrainConfig)
    return {
        f.name: Option(_spelling(f.name, hints[f.name]), _text(f, texts.get(f.name, "")))
        for f in dataclasses.fields(TrainConfig)
    }


def _spelling(name: str, hint: Any) -> str:
    if name in _SPELLINGS:
        return _SPELLINGS[name]
    word = _METAVARS.get(name) or value_word(hint, getattr(TrainConfig, name, None))
    return f"{flag(name)} {word}".rstrip()


def value_word(hint: Any, default: Any = None) -> str:
    """The word for a value of a type; nothing for a switch.

    >>> value_word(Literal["a", "b"] | None), value_word(int), value_word(bool, False), value_word(bool, True)
    ('a|b', 'N', '', 'true|false')
    """
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is Literal:
        return "|".join(typing.get_args(hint))
    if hint is bool:
        return "true|false" if default else ""
    return {int: "N", float: "NUMBER"}.get(hint, "TEXT")


def _text(field: Any, text: str) -> str:
    default = field.default
    if field.name in _DEFAULTS:
        words = _DEFAULTS[field.name]
    elif default is dataclasses.MISSING or default is None or default is False or "default" in text:
        return text
    else:
        words = "true" if default is True else _number(default)
    return f"{text} (default: {words})"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
