"""Intervals, corrections and verdicts: against closed forms, brute force and simulation."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.interference.statistics.intervals import (
    Components,
    ContrastPart,
    Pool,
    components,
    detectable,
    estimate,
    quantile,
    seeds_to_halve,
    two_level_draws,
)
from multitask.interference.statistics.resampling import Units, seed_draws
from multitask.interference.statistics.verdicts import (
    TaskBootstrap,
    benjamini_hochberg,
    combine,
    delta_m,
    differing_units,
    discovery_levels,
    noise_floor,
    sign_flip,
    split_half,
    verdict_of,
)
from multitask.metrics.metric import METRICS, Metric
from multitask.metrics.outputs import Outputs

LIKELIHOOD = METRICS.get("log_likelihood")  # the mean of a column of numbers: data of any shape can be put into it


def numbers(values) -> list[Outputs]:
    """One Outputs a row of [S, N] whose log-likelihood is that row."""
    return [Outputs([""] * len(v), [""] * len(v), log_likelihood=np.asarray(v, dtype=float)) for v in values]


def bootstrap(values: dict, *, resamples: int = 2000, seed: int = 0) -> TaskBootstrap:
    return TaskBootstrap(LIKELIHOOD, {a: numbers(v) for a, v in values.items()}, resamples=resamples, seed=seed)


DELTA = {"joint": 1.0, "single": -1.0}


def effects(rng, seeds, examples, sd_seed, sd_example, sd_both):
    """[S, N] differences with known components of variance."""
    return (
        sd_seed * rng.standard_normal((seeds, 1))
        + sd_example * rng.standard_normal(examples)
        + sd_both * rng.standard_normal((seeds, examples))
    )


# --- one contrast


def test_components_are_those_of_the_analysis_of_variance():
    # a mean has closed forms: the usual mean squares of the two-way layout without replication
    seeds, examples = 4, 60
    x = effects(np.random.default_rng(0), seeds, examples, 0.3, 1.0, 2.0)
    found = components([bootstrap({"x": x}, resamples=40_000).part({"x": 1.0})])
    by_seed, by_example = x.mean(axis=1), x.mean(axis=0)
    rest = x - by_seed[:, None] - by_example + x.mean()
    residual = (rest**2).sum() / ((seeds - 1) * (examples - 1))
    assert found.seeds == pytest.approx(by_seed.var(ddof=1) / seeds, rel=1e-9)
    assert found.examples == pytest.approx(by_example.var(ddof=1) / examples, rel=0.03)
    assert found.residual == pytest.approx(residual / (seeds * examples), rel=0.03)
    assert (found.seeds_df, found.examples_df) == (3, pytest.approx(59))


def test_the_crossed_bootstrap_counts_the_residual_three_times():
    # Owen 2007: why V is not simply the variance of the draws
    x = effects(np.random.default_rng(1), 20, 60, 0.0, 0.0, 1.0)
    part = bootstrap({"x": x}, resamples=20_000).part({"x": 1.0})
    draws = two_level_draws([part], seed_draws(20, 20_000, 0))
    assert draws.var() / (1 / (20 * 60)) == pytest.approx(3, rel=0.15)
    assert components([part]).variance / (1 / (20 * 60)) == pytest.approx(1, rel=0.3)


def test_estimate_and_per_seed_are_plain_differences_of_scores():
    boot = bootstrap({"joint": [[-1.0, -2.0], [-3.0, -3.0]], "single": [[-2.0, -2.0], [-2.0, -3.0]]})
    found = boot.contrast(DELTA)
    assert found.per_seed == (0.5, -0.5)
    assert found.delta == 0.0
    assert (found.seeds, found.examples, found.undefined) == (2, 2, 0.0)
    assert boot.scores["joint"].tolist() == [-1.5, -3.0]


def test_a_half_width_is_the_root_of_both_components_each_with_its_own_t():
    parts = Components(seeds=4.0, examples=3.0, residual=1.0, seeds_df=4, examples_df=99, number=5)
    assert parts.variance == 6.0
    t4, t99 = scipy.stats.t.ppf(0.975, [4, 99])
    assert parts.half(0.05) == pytest.approx(math.sqrt(4 * t4**2 + 2 * t99**2))
    agreed = parts._replace(seeds=0.0)  # seeds that agree by chance: not below what the examples alone give
    assert agreed.variance == 3.0
    assert agreed.half(0.05) == pytest.approx(math.sqrt(3) * t99)


@given(
    seeds=st.integers(2, 6),
    shift=st.floats(-2, 2),
    sd=st.tuples(st.floats(0, 1), st.floats(0, 3), st.floats(0.1, 3)),
    key=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_p_interval_and_df_tell_the_same_story(seeds, shift, sd, key):
    x = shift + effects(np.random.default_rng(key), seeds, 40, *sd)
    found = bootstrap({"x": x}, resamples=200).contrast({"x": 1.0})
    assert found.low < found.delta < found.high
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    half = (found.high - found.low) / 2
    assert half == pytest.approx(scipy.stats.t.ppf(0.975, found.df) * found.se, rel=1e-6)
    assert seeds - 1 <= found.df * (1 + 1e-9)
    assert found.df <= 39 * (1 + 1e-9)
    seen = detectable(found.components, 0.05)  # 80 % of a noncentral t lie beyond the ends of the interval
    t = scipy.stats.t.ppf(0.975, found.df)
    assert scipy.stats.nct.sf(t, found.df, seen / found.se) == pytest.approx(0.8, abs=1e-6)
    ends = components([bootstrap({"x": x}, resamples=200).part({"x": 1.0})]).half(found.p)
    assert ends == pytest.approx(abs(found.delta), rel=1e-6)  # the interval at level p ends at 0


def test_a_contrast_turned_round_is_the_same_with_the_other_sign():
    rng = np.random.default_rng(2)
    boot = bootstrap({a: effects(rng, 3, 30, 1, 1, 1) for a in ("joint", "single")})
    one, other = boot.contrast(DELTA), boot.contrast({"joint": -1.0, "single": 1.0})
    assert (other.delta, other.low, other.high) == (-one.delta, -one.high, -one.low)
    assert (other.se, other.p, other.p_sign_flip) == (one.se, one.p, one.p_sign_flip)


def test_what_all_examples_share_with_both_arms_is_not_in_the_interval():
    # paired by example and by seed
    rng = np.random.default_rng(3)
    hard, lucky = 100 * rng.standard_normal(50), 100 * rng.standard_normal((4, 1))
    noise = rng.standard_normal((2, 4, 50))
    found = bootstrap({"joint": hard + lucky + noise[0], "single": hard + lucky + noise[1]}).contrast(DELTA)
    bare = bootstrap({"joint": noise[0], "single": noise[1]}).contrast(DELTA)
    assert (found.delta, found.se, found.p) == pytest.approx((bare.delta, bare.se, bare.p), rel=1e-6)


def test_one_seed_has_the_interval_of_its_examples():
    x = np.random.default_rng(4).standard_normal(200)
    found = bootstrap({"x": [x]}, resamples=20_000).contrast({"x": 1.0})
    expected = scipy.stats.t.interval(0.95, 199, loc=x.mean(), scale=x.std(ddof=1) / math.sqrt(200))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.005)
    assert found.df == pytest.approx(199)
    assert (found.seeds, found.p_sign_flip) == (1, None)


def test_seeds_that_differ_where_examples_do_not_have_the_interval_of_student():
    x = np.array([1.0, 2.0, 4.0])
    found = bootstrap({"x": np.repeat(x[:, None], 30, axis=1)}).contrast({"x": 1.0})
    expected = scipy.stats.t.interval(0.95, 2, loc=x.mean(), scale=x.std(ddof=1) / math.sqrt(3))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.df == pytest.approx(2)
    assert found.p == pytest.approx(scipy.stats.ttest_1samp(x, 0).pvalue)


def test_the_estimate_of_a_shift_moves_with_it():
    x = effects(np.random.default_rng(5), 3, 40, 1, 1, 1)
    one, other = (bootstrap({"x": v}).contrast({"x": 1.0}) for v in (x, x + 7.0))
    assert (other.delta, other.low, other.high) == pytest.approx((one.delta + 7, one.low + 7, one.high + 7))


# --- degenerate cases


def test_identical_outputs_have_no_difference_and_p_of_one():
    same = np.random.default_rng(0).standard_normal((3, 20))
    found = bootstrap({"joint": same, "single": same}).contrast(DELTA)
    assert (found.delta, found.low, found.high, found.se, found.p) == (0, 0, 0, 0, 1)
    assert detectable(found.components, 0.05) == 0.0
    assert found.p_sign_flip == 1.0
    assert verdict(found, q=1.0) == "equal"


def test_a_difference_without_any_variance_is_that_number():
    rng = np.random.default_rng(0)
    same = rng.standard_normal((3, 20))
    found = bootstrap({"joint": same + 2.0, "single": same}).contrast(DELTA)
    assert (found.delta, found.low, found.high) == pytest.approx((2, 2, 2))
    assert found.p == 0.0


def test_rounding_of_many_arms_is_no_effect():
    rng = np.random.default_rng(0)
    boot = bootstrap({a: 100 * rng.standard_normal((3, 20)) for a in "abc"})
    nothing = {"a": 0.1 + 0.2 - 0.3, "b": 1e-16}
    assert boot.contrast(nothing).p == 1.0


def test_a_metric_that_is_undefined_leaves_only_the_seeds_it_is_defined_for():
    x = [[1.0, 2.0, 3.0], [np.nan, 2.0, 3.0]]
    found = bootstrap({"x": x}).contrast({"x": 1.0})
    assert found[:7] == (None,) * 7
    assert found.per_seed[0] == 2.0
    assert math.isnan(found.per_seed[1])


def rare(share: float) -> TaskBootstrap:
    """A metric that is undefined on about `share` of the draws."""
    n = 40
    special = round(-math.log(share) / 1.0)  # a draw misses k given examples with probability (1 − k/n)^n ≈ e^−k
    mark = np.arange(n) < special

    def sums(outputs):
        return np.stack([outputs.log_likelihood, np.ones(n), mark], axis=-1)

    def of_sums(totals):
        return np.where(totals[..., 2] > 0, totals[..., 0] / totals[..., 1], np.nan)

    metric = Metric("rare", len, sums=sums, of_sums=of_sums, scale=1.0)
    values = np.random.default_rng(0).standard_normal((2, n))
    return TaskBootstrap(metric, {"x": numbers(values)}, resamples=4000, seed=0)


def test_draws_on_which_a_metric_is_undefined_are_counted_and_left_out():
    found = rare(0.02).contrast({"x": 1.0})
    assert 0.005 < found.undefined < 0.04
    assert found.low < found.delta < found.high


def test_a_metric_undefined_on_more_than_five_percent_of_draws_has_no_interval():
    found = rare(0.15).contrast({"x": 1.0})
    assert 0.05 < found.undefined < 0.25
    assert found.delta is not None
    assert (found.low, found.high, found.se, found.df, found.p, found.components) == (None,) * 6
    assert verdict_of(low=None, high=None, delta=found.delta, q=None, margin=1.0, seeds=2) is None


def test_what_was_not_measured_has_no_estimate():
    boot = TaskBootstrap(LIKELIHOOD, {"x": [Outputs(["a"] * 5, ["a"] * 5)] * 3}, resamples=50, seed=0)
    assert boot.contrast({"x": 1.0})[:7] == (None,) * 7


def test_an_infinite_score_is_undefined():
    perplexity = METRICS.get("perplexity")
    impossible = Outputs([""] * 4, [""] * 4, log_likelihood=np.full(4, -1e6), target_tokens=np.ones(4, dtype=int))
    found = TaskBootstrap(perplexity, {"a": [impossible], "b": [impossible]}, resamples=50, seed=0)
    assert found.contrast({"a": 1.0, "b": -1.0}).delta is None


def test_one_example_has_a_difference_but_no_interval():
    found = bootstrap({"x": [[1.0], [2.0]]}).contrast({"x": 1.0})
    assert (found.delta, found.low, found.p) == (1.5, None, None)


def test_seed_draws_of_another_shape_are_an_error():
    with pytest.raises(ValueError) as error:
        TaskBootstrap(
            LIKELIHOOD, {"x": numbers([[1.0, 2.0]])}, resamples=10, seed=0, seed_draws=np.zeros((10, 2), dtype=int)
        )
    assert str(error.value) == "seed_draws must have shape [R, S] = (10, 1). Got (10, 2)."


# --- several tasks


def test_a_mean_over_tasks_adds_their_examples_variance_and_shares_the_seeds():
    rng = np.random.default_rng(6)
    x, y = effects(rng, 5, 100, 1.0, 1.0, 1.0), effects(rng, 5, 80, 1.0, 2.0, 1.0)
    boots = [bootstrap({"x": v}, seed=i, resamples=20_000) for i, v in enumerate((x, y))]
    found = combine([(b, {"x": 1.0}, 0.5) for b in boots])
    one, other = (components([b.part({"x": 1.0})]) for b in boots)
    per_seed = (x.mean(axis=1) + y.mean(axis=1)) / 2
    assert found.per_seed == pytest.approx(per_seed)
    of_examples = (one.examples + other.examples) / 4
    of_residual = (one.residual + other.residual) / 4
    assert found.se**2 == pytest.approx(per_seed.var(ddof=1) / 5 + of_examples - of_residual, rel=1e-6)
    assert found.examples == 180


def test_tasks_that_go_up_and_down_with_a_seed_do_not_move_their_mean():
    lucky = np.array([[3.0], [-1.0], [-2.0]])
    noise = 0.01 * np.random.default_rng(7).standard_normal((2, 3, 50))
    up, down = bootstrap({"x": lucky + noise[0]}, seed=0), bootstrap({"x": noise[1] - lucky}, seed=1)
    assert combine([(up, {"x": 1.0}, 0.5), (down, {"x": 1.0}, 0.5)]).se < 0.01
    assert up.contrast({"x": 1.0}).se > 1


def test_combining_contrasts_of_one_task_is_their_contrast():
    rng = np.random.default_rng(8)
    boot = bootstrap({a: effects(rng, 4, 30, 1, 1, 1) for a in "abc"})
    whole = boot.contrast({"a": 1.0, "b": -0.5, "c": -0.5})
    parts = combine([(boot, {"a": 1.0, "b": -1.0}, 0.5), (boot, {"a": 1.0, "c": -1.0}, 0.5)])
    assert parts[:8] == pytest.approx(whole[:8], rel=1e-6)
    assert parts.examples == whole.examples


def test_tasks_with_other_draws_of_seeds_cannot_be_combined():
    one, other = bootstrap({"x": [[1.0, 2.0]]}), bootstrap({"x": [[1.0, 2.0]] * 2})
    with pytest.raises(ValueError, match=r"^tasks are combined over the same draws of the same seeds, but"):
        combine([(one, {"x": 1.0}, 1.0), (other, {"x": 1.0}, 1.0)])
    with pytest.raises(ValueError, match=r"^there is nothing to combine\.$"):
        combine([])


# --- corrections and verdicts


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30))
def test_q_values_are_scipys_of_those_that_have_a_p(p):
    q = benjamini_hochberg(p)
    assert [v is None for v in q] == [v is None for v in p]
    given_p = [v for v in p if v is not None]
    if given_p:
        expected = scipy.stats.false_discovery_control(given_p, method="bh")
        assert [v for v in q if v is not None] == pytest.approx(expected.tolist(), abs=1e-12)


def test_nan_is_no_member_of_the_family():
    assert benjamini_hochberg([math.nan, 0.02]) == [None, 0.02]


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=7))
def test_sign_flip_is_the_share_of_all_changes_of_sign(values):
    flips = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in product((1, -1), repeat=len(values))
    ]
    assert sign_flip(values) == np.mean([f >= abs(sum(values)) for f in flips])


@pytest.mark.parametrize(("seeds", "smallest"), [(3, 0.25), (5, 0.0625), (10, 0.001953125), (16, 2**-15)])
def test_the_smallest_sign_flip_p_is_two_to_the_one_minus_seeds(seeds, smallest):
    assert sign_flip(np.arange(1, seeds + 1) / 10) == smallest


def test_sign_flip_of_many_seeds_is_random_but_repeatable_and_near_the_normal_one():
    x = np.random.default_rng(0).standard_normal(40) + 0.3
    assert sign_flip(x) == sign_flip(x)
    z = abs(x.sum()) / math.sqrt((x**2).sum())
    assert sign_flip(x) == pytest.approx(2 * scipy.stats.norm.sf(z), abs=0.01)


def test_sign_flip_needs_two_defined_seeds():
    assert sign_flip([1.0]) is None
    assert sign_flip([1.0, math.nan]) is None


def verdict(found, q, margin=0.5):
    return verdict_of(low=found.low, high=found.high, delta=found.delta, q=q, margin=margin, seeds=found.seeds)


@pytest.mark.parametrize(
    ("low", "high", "q", "seeds", "expected"),
    [
        (0.1, 2.0, 0.05, 5, "gain"),
        (-2.0, -0.1, 0.01, 5, "loss"),
        (0.1, 2.0, 0.051, 5, "no evidence"),  # its own interval leaves 0 out, but not after correction
        (-0.1, 2.0, 0.01, 5, "no evidence"),
        (-0.5, 0.5, 0.9, 5, "equal"),
        (0.01, 0.4, 0.2, 5, "equal"),
        (0.01, 0.4, 0.01, 5, "gain"),  # small, but there
        (-0.51, 0.3, 0.9, 5, "no evidence"),
        (0.1, 2.0, 0.0, 1, None),  # one seed says nothing of training
        (None, None, None, 5, None),
    ],
)
def test_verdicts(low, high, q, seeds, expected):
    delta = None if low is None else (low + high) / 2
    assert verdict_of(low=low, high=high, delta=delta, q=q, margin=0.5, seeds=seeds) == expected


def test_the_noise_floor_is_a_standard_deviation():
    assert noise_floor([80.0, 82.0, 84.0]) == 2.0
    assert noise_floor([80.0]) is None
    assert noise_floor([80.0, math.nan]) is None


def test_split_half_is_one_without_noise_and_about_zero_of_noise_alone():
    rng = np.random.default_rng(0)
    effect = rng.standard_normal((40, 1))
    assert split_half(np.repeat(effect, 5, axis=1)) == pytest.approx(1.0)
    assert abs(np.mean([split_half(rng.standard_normal((30, 5))) for _ in range(30)])) < 0.1
    # variances: 1 of the effect, 1/2 of the mean of two seeds, 1/3 of three
    large = rng.standard_normal((4000, 1)) + rng.standard_normal((4000, 5))
    assert split_half(large) == pytest.approx(1 / math.sqrt(1.5 * (1 + 1 / 3)), abs=0.02)


def test_split_half_of_two_seeds_is_their_correlation():
    x = np.random.default_rng(1).standard_normal((10, 2))
    assert split_half(x) == pytest.approx(np.corrcoef(x.T)[0, 1])


def test_split_half_is_repeatable_and_has_at_most_a_hundred_splits(monkeypatch):
    for seeds in (10, 24):  # 126 and 1.3 million splits
        x = np.random.default_rng(2).standard_normal((6, seeds))
        expected, seen = split_half(x), []
        with monkeypatch.context() as patch:
            patch.setattr(np, "corrcoef", lambda a, b, seen=seen: seen.append(1) or np.eye(2))
            split_half(x)
        assert len(seen) == 100
        assert split_half(x) == expected


@pytest.mark.parametrize(
    "table",
    [
        np.ones((5, 1)),
        np.arange(6.0).reshape(2, 3),
        np.ones((5, 4)),
        [[1.0, 2.0], [3.0, math.nan], [2.0, 5.0]],
        np.empty((0, 3)),
        np.array([]),
    ],
)
def test_split_half_is_none_where_it_means_nothing(table):
    assert split_half(np.asarray(table)) is None


def test_delta_m_is_oriented_and_names_what_it_leaves_out():
    scores = {
        "sst2": (80.0, 76.0, True),  # −5 %
        "lm": (-20.0, -18.0, False),  # perplexity 20 → 18: +10 %
        "cola": (0.0, 10.0, True),
        "stsb": (-4.0, 10.0, True),
        "likelihood": (-2.0, -1.0, True),
        "zero": (-0.0, -1.0, False),
        "undefined": (math.nan, 3.0, True),
    }
    value, left_out = delta_m(scores)
    assert value == pytest.approx(2.5)
    assert left_out == ["cola", "stsb", "likelihood", "zero", "undefined"]
    assert delta_m({"cola": scores["cola"]}) == (None, ["cola"])


# --- simulation: the long form is benchmarks/interference_statistics.py


@pytest.mark.parametrize("sd_seed", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_a_planted_effect_at_about_their_rate(seeds, sd_seed):
    examples, studies, planted = 200, 300, 0.3
    rng = np.random.default_rng([seeds, int(100 * sd_seed)])
    arms = {i: numbers(planted + effects(rng, seeds, examples, sd_seed, 0.5, 0.5)) for i in range(studies)}
    boot = TaskBootstrap(LIKELIHOOD, arms, resamples=300, seed=0)
    found = [boot.contrast({i: 1.0}) for i in arms]
    covered = np.mean([f.low <= planted <= f.high for f in found])
    assert 0.92 <= covered <= 0.997  # 95 % ± 2.4 standard errors; above, because the interval is never too narrow


def test_without_an_effect_few_cells_get_a_verdict():
    rng = np.random.default_rng(0)
    tables, cells = 25, 12
    arms = {(t, c): numbers(effects(rng, 5, 150, 0.1, 0.3, 1.0)) for t in range(tables) for c in range(cells)}
    boot = TaskBootstrap(LIKELIHOOD, arms, resamples=200, seed=0)
    alarms = 0
    for t in range(tables):
        found = [boot.contrast({(t, c): 1.0}) for c in range(cells)]
        q = benjamini_hochberg([f.p for f in found])
        alarms += sum(verdict(f, q_) in ("gain", "loss") for f, q_ in zip(found, q, strict=True))
    assert alarms <= 0.05 * tables * cells / 2


def test_an_effect_of_the_detectable_size_is_found_in_about_four_of_five_studies():
    rng = np.random.default_rng(1)
    true_se = math.sqrt(0.2**2 / 5 + 0.5**2 / 200 + 1.0 / 1000)
    size = (quantile(4, 0.025) + quantile(4, 0.2)) * true_se
    arms = {i: numbers(size + effects(rng, 5, 200, 0.2, 0.5, 1.0)) for i in range(300)}
    boot = TaskBootstrap(LIKELIHOOD, arms, resamples=200, seed=0)
    found = [boot.contrast({i: 1.0}) for i in arms]
    assert 0.74 <= np.mean([f.p < 0.05 for f in found]) <= 0.9
    assert np.median([detectable(f.components, 0.05) for f in found]) == pytest.approx(size, rel=0.15)


def test_in_nats_nothing_is_equal():
    assert verdict_of(low=-0.001, high=0.001, delta=0.0, q=0.9, margin=None, seeds=5) == "no evidence"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 11))
def test_a_p_is_a_discovery_just_if_it_is_at_or_below_its_level(p, at):
    at %= len(p)
    level = discovery_levels(p)[at]
    for value in (level * (1 - 1e-9), min(1.0, level * (1 + 1e-9))):
        q = benjamini_hochberg([*p[:at], value, *p[at + 1 :]])
        assert (q[at] <= 0.05) is (value <= level)
    assert 0.05 / len(p) <= level * (1 + 1e-12)
    assert level <= 0.05 * (1 + 1e-12)


def test_what_is_no_member_of_a_family_has_the_level_that_it_would_have_as_one():
    assert discovery_levels([None, 0.001]) == pytest.approx([0.05, 0.05])
    assert discovery_levels([math.nan, 0.9]) == pytest.approx([0.025, 0.05])


def test_more_seeds_halve_what_is_seen_as_far_as_the_examples_let_them():
    of_seeds = Components(seeds=4.0, examples=0.01, residual=0.0, seeds_df=4, examples_df=999, number=5)
    seeds = seeds_to_halve(of_seeds, 0.05)
    assert seeds is not None
    assert 10 < seeds < 20  # 20 for the standard error; fewer, for Student's t falls too
    half = detectable(of_seeds, 0.05) / 2
    assert detectable(of_seeds.with_seeds(seeds), 0.05) <= half < detectable(of_seeds.with_seeds(seeds - 1), 0.05)
    assert seeds_to_halve(of_seeds._replace(examples=4.0), 0.05) is None
    assert seeds_to_halve(of_seeds._replace(number=1), 0.05) is None


def test_a_pool_steadies_the_variance_and_adds_degrees_of_freedom():
    x = [1.0, 2.0, 3.0]
    part = ContrastPart(np.array(x), np.tile(x, (10, 1)), 5, 5)
    pool = Pool(variance=4.0, df=6.0, contrasts=5)
    found = components([part], pool)
    assert found.seeds == pytest.approx((6 * 4.0 + 2 * 1.0) / 8 / 3)
    assert found.seeds_df == 8
    assert pool.moderate(1.0, 2) == (pytest.approx((6 * 4.0 + 1.0) / 7), 5.0)  # capped: 5 contrasts of 2 seeds
    assert Pool(4.0, math.inf, 5).moderate(1.0, 3) == (4.0, 10.0)
    assert found.with_seeds(6) == found._replace(seeds=found.seeds / 2, seeds_df=11, number=6)
    assert components([ContrastPart(np.array([1.0]), np.ones((10, 1)), 5, 5)], pool).seeds == 0.0  # of one seed


def test_rows_that_differ_are_those_that_the_metric_sees_otherwise_in_any_seed():
    def outputs(*texts, groups=()):
        return [Outputs(list(t), list("aaaa"), labels=("a", "b"), groups=groups) for t in texts]

    accuracy = METRICS.get("accuracy")
    assert differing_units(accuracy, [outputs("aaaa", "abaa"), outputs("abaa", "abbb")]) == 3
    assert differing_units(accuracy, [outputs("abab"), outputs("abab")]) == 0
    pairs = ["p", "p", "q", "q"]
    assert differing_units(accuracy, [outputs("aaaa", groups=pairs), outputs("bbaa", groups=pairs)]) == 1
    own = Metric("mine", len)  # it says nothing of rows, so predictions are compared
    assert differing_units(own, [outputs("aaaa"), outputs("aaba")]) == 1


@pytest.mark.parametrize("name", ["interference_statistics", "interference_belief"])
def test_the_benchmarks_run(name, tmp_path, capsys):
    path = Path(__file__).parents[3] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(["--quick", "--out", str(tmp_path / "result.json")])
    result = json.loads((tmp_path / "result.json").read_text())
    if name == "interference_belief":
        assert {r["way"] for r in result["moderation"]} == {"separate", "moderated"}
        assert [r["rule"] for r in result["looks"]] == ["8", "5", "4", "verdicts", "hopeless"]
        assert "Moderated and separate seed variances" in capsys.readouterr().out
        return
    assert [r["metric"] for r in result["speed"]] == ["accuracy", "mcc", "pearson", "jaccard", "spearman", "bleu"]
    assert result["alarms"][0]["cells"] == 40
    assert 0.0 <= result["coverage"][0]["coverage"] <= 1.0
    assert "Coverage of the 95 % interval" in capsys.readouterr().out
    # its truth is that of the world it draws from
    rng = np.random.default_rng(0)
    right = module.answers(rng, [1.0], 200, 8000, 0.5)
    assert 100 * right.mean() == pytest.approx(module.expected("accuracy", 1.0, 0.5), abs=1.5)  # 3 standard errors


def test_statistics_import_nothing_heavy():
    heavy = ["torch", "transformers", "datasets", "pandas", "matplotlib", "scipy", "pyarrow", "sacrebleu"]
    code = f"import sys, multitask.interference.statistics.verdicts; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parts_of_one_study_can_be_estimated_without_a_bootstrap_object():
    part = ContrastPart(np.array([1.0, 3.0]), np.tile([[1.0, 3.0]], (10, 1)), 5, 5)
    assert estimate([part]).delta == 2.0
    assert Units.of(Outputs(["a"], ["a"])).number == 1
