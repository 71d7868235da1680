"""A step of the plan as arrays for the model, with the gradient of the plain padded batch.

Words
    step         the examples of one optimizer step, of several tasks and lengths
    flat         the step's tokens one behind the other, without padding: what `flat` computes on
    micro-batch  examples of similar length, padded to the longest among them
    weight       of an example: what each of its target tokens' negative log-likelihoods is multiplied by, so that the
                 step's loss is one plain sum over all its tokens
    stand-in     an example of weight 0 where a step, or a process's part of it, has none: every process must take
                 part in every backward pass. It is not counted as seen; one whose loss has the factor 0 is

The weights are worked out over the *whole* step before it is cut, so how it is cut — by length, over accumulation, over
processes — changes the rounding and nothing else.

Random batches of short and long tasks are a third real tokens when padded to the longest (measured on tweets and
SST-2: 37 %); grouping by length inside the step gets most of that back without choosing other examples, and flat
tokens have no padding.

Legend: N examples of a step, B examples of a micro-batch, S input tokens, T target tokens.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from multitask.tokens import TokenizedTask

LossName = Literal["task", "token", "example"]

IGNORED = -100
"""The label of padding. T5's padding id is 0, and a 0 left in the labels would be trained on."""

GROUP_OVERHEAD = 400
"""What one more micro-batch costs, in padded tokens: below it two groups are not worth their kernel launches."""

_ROWS = 256  # ends of groups that are looked at together


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
    input_starts: np.ndarray  # [N] int64, where they begin in the task's flat inputs
    input_lengths: np.ndarray  # [N] int64
    target_starts: np.ndarray  # [N] int64, and in its flat targets
    target_lengths: np.ndarray  # [N] int64
    weights: np.ndarray  # [N] float64
    real: np.ndarray  # [N] bool, False for a stand-in


def gather_step(
    tokens: Sequence[TokenizedTask],
    rows: Mapping[int, np.ndarray],
    *,
    loss: LossName,
    loss_weights: Sequence[float] | np.ndarray,
    batch_size: float,
) -> StepExamples:
    """The step's examples with their loss weights; of an empty step one stand-in.

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
    return _stand_in(step) if empty else step


def _where(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Begin and length of sequences, from `Ragged.starts` of each task and its rows."""
    begin = np.concatenate([starts[rows] for starts, rows in parts])
    return begin, np.concatenate([starts[1:][rows] for starts, rows in parts]) - begin


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
    lengths = input_lengths[order], target_lengths[order]
    n = len(order)
    best = np.zeros(n + 1)  # best[j]: cost of the first j examples
    start = [0] * (n + 1)
    for first in range(0, n, _ROWS):  # the groups i..j for every i and many j at once; for all j they would be n^2
        last = min(first + _ROWS, n)
        i, j = np.arange(last), np.arange(first + 1, last + 1)[:, None]
        # Their longest input and target are running maxima from the right.
        longest_in, longest_out = (
            np.maximum.accumulate(np.where(i < j, x[:last], 0)[:, ::-1], axis=1)[:, ::-1] for x in lengths
        )
        cost = (j - i) * (longest_in + target_cost * longest_out) + overhead
        for end in range(first + 1, last + 1):
            ways = best[:end] + cost[end - first - 1, :end]
            start[end] = at = int(ways.argmin())
            best[end] = ways[at]
    groups = []
    end = n
    while end > 0:
        groups.append(np.sort(order[start[end] : end]))
        end = start[end]
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


class FlatStep(NamedTuple):
    """A step's tokens without padding, in groups of similar length; N input and M target tokens, E examples."""

    input_ids: np.ndarray  # [N] int64
    labels: np.ndarray  # [M] int64
    token_weights: np.ndarray  # [M] float32, of each target token's loss
    starts: np.ndarray  # [E] int64, where each example's labels begin
    input_lengths: list[np.ndarray]  # of each group [examples]
    target_lengths: list[np.ndarray]  # of each group [examples]
    task_ids: np.ndarray  # [E] int64
    rows: np.ndarray  # [E] int64
    real: np.ndarray  # [E] bool, False for a stand-in


def flat_step(step: StepExamples, tokens: Sequence[TokenizedTask]) -> FlatStep:
    """The flat arrays of a step (or a share of it)."""
    groups = attention_groups(step.input_lengths, step.target_lengths)
    order = np.concatenate(groups)
    step = StepExamples(*(column[order] for column in step))
    edges = list(itertools.accumulate(map(len, groups), initial=0))
    ends = np.cumsum(step.target_lengths)
    return FlatStep(
        *_flat_tokens(step, tokens),
        np.repeat(step.weights.astype(np.float32), step.target_lengths),
        ends - step.target_lengths,
        [step.input_lengths[a:b] for a, b in itertools.pairwise(edges)],
        [step.target_lengths[a:b] for a, b in itertools.pairwise(edges)],
        step.task_ids,
        step.rows,
        step.real,
    )


def _flat_tokens(step: StepExamples, tokens: Sequence[TokenizedTask]) -> tuple[np.ndarray, np.ndarray]:
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


CUTS = 12
"""Places where a step may be cut into groups: more are not worth the time to look at them."""

ATTENTION_OVERHEAD = 6000
"""What one more group costs attention, in squares of tokens."""


def attention_groups(input_lengths: np.ndarray, target_lengths: np.ndarray) -> list[np.ndarray]:
    """Cut examples into groups for attention, where alone flat tokens are padded: arrays of positions.

    A group of G examples costs G * (S^2 + S T + T^2) + `ATTENTION_OVERHEAD`, with its longest input S and target T.
    The cheapest cut of the order by input length is found exactly among `CUTS` places.

    >>> [g.tolist() for g in attention_groups(np.array([4, 400, 5]), np.array([2, 2, 2]))]
    [[0, 2], [1]]
    """
    order = np.lexsort((target_lengths, input_lengths))
    starts = _even_starts(len(order))
    inputs, targets = (np.maximum.reduceat(x[order], starts).tolist() for x in (input_lengths, target_lengths))
    edges = [*starts.tolist(), len(order)]
    # Python's numbers: so few places take a fifth of the time of numpy's calls.
    best, begin = [0.0], [0]
    for j in range(1, len(edges)):
        s, t, end, cheapest, start = inputs[j - 1], 0, edges[j], math.inf, 0
        for i in range(j - 1, -1, -1):  # the group of the pieces i .. j-1
            if targets[i] > t:
                t = targets[i]
            cost = best[i] + (end - edges[i]) * (s * s + s * t + t * t)
            if cost <= cheapest:
                cheapest, start = cost, i
        best.append(cheapest + ATTENTION_OVERHEAD)
        begin.append(start)
    groups = []
    j = len(edges) - 1
    while j > 0:
        groups.append(order[edges[begin[j]] : edges[j]])
        j = begin[j]
    return groups[::-1]


@functools.lru_cache(maxsize=1024)
def _even_starts(n: int) -> np.ndarray:
    """[pieces] int64, where each of `CUTS` pieces of about one size begins among n examples."""
    return np.unique(np.linspace(0, n, min(n, CUTS) + 1).astype(np.int64))[:-1]


def _padded(part: StepExamples, tokens: Sequence[TokenizedTask], pad: int) -> MicroBatch:
    sides = []
    for flat, lengths, fill in zip(
        _flat_tokens(part, tokens), (part.input_lengths, part.target_lengths), (pad, IGNORED), strict=True
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
