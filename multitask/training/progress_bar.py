"""Feeds what is shown of a training from Lightning's events; see `terminal.training` for what it looks like."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from multitask.terminal.live import Display
from multitask.terminal.training import TaskRow, TrainingView


class TrainProgress(ProgressBar):
    """In the place of Lightning's own bar.

    It reads what the module has counted on the CPU for mix.json, a few times a second, and neither computes on the
    device nor waits for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.view = TrainingView()
        self.display: Display | None = None
        """Where it is shown; None in all processes but the first."""
        self.tasks: list[TaskRow] = []
        """In the order of the module's."""
        self.watched: dict[str, int] = {}
        """{task: rows that evaluation during training looks at}."""

    def disable(self) -> None:
        """Lightning switches it off on all processes but the first, which have no display."""

    def enable(self) -> None:
        """Undo `disable`."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin, with what a resumed run has counted."""
        counted = pl_module.counted()  # type: ignore[operator]
        self.view.begin(self.tasks, counted, trainer.global_step, trainer.max_steps, trainer.world_size)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at what was counted, and show it when it is due."""
        if self.display is None or not self.view.due(trainer.global_step):
            return
        self.view.count(pl_module.counted())  # type: ignore[operator]
        self.display.update(now=trainer.global_step >= trainer.max_steps)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Say which task is evaluated, and how far it is."""
        if self.display is None:
            return
        name = self.tasks[batch.task_id].name
        before = self.view.evaluating
        done = before[1] if before and before[0] == name else 0
        total = self.watched[name]
        self.view.evaluate(name, min(done + len(batch.rows) * trainer.world_size, total), total)
        self.display.update()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training goes on."""
        if self.display is not None:
            self.view.go_on()
            self.display.update()
