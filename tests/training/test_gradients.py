from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from multitask.training.gradients import own_gradients
from multitask.training.nonfinite import total_norm

MADE = runpy.run_path(str(Path(__file__).with_name("test_nonfinite.py")))
part, loss_of = MADE["part"], MADE["loss_of"]


@pytest.mark.parametrize("kind", ["flat", "grouped"])
def test_the_tasks_parts_of_a_gradient_add_up_to_it(t5, kind):
    t5.train()
    made = part(kind, t5)
    torch.manual_seed(made.seed)
    loss_of(t5)(made).backward()
    parameters = [p for p in t5.parameters() if p.grad is not None]
    before = [p.grad.clone() for p in parameters]
    norm = float(total_norm(parameters))
    torch.manual_seed(7)
    state = torch.get_rng_state()
    seeded = lambda one: (torch.manual_seed(one.seed), loss_of(t5)(one))[1]  # noqa: E731  as the module's own
    found = own_gradients(parameters, [made], seeded, norm)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p.grad, g) for p, g in zip(parameters, before, strict=True))
    assert set(found) == {0, 1}
    assert sum(own.part for own in found.values()) == pytest.approx(1.0, abs=1e-4)
    # ‖g‖² = Σ g_t · g, and no part is longer than what the triangle allows
    assert norm <= sum(own.norm for own in found.values()) * (1 + 1e-5)


def test_alone_the_whole_gradient_is_a_tasks_own(t5):
    made = part("flat", t5)
    piece = made.pieces[0]
    alone = made._replace(pieces=[piece._replace(real=piece.task_ids == 0)])
    parameters = list(t5.parameters())
    assert own_gradients(parameters, [alone], loss_of(t5), 2.5) == {0: (2.5, 1.0)}
