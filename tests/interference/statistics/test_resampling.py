"""Draws of examples: every metric's values on them against resamples written out, and what draws depend on."""

from __future__ import annotations

import numpy as np
import pytest

from multitask.interference.statistics.resampling import BLOCK, Units, _on_grid, score_draws, seed_draws
from multitask.metrics.metric import METRICS, Metric
from multitask.metrics.outputs import Outputs
from multitask.metrics.text import jaccard

WORDS = ("red", "blue", "green", "round", "square", "big", "small", "old", "new")


def outputs_for(name: str, seed: int, n: int = 24) -> Outputs:
    truth, said = np.random.default_rng(0), np.random.default_rng([1, seed])
    labels = ("False", "True") if name.startswith("multirc") else ("a", "b")
    columns = {}
    if name.startswith("multirc"):
        columns["groups"] = [f"q{i // 3}" for i in range(n)]
    if name in ("pearson", "spearman", "mse"):
        x = truth.integers(0, 10, n)
        targets, predictions = [str(v) for v in x], [str(v) for v in x + said.integers(0, 5, n)]
    elif METRICS.get(name).sums is not None and name in ("bleu", "chrf", "jaccard", "rouge_l"):
        texts = truth.choice(WORDS, (n, 7))
        targets = [" ".join(t) for t in texts]
        predictions = [" ".join(np.where(said.random(7) < 0.8, t, "other")) for t in texts]
    else:
        y = truth.integers(0, 2, n)
        targets = [labels[v] for v in y]
        predictions = [labels[v] for v in np.where(said.random(n) < 0.3, 1 - y, y)]
        columns["labels"] = labels
    likelihood = {"log_likelihood": -said.random(n), "target_tokens": truth.integers(1, 4, n)}
    return Outputs(predictions, targets, **columns, **likelihood)


ALL = [
    "accuracy",
    "f1",
    "f1_macro",
    "mcc",
    "multirc_em",
    "multirc_f1",
    "pearson",
    "spearman",
    "mse",
    "jaccard",
    "rouge_l",
    "bleu",
    "chrf",
    "perplexity",
    "log_likelihood",
]


@pytest.mark.parametrize("name", ALL)
def test_draws_are_the_metric_in_points_of_resamples_written_out(name):
    metric = METRICS.get(name)
    arms = {"single": [outputs_for(name, 0), outputs_for(name, 1)], "joint": [outputs_for(name, 2)] * 2}
    scores, draws, units = score_draws(metric, arms, resamples=20, seed=3)
    counts = np.concatenate(list(units.counts(20, 3)))
    sign = metric.scale * (1 if metric.higher_is_better else -1)
    for arm, outputs in arms.items():
        assert draws[arm].shape == (20, 2)
        for s, one in enumerate(outputs):
            assert scores[arm][s] == pytest.approx(sign * metric.compute(one), abs=1e-9)
            if name == "multirc_em":  # a question drawn twice is two; tests/metrics/test_metric.py has the rest
                expected = sign * metric.resampler(one)(counts)
            else:
                rows = [np.repeat(np.arange(len(one)), c.astype(int)) for c in counts]
                expected = [sign * metric.compute(one.take(r)) for r in rows]
            assert draws[arm][:, s] == pytest.approx(expected, abs=1e-9)
    assert (draws["joint"][:, 0] == draws["joint"][:, 1]).all()  # the same draw for all seeds


@pytest.mark.parametrize("name", ["mcc", "jaccard", "pearson", "log_likelihood"])
def test_draws_do_not_depend_on_the_other_arms_to_the_last_bit(name):
    metric = METRICS.get(name)
    arms = {i: [outputs_for(name, 10 * i + s, 300) for s in range(3)] for i in range(7)}
    together = score_draws(metric, arms, resamples=200, seed=5)[1]
    for arm in (0, 6):
        alone = score_draws(metric, {arm: arms[arm]}, resamples=200, seed=5)[1]
        assert together[arm].tobytes() == alone[arm].tobytes()
    assert score_draws(metric, arms, resamples=200, seed=6)[1][0].tobytes() != together[0].tobytes()


