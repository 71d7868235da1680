"""A step of the plan as padded micro-batches, with the gradient of the plain padded batch.

Words
    step         the examples of one optimizer step, of several tasks and lengths
    micro-batch  examples of similar length, padded to the longest among them
    weight       of an example: what each of its target tokens' negative log-likelihoods is multiplied by, so that the
                 step's loss is one plain sum over all its tokens
    stand-in     an example of weight 0 where a step, or a process's part of it, has none: every process must take
                 part in every backward pass. It is not counted as seen; one whose loss has the factor 0 is

The weights are worked out over the *whole* step before it is cut, so how it is cut — by length, over accumulation, over
processes — changes the rounding and nothing else.

Random batches of short and long tasks are a third real tokens when padded to the longest (measured on tweets and
SST-2: 37 %); grouping by length inside the step gets most of that back without choosing other examples.

Legend: N examples of a step, B examples of a micro-batch, S input tokens, T target tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from multitask.tokens import TokenizedTask

LossName = Literal["task", "token", "example"]

IGNORED = -100
"""The label of padding. T5's padding id is 0, and a 0 left in the labels would be trained on."""

GROUP_OVERHEAD = 400
"""What one more micro-batch costs, in padded tokens: below it two groups are not worth their kernel launches."""


class MicroBatch(NamedTuple):
    """Arrays for one forward pass."""

    input_ids: np.ndarray  # [B, S] int64
    attention_mask: np.ndarray  # [B, S] int64, 0 = padding
    labels: np.ndarray  # [B, T] int64, -100 = no loss
    weights: np.ndarray  # [B] float32, of each target token of the example
    task_ids: np.ndarray  # [B] int64, position in the list of tasks
    real: np.ndarray  # [B] bool, False for a stand-in that no step of the plan has
    rows: np.ndarray  # [B] int64, row of the task's training examples


class StepExamples(NamedTuple):
    """The examples of one step in plain order: by task as listed, then as the plan gives them."""

    task_ids: np.ndarray  # [N] int64
    rows: np.ndarray  # [N] int64, row of the task's tokens
    input_lengths: np.ndarray  # [N]
    target_lengths: np.ndarray  # [N]
    weights: np.ndarray  # [N] float64
    real: np.ndarray  # [N] bool, False for a stand-in


def gather_step(
    tokens: Sequence[TokenizedTask],
    rows: Mapping[int, np.ndarray],
    *,
    loss: LossName,
    loss_weights: Sequence[float],
) -> StepExamples:
    """The step's examples with their loss weights; of an empty step one stand-in.

    Where every task has less than one example a step, some steps are empty. They are made all the same: the schedule
    and the optimiser's averages move on as they do in the arms that have other tasks' examples there.

    Args:
        tokens: Of each task.
        rows: {position of the task in `tokens`: its rows in this step}.
        loss: `task`: each task's token mean times its weight. `token`: one mean over all target tokens.
            `example`: the mean over examples of their token means. In the last two a weight multiplies the task's
            examples and the mean is a weighted one.
        loss_weights: Of each task; in `task` its mixing rate times the user's factor.
    """
    parts = [(t, np.asarray(r, np.int64)) for t, r in sorted(rows.items()) if len(r)]
    empty = not parts
    parts = parts or [(0, np.zeros(1, np.int64))]
    task_ids = np.concatenate([np.full(len(r), t, np.int64) for t, r in parts])
    row_ids = np.concatenate([r for _, r in parts])
    inputs = np.concatenate([tokens[t].inputs.lengths_of(r) for t, r in parts])
    targets = np.concatenate([tokens[t].targets.lengths_of(r) for t, r in parts])
    factor = np.asarray(loss_weights, np.float64)[task_ids]
    if loss == "task":
        total = np.zeros(len(tokens))
        np.add.at(total, task_ids, targets)
        weights = factor / total[task_ids]
    elif loss == "token":
        weights = factor / max(float((factor * targets).sum()), 1e-30)
    elif loss == "example":
        weights = factor / (targets * max(float(factor.sum()), 1e-30))
    else:
        raise ValueError(f"loss must be task, token or example. Got {loss!r}.")
    step = StepExamples(task_ids, row_ids, inputs, targets, weights, np.ones(len(row_ids), bool))
    return _stand_in(step) if empty else step


