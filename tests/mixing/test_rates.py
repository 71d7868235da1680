import functools
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.mixing.rates import MAX_EPOCHS, STRATEGIES, mixing_rates, temperature_schedule

GLUE = {"cola": 8551, "sst2": 67349, "mrpc": 3668, "qqp": 363849, "stsb": 5749, "mnli": 392702, "rte": 2490}

sizes = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 10**9), min_size=1, max_size=8)
settings_of = {
    "proportional": {},
    "equal": {},
    "temperature": {"temperature": 2.5},
    "unimax": {"budget": 10_000, "max_epochs": 2},
    "weights": None,
}


def rates_by(strategy, sizes):
    settings = settings_of[strategy]
    return mixing_rates(sizes, strategy=strategy, **({"weights": sizes} if settings is None else settings))


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(sizes=sizes)
def test_rates_sum_to_one_in_the_order_of_the_sizes(strategy, sizes):
    rates = rates_by(strategy, sizes)
    assert math.fsum(rates.values()) == pytest.approx(1, abs=1e-12)
    assert list(rates) == list(sizes)


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(sizes=sizes)
def test_a_larger_task_has_no_smaller_rate(strategy, sizes):
    rates = rates_by(strategy, sizes)
    by_size = [rates[t] for t in sorted(sizes, key=sizes.get)]
    assert all(a <= b * (1 + 1e-12) for a, b in itertools.pairwise(by_size))


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(sizes=sizes, random=st.randoms(use_true_random=False))
def test_the_order_of_the_tasks_does_not_matter(strategy, sizes, random):
    names = list(sizes)
    random.shuffle(names)
    assert rates_by(strategy, {n: sizes[n] for n in names}) == pytest.approx(rates_by(strategy, sizes), rel=1e-12)


@given(sizes=sizes)
def test_temperature_goes_from_proportional_to_equal(sizes):
    proportional = mixing_rates(sizes, strategy="proportional")
    assert mixing_rates(sizes, strategy="temperature", temperature=1) == pytest.approx(proportional)
    assert mixing_rates(sizes, temperature=1e9) == pytest.approx(mixing_rates(sizes, strategy="equal"), rel=1e-6)


def test_temperature_two_gives_square_roots():
    assert mixing_rates({"a": 1, "b": 4, "c": 25}, temperature=2) == {"a": 1 / 8, "b": 2 / 8, "c": 5 / 8}


def test_scale_comes_before_the_cap_and_the_cap_before_the_temperature():
    rates = mixing_rates({"a": 100, "b": 4000, "c": 9000}, scale={"b": 0.25}, cap=900, temperature=2)
    # b: 4000 → 1000 → 900; c: 9000 → 900; then the roots of 100, 900, 900 are as 1 : 3 : 3
    assert rates == pytest.approx({"a": 1 / 7, "b": 3 / 7, "c": 3 / 7})


def test_a_cap_below_all_sizes_is_equal_mixing():
    assert mixing_rates(GLUE, cap=100) == pytest.approx(mixing_rates(GLUE, strategy="equal"))


def test_a_tiny_temperature_gives_all_to_the_largest_without_an_error():
    assert mixing_rates(GLUE, temperature=1e-4) == {task: float(task == "mnli") for task in GLUE}


def test_the_strategy_follows_from_the_settings():
    assert mixing_rates(GLUE) == mixing_rates(GLUE, strategy="proportional", temperature=1.0)
    assert mixing_rates(GLUE, temperature=2) == mixing_rates(GLUE, strategy="temperature", temperature=2)
    assert mixing_rates({"a": 1, "b": 9}, weights={"b": 1, "a": 3}) == {"a": 0.75, "b": 0.25}


def test_proportional_rates_of_glue():
    rates = mixing_rates(GLUE, cap=2**16)
    total = 8551 + 65536 + 3668 + 65536 + 5749 + 65536 + 2490
    assert rates["rte"] == 2490 / total
    assert rates["mnli"] == rates["sst2"] == 65536 / total


def test_unimax_by_hand():
    # Budget 1000 over four: 250 each. a may give 2 × 10 = 20, leaving 980/3 = 326.7; b may give 2 × 100 = 200,
    # leaving 780/2 = 390 for each of c and d, which have enough.
    rates = mixing_rates({"d": 9000, "a": 10, "c": 500, "b": 100}, strategy="unimax", budget=1000, max_epochs=2)
    assert rates == pytest.approx({"d": 0.39, "a": 0.02, "c": 0.39, "b": 0.2})