def test_a_draw_has_as_many_examples_as_there_are_and_each_equally_often():
    units = Units.of(Outputs(["a"] * 50, ["a"] * 50))
    counts = np.concatenate(list(units.counts(4000, 0)))
    assert counts.shape == (4000, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)  # 5 standard errors
    assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.03)  # binomial


def test_many_examples_are_drawn_in_blocks_that_fit_into_memory():
    units = Units.of(Outputs([""] * 300_000, [""] * 300_000))
    blocks = [block.shape for block in units.counts(7, 0)]
    assert blocks == [(3, 300_000), (3, 300_000), (1, 300_000)]
    assert BLOCK >= 3 * 300_000


def test_groups_are_drawn_as_a_whole():
    groups = ["p", "q", "p", None, "q", None, "p"]
    units = Units.of(Outputs([""] * 7, [""] * 7, groups=groups))
    assert (units.number, units.largest) == (4, 3)
    counts = np.concatenate(list(units.counts(200, 0)))
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, 1] == counts[:, 4]).all()
    assert (counts[:, 3] != counts[:, 5]).any()
    assert (counts[:, [0, 1, 3, 5]].sum(axis=1) == 4).all()


def test_seed_draws_are_uniform_and_repeatable():
    draws = seed_draws(5, 10_000, 0)
    assert draws.shape == (10_000, 5)
    assert np.bincount(draws.ravel()) == pytest.approx([10_000] * 5, rel=0.05)
    assert (draws == seed_draws(5, 10_000, 0)).all()
    assert (draws != seed_draws(5, 10_000, 1)).any()


def test_sums_on_the_grid_have_no_order():
    draw = np.random.default_rng(0)
    for scale in (1e-12, 1.0, 1e9):
        column = scale * draw.standard_normal(5000) ** 3
        counts = draw.integers(0, 5, 5000).astype(float)
        for part in _on_grid(column, 5 * 5000):
            total = float(counts @ part)
            for _ in range(5):
                order = draw.permutation(5000)
                assert float(np.add.reduce(counts[order] * part[order])) == total
                assert float(np.cumsum(counts[order] * part[order])[-1]) == total
        coarse, fine = _on_grid(column, 5 * 5000)
        assert np.abs(coarse + fine - column).max() <= 2**-60 * np.abs(column).max()


def test_addends_that_are_not_finite_stay_as_they_are():
    for bad in (np.inf, -np.inf, np.nan):
        coarse, fine = _on_grid(np.array([1.0, bad]), 10)
        assert coarse.tolist() == pytest.approx([1.0, bad], nan_ok=True)
        assert fine.tolist() == [0.0, 0.0]


def test_a_users_metric_is_computed_on_each_draw():
    mine = Metric("mine", lambda outputs: float(jaccard(outputs).mean()))
    arms = {"a": [outputs_for("jaccard", 0)]}
    slow, fast = (score_draws(m, arms, resamples=30, seed=0)[1]["a"] for m in (mine, METRICS.get("jaccard")))
    assert slow == pytest.approx(fast, abs=1e-9)


def test_labels_that_are_not_given_may_differ_between_models():
    arms = {"a": [Outputs(["x", "y", "y"], ["x", "y", "x"]), Outputs(["x", "z", "w"], ["x", "y", "x"])]}
    scores = score_draws(METRICS.get("mcc"), arms, resamples=5, seed=0)[0]["a"]
    assert scores == pytest.approx([100 * METRICS.get("mcc").compute(o) for o in arms["a"]])


TWO = Outputs(["a", "b"], ["a", "b"])


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({}, "an arm has one Outputs a seed; got an arm without any, or no arm."),
        ({"a": []}, "an arm has one Outputs a seed; got an arm without any, or no arm."),
        ({"a": [Outputs([], [])]}, "arm 'a' has no examples to draw from."),
        ({"a": [TWO], "b": [TWO, TWO]}, "arms are paired by seed, but 'a' has 1 and 'b' has 2."),
        (
            {"a": [TWO], "b": [TWO.take([1, 0])]},
            "arms are paired by example, but seed number 0 of 'b' has other targets or groups than 'a', or has them in "
            "another order.",
        ),
    ],
)
def test_arms_that_cannot_be_paired_are_an_error(arms, message):
    with pytest.raises(ValueError) as error:
        score_draws(METRICS.get("accuracy"), arms, resamples=2, seed=0)
    assert str(error.value) == message
