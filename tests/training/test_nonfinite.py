"""The guard: whose fault a bad step is, what is counted, and which losses explode."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multitask.batching.arrays import micro_batches, unpadded_step
from multitask.batching.step import gather_step
from multitask.batching.step_maker import as_tensors
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.tokenize import TokenizedTask
from multitask.training.module import step_loss
from multitask.training.nonfinite import WINDOW, Guard, NonFiniteError, StepPart, only

CHANCE = math.log(300)
TOKENS = [
    TokenizedTask(Ragged.of([[5, 6, 1], [7, 8, 9, 1]]), Ragged.of([[4, 1], [4, 5, 6, 1]]), 0, 0),
    TokenizedTask(Ragged.of([[9, 1]]), Ragged.of([[3, 3, 1]]), 0, 0),
]


def part(kind, model):
    rows = {0: np.array([0, 1]), 1: np.array([0])}
    step = gather_step(TOKENS, rows, loss="task", loss_weights=(1.0, 1.0), batch_size=3)
    made = unpadded_step(step, TOKENS) if kind == "flat" else micro_batches(step, TOKENS, pad=0)
    batch = {"step": 4, "index": 4, "scale": 1.0, **as_tensors(made)}
    return StepPart(batch, 0, step_loss(model, batch)[1])


def loss_of(model):
    return lambda part: step_loss(model, part.batch, part.seed)[0]


def gradient(model, batch):
    return torch.autograd.grad(step_loss(model, batch)[0], list(model.parameters()), allow_unused=True)


@pytest.mark.parametrize("kind", ["flat", "grouped"])
def test_the_parts_of_the_tasks_add_up_to_the_gradient(t5, kind):
    t5.double()
    batch = part(kind, t5).batch
    whole, *parts = (gradient(t5, b) for b in (batch, only(batch, 0), only(batch, 1)))
    assert any(g.any() for g in parts[0]) and any(g.any() for g in parts[1])
    for g, a, b in zip(whole, *parts, strict=True):
        torch.testing.assert_close(g, a + b, rtol=1e-6, atol=1e-7)  # some of T5 is float32


@pytest.mark.parametrize("kind", ["flat", "grouped"])
def test_a_bad_gradient_is_traced_to_the_parameter_and_the_task(t5, kind):
    made = part(kind, t5)
    for p, g in zip(t5.parameters(), gradient(t5, made.batch), strict=True):
        p.grad = g
    t5.shared.weight.grad[2, 2] = math.nan

    def loss(one):
        again = loss_of(t5)(one)
        return again * 1e30 if torch.equal(weights(one.batch), weights(only(made.batch, 1))) else again

    def weights(batch):
        return batch["flat"]["token_weights"] if "flat" in batch else torch.cat([m["weights"] for m in batch["micro"]])

    with pytest.raises(NonFiniteError) as error:
        Guard(("a", "b"), CHANCE).bad(t5, [made], loss)
    assert str(error.value) == (
        "step 5: the gradient is not finite, though every example's loss is: in shared.weight; it comes from task 'b'"
    )


def test_examples_are_named_by_their_ids_and_counted_by_task(t5):
    made = part("flat", t5)
    for piece in made.pieces:
        piece.nll[(piece.task_ids == 0) & (piece.rows == 1)] = math.inf
    with pytest.raises(NonFiniteError) as error:
        Guard(("a", "b"), CHANCE, identify=lambda t, row: f"id-{t}-{row}").bad(t5, [made, made], loss_of(t5))
    assert str(error.value) == "step 5: the loss is not finite in task 'a' (2 of 4 examples: id-0-1, id-0-1)"


def test_skipped_steps_are_counted_and_too_many_in_a_row_are_refused(t5):
    said: list[str] = []
    guard = Guard(("a", "b"), CHANCE, skip=True, warn=said.append)
    made = part("flat", t5)
    made.pieces[0].nll[0] = math.nan
    for round_ in range(2):
        for _ in range(9):
            guard.bad(t5, [made], loss_of(t5))
        if round_ == 0:
            guard.good()
    assert (guard.skipped, guard.in_a_row, len(guard.steps)) == (18, 9, 18)
    assert said[0].endswith("; its update is left out.")
    other = Guard(("a", "b"), CHANCE, skip=True)
    other.restore(guard.state())
    for one in (guard, other):
        with pytest.raises(NonFiniteError, match="the 9 steps before it were skipped for the like"):
            one.bad(t5, [made], loss_of(t5))
        assert one.skipped == 18  # the state that is saved is that before the step


# --------------------------------------------------------------------------------------------------- exploding tasks


def losses(guard, means, tokens=WINDOW):
    seen = np.zeros((2, 4))
    for step, mean in enumerate(means):
        seen[0] += [1, 1, tokens, tokens * mean]
        seen[1] += [1, 1, tokens, tokens * 0.5]
        guard.look(step, seen)
    return guard.warnings


def test_a_loss_that_rises_above_chance_and_three_times_its_best_explodes():
    said: list[str] = []
    line = (
        "the loss of task 'a' explodes: 5.90 nats a token by step 3, after 1.50 at its best; guessing is 5.70. Try a "
        "lower --lr or --clip."
    )
    assert losses(Guard(("a", "b"), CHANCE, warn=said.append), [6.0, 2.0, 1.5, 5.9, 40.0]) == said == [line]


@pytest.mark.parametrize(
    "means",
    [
        [40.0, 9.0, 6.0, 7.0],  # from bad random weights; never three times its best
        [1.0, 0.01, 0.5, 5.0],  # a rise below chance may be one of a loss near 0
        [2.0, 5.8, 5.9],  # above chance, not three times its best
    ],
)
def test_what_is_not_an_explosion_is_not_said(means):
    assert losses(Guard(("a", "b"), CHANCE), means) == []


@given(st.lists(st.floats(0, 20), min_size=2, max_size=12), st.integers(0, 11))
def test_a_resumed_run_warns_of_the_same(means, cut):
    whole = Guard(("a", "b"), CHANCE)
    losses(whole, means, 200)
    first, second = Guard(("a", "b"), CHANCE), Guard(("a", "b"), CHANCE)
    seen = np.zeros((2, 4))
    for step, mean in enumerate(means):
        seen[0] += [1, 1, 200, 200 * mean]
        seen[1] += [1, 1, 200, 200 * 0.5]
        if step == min(cut, len(means) - 1):
            second.restore(first.state())
        (first if step < min(cut, len(means) - 1) else second).look(step, seen)
    assert second.state() == whole.state()
