"""Lightning's Trainer for a run; made before the data is touched, so that what it refuses is refused at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from multitask.errors import UserError
from multitask.runs.start import Start
from multitask.terminal.escaping import shown
from multitask.training.processes import check_strategy

EVENTS = "events"
"""The folder of the loggers' files."""


def wants_progress(start: Start) -> bool:
    """Whether progress is shown, as the Trainer's own option says."""
    return bool(start.config.trainer.get("enable_progress_bar", True))


def make_trainer(
    start: Start, tasks: Sequence[str], callbacks: Sequence[Any], progress: Any, write_examples: Callable[[int], None]
) -> Any:
    """Make the Trainer.

    Args:
        start: The run.
        tasks: Their names, for checkpoints of each.
        callbacks: More of Lightning's; they come before a run's own, the last of which saves the state of all others.
        progress: The callback that shows progress.
        write_examples: Called with the number of steps before each checkpoint.

    Raises:
        UserError: If Lightning refuses the options.
    """
    import pytorch_lightning as pl

    try:
        trainer = pl.Trainer(**_trainer_options(start, tasks, callbacks, progress, write_examples))
    except (UserError, OSError):
        raise
    except Exception as error:  # nearly any, for an option that does not fit another
        reason = shown((str(error) or type(error).__name__).splitlines()[0], 300)
        raise UserError(f"Lightning refuses these --trainer options: {reason}") from error
    check_strategy(trainer)
    return trainer


def _trainer_options(
    start: Start, tasks: Sequence[str], callbacks: Sequence[Any], progress: Any, write_examples: Callable[[int], None]
) -> dict[str, Any]:
    from multitask.training.callbacks import callbacks_of
    from multitask.training.checkpoints import AtomicCheckpointIO
    from multitask.training.loggers import loggers_of

    config, stored = start.config, start.stored
    options: dict[str, Any] = {
        "max_epochs": -1,
        "accelerator": "auto",
        "devices": 1,
        "logger": loggers_of(config, start.out / EVENTS, *((stored.step, stored.logged) if stored else ())),
        "callbacks": [*callbacks, *callbacks_of(config, start.out / "checkpoints", tasks, write_examples)],
        "plugins": [AtomicCheckpointIO()],
        "gradient_clip_val": config.clip or None,
        "precision": "bf16-mixed" if config.precision == "bf16" else "32-true",
        "default_root_dir": str(start.out),
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "enable_model_summary": False,
        "log_every_n_steps": config.log_every,
        "check_val_every_n_epoch": None,
        "limit_val_batches": 0 if config.eval_every == 0 else None,
        # Lightning counts batches, and `accumulate_grad_batches` of them make a step.
        "val_check_interval": config.eval_every * config.trainer.get("accumulate_grad_batches", 1) or None,
    }
    options.update(config.trainer)
    if options.get("enable_progress_bar", True):
        options["callbacks"] = [*options["callbacks"], progress]
    return options
