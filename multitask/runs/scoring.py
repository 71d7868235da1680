"""The scores of a run at its end, at the checkpoint that `--select` chooses."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from multitask.evaluation.scores import Share, TaskScores, evaluate_task
from multitask.examples.dataset import Examples
from multitask.model.adapters import find_adapters
from multitask.runs.notices import Notices
from multitask.runs.run_data import RunData, scored_examples, tokenize_parts
from multitask.runs.start import Start
from multitask.runs.trainer import wants_progress
from multitask.terminal.counting import counting
from multitask.tokenization.disk_cache import Cache
from multitask.tokenization.token_cache import TokenCache
from multitask.tokenization.tokenize import TokenizedTask
from multitask.training.distributed import is_distributed
from multitask.training.precision import computing_in


class RunScores(NamedTuple):
    """{task: its scores}, twice."""

    reported: dict[str, TaskScores]
    """At each task's own checkpoint with `--select per-task`, else of the model that is kept."""
    deployed: dict[str, TaskScores]
    """Of the one model that is kept, with `--select per-task`; else empty."""


def shares_evaluation(trainer: Any) -> bool:
    """Whether each process has the whole model, and the others are still there: then all of them evaluate."""
    return trainer.world_size > 1 and type(trainer.strategy).__name__ == "DDPStrategy" and is_distributed()


def evaluate_run(
    module: Any,
    start: Start,
    data: RunData,
    device: Any,
    cache: Cache,
    notices: Notices,
    share: Share | None = None,
) -> RunScores:
    """Evaluate the trained model on every task; its weights are then those that are kept.

    Args:
        module: The trained `MultitaskModule`.
        start: The run.
        data: Its mixture and tokenizer.
        device: Where the model is evaluated.
        cache: Of token ids.
        notices: Told which checkpoints were chosen.
        share: The part of the rows that this process decodes; None for all.
    """
    select = start.config.select
    parts = scored_examples(start.config, data.mix)
    tokens = data.evaluated
    if tokens is None:
        tokens = tokenize_parts(parts, data.mix, TokenCache(cache, data.tokenizer))
    # Lightning moves the model to the CPU when training ends.
    model = module.model.to(device)
    own: dict[str, TaskScores] = {}
    if select == "per-task":
        for name in parts:
            _load_best(module, start, notices, name)
            own[name] = _evaluate_one(model, start, data, name, parts[name], tokens[name], share)
    if select != "last":
        _load_best(module, start, notices)
    kept = {name: _evaluate_one(model, start, data, name, parts[name], tokens[name], share) for name in parts}
    return RunScores(own, kept) if own else RunScores(kept, {})


def _evaluate_one(
    model: Any,
    start: Start,
    data: RunData,
    name: str,
    examples: Examples,
    tokens: TokenizedTask,
    share: Share | None,
) -> TaskScores:
    shown = wants_progress(start) and start.first_process
    show = counting(f"evaluating {name}", len(examples)) if shown else contextlib.nullcontext()
    adapters = find_adapters(model)
    merged = adapters.merged(adapters.name_for(name)) if adapters else contextlib.nullcontext()
    with merged, show as counter, computing_in(start.config.eval_precision, model.device.type):
        return evaluate_task(
            model,
            data.tokenizer,
            data.mix.tasks[name],
            examples,
            tokens,
            train=data.mix.data[name].train,
            batch_tokens=start.config.batch_tokens,
            labels_by=start.config.labels_by,
            advance=counter.advance if counter else None,
            share=share,
        )


def _find_best(out: Path, task: str | None = None) -> Path | None:
    """The best checkpoint: the task's own, or the one that is kept; None if no evaluation had a defined score."""
    from multitask.training.checkpoints import checkpoints_in

    found = checkpoints_in(out / "checkpoints", "best" if task is None else f"best@{task}")
    return found[-1] if found else None


def _load_best(module: Any, start: Start, notices: Notices, task: str | None = None) -> None:
    """Put the weights of the best checkpoint in.

    Where the task's score was undefined whenever it was looked at, that is the one that is kept; where all were,
    it is the last step's.
    """
    from multitask.training.checkpoints import read_checkpoint

    out, select = start.out, start.config.select
    best, by = _find_best(out, task), task or select
    if task is not None and best is None and _find_best(out) is not None:
        notices.warn(
            f"{task}: its score was undefined in every evaluation during training, so it has no best checkpoint of "
            f"its own; it is scored at the best by mean."
        )
        best, by = _find_best(out), "mean"
    if best is not None:
        module.load_state_dict(read_checkpoint(best)["state_dict"])
        notices.say(f"{task or 'keeping'}: {best.name}, the best by {by} on held-out rows")
    elif task is None:
        notices.warn(
            f"--select {select}: no evaluation during training had a defined score, so nothing was "
            f"chosen; the weights are those of the last step."
        )
