"""Treatments and sweeps: what the words mean, which arms and effects they add, and what cannot be."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.interference.design.arms import Design
from multitask.interference.design.treatments import parse_sweeps, parse_treatments, treated_rates

TASKS = ("a", "b", "c")
PER_STEP = dict.fromkeys(TASKS, Fraction(4))


def parse(*entries: str, simple: bool = False):
    return parse_treatments(entries, TASKS, simple=simple, train=TrainConfig())


def design(*entries: str, sweeps: tuple[str, ...] = (), **changes) -> Design:
    return Design(
        TASKS, PER_STEP, treatments=tuple(parse(*entries)), sweeps=tuple(parse_sweeps(sweeps, TASKS)), **changes
    )


def test_names_stand_for_settings_and_own_ones_are_written_out():
    one, two, three = parse("pcgrad", "lora-task", "mine: mixing=temperature temperature=2 loss-weights.a=3 dropout=0")
    assert one.settings == {"balance": "pcgrad"}
    assert two.settings == {"peft": "lora", "adapters": "task"}
    assert three.settings == {"loss_weights": {"a": 3}, "dropout": 0.0}
    assert three.rates == {"mixing": "temperature", "temperature": 2.0}
    assert three.says == "loss_weights.a=3 dropout=0 mixing=temperature temperature=2"


def test_merge_is_three_treatments():
    assert [(t.name, t.kind) for t in parse("merge")] == [
        ("merge-average", "merge"),
        ("merge-arithmetic", "merge"),
        ("merge-ties", "merge"),
    ]


def test_the_simple_ways_stand_beside_any_others_once():
    found = parse("pcgrad", "t2: mixing=temperature temperature=2", simple=True)
    assert [t.name for t in found] == ["pcgrad", "t2", "weight-a", "weight-b", "weight-c", "dropout", "decay"]
    assert [t.simple for t in found] == [False, False] + [True] * 5
    assert sum(found[2].settings["loss_weights"].values()) == pytest.approx(3)
    assert found[2].settings["loss_weights"]["a"] == pytest.approx(3 * found[2].settings["loss_weights"]["b"], rel=1e-5)
    assert parse(simple=True) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("pcgard", "--treatments pcgard: did you mean 'pcgrad'"),
        ("x:", 'changes nothing: give setting=value, e.g. "x: dropout=0.2".'),
        ("x: model=tiny", "--treatments x: model:"),
        ("x: dropout", "'dropout' is no setting=value."),
        ("x: dropout=2", "treatment 'x': --dropout must be from 0 to below 1. Got 2.0."),
        ("x: loss-weights.d=2", "treatment 'x': d:"),
        ("x: clip=high", "--treatments x: clip"),
        ("joint: dropout=0", "'joint' cannot be the name of a treatment."),
    ],
)
def test_what_cannot_be_is_said(entry, said):
    with pytest.raises(UserError) as error:
        parse(entry)
    assert said in str(error.value)


def test_a_name_stands_once():
    with pytest.raises(UserError, match="names 'lora' twice"):
        parse("lora", "lora: dropout=0")


def test_rates_share_out_the_examples_of_the_joint_arm():
    one, two = parse("x: rates.a=2", "y: mixing=proportional")
    assert treated_rates(one, PER_STEP, dict.fromkeys(TASKS, 9), 10) == {"a": 6, "b": 3, "c": 3}
    assert treated_rates(two, PER_STEP, {"a": 10, "b": 20, "c": 30}, 10) == {"a": 2, "b": 4, "c": 6}


def test_a_treatment_is_compared_with_the_joint_arm_and_with_each_task_alone():
    made = design("pcgrad", arms=("single", "joint"))
    effects = [c for c in made.contrasts() if c.kind in ("treatment", "treated")]
    assert [(c.kind, c.task, c.companion, c.match) for c in effects] == [
        (kind, task, "pcgrad", match)
        for task in TASKS
        for kind, match in (("treatment", None), ("treated", "examples"))
    ]
    arms = [arm for arm in made.needed() if arm.treatment]
    assert [(arm.treatment, arm.tasks, arm.budget) for arm in arms] == [("pcgrad", TASKS, 12)]
    assert made.family(arms[0]) == "pcgrad"
    assert made.per_step_of(arms[0]) == PER_STEP


def test_the_suggested_groups_are_arms_of_the_study_where_they_are_there_already():
    made = design("groups")
    assert not [c for c in made.contrasts() if c.companion == "groups"]
    grouped = dataclasses.replace(made, grouping=(("a", "b"), ("c",)))
    assert set(grouped.needed()) == set(made.needed())  # a pair and a single
    effects = {(c.kind, c.task): c.terms for c in grouped.contrasts() if c.companion == "groups"}
    assert effects["treated", "a"][0][0] == made.arm(["a", "b"])
    assert ("treated", "c") not in effects  # it is the task alone
    assert effects["treatment", "c"][0][0] == made.arm(["c"])


def test_a_sweep_changes_the_rate_of_one_task_alone():
    made = design(sweeps=("b=0.5/3",))
    half = next(arm for arm in made.needed() if arm.treatment == "b × 0.5")
    assert made.per_step_of(half) == {"a": 4, "b": 2, "c": 4}
    assert half.budget == 10
    rates = [(c.task, c.companion) for c in made.contrasts() if c.kind == "rate"]
    assert rates == [(t, f"b × {f}") for t in ("a", "c") for f in ("0.5", "3", "1")]
    with pytest.raises(UserError, match="give two or more factors above 0 besides 1"):
        parse_sweeps(["b=1/2"], TASKS)


@pytest.mark.parametrize(
    ("entry", "arms", "said"),
    [
        ("pcgrad", ("single", "pair"), "--arms needs joint"),
        ("merge", ("joint", "without"), "--arms needs single"),
        ("groups", ("single", "joint"), "--arms needs single and pair"),
    ],
)
def test_what_a_treatment_needs_is_said(entry, arms, said):
    with pytest.raises(UserError, match=said):
        design(entry, arms=arms)
