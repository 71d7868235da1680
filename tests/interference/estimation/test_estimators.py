"""Estimators on numbers that can be worked out, and how an estimate is compared and corrected."""

from __future__ import annotations

import numpy as np
import pytest

from multitask.interference.estimation import agreement, probes
from multitask.interference.estimation.confirm import choose_pairs, refit
from multitask.interference.estimation.matrix import EstimatedMatrix, stack
from multitask.interference.estimation.refit import Features, features, refitted
from multitask.runs.conflict_file import Conflict

NAN = float("nan")
TASKS = ("a", "b", "c", "d")


def matrix(values, spread=0.0) -> EstimatedMatrix:
    values = np.array(values, float)
    values = values if values.ndim == 3 else values[None]
    return stack(TASKS[: values.shape[1]], "test", "points", [(v, np.full_like(v, spread)) for v in values])


def graded(seed: int = 0, n: int = 4) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(n, n))
    np.fill_diagonal(found, NAN)
    return found


# ---- the matrix ------------------------------------------------------------------------------------------------------


def test_an_interval_over_seeds_is_students_t_and_of_one_seed_that_of_its_probes():
    two = matrix([[[0, 1.0], [2, 0]], [[0, 3.0], [2, 0]]])
    low, high = two.interval()
    assert two.mean[0, 1] == 2
    assert high[0, 1] - 2 == pytest.approx(12.706, abs=1e-3)  # t with 1 degree of freedom × sd √2 / √2
    assert (low[1, 0], high[1, 0]) == (2, 2)
    low, high = matrix([[0, 1.0], [2, 0]], spread=0.5).interval()
    assert (low[0, 1], high[0, 1]) == pytest.approx((1 - 0.98, 1 + 0.98), abs=1e-3)
    assert np.isnan(low[0, 0])


def test_two_seeds_that_agree_by_chance_are_as_unsure_as_their_examples():
    low, high = matrix([[[0, 1.0], [2, 0]]] * 2, spread=0.5).interval()
    assert high[0, 1] - low[0, 1] == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(2), abs=1e-3)


# ---- probes ----------------------------------------------------------------------------------------------------------


def conflict(own_steps, look_ahead, before) -> Conflict:
    k, n = np.shape(before)
    blank = np.zeros((k, n + 3, n))
    gramians = np.tile(np.eye(2 * n), (k, 1, 1, 1))
    return Conflict(
        TASKS[:n], ("all",), 10, np.arange(k), gramians, blank, np.array(own_steps), np.array(before),
        np.array(before), np.array(look_ahead),
    )  # fmt: skip


def test_attribution_is_what_companions_saved_over_the_steps_that_the_probes_stand_for():
    # Row of a half: its task; column: whose loss. b's two halves lower a's loss by 0.01 + 0.03 in the first probe.
    first = [[0, 0], [0, 0], [-0.01, 0], [-0.03, 0]]
    second = [[0, 0.02], [0, 0], [0, 0], [0, 0]]
    found = conflict([first, second], np.zeros((2, 2, 2)), np.ones((2, 2)))
    values, errors = probes.attribution(found)
    assert values[0, 1] == pytest.approx(20 * 0.02)  # a with b: helped; mean of 0.04 and 0, times 2 probes of every 10
    assert values[1, 0] == pytest.approx(20 * -0.01)  # b with a: hurt
    assert errors[0, 1] == pytest.approx(20 * np.std([0.04, 0], ddof=1) / np.sqrt(2))


def test_look_ahead_is_the_share_of_the_loss_that_a_step_on_another_task_saved():
    looks = np.array([[[1.0, 3.0], [1.8, 2.0]]])
    values, _ = probes.look_ahead(conflict(np.zeros((1, 4, 2)), looks, [[2.0, 4.0]]))
    assert values[0, 1] == pytest.approx(1 - 1.8 / 2)  # a's loss after a step on b
    assert values[1, 0] == pytest.approx(1 - 3 / 4)


# ---- the refit at a model --------------------------------------------------------------------------------------------


def test_margins_are_log_odds_and_their_slopes_the_gradients():
    margins, slopes = features(np.array([np.log(2)]), np.array([[1.0, 0.0]]))
    assert margins[0] == pytest.approx(0)  # p = 1/2
    assert slopes[0].tolist() == pytest.approx([-2, 0])


def test_a_refit_finds_who_shares_a_direction_and_who_pulls_the_other_way():
    draw = np.random.default_rng(0)

    def task(direction) -> Features:
        def rows():
            return np.array(direction) + draw.normal(0, 0.05, (30, 3))

        return Features(np.zeros(30), rows(), np.zeros(30), rows())

    same, alike, against, apart = task([1, 0, 0]), task([1, 0, 0]), task([-1, 0, 0]), task([0, 0, 1])
    values, errors = refitted([same, alike, against, apart])
    assert values[0, 1] > values[0, 3] > values[0, 2]
    assert values[0, 2] < 0
    assert (errors[0, 1:] > 0).all()
    assert np.isnan(values[0, 0])


