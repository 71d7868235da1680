"""Metrics of numbers against scipy and scikit-learn; perplexity against its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_squared_error

from multitask.metrics.metric import METRICS
from multitask.metrics.outputs import Outputs

TENTHS = st.integers(0, 50).map(lambda i: f"{i / 10:.1f}")
ROWS = st.lists(st.tuples(TENTHS, TENTHS), min_size=2, max_size=30)


def split(rows):
    return [p for p, _ in rows], [t for _, t in rows]


@pytest.mark.parametrize(
    ("name", "reference"), [("pearson", scipy.stats.pearsonr), ("spearman", scipy.stats.spearmanr)]
)
@given(rows=ROWS)
def test_correlations_are_scipys(name, reference, rows):
    predictions, targets = split(rows)
    value = METRICS.get(name)(predictions, targets)
    if len(set(predictions)) == 1 or len(set(targets)) == 1:
        assert math.isnan(value)  # where scipy warns and gives NaN
    else:
        expected = reference([float(p) for p in predictions], [float(t) for t in targets])[0]
        assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("numbers", [3, 40])  # many ties; hardly any
def test_spearman_by_counts_is_scipys_on_each_resample(numbers):
    draw = np.random.default_rng(0)
    truth = draw.integers(0, numbers, 60)
    said = truth + draw.integers(0, numbers, 60)
    outputs = Outputs([str(x) for x in said], [str(x) for x in truth])
    rows = draw.integers(0, 60, (50, 60))
    counts = np.stack([np.bincount(r, minlength=60) for r in rows]).astype(float)
    expected = [scipy.stats.spearmanr(said[r], truth[r])[0] for r in rows]
    assert METRICS.get("spearman").resampler(outputs)(counts) == pytest.approx(expected, abs=1e-12)


def test_spearman_by_counts_is_undefined_where_one_number_is_left():
    outputs = Outputs(["1", "2", "2"], ["1", "2", "3"])
    values = METRICS.get("spearman").resampler(outputs)(np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
    assert np.isnan(values).tolist() == [True, True, False]
    assert values[2] == 1.0


@given(ROWS)
def test_mse_is_sklearns(rows):
    predictions, targets = split(rows)
    expected = mean_squared_error([float(t) for t in targets], [float(p) for p in predictions])
    assert METRICS.get("mse")(predictions, targets) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("unreadable", ["banana", "about 3", "", "nan", "-inf", "1e999", "3,8"])
@pytest.mark.parametrize("name", ["pearson", "spearman", "mse"])
def test_whatever_cannot_be_read_counts_the_same_and_not_as_minus_one(name, unreadable):
    targets = ["0.0", "2.0", "5.0", "3.0"]
    metric = METRICS.get(name)
    value = metric([unreadable, "2.0", "4.8", "3.2"], targets)
    assert value == metric(["banana", "2.0", "4.8", "3.2"], targets)
    assert metric.points(value) < metric.points(metric(["-1.0", "2.0", "4.8", "3.2"], targets))  # T5's, and near 0.0


def test_an_unreadable_prediction_is_off_by_the_farther_end_of_the_range():
    mse = METRICS.get("mse")
    assert mse(["banana", "2.0"], ["1.0", "5.0"]) == (8.0**2 + 3.0**2) / 2  # from -3 to 9
    assert mse(["banana", "99.0"], ["1.0", "5.0"]) == (8.0**2 + 94.0**2) / 2  # which predictions do not change
    assert mse(["banana", "3.0"], ["3.0", "3.0"]) == 3.0**2 / 2  # nor is it right where all targets are one number
    assert mse(["banana"], ["0.0"]) == 1.0


def test_nothing_but_unreadable_predictions_is_the_worst_and_not_undefined():
    targets = [str(x) for x in range(6)]
    for name in ("pearson", "spearman"):
        assert METRICS.get(name)(["banana"] * 6, targets) < -0.8


HUNDREDTHS = st.integers(0, 500).map(lambda i: i / 100)
READ = st.lists(st.tuples(HUNDREDTHS, HUNDREDTHS, st.booleans()), min_size=3, max_size=12)


@pytest.mark.parametrize("name", ["pearson", "spearman", "mse"])
@given(rows=READ, near=st.booleans(), data=st.data())
@settings(max_examples=100)
def test_no_number_never_scores_better_than_a_number_in_the_range(name, rows, near, data):
    """A coefficient below 0 is no worse than 0: nothing was learned. The rows that are unreadable already vary too."""
    targets = [t for _, t, _ in rows]
    said = [str((t + p / 5) if near else p) for p, t, _ in rows]
    with_some = ["banana" if gone else text for text, (_, _, gone) in zip(said, rows, strict=True)]
    at = data.draw(st.integers(0, len(rows) - 1))
    width = max(targets) - min(targets) or abs(targets[0]) or 1.0
    number = data.draw(st.floats(min(targets) - width, max(targets) + width))
    metric, true = METRICS.get(name), [str(t) for t in targets]
    with_number = metric([*with_some[:at], repr(number), *with_some[at + 1 :]], true)
    without = metric([*with_some[:at], "banana", *with_some[at + 1 :]], true)
    if not math.isnan(with_number):
        worst = with_number if name == "mse" else max(with_number, 0.0)
        assert metric.points(without) <= metric.points(worst) + 1e-6


@given(rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), min_size=3, max_size=6))
@settings(max_examples=40)
def test_the_places_of_unreadable_predictions_are_the_worst_of_all_places(rows):
    """Against all ways to put them: at any place of the order for Spearman, at either end of the range for Pearson."""
    targets = [t for _, t, _ in rows]
    said = [None if gone else p for p, _, gone in rows]
    missing = [i for i, p in enumerate(said) if p is None]
    if len(missing) > 2 or len(set(targets)) == 1:
        return
    width = max(targets) - min(targets)
    ends = (min(targets) - width, max(targets) + width)
    places = [x / 2 for x in range(-1, 10)]
    for name, options, kind in (("pearson", ends, float), ("spearman", places, float)):
        metric = METRICS.get(name)
        tried = []
        for chosen in itertools.product(options, repeat=len(missing)):
            filled = [str(kind(p)) if p is not None else "" for p in said]
            for i, value in zip(missing, chosen, strict=True):
                filled[i] = str(kind(value))
            tried.append(metric(filled, [str(t) for t in targets]))
        found = metric(["banana" if p is None else str(kind(p)) for p in said], [str(t) for t in targets])
        lowest = min((r for r in tried if not math.isnan(r)), default=math.nan)
        if math.isnan(lowest):
            assert math.isnan(found) or found <= 0
        elif lowest >= 0 or name == "pearson":
            assert found == pytest.approx(lowest, abs=1e-9) or found < lowest
        else:
            assert found < 1e-9


def test_one_huge_prediction_does_not_make_the_correlation_undefined():
    value = METRICS.get("pearson")(["1e300", "2", "3"], ["5", "2", "3"])
    assert value == pytest.approx(scipy.stats.pearsonr([1e300 / 1e300, 2e-300, 3e-300], [5, 2, 3])[0])
    assert METRICS.get("mse")(["1e300"], ["5"]) == math.inf


@given(ROWS, st.floats(0.1, 10), st.floats(-100, 100))
def test_pearson_does_not_see_scale_and_offset(rows, scale, offset):
    predictions, targets = split(rows)
    moved = [repr(float(p) * scale + offset) for p in predictions]
    if len(set(predictions)) > 1 and len(set(targets)) > 1:
        pearson = METRICS.get("pearson")
        assert pearson(moved, targets) == pytest.approx(pearson(predictions, targets), abs=1e-6)


def test_a_single_example_has_no_correlation():
    assert math.isnan(METRICS.get("pearson")(["1"], ["2"]))
    assert math.isnan(METRICS.get("spearman")(["1"], ["2"]))


def test_spearman_sees_the_order_only():
    assert METRICS.get("spearman")(["1", "10", "100"], ["0.1", "0.2", "0.3"]) == pytest.approx(1.0)
    assert METRICS.get("pearson")(["1", "10", "100"], ["0.1", "0.2", "0.3"]) == pytest.approx(99 / 11988**0.5)


@pytest.mark.parametrize("name", ["pearson", "spearman", "mse"])
def test_a_target_that_is_no_number_is_an_error(name):
    with pytest.raises(ValueError) as error:
        METRICS.get(name)(["1.0"], ["high"])
    assert str(error.value) == f"{name} needs targets that are numbers. Got 'high'."


LIKELIHOODS = st.lists(st.tuples(st.floats(-50, 0), st.integers(1, 20)), min_size=1, max_size=20)


@given(LIKELIHOODS)
def test_perplexity_weighs_tokens_and_log_likelihood_weighs_examples(rows):
    nats, tokens = np.array([x for x, _ in rows]), np.array([n for _, n in rows])
    outputs = Outputs(["x"] * len(rows), ["y"] * len(rows), log_likelihood=nats, target_tokens=tokens)
    perplexity = METRICS.get("perplexity").compute(outputs)
    assert perplexity == pytest.approx(math.exp(-sum(nats) / sum(tokens)))
    assert perplexity >= 1.0
    assert METRICS.get("token_probability").compute(outputs) == pytest.approx(1 / perplexity)
    assert METRICS.get("log_likelihood").compute(outputs) == pytest.approx(sum(nats) / len(rows), abs=1e-9)
    assert METRICS.get("log_likelihood").scores(outputs).tolist() == nats.tolist()


def test_perplexity_of_a_uniform_guess_is_the_number_of_choices():
    nats, tokens = np.array([-2 * math.log(8), -math.log(8)]), np.array([2, 1])
    value = METRICS.get("perplexity")(["", ""], ["a", "b"], log_likelihood=nats, target_tokens=tokens)
    assert value == pytest.approx(8.0)


def test_an_impossible_target_has_infinite_perplexity():
    for nats in (-math.inf, -1e6):
        columns = {"log_likelihood": np.array([nats]), "target_tokens": np.array([1])}
        assert METRICS.get("perplexity")([""], ["a"], **columns) == math.inf


def test_likelihood_that_was_not_measured_is_nan():
    assert math.isnan(METRICS.get("perplexity")(["a"], ["a"]))
    assert math.isnan(METRICS.get("perplexity")(["a"], ["a"], log_likelihood=np.array([-1.0])))
    assert math.isnan(METRICS.get("log_likelihood")(["a"], ["a"]))


def test_less_perplexity_and_less_error_are_better():
    lower = {name for name in METRICS if not METRICS.get(name).higher_is_better}
    assert lower == {"perplexity", "mse"}
