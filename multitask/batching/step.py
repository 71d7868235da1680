"""A step of the plan as arrays for the model, with the gradient of the plain padded batch.

Words
    step         the examples of one optimizer step, of several tasks and lengths
    flat         the step's tokens one behind the other, without padding: what `flat` computes on
    micro-batch  examples of similar length, padded to the longest among them
    weight       of an example: what each of its target tokens' negative log-likelihoods is multiplied by, so that the
                 step's loss is one plain sum over all its tokens
    dummy        an example of weight 0 where a step, or a process's part of it, has none: every process must take
                 part in every backward pass. It is not counted as seen; one whose loss has the factor 0 is

The weights are worked out over the *whole* step before it is cut, so how it is cut — by length, over accumulation, over
processes — changes the rounding and nothing else.

Random batches of short and long tasks are a third real tokens when padded to the longest (measured on tweets and
SST-2: 37 %); grouping by length inside the step gets most of that back without choosing other examples, and flat
tokens have no padding.

Legend: N examples of a step, B examples of a micro-batch, S input tokens, T target tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from multitask.tokenization.tokenize import TokenizedTask

LossName = Literal["task", "token", "example"]


class StepExamples(NamedTuple):
    """The examples of one step in plain order: by task as listed, then as the plan gives them."""

    task_ids: np.ndarray  # [N] int64
    rows: np.ndarray  # [N] int64, row of the task's tokens
    input_starts: np.ndarray  # [N] int64, where they begin in the task's flat inputs
    input_lengths: np.ndarray  # [N] int64
    target_starts: np.ndarray  # [N] int64, and in its flat targets
    target_lengths: np.ndarray  # [N] int64
    weights: np.ndarray  # [N] float64
    real: np.ndarray  # [N] bool, False for a zero-weight dummy


def gather_step(
    tokens: Sequence[TokenizedTask],
    rows: Mapping[int, np.ndarray],
    *,
    loss: LossName,
    loss_weights: Sequence[float] | np.ndarray,
    batch_size: float,
) -> StepExamples:
    """The step's examples with their loss weights; of an empty step one zero-weight dummy.

    A step of few rare tasks may be empty. It is made all the same: the schedule and the optimiser's averages move on as
    they do in the arms that have other tasks' examples there.

    Args:
        tokens: Of each task.
        rows: {position of the task in `tokens`: its rows in this step}.
        loss: `task`: each task's token mean times n / B, its examples in this step over the reference batch size, so
            that over training a task counts by its rate, however rarely it comes. (By b / B in those steps that hold
            it, a task with b < 1 would count b²/B.) `token`: one mean over all target tokens. `example`: the mean
            over examples of their token means. In the last two a weight multiplies the task's examples and the mean
            is a weighted one.
        loss_weights: The user's factor of each task.
        batch_size: B, examples per step on average; of the joint run in each of its arms.
    """
    parts = [(t, np.asarray(r, np.int64)) for t, r in sorted(rows.items()) if len(r)]
    empty = not parts
    parts = parts or [(0, np.zeros(1, np.int64))]
    task_ids = np.repeat([t for t, _ in parts], [len(r) for _, r in parts])
    row_ids = np.concatenate([r for _, r in parts])
    input_starts, inputs = _where([(tokens[t].inputs.starts, r) for t, r in parts])
    target_starts, targets = _where([(tokens[t].targets.starts, r) for t, r in parts])
    factor = np.asarray(loss_weights, np.float64)[task_ids]
    if loss == "task":
        share = np.bincount(task_ids) / batch_size
        weights = (share[task_ids] * factor) / np.bincount(task_ids, weights=targets)[task_ids]
    elif loss == "token":
        weights = factor / max(float((factor * targets).sum()), 1e-30)
    elif loss == "example":
        weights = factor / (targets * max(float(factor.sum()), 1e-30))
    else:
        raise ValueError(f"loss must be task, token or example. Got {loss!r}.")
    real = np.ones(len(row_ids), bool)
    step = StepExamples(task_ids, row_ids, input_starts, inputs, target_starts, targets, weights, real)
    return _dummy_example(step) if empty else step


def _where(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Begin and length of sequences, from `Ragged.starts` of each task and its rows."""
    begin = np.concatenate([starts[rows] for starts, rows in parts])
    return begin, np.concatenate([starts[1:][rows] for starts, rows in parts]) - begin


def share_of(step: StepExamples, part: int, parts: int) -> StepExamples:
    """The `part`-th of `parts` pieces of a step, for a process or an accumulated micro-step.

    Every `parts`-th example of the step sorted by length, so that the pieces cost about the same; the pieces are
    disjoint and together the step. Where a step has fewer examples than pieces, the rest are a dummy each.
    """
    if parts == 1:
        return step
    order = np.lexsort((step.input_lengths, step.target_lengths))[part::parts]
    if len(order) == 0:
        return _dummy_example(step)
    return StepExamples(*(column[order] for column in step))


def _dummy_example(step: StepExamples) -> StepExamples:
    """The shortest example of a step with weight 0, as one that is not there."""
    shortest = np.lexsort((step.input_lengths, step.target_lengths))[:1]
    one = StepExamples(*(column[shortest] for column in step))
    return one._replace(weights=np.zeros_like(one.weights), real=np.zeros_like(one.real))
