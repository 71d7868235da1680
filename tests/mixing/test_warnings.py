"""What looks like a mistake: said when it is one, and not said of a plan or of answers that are as they should be."""

from __future__ import annotations

from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.evaluation.warnings import one_sided
from multitask.mixing.plan import MixingPlan
from multitask.mixing.schedule import Ramp
from multitask.mixing.warnings import find_never_sampled
from multitask.runs.mix_report import unseen
from multitask.task import UNLABELLED


def plan(**per_step):
    return MixingPlan(dict.fromkeys(per_step, 50), per_step)


@given(st.lists(st.fractions(Fraction(1, 40), 8), min_size=1, max_size=4), st.integers(40, 500))
def test_a_steady_task_that_gets_examples_is_never_named(rates, steps):
    assert find_never_sampled(plan(**{f"t{i}": b for i, b in enumerate(rates)}), steps) == []


@given(st.fractions(0, 1), st.integers(1, 60))
def test_a_task_is_named_just_if_the_run_gives_it_nothing(b, steps):
    made = plan(always=1, rare=b)
    given_any = any("rare" in made.step(k) for k in range(steps))
    assert bool(find_never_sampled(made, steps)) is not given_any


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0, 0, 1, 4])), min_size=1, max_size=6))
def test_a_schedules_silences_are_those_of_its_steps(pieces):
    steps, knots = 0, []
    for length, value in pieces:  # stretches of a constant rate
        knots += [(steps, Fraction(value))] + ([(steps + length - 1, Fraction(value))] if length > 1 else [])
        steps += length
    made = plan(other=1, task=Ramp(tuple(knots)))
    drawn = ["task" in made.step(k) for k in range(steps)]
    silences, begun = [], None
    for k in range(steps + 1):
        if k < steps and not drawn[k] and any(drawn[:k]):
            begun = k if begun is None else begun
        elif begun is not None:
            silences.append((begun + 1, k))
            begun = None
    found = find_never_sampled(made, steps)
    if not any(drawn):
        assert len(found) == 1 and "gets no example in" in found[0]
        return
    expected = [
        f"task 'task' gets no example from step {a} to {z} of {steps}, by its rates there."
        for a, z in silences
        if z - a + 1 >= 0.1 * steps
    ]
    assert set(found) <= set(expected)  # a single step between two examples is no stretch of the schedule
    assert {e for e, (a, z) in zip(expected, silences, strict=False) if z - a > 1} <= set(found)


def test_what_was_planned_and_not_given_is_named():
    of = {"planned": {"examples": 3}, "realised": {"examples": 0}}
    mix = {
        "steps": 6,
        "tasks": {
            "rare": of,
            "often": {**of, "realised": {"examples": 1}},
            "never": {**of, "planned": {"examples": 0}},
        },
    }
    assert unseen(mix) == ["task 'rare' was given no example: 3 were planned, in more steps than the 6 that were made."]


def frame(targets, predictions):
    return pd.DataFrame({"target": list(targets), "prediction": list(predictions)})


@pytest.mark.parametrize(
    "kind, targets, predictions, said",
    [
        ("labels", "no yes no yes", "no yes no no", None),
        ("labels", "no no no", "no no no", None),  # nothing else was asked for
        ("labels", "no yes no", "no no no", "all 3 predictions are 'no', of 2 different targets."),
        ("labels", "no yes yes", "no maybe no", "in 3 predictions there is never 'yes' (target of 2)."),
        ("labels", "no no ?", "yes no no", None),
        ("span", "red blue green", "red red red", "all 3 predictions are 'red', of 3 different targets."),
        ("span", "red blue green", "red red blue", None),
        ("number", "1.0 2.0", "1.5 1.5", "all 2 predictions are '1.5', of 2 different targets."),
        ("text", "", "", None),
    ],
)
def test_answers_that_are_all_alike_are_named(toy_task, kind, targets, predictions, said):
    rows = [UNLABELLED if t == "?" else t for t in targets.split()]
    found = one_sided(toy_task(kind), frame(rows, predictions.split()))
    assert found == ([] if said is None else [f"task 'toy_{kind}': {said}"])


def test_of_many_labels_that_are_never_predicted_the_commonest_are_named(toy_task):
    labels = tuple(f"l{i}" for i in range(9))
    task = toy_task("labels", labels=labels)
    targets = [label for i, label in enumerate(labels) for _ in range(9 - i)]
    predictions = ["l7"] * (len(targets) - 1) + ["l8"]
    assert one_sided(task, frame(targets, predictions)) == [
        "task 'toy_labels': in 45 predictions there is never 'l0' (target of 9), 'l1' (target of 8), 'l2' (target of "
        "7), 'l3' (target of 6), 'l4' (target of 5) and 2 more."
    ]