def share_of(step: StepExamples, part: int, parts: int) -> StepExamples:
    """The `part`-th of `parts` pieces of a step, for a process or an accumulated micro-step.

    Every `parts`-th example of the step sorted by length, so that the pieces cost about the same; the pieces are
    disjoint and together the step. Where a step has fewer examples than pieces, the rest are one stand-in each.
    """
    if parts == 1:
        return step
    order = np.lexsort((step.input_lengths, step.target_lengths))[part::parts]
    if len(order) == 0:
        return _stand_in(step)
    return StepExamples(*(column[order] for column in step))


def _stand_in(step: StepExamples) -> StepExamples:
    """The shortest example of a step with weight 0, as one that is not there."""
    shortest = np.lexsort((step.input_lengths, step.target_lengths))[:1]
    one = StepExamples(*(column[shortest] for column in step))
    return one._replace(weights=np.zeros_like(one.weights), real=np.zeros_like(one.real))


def group_by_length(
    input_lengths: np.ndarray, target_lengths: np.ndarray, *, overhead: float = GROUP_OVERHEAD, target_cost: float = 2.0
) -> list[np.ndarray]:
    """Cut examples into groups of similar length: arrays of positions, the cheapest cut of two sorted orders.

    A group costs its size × (longest input + `target_cost` × longest target) + `overhead`. The cheapest cut of a
    sorted list into contiguous groups is found exactly by dynamic programming.

    >>> [g.tolist() for g in group_by_length(np.array([4, 400, 5]), np.array([2, 2, 2]), overhead=10)]
    [[0, 2], [1]]
    """
    if len(input_lengths) == 0:
        return []
    orders = [np.lexsort((input_lengths, target_lengths)), np.lexsort((target_lengths, input_lengths))]
    return min((_cut(o, input_lengths, target_lengths, overhead, target_cost) for o in orders), key=lambda c: c[0])[1]


def _cut(
    order: np.ndarray, input_lengths: np.ndarray, target_lengths: np.ndarray, overhead: float, target_cost: float
) -> tuple[float, list[np.ndarray]]:
    inputs, targets = input_lengths[order].astype(np.float64), target_lengths[order].astype(np.float64)
    n = len(order)
    best = np.zeros(n + 1)  # best[j]: cost of the first j examples
    start = np.zeros(n + 1, np.int64)
    for j in range(1, n + 1):
        # The groups i..j for every i at once: their longest input and target are running maxima from the right.
        longest_in = np.maximum.accumulate(inputs[:j][::-1])[::-1]
        longest_out = np.maximum.accumulate(targets[:j][::-1])[::-1]
        cost = best[:j] + np.arange(j, 0, -1) * (longest_in + target_cost * longest_out) + overhead
        start[j] = cost.argmin()
        best[j] = cost[start[j]]
    groups = []
    j = n
    while j > 0:
        groups.append(np.sort(order[start[j] : j]))
        j = int(start[j])
    return float(best[n]), groups[::-1]


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


def _padded(part: StepExamples, tokens: Sequence[TokenizedTask], pad: int) -> MicroBatch:
    size = len(part.rows)
    width_in = np.arange(max(int(part.input_lengths.max()), 1))
    width_out = np.arange(max(int(part.target_lengths.max()), 1))
    mask_in, mask_out = width_in < part.input_lengths[:, None], width_out < part.target_lengths[:, None]
    input_ids = np.full((size, len(width_in)), pad, np.int64)
    labels = np.full((size, len(width_out)), IGNORED, np.int64)
    for task in np.unique(part.task_ids):
        here = part.task_ids == task
        rows, of_task = part.rows[here], tokens[int(task)]
        for out, mask, ragged in ((input_ids, mask_in, of_task.inputs), (labels, mask_out, of_task.targets)):
            filled = ragged.padded(rows, 0)
            block = out[here]
            inside = mask[here]
            block[inside] = filled[inside[:, : filled.shape[1]]]
            out[here] = block
    return MicroBatch(
        input_ids,
        mask_in.astype(np.int64),
        labels,
        part.weights.astype(np.float32),
        part.task_ids,
        part.real,
        part.rows,
    )
