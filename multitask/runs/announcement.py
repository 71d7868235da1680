"""Announcements of a run before its training begins: model, data, warnings, the planned mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multitask.config import TrainConfig
from multitask.examples.misfits import one_kind, undefined_metrics
from multitask.mixing.prepare import WARNING
from multitask.mixing.summary import data_notes, print_mix
from multitask.mixing.warnings import find_never_sampled
from multitask.model.contamination import contamination
from multitask.model.from_scratch import is_from_scratch
from multitask.runs.notices import Notices
from multitask.runs.run_data import RunData
from multitask.runs.start import Start
from multitask.runs.watching import Watched
from multitask.task import Example
from multitask.tokenization.unwritable import SHARE, is_written, label_cautions, unwritten, with_unknown


def announce_run(model: Any, start: Start, data: RunData, watched: Watched, notices: Notices) -> None:
    """Say what is trained on what, and what looks wrong before it begins."""
    config, mix = start.config, data.mix
    parameters = sum(p.numel() for p in model.parameters())
    origin = "random weights" if is_from_scratch(config.model) else "pretrained"
    trained = ""
    if config.peft:
        count = sum(p.numel() for p in model.parameters() if p.requires_grad)
        whose = "one for all tasks" if config.adapters == "shared" else "one a task"
        trained = f"LoRA of rank {config.lora_rank}, {whose} ({count:,} parameters), "
    how = "" if config.balance == "sum" else f"balance {config.balance}, "
    notices.say(
        f"model {config.model} ({parameters:,} parameters, {origin}), {trained}{config.optimizer} lr {config.lr:g}, "
        f"loss {config.loss}, {how}{config.precision}{_device(config)}, seed {config.seed}"
    )
    if config.peft and is_from_scratch(config.model):
        notices.warn(
            f"--peft {config.peft} on random weights: adapters change a model that knows something, and here all else "
            "stays as it was drawn; give a pretrained --model."
        )
    for line in data_notes(mix):
        if line.startswith(WARNING):
            notices.warn(line.removeprefix(WARNING))
        else:
            notices.say(line)
    for name, part in watched.rows.items() if config.eval_every else ():
        if len(part) < len(watched.held[name]):  # of the whole it is said already
            _look_at_watched(name, part, data, watched, notices)
    warning = contamination(config.model, tuple(mix.tasks))
    if warning:
        notices.say(f"WARNING: {warning}")
    for line in find_never_sampled(mix.plan, mix.steps):
        notices.warn(line)
    _look_at_tokens(data, notices)
    if not notices.quiet:
        print_mix(mix, data.mean_tokens)


def _device(config: TrainConfig) -> str:
    """The GPU that it is trained on, and how to have other numbers; nothing on a CPU."""
    import torch

    if str(config.trainer.get("accelerator", "auto")) == "cpu" or not torch.cuda.is_available():
        return ""
    also = " and TF32" if config.tf32 and config.precision == "fp32" else ""
    other = "fp32" if config.precision == "bf16" else "bf16"
    return f"{also} on {torch.cuda.get_device_name()} (--precision {other} for {other})"


def _look_at_watched(name: str, part: Sequence[Example], data: RunData, watched: Watched, notices: Notices) -> None:
    """Warn if the part of the rows that is watched decides nothing where the whole would."""
    task, held = data.mix.tasks[name], watched.held[name]
    looks = f"Evaluation during training looks at the first {len(part):,} of {len(held):,} rows (--eval-limit)"
    if name in watched.undecided and task.primary.name not in undefined_metrics(task, held):
        notices.warn(
            f"{name}: {looks}, on which metric '{task.primary.name}' is undefined ({watched.undecided[name]}): no "
            f"mean, --select or --patience goes by it."
        )
        return
    alike = one_kind(task, part, "watched")
    if alike and not one_kind(task, held, "watched"):
        notices.warn(f"{alike} {looks}.")


def _look_at_tokens(data: RunData, notices: Notices) -> None:
    """Say what is truncated, and which targets the vocabulary cannot write."""
    mix = data.mix
    for name, tokens in data.train.items():
        if tokens.cut_inputs or tokens.cut_targets:
            task = mix.tasks[name]
            notices.say(
                f"{name}: {tokens.cut_inputs:,} of {len(tokens):,} training inputs are cut to "
                f"{task.max_input_tokens} tokens, {tokens.cut_targets:,} targets to {task.max_target_tokens}."
            )
    for name, tokens in data.train.items():
        task = mix.tasks[name]
        for line in label_cautions(task, data.tokenizer) if name in mix.evaluated else ():
            notices.warn(line)
        lacking = with_unknown(tokens.targets, data.tokenizer) if is_written(task) else 0
        if lacking:
            say_it = notices.warn if lacking >= SHARE * len(tokens) else notices.say
            say_it(unwritten(name, lacking, len(tokens), "training"))