@given(sizes=sizes, budget=st.integers(1, 10**10), epochs=st.floats(0.5, 20))
def test_unimax_reads_no_task_more_often_than_allowed_and_is_even_otherwise(sizes, budget, epochs):
    rates = mixing_rates(sizes, strategy="unimax", budget=budget, max_epochs=epochs)
    used = min(budget, epochs * sum(sizes.values()))
    given_ = {task: rate * used for task, rate in rates.items()}
    assert all(given_[t] <= epochs * sizes[t] * (1 + 1e-9) for t in sizes)
    most = max(given_.values())
    free = [g for t, g in given_.items() if g < epochs * sizes[t] * (1 - 1e-9)]
    assert free == pytest.approx([most] * len(free), rel=1e-9)


def test_unimax_with_too_large_a_budget_is_proportional():
    rates = mixing_rates(GLUE, strategy="unimax", budget=MAX_EPOCHS * sum(GLUE.values()) + 1)
    assert rates == pytest.approx(mixing_rates(GLUE))


def test_a_temperature_schedule_is_exact_at_its_knots_and_close_between():
    schedule = temperature_schedule(functools.partial(mixing_rates, GLUE, cap=10**5), 1, 4, 1000, pieces=10)
    for step in (0, 300, 1000):
        exact = mixing_rates(GLUE, cap=10**5, temperature=1 + 3 * step / 1000)
        assert schedule.at(step) == pytest.approx(exact, rel=1e-8)
    assert schedule.at(50) == pytest.approx(mixing_rates(GLUE, cap=10**5, temperature=1.15), abs=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "proportionl"}, "unknown mixing strategy 'proportionl': did you mean 'proportional'?"),
        ({"temperature": 0}, "temperature must be a number above 0. Got 0."),
        ({"temperature": -1.0}, "temperature must be a number above 0. Got -1.0."),
        ({"temperature": math.nan}, "temperature must be a number above 0. Got nan."),
        ({"temperature": math.inf}, "temperature must be a number above 0. Got inf."),
        ({"strategy": "temperature"}, "temperature mixing needs a temperature above 0, e.g. 2."),
        ({"cap": 0}, "cap must be a number above 0. Got 0."),
        ({"scale": {"sst": 2}}, "scale names 'sst', which is not in the mixture: did you mean 'sst2'?"),
        ({"scale": {"sst2": 0}}, "the scale of 'sst2' must be a number above 0. Got 0."),
        (
            {"strategy": "equal", "temperature": 2},
            "temperature was given, but 'equal' mixing does not use it; leave it out, or choose 'temperature'.",
        ),
        (
            {"strategy": "unimax", "budget": 9, "cap": 5},
            "cap was given, but 'unimax' mixing does not use it; leave it out, or choose 'proportional' or "
            "'temperature'.",
        ),
        (
            {"budget": 9},
            "budget was given, but 'proportional' mixing does not use it; leave it out, or choose 'unimax'.",
        ),
        (
            {"strategy": "unimax"},
            "UniMax mixing shares out a budget of examples; give one (steps × examples per step).",
        ),
        ({"strategy": "unimax", "budget": 5, "max_epochs": 0}, "max_epochs must be a number above 0. Got 0."),
        ({"strategy": "weights"}, "mixing by weights needs the weights: one number for each task."),
        ({"weights": {"span": 1}}, "weights has no number for 'sst2'; give one for each of span, sst2."),
        (
            {"weights": {"span": 1, "sst2": 1, "spam": 1}},
            "weights names 'spam', which is not in the mixture: did you mean 'span'?",
        ),
        ({"weights": {"span": 1, "sst2": -1}}, "the weight of 'sst2' must be a number, 0 or more. Got -1."),
        ({"weights": {"span": 0, "sst2": 0}}, "all weights are 0; give one task or more a weight above 0."),
    ],
)
def test_mistakes_in_settings_are_named(settings, message):
    with pytest.raises(UserError) as caught:
        mixing_rates({"span": 900, "sst2": 100}, **settings)
    assert str(caught.value) == message


@pytest.mark.parametrize("size", [0, -3, math.nan])
def test_a_task_without_examples_is_refused(size):
    with pytest.raises(UserError) as caught:
        mixing_rates({"span": 900, "sst2": size})
    assert str(caught.value) == f"Task 'sst2' has {size} training examples; a mixture needs one or more."


def test_an_empty_mixture_is_refused():
    with pytest.raises(UserError) as caught:
        mixing_rates({})
    assert str(caught.value) == "a mixture needs one or more tasks. Got none."
