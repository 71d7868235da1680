"""Which models a study needs: restrictions of one plan, each trained once, and the effects that they give."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.interference.design.arms import ARMS, MATCHES, Arm, Design, label, parse_seeds
from multitask.mixing.plan import MixingPlan

NAMES = ("a", "b", "c", "d", "e")


def design(tasks=("a", "b", "c"), per_step=16, **settings) -> Design:
    return Design(tuple(tasks), dict.fromkeys(tasks, Fraction(per_step)), **settings)


@st.composite
def designs(draw):
    tasks = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=5, unique=True))
    per_step = {t: Fraction(draw(st.integers(1, 40)), draw(st.integers(1, 4))) for t in tasks}
    match = draw(st.lists(st.sampled_from(MATCHES), min_size=1, max_size=2, unique=True))
    null = draw(st.lists(st.sampled_from(tasks), max_size=2, unique=True))
    return Design(tuple(tasks), per_step, match=tuple(match), null=tuple(null))


@given(designs())
def test_every_effect_is_a_difference_and_rests_on_cells_that_are_trained(it):
    needed = set(it.needed())
    for contrast in it.contrasts():
        assert set(contrast.arms) <= needed
        assert sum(sign for _, sign in contrast.terms) == (
            2 - len(it.tasks) if contrast.kind == "non_additivity" else 0
        ) or (contrast.kind == "non_additivity")
        assert all(contrast.task in arm.tasks for arm in contrast.arms)


@given(designs())
def test_no_cell_is_there_twice(it):
    assert len(it.needed()) == len(set(it.needed()))


@given(designs())
def test_at_equal_exposure_each_arm_is_a_restriction_of_the_joint_plan(it):
    sizes = {t: 50 + 7 * i for i, t in enumerate(it.tasks)}
    whole = MixingPlan(sizes, it.per_step, 3)
    for arm in it.needed():
        if arm.budget != it.budget(arm.tasks) or arm.twin:
            continue
        part = MixingPlan({t: sizes[t] for t in arm.tasks}, it.per_step_of(arm), 3)
        assert part.fingerprint() == whole.restrict(arm.tasks).fingerprint()
        for step in (0, 1, 9):
            joint = whole.step(step)
            for task, rows in part.step(step).items():
                np.testing.assert_array_equal(rows, joint[task])


@given(designs())
def test_at_equal_compute_the_arm_compared_against_has_the_budget_of_its_company(it):
    for contrast in it.contrasts():
        if contrast.match == "steps" and contrast.kind in ("company", "pair", "without", "null"):
            company, alone = contrast.arms
            assert alone.budget == company.budget


@given(designs())
def test_an_arm_shares_its_budget_as_its_tasks_share_the_joint_one(it):
    for arm in it.needed():
        parts = it.per_step_of(arm)
        if not arm.twin:
            assert sum(parts.values()) == arm.budget
            ratios = {parts[t] / it.per_step[t] for t in arm.tasks}
            assert len(ratios) == 1


def test_three_tasks_at_equal_exposure_need_seven_models_a_seed():
    it = design()
    assert [label(arm, it.family(arm)) for arm in it.needed()] == [
        "joint",
        "single-a",
        "single-b",
        "single-c",
        "pair-a-b",
        "pair-a-c",
        "pair-b-c",
    ]
    kinds = [c.kind for c in it.contrasts() if c.task == "a"]
    assert kinds == ["company", "pair", "pair", "without", "without", "non_additivity"]


def test_of_two_tasks_the_joint_run_is_the_pair():
    it = design(("a", "b"))
    assert len(it.needed()) == 3
    pair = next(c for c in it.contrasts() if c.kind == "pair")
    assert pair.arms[0] == it.joint
    assert "without" not in {c.kind for c in it.contrasts()}


def test_both_matches_give_the_price_of_dilution_too():
    it = design(match=("examples", "steps"))
    dilution = next(c for c in it.contrasts() if c.kind == "dilution")
    assert dilution.terms == ((Arm(("a",), Fraction(16)), 1), (Arm(("a",), Fraction(48)), -1))
    company = {c.match: dict(c.terms) for c in it.contrasts() if c.task == "a" and c.kind == "company"}
    total: dict[Arm, int] = {}
    for terms, sign in ((company["steps"], 1), (company["examples"], -1)):
        for arm, n in terms.items():
            total[arm] = total.get(arm, 0) + sign * n
    # D = C − I
    assert {arm: n for arm, n in total.items() if n} == dict(dilution.terms)


def test_non_additivity_is_the_company_less_the_sum_of_its_pairs():
    it = design(("a", "b", "c", "d"), arms=("single", "joint", "pair"))
    terms = dict(next(c for c in it.contrasts() if c.kind == "non_additivity").terms)
    # joint − single − 3 pairs + 3 singles
    assert terms[it.joint] == 1
    assert terms[it.arm(["a"])] == 2
    assert [terms[it.arm(["a", u])] for u in "bcd"] == [-1, -1, -1]


def test_the_null_control_gives_a_task_a_disjoint_copy_of_itself_at_one_budget():
    it = design(null=("b",))
    null = next(c for c in it.contrasts() if c.kind == "null")
    copied, alone = null.arms
    assert copied.twin
    assert not alone.twin
    assert copied.budget == alone.budget == 32
    assert it.per_step_of(copied) == {"b": 16}


def test_a_task_that_is_added_leaves_the_other_cells_as_they_are():
    before, after = (set(design(tasks, arms=("single", "pair")).needed()) for tasks in ("abc", "abcd"))
    assert before < after


def test_an_arm_that_is_left_out_takes_its_effects_along():
    assert {c.kind for c in design(arms=("single", "joint")).contrasts()} == {"company"}
    assert {c.kind for c in design(arms=("single", "pair")).contrasts()} == {"pair"}
    assert {c.kind for c in design(arms=("joint", "without")).contrasts()} == {"without"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arms": ("single", "pairs")}, "--arms pairs: did you mean 'pair'?"),
        ({"arms": ("pair",)}, "--arms pair leaves nothing to compare with: add single (or joint and without)."),
        ({"match": ("example",)}, "--match example: did you mean 'examples'?"),
        ({"match": ("steps", "steps")}, "--match names one twice: steps, steps."),
        ({"tasks": ("a",)}, "a study compares tasks in company, so --tasks must name two or more. Got a."),
        ({"seeds": (1, 1)}, "--seeds must be one or more different seeds. Got 1, 1."),
        ({"null": ("d",)}, "--null d: "),
    ],
)
def test_what_cannot_be_compared_is_said(settings, message):
    with pytest.raises(UserError) as error:
        design(**settings)
    assert str(error.value).startswith(message)


def test_all_arms_have_names():
    assert ARMS == ("single", "joint", "pair", "without")


def test_seeds_are_a_number_or_a_list():
    assert parse_seeds("2", first=5) == (5, 6)
    assert parse_seeds("4,1") == (4, 1)
    assert parse_seeds("4,") == (4,)
    for wrong in ("0", "x", ","):
        with pytest.raises(UserError, match="--seeds"):
            parse_seeds(wrong)
