"""Optimisers and schedules: the scaled AdamW is AdamW with a step size per matrix."""

from __future__ import annotations

import copy

import pytest
import torch

from multitask.training.optim import OptimizerSettings, ScaledAdamW, configure


def descend(optimizer_of, steps=5, decay=0.0):
    torch.manual_seed(1)
    parameter = torch.nn.Parameter(torch.randn(6, 4, dtype=torch.float64))
    start = parameter.detach().clone()
    optimizer = optimizer_of([parameter], decay)
    for k in range(steps):
        optimizer.zero_grad()
        ((parameter * torch.linspace(-1, 1, 4)).sum(1) ** 2 + k).sum().backward()
        optimizer.step()
    return start, parameter.detach(), optimizer


def test_the_first_step_is_adamws_times_the_root_mean_square():
    # AdamW's first step is lr × sign(gradient), whatever the gradient's size.
    start, end, _ = descend(lambda p, d: ScaledAdamW(p, lr=0.01), steps=1)
    moved = (end - start).abs()
    rms = start.pow(2).mean().sqrt()
    torch.testing.assert_close(moved, torch.full_like(moved, float(0.01 * rms)), rtol=1e-3, atol=0)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_with_a_step_size_set_by_hand_it_is_torchs_adamw(decay):
    class ByHand(torch.optim.AdamW):
        def step(self, closure=None):
            (p,) = self.param_groups[0]["params"]
            scale = float(p.detach().pow(2).mean().sqrt())
            self.param_groups[0]["lr"], self.param_groups[0]["weight_decay"] = 0.01 * scale, decay / scale
            super().step()

    ours = descend(lambda p, d: ScaledAdamW(p, lr=0.01, weight_decay=d), decay=decay)[1]
    theirs = descend(lambda p, d: ByHand(p, lr=0.01, betas=(0.9, 0.98), eps=1e-6), decay=decay)[1]
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


def test_a_matrix_of_zeros_moves_too():
    p = torch.nn.Parameter(torch.zeros(3))
    optimizer = ScaledAdamW([p], lr=1.0)
    p.sum().backward()
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.full((3,), -1e-3), rtol=1e-4, atol=0)


def test_its_state_survives_saving():
    _, one, optimizer = descend(lambda p, d: ScaledAdamW(p, lr=0.01), steps=3)
    p = torch.nn.Parameter(one.clone())
    again = ScaledAdamW([p], lr=0.01)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    q = optimizer.param_groups[0]["params"][0]
    for parameter, opt in ((p, again), (q, optimizer)):
        opt.zero_grad()
        parameter.pow(3).sum().backward()
        opt.step()
    assert torch.equal(p, q)


def test_a_parameter_without_gradient_stays():
    p = torch.nn.Parameter(torch.ones(2))
    ScaledAdamW([p], lr=1.0).step()
    assert torch.equal(p.detach(), torch.ones(2))


def test_step_gives_what_the_closure_gives():
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = ScaledAdamW([p])

    def closure():
        optimizer.zero_grad()
        loss = p.sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == 2.0


def rates(schedule, steps=10, warmup=2):
    p = torch.nn.Parameter(torch.ones(1))
    made = configure([p], OptimizerSettings("adamw", 1.0, 0.0, schedule, warmup, steps))
    assert made["lr_scheduler"]["interval"] == "step"
    values = []
    for _ in range(steps):
        values.append(made["optimizer"].param_groups[0]["lr"])
        p.grad = torch.ones(1)
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    return values


def test_schedules_warm_up_and_then_go_their_way():
    assert rates("constant")[:4] == [0.0, 0.5, 1.0, 1.0]
    assert rates("linear") == pytest.approx([0.0, 0.5, *(1 - k / 8 for k in range(8))])
    assert rates("cosine")[2] == pytest.approx(1.0)
    assert rates("cosine")[6] == pytest.approx(0.5)
    falling = rates("inverse_sqrt")[2:]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] > 0


@pytest.mark.parametrize("name", ["adafactor", "adamw", "adamw-scaled"])
def test_frozen_parameters_are_left_out(name):
    free, frozen = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2), requires_grad=False)
    optimizer = configure([free, frozen], OptimizerSettings(name))["optimizer"]
    assert [p for g in optimizer.param_groups for p in g["params"]] == [free]


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"^optimizer must be one of adafactor, adamw, adamw-scaled\. Got 'sgd'\.$"):
        configure([], OptimizerSettings("sgd"))  # type: ignore[arg-type]
