import json
import math
import pickle
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.mixing.plan import FORMAT, MixingPlan, phase, planned
from multitask.mixing.schedule import Ramp, RateSchedule

NAMES = ("span", "sst2", "stsb", "rte", "mnli")

fractions = st.fractions(min_value=0, max_value=9, max_denominator=200)
ramps = st.dictionaries(st.integers(0, 40), fractions, min_size=1, max_size=4).map(
    lambda knots: Ramp(tuple(sorted(knots.items())))
)
per_steps = st.one_of(fractions, ramps)


@st.composite
def plans(draw):
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    sizes = {name: draw(st.integers(1, 400)) for name in names}
    return MixingPlan(sizes, {name: draw(per_steps) for name in names}, draw(st.integers(-5, 5)))


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[t], other[t]) for t in one)


def phi(seed, task):
    return Fraction(phase(seed, task), 2**64)


seeds = st.integers(-(2**70), 2**70)


@given(b=fractions, k=st.integers(0, 10**12), seed=seeds, task=st.text(min_size=1, max_size=8))
def test_a_count_is_the_floor_of_steps_times_b_plus_the_phase(b, k, seed, task):
    count = MixingPlan({task: 5}, {task: b}, seed).count(task, k)
    assert isinstance(count, int)
    assert count == math.floor(k * b + phi(seed, task))
    assert -1 < k * b - count < 1


@given(b=ramps, k=st.integers(0, 60), seed=seeds)
def test_a_count_under_a_schedule_is_the_floor_of_the_sum_so_far_plus_the_phase(b, k, seed):
    plan = MixingPlan({"t": 5}, {"t": b}, seed)
    total = sum((plan.per_step_at("t", j) for j in range(k)), Fraction(0))
    assert plan.count("t", k) == math.floor(total + phi(seed, "t"))


@given(b=st.integers(0, 300), k=st.integers(0, 10**9), seed=seeds)
def test_a_whole_number_of_examples_a_step_has_no_phase(b, k, seed):
    plan = MixingPlan({"t": 5}, {"t": b}, seed)
    assert plan.count("t", k) == k * b
    assert {task: len(rows) for task, rows in plan.step(k).items()} == ({"t": b} if b else {})


