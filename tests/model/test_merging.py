"""Merging models: the average, task arithmetic and TIES against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from multitask.model.merging import SCALES, merged_vector, scaled

START = {"w": torch.tensor([1.0, 1.0, 1.0, 1.0]), "n": torch.tensor([3])}
ONE = {"w": torch.tensor([3.0, 0.0, 1.0, 1.5]), "n": torch.tensor([3])}
OTHER = {"w": torch.tensor([2.0, 3.0, 1.0, 0.0]), "n": torch.tensor([3])}


def test_the_average_at_scale_1_is_the_mean_of_the_models():
    merged = scaled(START, merged_vector(START, [ONE, OTHER], "average"), 1.0)
    assert torch.equal(merged["w"], (ONE["w"] + OTHER["w"]) / 2)
    assert torch.equal(merged["n"], START["n"])  # what is no number with a fraction is left


def test_arithmetic_adds_the_task_vectors():
    merged = scaled(START, merged_vector(START, [ONE, OTHER], "arithmetic"), 0.5)
    assert merged["w"].tolist() == [1 + 0.5 * 3, 1 + 0.5 * 1, 1.0, 1 + 0.5 * -0.5]


def test_ties_trims_elects_a_sign_and_takes_the_mean_of_those_that_agree():
    start = {"a": torch.zeros(5), "b": torch.zeros(5)}
    one = {"a": torch.tensor([5.0, -4.0, 0.1, 0.1, 0.1]), "b": torch.full((5,), 0.1)}
    two = {"a": torch.tensor([3.0, 6.0, 0.1, 0.1, 0.1]), "b": torch.full((5,), 0.1)}
    # A fifth of ten values, over both matrices: (5, −4) and (3, 6). Place 0: both +, mean 4. Place 1: + wins with 6.
    found = merged_vector(start, [one, two], "ties")
    assert found["a"].tolist() == [4.0, 6.0, 0.0, 0.0, 0.0]
    assert found["b"].tolist() == [0.0] * 5


@pytest.mark.parametrize("method", SCALES)
def test_one_model_merged_alone_goes_its_own_way(method):
    start, model = {"w": torch.zeros(5)}, {"w": torch.tensor([0.0, 0.0, 7.0, 0.0, 0.0])}
    assert scaled(start, merged_vector(start, [model], method), 1.0)["w"].tolist() == model["w"].tolist()


def test_models_of_other_shapes_cannot_be_merged():
    with pytest.raises(ValueError, match="w has another shape"):
        merged_vector(START, [{"w": torch.zeros(3)}], "average")
