"""The LightningDataModule: steps of the plan for training, batches of each task for evaluation.

A training item is one optimizer step (or, with `accumulate_grad_batches`, an equal part of one), already weighted so
that the gradient is the whole step's. Its position in the plan is its index, so resuming is starting at another index.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from multitask.batching.grouping import batches_of
from multitask.batching.step_maker import StepMaker

if TYPE_CHECKING:
    pass


class EvalBatch(NamedTuple):
    """Rows of one task's evaluation split, of similar length."""

    task_id: int
    rows: list[int]


class PlanSteps(IterableDataset[dict[str, Any]]):
    """The steps from `start` on, without end (`max_steps` ends the training).

    With workers, worker w of W makes the steps w, w + W, …; the loader takes them in turn, so the order, and with it
    the result, does not depend on how many there are.
    """

    def __init__(
        self, maker: StepMaker, *, start: int, rank: int, world: int, accumulate: int, ahead: bool = False
    ) -> None:
        self.maker, self.start, self.rank, self.world, self.accumulate = maker, start, rank, world, accumulate
        self.ahead = ahead

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        index, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        numbers = itertools.count(index + self.start * self.accumulate, stride)
        return _made_ahead(self._batch, numbers) if self.ahead and not worker else map(self._batch, numbers)

    def _batch(self, index: int) -> dict[str, Any]:
        parts = self.world * self.accumulate
        step, turn = divmod(index, self.accumulate)
        made = self.maker.batch(step, part=turn * self.world + self.rank, parts=parts)
        if self._is_probed(step) and turn == self.accumulate - 1:
            made["halves"] = self.maker.halves(step)
        # Lightning averages over processes and over accumulated batches; the weights are the whole step's, so the
        # parts have to be summed.
        return {"step": step, "index": index, "scale": float(parts), **made}

    def _is_probed(self, step: int) -> bool:
        every = self.maker.halves_every
        return every > 0 and self.world == 1 and (step + 1) % every == 0


def _made_ahead(make: Callable[[int], Any], numbers: Iterator[int]) -> Iterator[Any]:
    """What `make` gives for each number, the next one made in a thread while this one is used: for a GPU's sake."""
    with ThreadPoolExecutor(1, "batches") as thread:
        coming = thread.submit(make, next(numbers))
        try:
            while True:
                made = coming.result()
                coming = thread.submit(make, next(numbers))
                yield made
        finally:
            coming.cancel()


class EvalRows(IterableDataset[EvalBatch]):
    """One task's rows in batches of similar length, each process taking its part: every row once, none twice."""

    def __init__(self, task_id: int, lengths: np.ndarray, *, batch_tokens: int, rank: int = 0, world: int = 1) -> None:
        self.task_id, self.lengths = task_id, lengths
        self.batch_tokens, self.rank, self.world = batch_tokens, rank, world

    def __iter__(self) -> Iterator[EvalBatch]:
        order = np.argsort(-self.lengths, kind="stable")[self.rank :: self.world]
        for rows in batches_of(order, self.lengths, self.batch_tokens):
            yield EvalBatch(self.task_id, rows)


class MultitaskData(pl.LightningDataModule):
    """Training steps and, per task, evaluation batches.

    Args:
        maker: Makes the training steps.
        eval_lengths: {task: input lengths of the split that is watched during training}; empty to watch none.
        workers: Loader processes; 0 makes the steps in the training process, which is right on a CPU that the
            model already fills.
        batch_tokens: Padded input tokens of an evaluation batch.
        start: The first step, when a run is resumed.
    """

    def __init__(
        self,
        maker: StepMaker,
        *,
        eval_lengths: Mapping[str, np.ndarray] | None = None,
        workers: int = 0,
        batch_tokens: int = 4096,
        start: int = 0,
    ) -> None:
        super().__init__()
        self.maker, self.workers, self.batch_tokens, self.start = maker, workers, batch_tokens, start
        self.eval_lengths = dict(eval_lengths or {})

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The steps of the plan, from `start` on."""
        assert self.trainer is not None
        steps = PlanSteps(
            self.maker,
            start=self.start,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            accumulate=self.trainer.accumulate_grad_batches,
            ahead=_cuda(self.trainer),
        )
        return _PlanLoader(
            steps,
            batch_size=None,
            num_workers=self.workers,
            pin_memory=_cuda(self.trainer),
            collate_fn=_as_made,
            worker_init_fn=_leave_ctrl_c,
        )

    def val_dataloader(self) -> list[DataLoader[EvalBatch]]:
        """One loader a task, in the order of `eval_lengths`."""
        assert self.trainer is not None
        return [
            DataLoader(
                EvalRows(
                    self.maker.tasks.index(task),
                    lengths,
                    batch_tokens=self.batch_tokens,
                    rank=self.trainer.global_rank,
                    world=self.trainer.world_size,
                ),
                batch_size=None,
            )
            for task, lengths in self.eval_lengths.items()
        ]


class _PlanLoader(DataLoader[dict[str, Any]]):
    """A loader that needs no state to resume: its data set starts at a step. Saying so spares Lightning's warning."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def _leave_ctrl_c(worker: int) -> None:
    """Ctrl-C goes to a loader's workers too, and the first process still needs their batches to end its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_made(batch: Any) -> Any:
    """In place of the loader's own conversion, which would make tensors of the arrays that are to stay so."""
    return batch


def _cuda(trainer: pl.Trainer) -> bool:
    return trainer.strategy.root_device.type == "cuda"