def test_phases_are_uniform_and_independent_of_one_another():
    drawn = np.array([[float(phi(seed, f"task {t}")) for t in range(200)] for seed in range(50)])
    assert ((drawn >= 0) & (drawn < 1)).all()
    assert len(np.unique(drawn)) == drawn.size
    assert abs(drawn.mean() - 0.5) < 4 * math.sqrt(1 / 12 / drawn.size)
    assert abs(drawn.var() - 1 / 12) < 0.003
    # Neither neighbouring seeds nor neighbouring names have something in common.
    for a, b in ((drawn[1:], drawn[:-1]), (drawn[:, 1:], drawn[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.05


def step_sizes(tasks, b, seed, steps):
    plan = MixingPlan(dict.fromkeys(tasks, 50), dict.fromkeys(tasks, b), seed)
    return np.diff([sum(plan.count(t, k) for t in tasks) for k in range(steps + 1)])


@pytest.mark.parametrize(("n", "batch_size"), [(29, 64), (256, 64), (100, 150), (12, 5)])
def test_tasks_of_equal_rate_do_not_march_in_step(n, batch_size):
    """The variance of a step's size is that of n independent phases, n·f(1−f): together they had n²·f(1−f)."""
    b = Fraction(batch_size, n)
    f = b % 1
    names = [f"task {i}" for i in range(n)]
    variances = [step_sizes(names, b, seed, b.denominator).var() for seed in range(40)]
    assert 0.75 < np.mean(variances) / (n * float(f * (1 - f))) < 1.33


@given(n=st.integers(2, 60), batch_size=st.integers(1, 90), seed=seeds)
@settings(deadline=None, max_examples=50)
def test_a_steps_size_varies_like_independent_phases(n, batch_size, seed):
    b = Fraction(batch_size, n)
    f = float(b % 1)
    sizes = step_sizes([f"task {i}" for i in range(n)], b, seed, b.denominator)
    assert sizes.sum() == batch_size * b.denominator
    # Two phases at b = 1/2 may fall together: the bound leaves room for what has a chance of one in a million.
    assert sizes.std() <= 6 * math.sqrt(n * f * (1 - f)) + 1e-9


@given(n=st.integers(100, 300), batch_size=st.integers(48, 96), seed=seeds)
@settings(deadline=None, max_examples=25)
def test_no_step_of_many_rare_tasks_is_empty(n, batch_size, seed):
    """A step is empty with a probability of (1−b)^n ≤ e^−B: at B = 48, over all steps of 25 plans, below 1e−17."""
    b = Fraction(batch_size, n)
    assert step_sizes([f"task {i}" for i in range(n)], b, seed, b.denominator).min() > 0


@given(b=per_steps, k=st.integers(0, 100))
def test_counts_never_fall(b, k):
    plan = MixingPlan({"t": 5}, {"t": b})
    assert plan.count("t", 0) == 0
    assert plan.count("t", k) <= plan.count("t", k + 1)


@given(plan=plans(), k=st.integers(0, 50))
@settings(deadline=None)
def test_steps_are_consecutive_pieces_of_the_streams(plan, k):
    steps = [plan.step(j) for j in range(k)]
    for task in plan.tasks:
        seen = [row for step in steps for row in step.get(task, [])]
        assert seen == plan.rows(task, 0, plan.count(task, k)).tolist()
    assert all(len(rows) for step in steps for rows in step.values())


@given(plan=plans(), k=st.integers(0, 10**15))
@settings(deadline=None)
def test_a_step_is_from_one_count_to_the_next(plan, k):
    step = plan.step(np.int64(k))
    for task in plan.tasks:
        begin, end = plan.count(task, k), plan.count(task, k + 1)
        assert step.get(task, np.zeros(0)).tolist() == plan.rows(task, begin, end).tolist()


@given(plan=plans())
@settings(deadline=None)
def test_every_epoch_of_every_task_holds_every_row_once(plan):
    for task, size in plan.sizes.items():
        rows = plan.rows(task, 0, 3 * size).reshape(3, size)
        assert np.array_equal(np.sort(rows, axis=1), np.tile(np.arange(size), (3, 1)))


@given(plan=plans(), data=st.data(), k=st.integers(0, 1000))
@settings(deadline=None)
def test_a_task_sees_the_same_rows_at_the_same_steps_whatever_its_companions(plan, data, k):
    kept = data.draw(st.lists(st.sampled_from(plan.tasks), min_size=1, unique=True))
    alone = plan.restrict(kept)
    assert alone.tasks == tuple(sorted(kept))
    assert same(alone.step(k), {t: rows for t, rows in plan.step(k).items() if t in kept})
    # The restriction is the plan that one would have made without the others.
    assert alone == MixingPlan({t: plan.sizes[t] for t in kept}, {t: plan.per_step[t] for t in kept}, plan.seed)


@given(plan=plans(), ks=st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
@settings(deadline=None)
def test_a_step_does_not_depend_on_what_was_asked_before(plan, ks):
    forwards = [plan.step(k) for k in ks]
    again = MixingPlan.from_dict(plan.to_dict())
    backwards = [again.step(k) for k in reversed(ks)][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards, strict=True))


@given(plan=plans(), random=st.randoms(use_true_random=False), k=st.integers(0, 100))
@settings(deadline=None)
def test_the_order_in_which_tasks_are_given_does_not_matter(plan, random, k):
    names = list(plan.tasks)
    random.shuffle(names)
    other = MixingPlan({t: plan.sizes[t] for t in names}, {t: plan.per_step[t] for t in reversed(names)}, plan.seed)
    assert other == plan
    assert other.fingerprint() == plan.fingerprint()
    assert hash(other) == hash(plan)
    assert list(other.step(k)) == list(plan.step(k)) == sorted(plan.step(k))
    assert same(other.step(k), plan.step(k))


@given(plan=plans())
def test_a_plan_survives_json_and_pickle_exactly(plan):
    back = MixingPlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert back == plan
    assert back.fingerprint() == plan.fingerprint()
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_whatever_changes_the_steps_changes_the_fingerprint():
    plans = [
        MixingPlan({"a": 5, "b": 5}, {"a": 1, "b": 2}),
        MixingPlan({"a": 5, "b": 5}, {"a": 1, "b": 2}, seed=1),
        MixingPlan({"a": 6, "b": 5}, {"a": 1, "b": 2}),
        MixingPlan({"a": 5, "b": 5}, {"a": 1, "b": "5/2"}),
        MixingPlan({"a": 5, "b": 5}, {"a": 1, "b": Ramp(((0, 2), (9, 3)))}),
        MixingPlan({"a": 5, "c": 5}, {"a": 1, "c": 2}),
        MixingPlan({"a": 5}, {"a": 1}),
    ]
    assert len({plan.fingerprint() for plan in plans}) == len(set(plans)) == len(plans)


def test_seeds_give_different_orders():
    orders = [MixingPlan({"a": 100}, {"a": 10}, seed).rows("a", 0, 100).tolist() for seed in range(20)]
    assert len({tuple(order) for order in orders}) == 20


def test_examples_per_step_may_be_written_as_numbers_or_fractions():
    plan = MixingPlan(dict.fromkeys("abcd", 9), {"a": 1 / 3, "b": "1/3", "c": Fraction(1, 3), "d": Ramp(((0, "1/3"),))})
    assert set(plan.per_step.values()) == {Fraction(1, 3)}
    assert [plan.count("a", k) for k in (3, 6, 3 * 10**9)] == [1, 2, 10**9]


def test_the_mappings_given_are_copied():
    sizes = {"a": 5}
    plan = MixingPlan(sizes, {"a": 1})
    sizes["a"] = 7
    assert plan.sizes == {"a": 5}


@given(
    sizes=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 10**6), min_size=1),
    batch_size=st.integers(1, 512),
    k=st.integers(0, 10**6),
)
@settings(deadline=None)
def test_a_plain_run_gives_the_batch_size_on_average(sizes, batch_size, k):
    total = sum(sizes.values())
    plan = MixingPlan.from_rates(sizes, {t: n / total for t, n in sizes.items()}, batch_size)
    # The floats stand for the fractions that they were computed from.
    assert plan.per_step == {t: Fraction(batch_size * n, total) for t, n in sizes.items()}
    given_ = sum(plan.count(t, k) for t in plan.tasks)
    assert abs(given_ - k * batch_size) < len(sizes)


def test_rates_are_relative():
    sizes = {"a": 50, "b": 50}
    assert MixingPlan.from_rates(sizes, {"a": 3, "b": 1}, 8) == MixingPlan(sizes, {"a": 6, "b": 2})


def test_a_schedule_moves_the_shares():
    rates = RateSchedule.over(100, [(0, {"a": 1, "b": 0}), (1, {"a": 0, "b": 1})])
    plan = MixingPlan.from_rates({"a": 1000, "b": 1000}, rates, batch_size=10)
    assert plan.step(0).keys() == {"a"}
    assert len(plan.step(0)["a"]) == 10
    assert plan.step(100).keys() == {"b"}
    assert plan.per_step_at("a", 25) == Fraction(15, 2)
    # b: 0.1 + 0.2 + … + 9.9
    assert (plan.count("a", 100), plan.count("b", 100)) == (505, 495)


def test_a_schedule_that_never_changes_is_a_constant_rate():
    sizes, rates = {"a": 50, "b": 50}, {"a": 1, "b": 2}
    constant = RateSchedule.over(100, [(0, rates), (1, rates)])
    assert MixingPlan.from_rates(sizes, constant, 8) == MixingPlan.from_rates(sizes, rates, 8)


def test_a_task_with_less_than_one_example_a_step_is_left_out_of_most_steps():
    plan = MixingPlan({"a": 5, "rare": 5}, {"a": 2, "rare": Fraction(2, 5)})
    assert ["rare" in plan.step(k) for k in range(10)] == [k in (1, 3, 6, 8) for k in range(10)]


def test_a_task_with_rate_zero_is_in_no_step():
    plan = MixingPlan({"a": 5, "never": 5}, {"a": 1, "never": 0})
    assert all(plan.step(k).keys() == {"a"} for k in range(20))


def test_a_single_row_is_repeated():
    plan = MixingPlan({"a": 1}, {"a": 3})
    assert plan.step(7)["a"].tolist() == [0, 0, 0]
    assert plan.epochs("a", 7) == 21


def test_huge_tasks_and_late_steps_answer_at_once():
    plan = MixingPlan(
        {"huge": 10**12, "ramp": 2**40, "small": 3},
        {"huge": 1 / 3, "ramp": Ramp(((0, 0), (10**9, 64))), "small": 16},
    )
    began = time.perf_counter()
    step = plan.step(10**9 + 1)
    assert time.perf_counter() - began < 0.1
    assert plan.count("huge", 10**9) == 10**9 // 3
    assert plan.count("ramp", 10**9 + 1) == 32 * (10**9 + 1)
    assert {task: len(rows) for task, rows in step.items()} == {"ramp": 64, "small": 16}
    assert len(plan.step(10**9)["huge"]) == 1
    assert 0 <= step["ramp"].min() < step["ramp"].max() < 2**40


def test_golden_steps():
    """Frozen: a change here changes what every run and every study has trained on."""
    plan = MixingPlan({"span": 27_480, "sst2": 67_349, "rte": 6}, {"span": 3, "sst2": 2.5, "rte": "1/3"}, seed=1)
    assert {task: rows.tolist() for task, rows in plan.step(0).items()} == {
        "span": [22243, 1188, 13808],
        "sst2": [50772, 24918],
    }
    assert [len(plan.step(k)["sst2"]) for k in range(6)] == [2, 3, 2, 3, 2, 3]
    assert ["rte" in plan.step(k) for k in range(6)] == [False, False, True, False, False, True]
    assert plan.step(2)["rte"].tolist() == [0]
    assert {task: rows.tolist() for task, rows in plan.step(20_000).items()} == {
        "rte": [1],
        "span": [9714, 13387, 9261],
        "sst2": [11399, 15079],
    }
    assert plan.fingerprint() == "f1fbdb0a41033799297e6ce5ea2257f986a56f2246e8e6a6c8c163ef2a6f9fc4"
    ramp = MixingPlan({"a": 5, "b": 9}, {"a": Ramp(((0, 1), (10, "1/2"))), "b": 1})
    assert json.dumps(ramp.to_dict()) == (
        '{"format": 2, "seed": 0, "tasks": {"a": {"size": 5, "per_step": [[0, "1"], [10, "1/2"]]}, '
        '"b": {"size": 9, "per_step": "1"}}}'
    )


def test_planned_is_the_table_of_the_mixture():
    plan = MixingPlan({"b": 50, "a": 1000}, {"a": 2.5, "b": 7.5})
    rows = planned(plan, 33)
    assert [row._asdict() for row in rows] == [
        {"task": "a", "size": 1000, "rate": 0.25, "examples": 82, "epochs": 0.082},
        {"task": "b", "size": 50, "rate": 0.75, "examples": 247, "epochs": 4.94},
    ]


def test_planned_rate_is_the_mean_over_a_schedule():
    rates = RateSchedule.over(100, [(0, {"a": 1, "b": 0}), (1, {"a": 0, "b": 1})])
    plan = MixingPlan.from_rates({"a": 1000, "b": 1000}, rates, batch_size=10)
    assert [row.rate for row in planned(plan, 100)] == [0.505, 0.495]
    assert [row.examples for row in planned(plan, 100)] == [505, 495]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MixingPlan({}, {}), "a plan needs one or more tasks. Got none."),
        (
            lambda: MixingPlan({"a": 0}, {"a": 1}),
            "Task 'a' has 0 training examples; a mixture needs one or more.",
        ),
        (
            lambda: MixingPlan({"a": 1}, {"a": -0.5}),
            "the examples per step of 'a' must be 0 or more. Got -0.5.",
        ),
        (
            lambda: MixingPlan({"a": 1}, {"a": "many"}),
            "the examples per step of 'a' must be a number or a fraction. Got 'many'.",
        ),
        (
            lambda: MixingPlan({"a": 1}, {"a": math.nan}),
            "the examples per step of 'a' must be a number or a fraction. Got nan.",
        ),
        (lambda: MixingPlan.from_rates({"a": 1}, {"a": 1}, 0), "the batch size must be 1 or more. Got 0."),
        (lambda: planned(MixingPlan({"a": 1}, {"a": 1}), 0), "the number of steps must be 1 or more. Got 0."),
        (
            lambda: MixingPlan.from_dict({"format": 9}),
            "this plan has format 9, this version reads 2, which gives other examples at a step; continue the run with "
            "the version that began it.",
        ),
        (
            lambda: MixingPlan.from_dict({"format": FORMAT, "seed": 0}),
            "this stored plan is damaged ('tasks'); write it again with `to_dict`.",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MixingPlan({"a": 1, "b": 1}, {"a": 1}),
            "sizes and per_step must name the same tasks. Only one of them has b.",
        ),
        (lambda: MixingPlan({"a": 2**63}, {"a": 1}), "task 'a' has 9223372036854775808 rows; a plan can address 2^62."),
        (
            lambda: MixingPlan({"sst2": 1}, {"sst2": 1}).restrict(["ssst2"]),
            "task 'ssst2' is not in the plan: did you mean 'sst2'?",
        ),
        (lambda: MixingPlan({"a": 1}, {"a": 1}).rows("b", 0, 1), "task 'b' is not in the plan: known: a."),
        (lambda: MixingPlan({"a": 1}, {"a": 1}).step(-1), "steps are counted from 0. Got -1."),
        (
            lambda: MixingPlan({"a": 1}, {"a": Ramp(((0, 1), (1, 2)))}).step(-1),
            "steps are counted from 0. Got -1.",
        ),
    ],
)
def test_wrong_values_are_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
