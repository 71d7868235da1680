"""From a step's number to its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from multitask.batching.arrays import MicroBatch, UnpaddedStep, micro_batches, unpadded_step
from multitask.batching.step import LossName, gather_step, share_of
from multitask.tokenization.tokenize import TokenizedTask

if TYPE_CHECKING:
    from multitask.mixing.plan import MixingPlan


Execution = Literal["flat", "grouped"]
"""How a step is computed: on unpadded tokens, or as padded micro-batches by the model's own code."""


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

    def make(self, step: int, part: int = 0, parts: int = 1) -> UnpaddedStep | list[MicroBatch]:
        """One of `parts` pieces of step `step`, as unpadded tokens or as micro-batches."""
        rows = self.plan.step(step)
        here = {i: rows[t] for i, t in enumerate(self.tasks) if t in rows}
        examples = gather_step(self.tokens, here, loss=self.loss, loss_weights=self.factors, batch_size=self.batch_size)
        share = share_of(examples, part, parts)
        if self.execution == "flat":
            return unpadded_step(share, self.tokens)
        return micro_batches(share, self.tokens, pad=self.pad)


def as_tensors(made: UnpaddedStep | list[MicroBatch]) -> dict[str, Any]:
    """`{"flat": arrays}` or `{"micro": [arrays, …]}`, as tensors; lengths stay arrays, for the CPU works with them."""
    if isinstance(made, UnpaddedStep):
        return {"flat": {n: torch.from_numpy(a) if isinstance(a, np.ndarray) else a for n, a in made._asdict().items()}}
    return {"micro": [{n: torch.from_numpy(a) for n, a in micro._asdict().items()} for micro in made]}
