"""Held-out examples that a training looks at on the way, other ones each time, chosen by a seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from multitask.batching.step import StepExamples, gather_step
from multitask.batching.step_maker import StepMaker, probe_batch
from multitask.tokenization.tokenize import TokenizedTask


class HeldOut:
    """Batches of held-out examples of each task.

    A task's examples are gone through in a seeded order, `rows` at a time; at the end they begin anew.

    Args:
        maker: Of the training's steps: how batches are made.
        tokens: The held-out examples of each task.
        rows: Examples of each task in a batch; all of a task that has fewer.
        seed: Of the order.
    """

    def __init__(self, maker: StepMaker, tokens: Sequence[TokenizedTask], *, rows: int, seed: int) -> None:
        self._maker, self._tokens, self._rows = maker, tuple(tokens), rows
        self._orders = [
            np.random.default_rng(_seed_of(f"{seed}/held out/{task}")).permutation(len(part.inputs.lengths))
            for task, part in zip(maker.tasks, tokens, strict=True)
        ]

    def __call__(self, number: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The `number`-th batch of each task, whose loss is the mean over its examples, and all of them in one."""
        parts = [self._part(task, number) for task in range(len(self._tokens))]
        whole = StepExamples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        return [probe_batch(self._maker, p, self._tokens) for p in parts], probe_batch(self._maker, whole, self._tokens)

    def of_task(self, task: int, number: int) -> dict[str, Any]:
        """The `number`-th batch of one task."""
        return probe_batch(self._maker, self._part(task, number), self._tokens)

    def _part(self, task: int, number: int) -> StepExamples:
        order = self._orders[task]
        size = min(self._rows, len(order))
        chosen = order[(number * size + np.arange(size)) % len(order)]
        part = gather_step(
            self._tokens, {task: chosen}, loss="token", loss_weights=np.ones(len(self._tokens)), batch_size=1.0
        )
        return part._replace(weights=np.full(size, 1.0 / size))


def _seed_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
