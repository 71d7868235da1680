from __future__ import annotations

import pytest

from multitask.interference.results.learned import bounded_interval


@pytest.mark.parametrize(
    ("scores", "learned"),
    [
        ([79.0, 80.0, 81.0], True),
        ([50.0, 50.0, 50.0], False),  # exactly the baseline, as an answer that is always the same
        ([52.0, 53.0, 54.0], False),  # 400 rows do not show 3 points
        ([20.0, 140.0, 80.0], False),  # seeds of which some learned nothing
    ],
)
def test_without_the_baselines_answers_a_task_is_learned_if_it_is_clearly_above_it(scores, learned):
    low, high = bounded_interval(scores, 50.0, 400, (0.0, 100.0))
    assert (low > 0) is learned
    assert low < sum(scores) / 3 - 50.0 < high


def test_what_has_no_spread_at_all_has_no_interval():
    assert bounded_interval([80.0], 50.0, 400, (0.0, 100.0))[0] > 20  # of its examples alone
    assert bounded_interval([-0.5], -0.7, 400, (None, 0.0)) is None  # an error has no range, and one seed no spread
    assert bounded_interval([None, 60.0], 50.0, 400, (0.0, 100.0)) is None
    assert bounded_interval([], 50.0, 400, (0.0, 100.0)) is None
