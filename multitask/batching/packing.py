"""A step packed into rows of one length: several examples a row, told apart by segments, so that shapes stay the same.

A compiled model is compiled anew for each shape that it meets. Padded groups have other shapes in every step; packed
rows have one length for inputs and one for targets in the whole run, and their number is a multiple of `ROWS`.

Legend: B rows, S input slots, T target slots, E examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from multitask.batching.arrays import IGNORED, flat_tokens
from multitask.batching.step import StepExamples
from multitask.tokenization.tokenize import TokenizedTask

ROWS = 4
"""Rows of a packed step are a multiple of it."""
INPUTS, TARGETS = 128, 16
"""Slots are multiples of these."""
LONGEST = 256
"""Input slots of a row at least: several short examples fit."""


class PackedStep(NamedTuple):
    """A step's examples in rows; slots without a token are of segment 0."""

    input_ids: np.ndarray  # [B, S] int64
    input_segments: np.ndarray  # [B, S] int64, from 1 in each row
    decoder_ids: np.ndarray  # [B, T] int64, what the decoder is given: the labels, one place later in each segment
    labels: np.ndarray  # [B, T] int64, -100 where no token stands
    target_segments: np.ndarray  # [B, T] int64
    token_weights: np.ndarray  # [B, T] float32
    slots: np.ndarray  # [M] int64, the slot of each target token among B * T, example by example
    target_lengths: np.ndarray  # [E] int64
    input_lengths: np.ndarray  # [E] int64
    task_ids: np.ndarray  # [E] int64
    rows: np.ndarray  # [E] int64
    real: np.ndarray  # [E] bool, False for a zero-weight dummy


def row_shape(tokens: Sequence[TokenizedTask]) -> tuple[int, int]:
    """Slots of a row for inputs and for targets, for all steps of a run.

    A row has room for the longest example, and for as much target as comes on average with its input.
    """
    longest = max(int(t.inputs.lengths.max(initial=1)) for t in tokens)
    target = max(int(t.targets.lengths.max(initial=1)) for t in tokens)
    inputs = max(_up(longest, INPUTS), LONGEST)
    # Of the task that has most target for its input: else its rows would be full of target, and empty of input.
    share = max(float(t.targets.lengths.mean() / max(t.inputs.lengths.mean(), 1.0)) for t in tokens if len(t))
    return inputs, max(_up(target, TARGETS), _up(math.ceil(inputs * min(share, 1.0)), TARGETS))


def _up(value: int, multiple: int) -> int:
    return multiple * math.ceil(value / multiple)


def packed_step(
    step: StepExamples, tokens: Sequence[TokenizedTask], *, shape: tuple[int, int], pad: int, start: int
) -> PackedStep:
    """Pack a step (or a share of it): each example into the first row that has room, the longest first.

    Args:
        step: From `gather_step`.
        tokens: Of each task.
        shape: From `row_shape`.
        pad: Padding id of inputs.
        start: The id that the decoder begins with.
    """
    width, depth = shape
    order = np.lexsort((step.target_lengths, step.input_lengths))[::-1]
    room: list[list[int]] = []
    row, at_input, at_target, segment = (np.zeros(len(order), np.int64) for _ in range(4))
    counts: list[int] = []
    inputs, targets = step.input_lengths.tolist(), step.target_lengths.tolist()
    for e in order.tolist():
        n, m = inputs[e], targets[e]
        here = next((i for i, (a, b) in enumerate(room) if a >= n and b >= m), len(room))
        if here == len(room):
            room.append([width, depth])
            counts.append(0)
        row[e], at_input[e], at_target[e] = here, width - room[here][0], depth - room[here][1]
        room[here][0] -= n
        room[here][1] -= m
        counts[here] += 1
        segment[e] = counts[here]
    size = _up(max(len(room), 1), ROWS)
    flat_inputs, flat_targets = flat_tokens(step, tokens)
    in_slots = _slots(row * width + at_input, step.input_lengths)
    out_slots = _slots(row * depth + at_target, step.target_lengths)
    made: Mapping[str, np.ndarray] = {
        "input_ids": np.full(size * width, pad, np.int64),
        "input_segments": np.zeros(size * width, np.int64),
        "decoder_ids": np.full(size * depth, pad, np.int64),
        "labels": np.full(size * depth, IGNORED, np.int64),
        "target_segments": np.zeros(size * depth, np.int64),
        "token_weights": np.zeros(size * depth, np.float32),
    }
    made["input_ids"][in_slots] = flat_inputs
    made["input_segments"][in_slots] = np.repeat(segment, step.input_lengths)
    given = np.empty_like(flat_targets)
    given[1:] = flat_targets[:-1]
    given[np.cumsum(step.target_lengths) - step.target_lengths] = start
    made["decoder_ids"][out_slots] = given
    made["labels"][out_slots] = flat_targets
    made["target_segments"][out_slots] = np.repeat(segment, step.target_lengths)
    made["token_weights"][out_slots] = np.repeat(step.weights.astype(np.float32), step.target_lengths)
    wide = {n: a.reshape(size, width if n in ("input_ids", "input_segments") else depth) for n, a in made.items()}
    return PackedStep(
        **wide,
        slots=out_slots,
        target_lengths=step.target_lengths,
        input_lengths=step.input_lengths,
        task_ids=step.task_ids,
        rows=step.rows,
        real=step.real,
    )


def _slots(begin: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The slots of sequences that begin there, one behind the other."""
    first = np.repeat(begin - (np.cumsum(lengths) - lengths), lengths)
    return first + np.arange(len(first))
