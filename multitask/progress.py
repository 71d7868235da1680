"""Progress on the terminal: step, loss, tokens a second and the time that is left."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from multitask.terminal.counting import duration


class TrainProgress(ProgressBar):
    """One line that is rewritten on a terminal, a line every `every` seconds in a file or pipe."""

    def __init__(self, *, every: float = 20.0, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr
        self._every = every if not self._stream.isatty() else 0.2
        self._enabled = True
        self._began = self._shown = 0.0
        self._first = 0
        self._tokens = 0.0

    def disable(self) -> None:
        """Lightning switches it off on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Undo `disable`."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._began = self._shown = time.monotonic()
        self._first = trainer.global_step
        self._tokens = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count tokens, and show the line when it is due."""
        self._tokens += float(getattr(pl_module, "last_tokens", 0.0)) * trainer.world_size
        now = time.monotonic()
        last = trainer.global_step >= trainer.max_steps
        if not self._enabled or (now - self._shown < self._every and not last):
            return
        self._shown = now
        step, elapsed = trainer.global_step, now - self._began
        done = max(step - self._first, 1)
        left = elapsed / done * (trainer.max_steps - step)
        loss = trainer.callback_metrics.get("train/loss")
        line = (
            f"step {step:,}/{trainer.max_steps:,}  loss {float('nan') if loss is None else float(loss):.3f}  "
            f"{self._tokens / max(elapsed, 1e-9):,.0f} tokens/s  {duration(left)} left"
        )
        _show(self._stream, line, final=last)


def _show(stream: TextIO, line: str, *, final: bool) -> None:
    if stream.isatty():
        stream.write("\r\x1b[K" + line + ("\n" if final else ""))
    else:
        stream.write(line + "\n")
    stream.flush()
