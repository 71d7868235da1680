"""Stopping between steps and the checkpoints that a run goes on from, exactly where it was.

Words
    whole     the state between two steps: nothing half accumulated, half updated or half evaluated. Only a whole state
              can be gone on from with the same result, so only such a state is saved.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from multitask.guard import NonFiniteError


def evaluation_follows(trainer: pl.Trainer) -> bool:
    """At the end of a step: whether Lightning evaluates before it goes on."""
    every = trainer.val_check_batch
    batches = trainer.global_step * trainer.accumulate_grad_batches
    return bool(trainer.enable_validation and every and every != float("inf") and batches % int(every) == 0)


def _rewind(trainer: pl.Trainer) -> None:
    """Forget the parts of the step under way that were accumulated before this one, as if it were the first."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    before = progress.current.completed % trainer.accumulate_grad_batches
    for counted in (progress.current, progress.total):
        for name in ("ready", "started", "processed", "completed"):
            setattr(counted, name, getattr(counted, name) - before)


class ResumableCheckpoint(Checkpoint):
    """Keeps the newest whole state as `step-K.ckpt`, every so many steps and when training is stopped.

    Lightning's `ModelCheckpoint` saves before the evaluation of the same step, and the run that goes on from there
    leaves that evaluation out, with what `--select` and `--patience` should have seen. Here the evaluation is waited
    for. Ctrl-C is an end after the step that is under way; a second one ends the process at once: a KeyboardInterrupt
    may otherwise come between two parameters of an update. Nor is anything saved of an error in the middle of an
    update, an accumulation or an evaluation: the state before is still there.

    Must be the last checkpoint callback, so that the others' states in it are those after the step.

    Args:
        folder: Where checkpoints go.
        every: Steps.
        stream: Where the answer to Ctrl-C is written; standard error by default.
    """

    def __init__(self, folder: Path, every: int, *, stream: TextIO | None = None) -> None:
        self._folder, self._every = folder, every
        self._stream = stream or sys.stderr
        self._whole = False
        self._saved = -1
        self._asked = False
        self._stop = False
        self._before: Any = None

    # ---- the state -----------------------------------------------------------------------------------------------

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A forward and backward pass changes nothing that is saved, unless gradients are being added up.

        Stopping waits for this moment: Lightning logs a step after its callbacks have seen its end.
        """
        if self._stop:
            for logger in trainer.loggers:
                logger.save()
            raise KeyboardInterrupt
        self._whole = trainer.global_step > 0 and batch_idx % trainer.accumulate_grad_batches == 0

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

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save what there is, if it is whole."""
        if not isinstance(exception, KeyboardInterrupt):  # after one of these Lightning has a handler for its exit
            self._give_back()
        if isinstance(exception, NonFiniteError) and trainer.global_step > 0:  # raised before anything was updated
            _rewind(trainer)
            self._whole = True
        # Saving needs all processes, and an error is one process's own: the others would wait for each other for ever.
        if self._whole and (trainer.world_size == 1 or isinstance(exception, NonFiniteError)):
            self._save(trainer)

    def _end_step(self, trainer: pl.Trainer) -> None:
        self._whole = True
        # All processes stop at the same step: saving needs all of them.
        asked = trainer.strategy.reduce_boolean_decision(self._asked, all=False)
        if asked or trainer.global_step % self._every == 0:
            self._save(trainer)
        self._stop = asked and trainer.global_step < trainer.max_steps

    def _save(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        # Weights that are not finite would take the place of the last ones that can be gone on from.
        finite = all(bool(torch.isfinite(p.detach()).all()) for p in trainer.lightning_module.parameters())
        if step == self._saved or not trainer.strategy.reduce_boolean_decision(finite, all=True):
            return
        self._saved = step
        for logger in trainer.loggers:
            logger.save()  # what a resumed run will not log again must not be lost with this process
        kept = self._folder / f"step-{step}.ckpt"
        trainer.save_checkpoint(kept)
        if trainer.is_global_zero:
            for old in self._folder.glob("step-*.ckpt"):
                if old != kept:
                    old.unlink()

    # ---- Ctrl-C --------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signal over."""
        self._asked = self._stop = False
        if threading.current_thread() is threading.main_thread():  # Python sets handlers there only
            self._before = signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: Any) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        self._stream.write("\nstopping after this step; Ctrl-C again stops at once, without saving.\n")
        self._stream.flush()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signal back."""
        self._give_back()

    def _give_back(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
