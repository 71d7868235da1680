"""From a step's number to its arrays."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch

from multitask.batching.arrays import MicroBatch, UnpaddedStep, micro_batches, unpadded_step
from multitask.batching.packing import PackedStep, packed_step, row_shape
from multitask.batching.step import LossName, StepExamples, gather_step, share_of
from multitask.tokenization.tokenize import TokenizedTask

if TYPE_CHECKING:
    from multitask.mixing.plan import MixingPlan


Execution = Literal["flat", "grouped", "packed"]
"""How a step is computed: on unpadded tokens; by the model's own code, as padded micro-batches or in packed rows."""
Arrays = UnpaddedStep | list[MicroBatch] | PackedStep


class StepByTask(NamedTuple):
    """A piece of a step, task by task."""

    of_task: dict[int, Arrays]
    """{task: its examples in the piece}"""
    present: list[int]
    """The tasks of the whole step."""


@dataclass(frozen=True, eq=False)
class StepMaker:
    """From a step's number to its micro-batches: all that a loader's worker needs."""

    plan: MixingPlan
    tasks: tuple[str, ...]
    tokens: tuple[TokenizedTask, ...]
    loss: LossName
    factors: tuple[float, ...]
    """The user's factor on each task's loss."""
    batch_size: float
    """B, the reference batch size: examples per step on average. A task's examples in a step over B are the weight of
    its loss there. In a restricted run B stays that of the joint one, so that the task's term of the loss is the
    same."""
    pad: int
    execution: Execution = "grouped"
    by_task: bool = False
    """Whether a step is made task by task, each to be computed in a pass of its own."""
    halves_every: int = 0
    """Steps between those that are made by halves of tasks too, for `training.conflict`; 0 for none."""

    @functools.cached_property
    def shape(self) -> tuple[int, int]:
        """Of packed rows."""
        return row_shape(self.tokens)

    def make(self, step: int, part: int = 0, parts: int = 1) -> Arrays:
        """One of `parts` pieces of step `step`, as unpadded tokens, as micro-batches or packed."""
        return self._arrays(share_of(self._examples(step), part, parts))

    def make_by_task(self, step: int, part: int = 0, parts: int = 1) -> StepByTask:
        """The same, but each task's examples in arrays of their own."""
        examples = self._examples(step)
        share = share_of(examples, part, parts)
        of_task = {}
        for task in np.unique(share.task_ids).tolist():
            here = share.task_ids == task
            of_task[task] = self._arrays(StepExamples(*(column[here] for column in share)))
        return StepByTask(of_task, np.unique(examples.task_ids[examples.real]).tolist())

    def batch(self, step: int, part: int = 0, parts: int = 1) -> dict[str, Any]:
        """What `make`, or with `by_task` `make_by_task`, gives as tensors.

        `{"flat": arrays}`, `{"micro": [arrays, …]}`, `{"packed": arrays}`, or `{"by_task": [{"task": number, "flat",
        "micro" or "packed": …}, …], "present": [numbers of the tasks of the whole step]}`.
        """
        if not self.by_task:
            return as_tensors(self.make(step, part, parts))
        made = self.make_by_task(step, part, parts)
        return {
            "by_task": [{"task": task, **as_tensors(arrays)} for task, arrays in made.of_task.items()],
            "present": made.present,
        }

    def halves(self, step: int) -> list[dict[str, Any]]:
        """The whole step once more, every other example of a task in a batch: {"task", "half", "flat" or "micro"}.

        With the weights of the step, so that the gradients of all halves add up to its own.
        """
        examples = self._examples(step)
        found = []
        for task in np.unique(examples.task_ids[examples.real]).tolist():
            here = np.flatnonzero(examples.task_ids == task)
            for half in (0, 1):
                if len(rows := here[half::2]):
                    part = StepExamples(*(column[rows] for column in examples))
                    found.append({"task": task, "half": half, **probe_batch(self, part, self.tokens)})
        return found

    def _examples(self, step: int) -> StepExamples:
        rows = self.plan.step(step)
        here = {i: rows[t] for i, t in enumerate(self.tasks) if t in rows}
        return gather_step(self.tokens, here, loss=self.loss, loss_weights=self.factors, batch_size=self.batch_size)

    def _arrays(self, examples: StepExamples) -> Arrays:
        if self.execution == "flat":
            return unpadded_step(examples, self.tokens)
        if self.execution == "packed":
            # T5 begins to decode with its padding id.
            return packed_step(examples, self.tokens, shape=self.shape, pad=self.pad, start=self.pad)
        return micro_batches(examples, self.tokens, pad=self.pad)


def probe_batch(maker: StepMaker, examples: StepExamples, tokens: Sequence[TokenizedTask]) -> dict[str, Any]:
    """Examples as a batch for a pass of its own: unpadded where steps are, else padded.

    Never packed: compiling for one more shape would take longer than it could save.
    """
    if maker.execution == "flat":
        return as_tensors(unpadded_step(examples, tokens))
    return as_tensors(micro_batches(examples, tokens, pad=maker.pad))


def as_tensors(made: Arrays) -> dict[str, Any]:
    """`{"flat": arrays}`, `{"micro": [arrays, …]}` or `{"packed": arrays}`, as tensors.

    Lengths of unpadded tokens stay arrays, for the CPU works with them.
    """
    if isinstance(made, PackedStep):
        return {"packed": {name: torch.from_numpy(array) for name, array in made._asdict().items()}}
    if isinstance(made, UnpaddedStep):
        return {"flat": {n: torch.from_numpy(a) if isinstance(a, np.ndarray) else a for n, a in made._asdict().items()}}
    return {"micro": [{n: torch.from_numpy(a) for n, a in micro._asdict().items()} for micro in made]}