# ---- agreement -------------------------------------------------------------------------------------------------------


def test_a_matrix_agrees_with_itself_and_any_growing_function_of_it():
    truth = graded()
    for same in (truth, np.exp(truth), 3 * truth + 1):
        assert agreement.pooled(same, truth) == pytest.approx(1)
        assert agreement.within(same, truth) == pytest.approx(1)
    assert agreement.pooled(-truth, truth) == pytest.approx(-1)
    assert agreement.regret(TASKS, truth, truth) == 0


def test_within_a_target_a_shift_of_the_target_counts_for_nothing():
    truth = graded()
    shifted = truth + np.array([[100.0], [0], [-50], [7]])
    assert agreement.within(shifted, truth) == pytest.approx(1)
    assert agreement.pooled(shifted, truth) < 0.95


def test_a_constant_estimate_has_no_rank_and_signs_are_scored_for_both():
    truth = graded()
    assert np.isnan(agreement.pooled(np.ones((4, 4)), truth))
    assert agreement.sign_f1(truth, truth) == 1
    assert agreement.sign_f1(np.abs(truth), truth) < 0.7  # all gains: F1 of losses is 0
    assert np.isnan(agreement.sign_f1(truth, truth, least=1e6))


def test_the_ceiling_is_near_1_where_seeds_agree_and_0_where_they_are_noise():
    truth, draw = graded(n=6), np.random.default_rng(1)
    steady = np.stack([truth + draw.normal(0, 0.05, truth.shape) for _ in range(4)])
    assert agreement.ceiling(steady) > 0.97
    noise = np.stack([graded(seed, 6) for seed in range(10, 16)])
    assert agreement.ceiling(noise) < 0.6
    assert np.isnan(agreement.ceiling(steady[:1]))


def test_a_wrong_estimate_has_regret():
    truth = np.array([[NAN, 5, -5], [5, NAN, -5], [-5, -5, NAN]], float)
    assert agreement.regret(TASKS[:3], -truth, truth, limit=2) > 0


# ---- confirming ------------------------------------------------------------------------------------------------------


def test_large_and_uncertain_pairs_are_trained_first():
    values = np.full((4, 4), 0.1)
    values[2, 3], values[0, 1] = -9.0, 4.0
    found = matrix(values)
    pairs = choose_pairs(found, 6, groups=1)  # one group: nothing hangs on any pair
    assert pairs[:2] == [(2, 3), (0, 1)]
    assert len(choose_pairs(found, 99, groups=1)) == 6
    spread = np.zeros((4, 4))
    spread[1, 2] = 20.0
    unsure = stack(TASKS, "test", "points", [(values, spread)])
    assert choose_pairs(unsure, 1, groups=1) == [(1, 2)]


def test_a_pair_on_which_the_grouping_hangs_comes_before_a_larger_one():
    values = np.array([[NAN, 0.2, -8, -8], [0.2, NAN, -8, -8], [-8, -8, NAN, 5], [-8, -8, 5, NAN]])
    spread = np.zeros((4, 4))
    spread[0, 1] = spread[1, 0] = 1.0  # apart or together?
    found = stack(TASKS, "test", "points", [(values, spread)])
    assert choose_pairs(found, 1, groups=3) == [(0, 1)]


def test_confirmed_pairs_stand_as_measured_and_the_others_follow_them():
    truth = graded()
    estimate = matrix(np.nan_to_num(truth / 10))  # right but for its unit
    known = np.full((4, 4), NAN)
    for i, j in ((0, 1), (1, 2), (0, 3)):
        known[i, j], known[j, i] = truth[i, j], truth[j, i]
    found = refit(estimate, known, known - 0.5, known + 0.5)
    assert found.slope == pytest.approx(10)
    assert found.agreement == pytest.approx(1)
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(found.values[off], truth[off], atol=1e-8)
    assert found.low[0, 1] == truth[0, 1] - 0.5


def test_pairs_that_deny_the_estimate_leave_the_others_at_their_mean():
    truth = graded()
    known = np.full((4, 4), NAN)
    for i, j in ((0, 1), (1, 2), (0, 3), (2, 3)):
        known[i, j], known[j, i] = truth[i, j], truth[j, i]
    found = refit(matrix(np.nan_to_num(-truth)), known, known, known)
    assert found.slope == 0
    assert np.isfinite(found.values[1, 3])


def test_of_one_probe_the_error_is_not_known_and_there_is_no_interval():
    found = conflict(np.ones((1, 4, 2)), np.ones((1, 2, 2)), np.ones((1, 2)))
    values, errors = probes.attribution(found)
    assert np.isnan(errors).all()
    low, _ = stack(TASKS[:2], "test", "nats an example", [(values, errors)]).interval()
    assert np.isnan(low).all()
    two = stack(TASKS[:2], "test", "nats an example", [(values, errors), (values + 1, errors)])
    assert np.isfinite(two.interval()[0][0, 1])
