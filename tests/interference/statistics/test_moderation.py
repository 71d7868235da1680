from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import polygamma

from multitask.interference.statistics.intervals import Pool
from multitask.interference.statistics.moderation import inverse_trigamma, moderate, prior_degrees

SORTS = {"single": "single", "joint": "joint", **{f"pair {i}": "pair" for i in range(8)}}


def study(rng, tasks=6, pairs=5, seeds=3, sd=2.0, **other):
    """{task: {arm: [S]}} of equal noise, but for the sorts of arms that are given another sd."""
    arms = ["single", "joint", *(f"pair {i}" for i in range(pairs))]
    return {f"t{t}": {a: 50 + other.get(SORTS[a], sd) * rng.standard_normal(seeds) for a in arms} for t in range(tasks)}


def test_the_pool_is_the_residual_mean_square_of_arms_and_seeds():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 4)) + rng.standard_normal((5, 1)) + 3 * rng.standard_normal(4)
    arms = dict(zip(["single", "joint", "pair 0", "pair 1", "pair 2"], x, strict=True))
    pool = moderate({"t": arms}, dict.fromkeys(arms, "any")).pools["t"]
    residual = x - x.mean(1, keepdims=True) - x.mean(0) + x.mean()
    assert pool.variance == pytest.approx((residual**2).sum() / (4 * 3))  # of a two-way analysis of variance
    assert pool.arms == set(arms)
    found = pool.of({"joint": 1.0, "pair 0": -1.0, "pair 1": -1.0, "single": 1.0})
    assert found == Pool(pytest.approx(4 * pool.variance), pool.df, 4)
    assert pool.of({"joint": 1.0, "elsewhere": -1.0}) is None


@given(st.integers(0, 99), st.floats(-50, 50), st.sampled_from([0.5, 4.0]))
@settings(max_examples=20, deadline=None)
def test_what_all_arms_of_a_seed_share_changes_nothing_and_a_unit_scales_the_pool(key, shift, scale):
    made = study(np.random.default_rng(key), tasks=2)
    shared = shift * np.random.default_rng(key + 1).standard_normal(3)
    other = {t: {a: scale * (x + shared) for a, x in arms.items()} for t, arms in made.items()}
    plain, changed = moderate(made, SORTS), moderate(other, SORTS)
    assert changed.unlike == plain.unlike
    assert set(changed.pools) == set(plain.pools)
    for task, pool in plain.pools.items():
        assert changed.pools[task].variance == pytest.approx(scale**2 * pool.variance, rel=1e-6)
        assert changed.pools[task].df == pytest.approx(pool.df, rel=1e-6)


def test_few_arms_or_no_spread_or_one_seed_have_no_pool():
    rng = np.random.default_rng(0)
    assert moderate(study(rng, pairs=1), SORTS).pools == {}  # 3 arms a task
    assert moderate(study(rng, seeds=1), SORTS).pools == {}
    assert moderate({}, SORTS).pools == {}
    made = study(rng)
    made["t0"] = {arm: np.full(3, 100.0) for arm in made["t0"]}  # all right, always
    made["t1"]["joint"][1] = math.nan
    pools = moderate(made, SORTS).pools
    assert set(pools) == {"t1", "t2", "t3", "t4", "t5"}
    assert "joint" not in pools["t1"].arms


def test_a_sort_of_arms_that_varies_otherwise_keeps_its_own_variance():
    found = moderate(study(np.random.default_rng(1), single=8.0, seeds=5), SORTS)
    assert found.unlike == ("single",)
    pool = found.pools["t0"]
    assert "single" not in pool.arms
    assert pool.of({"pair 0": 1.0, "single": -1.0}) is None
    assert pool.of({"joint": 1.0, "pair 0": -1.0}) is not None
    assert moderate(study(np.random.default_rng(1), joint=0.3, seeds=5), SORTS).unlike == ("joint",)


def test_chance_alone_rarely_makes_a_sort_unlike():
    rng = np.random.default_rng(2)
    assert np.mean([bool(moderate(study(rng), SORTS).unlike) for _ in range(200)]) < 0.15


def test_the_weight_of_the_pool_falls_with_the_unlikeness_of_arms():
    rng = np.random.default_rng(3)
    sorts = dict.fromkeys(SORTS, "any")
    alike, unlike = [], []
    for _ in range(30):
        made = study(rng, seeds=5)
        alike.append(moderate(made, sorts).df)
        for arms in made.values():
            for arm, x in arms.items():
                arms[arm] = x.mean() + (x - x.mean()) * math.exp(rng.normal(0, 0.7))
        unlike.append(moderate(made, sorts).df)
    assert np.median(unlike) < 5 < np.median(alike)


def test_degrees_of_freedom_are_those_of_the_spread_and_a_standard_error():
    w = np.exp(np.array([1.0, -1.0, 0.5, -0.5, 0.0]))
    chance, spread = polygamma(1, 1.0), np.log(w).var(ddof=1)
    covariance = sum((1 / 16) ** k / k**2 for k in range(1, 60))  # Σ ρ^2k / k² for two degrees of freedom
    error = math.sqrt(polygamma(3, 1.0) / 5 + 2 * chance**2 / 4)
    expected = 2 * inverse_trigamma(spread - chance + covariance + error)
    assert prior_degrees([w], 2) == pytest.approx(expected, rel=1e-9)
    assert polygamma(1, inverse_trigamma(0.3)) == pytest.approx(0.3)


def test_variances_that_differ_by_chance_alone_weigh_the_more_the_more_there_are():
    logs = np.array([-1.2, -0.7, -0.2, 0.2, 0.7, 1.2])
    by_chance = np.exp(logs * math.sqrt(polygamma(1, 1.0) / logs.var(ddof=1)))
    few, more, many = (prior_degrees([by_chance] * tasks, 2) for tasks in (1, 6, 200))
    assert 1 < few < more < 10 < many
    assert prior_degrees([np.ones(6)] * 100, 20) == math.inf
