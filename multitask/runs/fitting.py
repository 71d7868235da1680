"""Training proper: the module and the data module of a run, and the Trainer's loop over them."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any, NamedTuple

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.mixing.prepare import PlannedMixture
from multitask.model.adapters import find_adapters
from multitask.runs.display import RunDisplay
from multitask.runs.endings import explained_endings
from multitask.runs.example_log import ExampleLog, delete_examples_from
from multitask.runs.notices import Notices
from multitask.runs.run_data import RunData
from multitask.runs.start import Start
from multitask.runs.watching import Watched, make_watch, score_and_show
from multitask.tokenization.disk_cache import cache_folder
from multitask.tokenization.tokenize import tokenize_task
from multitask.training.execution import FORMS, choose_execution, measured_execution
from multitask.training.memory import Peak, forget_peak, peak_memory
from multitask.training.signals import restore_signal_handlers


class Fitted(NamedTuple):
    """A trained model."""

    module: Any
    """The `MultitaskModule`: the model, what it has seen, what its guard has skipped."""
    steps: int
    """Optimizer steps that were made."""
    seconds: float = 0.0
    """That training took, evaluation during it included; of a run that was continued since it was."""
    memory: Peak = Peak(None, None)
    """The most that it needed."""


def fit(
    model: Any,
    start: Start,
    data: RunData,
    watched: Watched,
    trainer: Any,
    *,
    log: ExampleLog,
    display: RunDisplay,
    notices: Notices,
) -> Fitted:
    """Train the model, from the start or from a checkpoint, to the last step.

    Args:
        model: As training begins with it.
        start: The run.
        data: Its mixture, tokenizer and training tokens.
        watched: The rows that evaluation during training looks at.
        trainer: From `make_trainer`.
        log: Records examples, with `--log-examples`.
        display: Shows how far it is.
        notices: Says the rest.

    Raises:
        UserError, StoppedError, ProcessError, SystemExit: As `explained_endings`.
    """
    from multitask.training.checkpoints import state_of
    from multitask.training.data_module import MultitaskData

    config, mix = start.config, data.mix
    watch = make_watch(config, data, watched) if config.eval_every > 0 else None
    score = (lambda batches: score_and_show(batches, watched, mix, display, notices)) if watch else None
    balancer = _make_balancer(config, mix, trainer)
    module = _make_module(
        model, start, mix, log, notices, decode=watch.decode if watch else None, score=score, balancer=balancer
    )
    first, checkpoint = (start.stored.step, start.stored.path) if start.stored else (0, None)
    maker = _make_steps(model, start, data, trainer, notices)
    module.execution = maker.execution
    module.conflict = _make_probes(config, data, watched, maker, trainer)
    if checkpoint:
        notices.say(f"continuing at step {first:,} of {mix.steps:,} from {checkpoint}")
    batches = MultitaskData(
        maker,
        eval_lengths={n: t.inputs.lengths for n, t in watch.tokens.items()} if watch else None,
        workers=config.workers,
        batch_tokens=config.batch_tokens,
        start=first,
    )
    with restore_signal_handlers():
        if start.first_process:
            delete_examples_from(log.folder, first)
        log.begin({name: d.train for name, d in mix.data.items()}, trainer.global_rank)
        display.describe_tasks(mix, watched.rows if config.eval_every else {})
        before, began = forget_peak(), time.monotonic()
        with explained_endings(start, trainer, mix.steps):
            if checkpoint is None or first < mix.steps:
                trainer.fit(module, batches, ckpt_path=checkpoint, weights_only=True)
            else:  # it died after its last step: what is left to do is the evaluation
                saved = state_of(checkpoint)
                module.load_state_dict(saved["state_dict"])
                module.on_load_checkpoint(saved)
                module.total_seen = module.seen()
            module.guard.check_weights(module.model, trainer.global_step)
    steps = max(first, trainer.global_step)
    log.write(steps)
    return Fitted(module, steps, time.monotonic() - began, peak_memory(before))


def take_as_trained(model: Any, start: Start, data: RunData, log: ExampleLog, notices: Notices) -> Fitted:
    """A model that needs no training, as if it had been trained for no step."""
    module = _make_module(model, start, data.mix, log, notices, decode=None, score=None, balancer=None)
    module.total_seen = module.seen()
    return Fitted(module, 0)


def _make_module(
    model: Any,
    start: Start,
    mix: PlannedMixture,
    log: ExampleLog,
    notices: Notices,
    *,
    decode: Any,
    score: Any,
    balancer: Any,
) -> Any:
    from multitask.training.module import MultitaskModule
    from multitask.training.nonfinite import Guard
    from multitask.training.optim import OptimizerSettings

    config, names = start.config, tuple(mix.tasks)
    assert config.optimizer is not None and config.lr is not None and config.schedule is not None
    return MultitaskModule(
        model,
        names,
        OptimizerSettings(
            config.optimizer,
            config.lr,
            config.weight_decay,
            config.schedule,
            config.warmup_steps or 0,
            mix.steps,
        ),
        seed=config.seed,
        watch=decode,
        score=score,
        record=log.add if config.log_examples else None,
        gradients_every=config.gradients_every,
        balancer=balancer,
        adapters=find_adapters(model) if config.adapters == "task" else None,
        guard=Guard(
            names,
            math.log(model.config.vocab_size),
            skip=config.on_nonfinite == "skip",
            identify=lambda task, row: mix.data[names[task]].train[row].id,
            warn=lambda line: notices.say(f"WARNING: {line}"),
        ),
    )


def _make_probes(config: TrainConfig, data: RunData, watched: Watched, maker: Any, trainer: Any) -> Any:
    """What looks at conflict between tasks, on rows that training has not; None if nothing does."""
    from multitask.batching.held_out import HeldOut
    from multitask.training.conflict import HELD_POOL, HELD_ROWS, ConflictProbes

    if not config.conflict_every:
        return None
    name = type(trainer.strategy).__name__
    if trainer.world_size > 1 or name != "SingleDeviceStrategy":
        raise UserError(
            f"--conflict-every needs the whole step and model on one device, and {name} has {trainer.world_size} "
            "processes: give --trainer.devices 1, or leave it out."
        )
    tasks = data.mix.tasks
    held = {n: dataclasses.replace(part, examples=tuple(part[:HELD_POOL])) for n, part in watched.held.items()}
    lacking = [n for n in tasks if not held.get(n)]
    if lacking:
        raise UserError(f"--conflict-every looks at held-out rows, and task '{lacking[0]}' has none.")
    tokens = [tokenize_task(data.tokenizer, tasks[n], held[n]) for n in tasks]
    rows = HeldOut(maker, tokens, rows=HELD_ROWS, seed=config.seed)
    return ConflictProbes(tuple(tasks), config.conflict_every, rows, float(trainer.gradient_clip_val or 0.0))


def _make_balancer(config: TrainConfig, mix: PlannedMixture, trainer: Any) -> Any:
    from multitask.training.balance import make_balancer

    name = type(trainer.strategy).__name__
    if config.balance != "sum" and name not in ("SingleDeviceStrategy", "DDPStrategy"):
        raise UserError(
            f"--balance {config.balance} needs whole gradients on each device, which {name} divides: use one device, "
            "or --trainer.strategy ddp."
        )
    return make_balancer(
        config.balance, len(mix.tasks), scale=config.balance_scale, accumulate=trainer.accumulate_grad_batches
    )


def _make_steps(model: Any, start: Start, data: RunData, trainer: Any, notices: Notices) -> Any:
    from multitask.batching.step_maker import StepMaker

    config, names = start.config, tuple(data.mix.tasks)
    strategy = trainer.strategy
    device = strategy.root_device
    maker = StepMaker(
        data.mix.plan,
        names,
        tuple(data.train[n] for n in names),
        config.loss,
        tuple(config.loss_weights.get(n, 1.0) for n in names),
        data.mix.batch_size,
        data.tokenizer.pad_token_id,
        by_task=config.balance != "sum" or config.adapters == "task",
        halves_every=config.conflict_every,
    )

    def measure(possible: Any) -> Any:
        if start.stored and (before := _execution_before(start.stored.path)):
            return before  # another would have other masks of dropout: a resumed run would not be the same
        return measured_execution(
            maker,
            model,
            device,
            trainer.precision_plugin.train_step_context,
            possible,
            precision=config.precision,
            steps=data.mix.steps,
            cache=cache_folder(),
            say=notices.say,
        )

    # Several processes would have to agree on what they measured.
    known = measure if trainer.world_size == 1 else None
    execution = choose_execution(config, model, device.type, type(strategy).__name__, measure=known)
    return dataclasses.replace(maker, execution=execution)


def _execution_before(checkpoint: Any) -> str | None:
    from multitask.training.checkpoints import state_of

    found = state_of(checkpoint).get("multitask_execution")
    return found if found in FORMS else None
