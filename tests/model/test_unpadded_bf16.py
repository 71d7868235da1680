"""Unpadded tokens under autocast: as far from fp32 as the model's own code is under it, and no further."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from multitask.model.unpadded.forward import layout_of, unpadded_loss
from multitask.model.unpadded.pointwise import Masks

LENGTHS = [np.array([3, 5, 9]), np.array([4, 1, 3])]


def rows(model) -> list[list[torch.Tensor]]:
    draw = np.random.default_rng(0)
    return [[torch.from_numpy(draw.integers(3, 60, n)) for n in side] for side in LENGTHS]


def unpadded(model, low: bool, dropout: float = 0.0):
    given = [torch.cat(side) for side in rows(model)]
    layouts = [layout_of(model, [n]) for n in LENGTHS]
    starts, weights = torch.tensor([0, 4, 5]), torch.linspace(0.2, 1.0, 8)
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        total, nll = unpadded_loss(
            model, given[0], layouts[0], given[1], layouts[1], starts, weights, Masks(dropout, 1)
        )
    total.backward()
    return nll, torch.cat([p.grad.flatten() for p in model.parameters()])


def own(model, low: bool):
    inputs, labels = (
        torch.nn.utils.rnn.pad_sequence(side, batch_first=True, padding_value=-100) for side in rows(model)
    )
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        logits = model(
            input_ids=inputs.clamp_min(0),
            attention_mask=(inputs >= 0).long(),
            decoder_input_ids=model.prepare_decoder_input_ids_from_labels(labels),
            use_cache=False,
        ).logits.float()
    nll = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none")
    nll = nll[labels.flatten() >= 0]
    (nll * torch.linspace(0.2, 1.0, 8)).sum().backward()
    return nll.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("kind", ["t5", "untied"])
def test_its_error_in_bf16_is_that_of_the_models_own_code(tiny_model, kind):
    model = tiny_model(kind).eval()
    exact = own(model, low=False)
    ours, theirs = unpadded(model, low=True), own(model, low=True)
    for mine, its, true in zip(ours, theirs, exact, strict=True):
        assert mine.dtype == torch.float32
        assert 0 < distance(mine, true) < 2 * distance(its, true) + 1e-3 < 0.1
    assert distance(unpadded(model, low=False)[1], exact[1]) < 1e-5


def test_dropout_and_a_second_pass_work_in_bf16(tiny_model):
    model = tiny_model("t5").train()
    first, second = unpadded(model, low=True, dropout=0.2), unpadded(model, low=True, dropout=0.2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert bool(torch.isfinite(first[1]).all())
