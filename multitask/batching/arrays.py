"""The share of a step as arrays: padded micro-batches, or unpadded tokens."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from multitask.batching.grouping import attention_groups, group_by_length
from multitask.batching.step import StepExamples
from multitask.tokenization.tokenize import TokenizedTask

IGNORED = -100
"""The label of padding. T5's padding id is 0, and a 0 left in the labels would be trained on."""


class MicroBatch(NamedTuple):
    """Arrays for one forward pass."""

    input_ids: np.ndarray  # [B, S] int64
    attention_mask: np.ndarray  # [B, S] int64, 0 = padding
    labels: np.ndarray  # [B, T] int64, -100 = no loss
    weights: np.ndarray  # [B] float32, of each target token of the example
    task_ids: np.ndarray  # [B] int64, position in the list of tasks
    real: np.ndarray  # [B] bool, False for a zero-weight dummy that no step of the plan has
    rows: np.ndarray  # [B] int64, row of the task's training examples


def micro_batches(
    step: StepExamples, tokens: Sequence[TokenizedTask], *, pad: int, group: bool = True
) -> list[MicroBatch]:
    """The padded arrays of a step (or a share of it), shortest group first.

    Args:
        step: From `gather_step`.
        tokens: Of each task.
        pad: The padding id for inputs.
        group: False gives the plain padded batch, the reference that tests compare with.
    """
    everything = [np.arange(len(step.rows))]
    groups = group_by_length(step.input_lengths, step.target_lengths) if group else everything
    return [_padded(StepExamples(*(column[g] for column in step)), tokens, pad) for g in groups if len(g)]


class UnpaddedStep(NamedTuple):
    """A step's tokens without padding, in groups of similar length; N input and M target tokens, E examples."""

    input_ids: np.ndarray  # [N] int64
    labels: np.ndarray  # [M] int64
    token_weights: np.ndarray  # [M] float32, of each target token's loss
    starts: np.ndarray  # [E] int64, where each example's labels begin
    input_lengths: list[np.ndarray]  # of each group [examples]
    target_lengths: list[np.ndarray]  # of each group [examples]
    task_ids: np.ndarray  # [E] int64
    rows: np.ndarray  # [E] int64
    real: np.ndarray  # [E] bool, False for a zero-weight dummy


def unpadded_step(step: StepExamples, tokens: Sequence[TokenizedTask]) -> UnpaddedStep:
    """The flat arrays of a step (or a share of it)."""
    groups = attention_groups(step.input_lengths, step.target_lengths)
    order = np.concatenate(groups)
    step = StepExamples(*(column[order] for column in step))
    edges = list(itertools.accumulate(map(len, groups), initial=0))
    ends = np.cumsum(step.target_lengths)
    return UnpaddedStep(
        *flat_tokens(step, tokens),
        np.repeat(step.weights.astype(np.float32), step.target_lengths),
        ends - step.target_lengths,
        [step.input_lengths[a:b] for a, b in itertools.pairwise(edges)],
        [step.target_lengths[a:b] for a, b in itertools.pairwise(edges)],
        step.task_ids,
        step.rows,
        step.real,
    )


def flat_tokens(step: StepExamples, tokens: Sequence[TokenizedTask]) -> tuple[np.ndarray, np.ndarray]:
    """Input and target tokens [sum of lengths] int64 of the examples, one behind the other.

    A slice of bytes for each example, joined: an index for each token took three times as long with three tasks, and
    with as many tasks as examples, where each task has an index of its own, ten times.
    """
    ids = step.task_ids.tolist()
    here = set(ids)
    inputs = _joined({t: tokens[t].inputs.ids.data for t in here}, ids, step.input_starts, step.input_lengths)
    return inputs, _joined({t: tokens[t].targets.ids.data for t in here}, ids, step.target_starts, step.target_lengths)


def _joined(flat: Mapping[int, memoryview], ids: list[int], starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    ends = (starts + lengths).tolist()
    joined = b"".join([flat[t][a:b] for t, a, b in zip(ids, starts.tolist(), ends, strict=True)])
    return np.frombuffer(joined, np.int32).astype(np.int64)


def _padded(part: StepExamples, tokens: Sequence[TokenizedTask], pad: int) -> MicroBatch:
    sides = []
    for flat, lengths, fill in zip(
        flat_tokens(part, tokens), (part.input_lengths, part.target_lengths), (pad, IGNORED), strict=True
    ):
        mask = np.arange(max(int(lengths.max()), 1)) < lengths[:, None]
        out = np.full(mask.shape, fill, np.int64)
        out[mask] = flat
        sides.append((out, mask))
    (input_ids, mask_in), (labels, _) = sides
    return MicroBatch(
        input_ids,
        mask_in.astype(np.int64),
        labels,
        part.weights.astype(np.float32),
        part.task_ids,
        part.real,
        part.rows,
    )
