"""Stopping between steps and the checkpoints that a run goes on from, exactly where it was.

Words
    whole     the state between two steps: nothing half accumulated, half updated or half evaluated. Only a whole state
              can be gone on from with the same result, so only such a state is saved.
    damaged   a file that is not as it was written. Every tensor in a checkpoint has a CRC-32 (it is a zip archive),
              which torch does not look at when it loads one; here it is looked at first.
"""

from __future__ import annotations

import contextlib
import io
import re
import signal
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from multitask.errors import UserError
from multitask.storage.atomic import atomic, delete_path
from multitask.storage.folders import resume_command
from multitask.storage.system_errors import system_error
from multitask.storage.tensor_files import check_tensor_file, compressed, load_tensors
from multitask.training.nonfinite import NonFiniteError
from multitask.training.rng_states import restore_generators, states_of_generators
from multitask.training.signals import STOPPING, handle_stop_signals

KEPT = 2
"""Checkpoints: the newest, and the one before in case the newest is damaged."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, in its own folder.

    Lightning's writes to the system's temporary folder and moves it; to another file system that is a copy, which a
    crash leaves half done under the final name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save it."""
        buffer = io.BytesIO()  # torch.save to a file hides what the system says of a full disk
        torch.save(checkpoint, buffer)
        with atomic(Path(path)) as temporary, temporary.open("wb") as file:
            file.write(buffer.getbuffer())


def damage(path: Path) -> str | None:
    """Say what is wrong with a checkpoint file; None if it is as it was written."""
    if path.is_dir():  # a sharded one, whose format has no checksums
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if compressed(archive):
                return "it is compressed, and torch writes no such file"
            wrong = archive.testzip()
    except Exception as error:  # the zip format has many fields to be damaged, and zipfile an error for each
        return str(error) or type(error).__name__
    return f"the checksum of {wrong} is not as it was written" if wrong else None


def steps_of(path: Path) -> int:
    """K of `step-K.ckpt`, or of the name of another of `checkpoints_in`."""
    return int(path.stem.rpartition("-")[2])


def checkpoints_in(folder: Path, name: str = "step", suffix: str = ".ckpt") -> list[Path]:
    """Find what a run can resume from, whole or not, the newest last; with `name` best or best@TASK the best instead.

    Only files that are called exactly so: a user's copy (`step-8 (copy).ckpt`) stands beside them and is left alone,
    and `best@a-b-8.ckpt` is not of task `a`.
    """
    ours = re.compile(rf"{re.escape(name)}-(0|[1-9][0-9]*){re.escape(suffix)}")
    found = [path for path in (folder.iterdir() if folder.is_dir() else ()) if ours.fullmatch(path.name)]
    return sorted(found, key=steps_of)


