import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.mixing.schedule import Ramp, RateSchedule, exact

values = st.fractions(min_value=0, max_value=50, max_denominator=97)
knots = st.dictionaries(st.integers(0, 60), values, min_size=1, max_size=6).map(lambda d: tuple(sorted(d.items())))


def by_hand(knots, step):
    """Linear interpolation, written another way."""
    before = [knot for knot in knots if knot[0] <= step]
    after = [knot for knot in knots if knot[0] > step]
    if not before:
        return after[0][1]
    if not after:
        return before[-1][1]
    (s, v), (t, w) = before[-1], after[0]
    return (v * (t - step) + w * (step - s)) / (t - s)


@given(knots=knots, steps=st.integers(0, 80))
def test_ramp_and_its_sum_equal_brute_force(knots, steps):
    ramp = Ramp(knots)
    assert ramp.at(steps) == by_hand(knots, steps)
    total = sum((by_hand(knots, k) for k in range(steps)), Fraction(0))
    assert ramp.total(steps) == total
    assert ramp.whole(steps) == total.numerator // total.denominator


def test_the_sum_over_a_billion_steps_is_exact():
    ramp = Ramp(((0, Fraction(0)), (10**9, Fraction(1))))
    assert ramp.total(10**9 + 1) == Fraction(10**9 + 1, 2)
    assert ramp.whole(np.int64(10**9 + 1)) == (10**9 + 1) // 2


def test_a_ramp_pickles_after_use():
    ramp = Ramp(((0, Fraction(0)), (3, Fraction(1, 3))))
    ramp.total(2)
    assert pickle.loads(pickle.dumps(ramp)) == ramp


@pytest.mark.parametrize(
    ("value", "fraction"),
    [
        (1 / 3, Fraction(1, 3)),
        (64 * 67_349 / 94_829, Fraction(64 * 67_349, 94_829)),
        (0.1, Fraction(1, 10)),
        ("1/7", Fraction(1, 7)),
        ("2.5", Fraction(5, 2)),
        (1e-12, Fraction(1e-12)),
        (0.0, Fraction(0)),
        (16, Fraction(16)),
        (Fraction(1, 10**12), Fraction(1, 10**12)),
    ],
)
def test_a_float_is_the_fraction_that_was_meant(value, fraction):
    assert exact(value) == fraction


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "much", "1/0", None])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(ValueError) as caught:
        exact(value)
    assert str(caught.value) == f"expected a finite number or a fraction such as '1/3'. Got {value!r}."


def test_rates_are_normalised_at_each_knot_and_so_everywhere():
    schedule = RateSchedule(((0, {"a": 1, "b": 3}), (7, {"a": 2.0, "b": 0.0})))
    assert schedule.tasks == ("a", "b")
    assert schedule.at(0) == {"a": 0.25, "b": 0.75}
    assert schedule.at(99) == {"a": 1.0, "b": 0.0}
    for step in range(9):
        assert schedule.ramp("a").at(step) + schedule.ramp("b").at(step) == 1
    assert schedule.ramp("b", 32).at(0) == 24


def test_sampled_schedule_has_a_knot_for_every_step_at_most():
    assert [s for s, _ in RateSchedule.sampled(3, lambda f: {"a": 1, "b": f}).knots] == [0, 1, 2, 3]
    assert [s for s, _ in RateSchedule.sampled(100, lambda f: {"a": 1, "b": f}, pieces=4).knots] == [0, 25, 50, 75, 100]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RateSchedule(((0, {}),)), "a schedule needs one or more tasks. Got none at step 0."),
        (
            lambda: RateSchedule(((0, {"a": -1}),)),
            "the rate of 'a' at step 0 must be a number, 0 or more. Got -1.",
        ),
        (
            lambda: RateSchedule(((5, {"a": float("nan")}),)),
            "the rate of 'a' at step 5 must be a number, 0 or more. Got nan.",
        ),
        (
            lambda: RateSchedule(((3, {"a": 0, "b": 0}),)),
            "the rates at step 3 are all 0; give one task or more a rate above 0.",
        ),
        (
            lambda: RateSchedule(((0, {"a": 1}), (9, {"a": 1, "b": 1}))),
            "every knot of a schedule needs a rate for the same tasks: step 0 has a, step 9 has a, b; "
            "write 0 for none.",
        ),
        (
            lambda: RateSchedule(((9, {"a": 1}), (9, {"a": 1}))),
            "the steps of a schedule's knots must rise from 0 or more. Got [9, 9].",
        ),
        (
            lambda: RateSchedule.over(100, [(1.5, {"a": 1})]),
            "a schedule's points are fractions of the training, from 0 to 1. Got 1.5.",
        ),
    ],
)
def test_mistakes_in_a_schedule_are_named(make, message):
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ramp(()), "a schedule needs one or more knots. Got none."),
        (lambda: Ramp(((0, Fraction(-1, 2)),)), "values must be 0 or more. Got -1/2 at step 0."),
        (lambda: Ramp(((0, Fraction(1)),)).at(-1), "steps are counted from 0. Got -1."),
        (
            lambda: RateSchedule.sampled(0, lambda f: {"a": 1}),
            "a schedule needs one or more steps and pieces. Got 0 and 16.",
        ),
    ],
)
def test_wrong_values_are_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
