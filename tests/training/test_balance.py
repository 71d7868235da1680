"""Ways of balancing tasks: values worked out by hand, gradients that are the joint step's, and resuming to the bit."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import multitask
from multitask.batching.step_maker import StepMaker
from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.mixing.plan import MixingPlan
from multitask.training import balance
from multitask.training.balance import check_balance, make_balancer
from multitask.training.module import mean_losses, step_loss, step_terms
from multitask.training.task_gradients import TaskGradients

MADE = runpy.run_path(str(Path(__file__).parents[1] / "batching" / "test_step.py"))
TASKS = ("a", "b", "c")
GRADIENT = balance.FROM_GRADIENTS
EVERY = (*balance.LOSSES_ONLY, *GRADIENT)


def maker(execution: str, **changes: Any) -> StepMaker:
    plan = MixingPlan(dict.fromkeys(TASKS, 20), {"a": 3, "b": "3/2", "c": "1/2"}, 0)
    return StepMaker(plan, TASKS, tuple(MADE["made_tokens"](4)), "task", (1.0, 0.5, 2.0), 5.0, 0, execution, **changes)


# ------------------------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("execution", ["flat", "grouped"])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_tasks_gradients_of_a_step_add_up_to_that_of_the_joint_step(t5, execution, parts):
    model = MADE["in_double"](t5).eval()
    parameters = list(model.parameters())
    for step in range(4):
        model.zero_grad()
        for part in range(parts):
            step_loss(model, maker(execution).batch(step, part, parts))[0].backward()
        joint = [p.grad.clone() for p in parameters]
        model.zero_grad(set_to_none=True)
        gradients = TaskGradients(parameters)
        for part in range(parts):
            terms, _ = step_terms(model, maker(execution, by_task=True).batch(step, part, parts))
            for task, term in terms.items():
                gradients.add(task, term)
        rows = gradients.tasks
        total = sum(gradients._rows[t].clone() for t in rows)
        gramian = gradients.gramian()
        assert float(gramian.sum()) == pytest.approx(float(total @ total), rel=1e-9)
        assert torch.equal(gramian, gramian.T)
        gradients.combine([1.0] * len(rows))
        assert gradients.tasks == []  # they are freed
        for p, whole in zip(parameters, joint, strict=True):
            torch.testing.assert_close(p.grad, whole, rtol=1e-10, atol=1e-12)


def test_a_step_by_task_has_the_examples_of_the_step_once(t5):
    for step in range(6):
        plain = maker("flat").batch(step)["flat"]
        by_task = maker("flat", by_task=True).batch(step)
        seen = sorted(
            (int(t), int(r))
            for e in by_task["by_task"]
            for t, r in zip(e["flat"]["task_ids"], e["flat"]["rows"], strict=True)
        )
        assert seen == sorted((int(t), int(r)) for t, r in zip(plain["task_ids"], plain["rows"], strict=True))
        assert all(set(e["flat"]["task_ids"].tolist()) == {e["task"]} for e in by_task["by_task"])
        assert by_task["present"] == sorted({t for t, _ in seen})


def test_dropout_of_a_task_is_the_same_whatever_tasks_come_before_it(t5):
    t5.config.dropout_rate = 0.5
    t5.train()
    batch = maker("flat", by_task=True).batch(1)
    assert len(batch["by_task"]) > 1
    both, _ = step_terms(t5, batch, seed=3)
    last = batch["by_task"][-1]
    alone, _ = step_terms(t5, {**batch, "by_task": [last]}, seed=3)
    assert torch.equal(both[last["task"]], alone[last["task"]])


# -------------------------------------------------------------------------------------------------------------- by hand

G = torch.tensor([[4.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
"""g_1 = (2, 0), g_2 = (−½, √¾): they pull against each other."""


def weights(name: str, gramian: torch.Tensor = G, *, own: bool = True) -> list[float]:
    return make_balancer(name, 2, scale="own" if own else "sum").weights_of_gramian(gramian, [0, 1], 0).tolist()


def test_pcgrad_takes_out_of_each_gradient_what_is_against_the_other():
    # g_1 − (g_1·g_2 / ‖g_2‖²) g_2 = g_1 + g_2, and g_2 + ¼ g_1
    assert weights("pcgrad") == pytest.approx([1.25, 2.0])


def test_mgda_gives_the_shortest_convex_combination():
    # min ‖α g_1 + (1 − α) g_2‖²: α = (‖g_2‖² − g_1·g_2) / ‖g_1 − g_2‖² = 2 / 7
    assert weights("mgda") == pytest.approx([2 / 7, 5 / 7], abs=1e-6)


def test_imtl_gives_equal_projections_on_all_gradients():
    w = torch.tensor(weights("imtl"), dtype=torch.float64)
    along = (G @ w) / G.diagonal().sqrt()
    assert along[0] == pytest.approx(float(along[1]))
    assert sum(w.tolist()) == pytest.approx(1.0)


def test_fairgrad_gives_each_task_the_inverse_of_its_gain():
    # α = 1: (G w)_i = 1 / w_i, whatever the scale of G
    w = torch.tensor(weights("fairgrad"), dtype=torch.float64)
    product = w * (G @ w)
    assert product[0] == pytest.approx(float(product[1]), rel=1e-4)


def test_upgrad_pulls_no_task_back():
    assert (G @ torch.tensor(weights("upgrad"), dtype=torch.float64) >= -1e-3).all()


def test_cagrad_lies_in_the_ball_around_the_mean():
    w = torch.tensor(weights("cagrad"), dtype=torch.float64)
    off, mean = w - 0.5, torch.full((2,), 0.5, dtype=torch.float64)
    assert float(off @ G @ off) == pytest.approx(balance.CAGRAD_C**2 * float(mean @ G @ mean), rel=1e-3)


def test_gradvac_begins_as_pcgrad_where_two_pull_against_each_other():
    made = make_balancer("gradvac", 2, scale="own")
    assert made.weights_of_gramian(G, [0, 1], 0).tolist() == pytest.approx([1.25, 2.0], rel=1e-6)
    # φ of −½ enters the average with β = ½
    assert made.state()["phi"].flatten().tolist() == pytest.approx([0.0, -0.25, -0.25, 0.0])


def test_gradvac_remembers_a_pair_while_one_of_it_is_away():
    made = make_balancer("gradvac", 3)
    made.weights_of_gramian(G, [0, 2], 0)
    before = made.state()["phi"].clone()
    assert before[0, 2] != 0
    made.weights_of_gramian(G, [0, 1], 0)
    assert made.state()["phi"][0, 2] == before[0, 2]


@pytest.mark.parametrize("name", GRADIENT)
def test_the_update_has_the_norm_of_the_plain_sum(name):
    w = torch.tensor(weights(name, own=False), dtype=torch.float64)
    assert float(w @ G @ w) == pytest.approx(float(G.sum()), rel=1e-6)


@pytest.mark.parametrize("name", GRADIENT)
def test_a_small_gradient_has_the_direction_of_a_large_one(name):
    one, other = (torch.tensor(weights(name, G * f, own=False)) for f in (1.0, 1e-12))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", GRADIENT)
def test_one_task_alone_and_a_gradient_that_is_not_finite_are_left_as_they_are(name):
    made = make_balancer(name, 2)
    assert made.weights_of_gramian(torch.tensor([[3.0]]).double(), [1], 0).tolist() == [1.0]
    assert made.weights_of_gramian(G * math.nan, [0, 1], 0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ["pcgrad", "gradvac"])
def test_the_order_of_tasks_comes_from_the_seed_and_no_global_generator(name):
    draw = np.random.default_rng(0)
    rows = torch.from_numpy(draw.normal(size=(5, 5)))
    gramian = rows @ rows.T
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = make_balancer(name, 5).weights_of_gramian(gramian, list(range(5)), 1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(first, make_balancer(name, 5).weights_of_gramian(gramian, list(range(5)), 1))
    others = [make_balancer(name, 5).weights_of_gramian(gramian, list(range(5)), seed) for seed in range(2, 8)]
    assert any(not torch.equal(first, other) for other in others)


def test_uncertainty_weights_go_to_the_inverse_of_the_losses():
    made = make_balancer("uw", 2, scale="own")
    assert made.weights_of_losses({0: 3.0, 1: 0.5}) == {0: 1.0, 1: 1.0}
    made.learn({0: 3.0, 1: 0.5})
    # Adam's first step is lr · sign of −(1 − L)
    assert made.log_variances.tolist() == pytest.approx([0.01, -0.01], rel=1e-6)
    for _ in range(3000):
        made.learn({0: 3.0, 1: 0.5})
    assert made.weights_of_losses({0: 3.0, 1: 0.5}) == pytest.approx({0: 1 / 3, 1: 2.0}, rel=1e-2)


def test_famo_weighs_by_the_inverse_of_the_losses_and_learns_who_fell_behind():
    made = make_balancer("famo", 2)
    # z = ½ each: weights ∝ 1 / L, scaled to a mean of 1
    assert made.weights_of_losses({0: 3.0, 1: 1.0}) == pytest.approx({0: 0.5, 1: 1.5})
    made.look_back({0: 3.0, 1: 1.0}, {0: 3.0, 1: 0.5})
    # The gradient of ξ is ¼ (δ_0 − δ_1) (1, −1) with δ = (0, ln 2): task 0, which did not fall, gets more weight
    assert made.logits.tolist() == pytest.approx([0.025, -0.025], rel=1e-4)


@pytest.mark.parametrize("name", ["uw", "famo"])
def test_weights_from_losses_have_the_mean_1_over_the_tasks_of_the_step(name):
    made = make_balancer(name, 3)
    assert sum(made.weights_of_losses({0: 3.0, 2: 0.2}).values()) == pytest.approx(2.0)


def test_mean_losses_are_of_tasks_that_have_tokens():
    assert mean_losses(torch.tensor([[1, 2, 4, 8.0], [0, 0, 0, 0]])) == {0: 2.0}


# ----------------------------------------------------------------------------------------------------------- whole runs

SETTINGS: dict[str, Any] = {
    "tasks": "toy_labels,toy_text",
    "vocab_size": 60,
    "per_step": {"toy_labels": 6.0, "toy_text": 0.75},  # some steps have one task alone
    "checkpoint_every": 3,
    "log_every": 1,
    "quiet": True,
    "lr": 1e-2,
    "schedule": "constant",
    "warmup_steps": 0,
}


def settings(name: str, steps: int, accumulate: int = 1) -> dict[str, Any]:
    trainer = {"max_steps": steps, "accelerator": "cpu", "enable_progress_bar": False}
    return {**SETTINGS, "balance": name, "trainer": {**trainer, "accumulate_grad_batches": accumulate}}


def weights_of(run: multitask.Run) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run.folder / "model" / "model.safetensors")


@pytest.mark.parametrize("name", EVERY)
def test_a_run_resumes_to_the_bit(toys, out, name):
    straight = multitask.train(out=str(out / "straight"), **settings(name, 6))
    multitask.train(out=str(out / "part"), **settings(name, 3))
    resumed = multitask.train(resume=str(out / "part"), trainer={"max_steps": 6}, quiet=True)
    for key, value in weights_of(straight).items():
        assert torch.equal(value, weights_of(resumed)[key])


@pytest.mark.parametrize("name", ["famo", "uw", "gradvac"])
def test_accumulated_parts_of_a_step_give_its_weights(toys, out, name):
    whole = multitask.train(out=str(out / "whole"), dropout=0.0, **settings(name, 4))
    parts = multitask.train(out=str(out / "parts"), dropout=0.0, **settings(name, 4, accumulate=2))
    for key, value in weights_of(whole).items():
        torch.testing.assert_close(weights_of(parts)[key], value, rtol=1e-3, atol=2e-4)


def test_what_is_not_installed_is_said_with_what_to_do(monkeypatch):
    monkeypatch.setattr(balance.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        check_balance(TrainConfig(balance="upgrad"))
    assert str(error.value) == (
        "--balance upgrad needs the packages torchjd, qpsolvers, quadprog: pip install 'multitask-t5[balance]'."
    )
    check_balance(TrainConfig(balance="famo"))


def test_adapters_of_one_task_each_share_nothing_to_balance():
    with pytest.raises(UserError, match="share none that are trained"):
        multitask.train(tasks="sst2,span", peft="lora", adapters="task", balance="pcgrad")
