"""How a training ends that does not end by itself, and what is said then."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError
from multitask.runs.run import StoppedError
from multitask.runs.start import Start
from multitask.storage.folders import resume_command
from multitask.terminal.escaping import shown
from multitask.training.processes import ProcessError, failed, stop

if TYPE_CHECKING:
    from multitask.training.nonfinite import NonFiniteError


@contextlib.contextmanager
def explained_endings(start: Start, trainer: Any, steps: int) -> Iterator[None]:
    """Turn what ends a training inside into what a user is told.

    Args:
        start: The run.
        trainer: Its Trainer.
        steps: That were planned.

    Raises:
        UserError: For a loss that is not finite, or settings that Lightning refuses.
        StoppedError: For Ctrl-C and the like, after a checkpoint was saved.
        ProcessError: If another process of the training failed.
        SystemExit: In all processes but the first, which says what there is to say.
    """
    from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]

    from multitask.training.nonfinite import NonFiniteError

    try:
        yield
    except NonFiniteError as error:
        raise _explain_nonfinite(error, start) from None
    except Exception as error:
        how = failed(trainer, error)
        stop(trainer)
        if how is None and isinstance(error, MisconfigurationException):
            raise UserError(f"Lightning refuses these settings: {shown(error, 300)}") from error
        if how is None:
            raise
        then = say_how_to_resume(start) or "No checkpoint was written before."
        raise ProcessError(f"{how}. {then}") from error
    except SystemExit:  # Lightning's answer to Ctrl-C, after its callbacks saved a checkpoint
        if not start.first_process:  # all stop, and the first one says so
            raise SystemExit(0) from None
        stop(trainer)
        stopped = StoppedError(
            f"stopped at step {trainer.global_step:,} of {steps:,}; {command_to_resume(start)} goes on."
        )
        stopped.signal = getattr(trainer.checkpoint_callbacks[-1], "signal", None) or signal.SIGINT
        raise stopped from None


def command_to_resume(start: Start) -> str:
    """The command that continues a run."""
    return resume_command(start.out, start.config.include)


def say_how_to_resume(start: Start) -> str:
    """A sentence with the command and the newest checkpoint; empty if there is none."""
    found = _checkpoints(start.out)
    return f"{command_to_resume(start)} goes on from {found[-1]}." if found else ""


def _checkpoints(out: Path) -> list[Path]:
    from multitask.training.checkpoints import checkpoints_in

    return list(checkpoints_in(out / "checkpoints"))


def _explain_nonfinite(error: NonFiniteError, start: Start) -> BaseException:
    """Say of a step that no update can be made of: what happened, what is there, what to try."""
    if not start.first_process:  # all processes stop at it, and the first one says so
        return SystemExit(0)
    config, found = start.config, _checkpoints(start.out)
    again = f"begin again (--overwrite) with a lower --lr (now {config.lr:g}) or --clip (now {config.clip:g})"
    if not found:
        return UserError(f"{error}. No checkpoint was written before: {again}.")
    skips = f"{command_to_resume(start)} --on-nonfinite skip goes on without such updates; or "
    skip = skips if error.skippable else ""
    return UserError(f"{error}. {found[-1]} holds the state before: {skip}{again}.")