def newest_whole(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is not damaged; None if the run has none yet. Damaged ones are put aside.

    Raises:
        UserError: If all are damaged.
    """
    found = checkpoints_in(folder)
    for path in reversed(found):
        wrong = damage(path)
        if wrong is None:
            return path
        with contextlib.suppress(FileNotFoundError):  # another process of the run was first
            path.rename(path.with_suffix(".damaged"))
            say(f"WARNING: {path} is damaged ({wrong}); going on from the checkpoint before it.")
    if found:
        raise UserError(f"--resume: every checkpoint in {folder} is damaged; begin again with --overwrite.")
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The contents of a checkpoint that nobody has looked at yet; see `state_of`.

    Raises:
        UserError: If it is damaged, or holds anything but tensors and plain values.
    """
    check_tensor_file(path)
    wrong = damage(path)
    if wrong is not None:
        raise UserError(f"{path} cannot be used: {wrong}.")
    return state_of(path)


def state_of(path: Path) -> dict[str, Any]:
    """The contents of a whole checkpoint, on the CPU; no code in it is run.

    Raises:
        UserError: If it holds anything but tensors and plain values.
    """
    state = load_tensors(path)
    if not isinstance(state, dict):
        raise UserError(f"{path} is no checkpoint: it holds {type(state).__name__}.")
    return state


def evaluation_follows(trainer: pl.Trainer) -> bool:
    """At the end of a step: whether Lightning evaluates before it goes on."""
    every = trainer.val_check_batch
    batches = trainer.global_step * trainer.accumulate_grad_batches
    return bool(trainer.enable_validation and every and every != float("inf") and batches % int(every) == 0)


class ResumableCheckpoint(Checkpoint):
    """Keeps the newest whole state as `step-K.ckpt`, every so many steps and when training is stopped.

    Lightning's `ModelCheckpoint` saves before the evaluation of the same step, and the run that goes on from there
    leaves that evaluation out, with what `--select` and `--patience` should have seen. Here the evaluation is waited
    for. Ctrl-C is an end after the step that is under way; a second one ends the process at once: a KeyboardInterrupt
    may otherwise come between two parameters of an update. Nor is anything saved of an error in the middle of an
    update, an accumulation or an evaluation: the state before is still there.

    SIGTERM and SIGUSR1, with which clusters announce the end of a job's time, do the same as Ctrl-C.

    It is saved when the next step begins: only then has Lightning logged the one before. With the state go those of the
    global random generators, which callbacks of the user may draw from (all else here has private ones), and the number
    of rows that the log had.

    Must be the last checkpoint callback, so that the others' states in it are those after the step.

    Args:
        folder: Where checkpoints go.
        every: Steps.
        before: Called with the step before a checkpoint of it is written.
        stream: Where the answer to Ctrl-C is written; standard error by default.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        *,
        before: Callable[[int], None] | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._folder, self._every, self._before_save = folder, every, before
        self._stream = stream
        self._whole = False
        self._saved = -1
        self._due = self._saving = False
        self._asked: signal.Signals | None = None
        self._stop: signal.Signals | None = None
        self._handlers = contextlib.ExitStack()
        self._generators: list[Any] = []
        self.signal: signal.Signals | None = None

    # ---- the state -----------------------------------------------------------------------------------------------

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A forward and backward pass changes nothing that is saved, unless gradients are being added up."""
        self._whole = trainer.global_step > 0 and batch_idx % trainer.accumulate_grad_batches == 0
        if self._due:
            self._due = False
            self._save(trainer)
        if self._stop is not None:
            self.signal = self._stop
            raise KeyboardInterrupt

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """From here to the end of the step the weights are neither the old nor the new ones."""
        self._whole = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The end of a step, unless an evaluation follows."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not evaluation_follows(trainer):
            self._end_step(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The end of a step with an evaluation; checkpoints come last, so the others have seen its scores."""
        if not trainer.sanity_checking:
            self._end_step(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After the last step no other one begins."""
        if self._due and trainer.global_step >= trainer.max_steps:
            self._due = False
            self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save what there is, if it is whole."""
        if not isinstance(exception, KeyboardInterrupt):  # after one of these Lightning has a handler for its exit
            self._give_back()
        if isinstance(exception, NonFiniteError) and trainer.global_step > 0:  # raised before anything was updated
            self._whole = True
        # Saving needs all processes, and an error is one process's own: the others would wait for each other for ever.
        if self._whole and (trainer.world_size == 1 or isinstance(exception, NonFiniteError)):
            self._save(trainer)

    def _end_step(self, trainer: pl.Trainer) -> None:
        self._whole = True
        number = int(self._asked or 0)
        if trainer.world_size > 1:  # asking a GPU waits for it, so one process does not
            # All processes stop at the same step, by the same signal: saving needs all of them.
            asked = torch.tensor(number, device=trainer.strategy.root_device)
            number = int(trainer.strategy.reduce(asked, reduce_op="max"))
        last = trainer.global_step >= trainer.max_steps
        self._due = number > 0 or last or trainer.global_step % self._every == 0
        self._stop = signal.Signals(number) if number and not last else None

    def _save(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        if step == self._saved:
            return
        # Weights that are not finite would take the place of the last ones that can be gone on from.
        finite = all(bool(torch.isfinite(p.detach()).all()) for p in trainer.lightning_module.parameters())
        if not trainer.strategy.reduce_boolean_decision(finite, all=True):
            return
        self._saved = step  # before it is tried: what cannot be written is not tried again on the way out
        kept = self._folder / f"step-{step}.ckpt"
        try:
            for logger in trainer.loggers:
                logger.save()  # what a resumed run will not log again must not be lost with this process
            if self._before_save is not None:
                self._before_save(step)
            self._saving = True
            trainer.save_checkpoint(kept)
        except Exception as error:
            found = system_error(error)
            if found is None:
                raise
            raise UserError(
                f"the checkpoint of step {step:,} cannot be written to {self._folder}: {found.strerror or found}. "
                f"{self._good()} When there is room, {resume_command(self._folder.parent)} goes on."
            ) from error
        finally:
            self._saving = False
        if trainer.is_global_zero:
            old = [path for path in checkpoints_in(self._folder) if steps_of(path) <= step]
            for path in (*old[:-KEPT], *checkpoints_in(self._folder, suffix=".damaged")):
                delete_path(path)

    def _good(self) -> str:
        found = checkpoints_in(self._folder)
        return f"The checkpoint of step {steps_of(found[-1]):,} is whole." if found else "There is none before it."

    def state_dict(self) -> dict[str, Any]:
        """The states of each process's generators."""
        return {"generators": states_of_generators()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Kept until training begins."""
        self._generators = list(state_dict.get("generators", []))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say what is true between two steps, whatever Lightning has begun since: parts of the next one, perhaps."""
        if not self._saving:
            return
        loops = checkpoint["loops"]["fit_loop"]
        progress = loops["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            whole = counts["completed"] - counts["completed"] % trainer.accumulate_grad_batches
            counts.update(dict.fromkeys(("ready", "started", "processed", "completed"), whole))
        progress["is_last_batch"] = False
        # Lightning numbers logged steps by this, and adds 1 when it leaves out an evaluation that was made already.
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] = trainer.global_step - evaluation_follows(trainer)
        checkpoint[LOGGED] = logged_by(trainer.loggers)

    # ---- signals -------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over, and go on drawing where the run was."""
        self._asked, self._stop, self._due, self.signal = None, None, False, None
        restore_generators(self._generators, trainer.global_rank)
        self._handlers.enter_context(handle_stop_signals(self._ask))

    def _ask(self, number: int, _: Any) -> None:
        self._asked = signal.Signals(number)
        for caught in STOPPING:
            signal.signal(caught, signal.SIG_DFL)
        again = "Ctrl-C again" if number == signal.SIGINT else "a second signal"
        stream = self._stream or sys.stderr  # now: a display may stand in for it
        stream.write(f"stopping after this step; {again} stops at once, without saving.\n")
        stream.flush()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._give_back()

    def _give_back(self) -> None:
        self._handlers.close()


LOGGED = "multitask_logged"
"""The key in a checkpoint of what the loggers had."""


def logged_by(loggers: Iterable[Any]) -> dict[str, Any]:
    """{class: what a logger needs to go on}: the rows of the CSV log, the runs' names at W&B, MLflow and trackio."""
    found: dict[str, Any] = {}
    for logger in loggers:
        for kind, attribute in (
            *(("CSVLogger", "rows"), ("WandbLogger", "version")),
            *(("MLFlowRunLogger", "run_id"), ("TrackioLogger", "version")),
        ):
            if kind in (c.__name__ for c in type(logger).__mro__):
                found[kind] = getattr(logger, attribute)
    return found
