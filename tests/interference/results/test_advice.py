"""Grouping of tasks: the best one by brute force, the evidence for it by simulation, and what is said of it."""

from __future__ import annotations

import copy
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.interference.results import grouping
from multitask.interference.results.advice import advise, cross_fit
from multitask.interference.results.grouping import EXACT, best_grouping
from multitask.interference.results.record import LIKELIHOOD

example_record = runpy.run_path(str(Path(__file__).parents[2] / "study_example.py"))["example_record"]

NAMES = "abcdefghijklmnopqrst"


def partitions(tasks, limit):
    """Every partition of the tasks into at most `limit` groups."""
    if not tasks:
        yield []
        return
    first, *rest = tasks
    for smaller in partitions(rest, limit):
        for i, group in enumerate(smaller):
            yield [*smaller[:i], [first, *group], *smaller[i + 1 :]]
        if len(smaller) < limit:
            yield [[first], *smaller]


def total(groups, effect, measured=()):
    out = 0.0
    for group in groups:
        for t in group:
            others = [effect[t, u] for u in group if u != t]
            known = dict(measured).get(frozenset(group), {})
            out += known[t] if t in known else sum(others) / len(others) if others else 0.0
    return out


def effects_of(tasks, values):
    values = iter(values)
    return {(t, u): next(values) for t in tasks for u in tasks if t != u}


NUMBERS = st.one_of(st.integers(-3, 3).map(float), st.floats(-9, 9))


@st.composite
def problems(draw):
    tasks = list(NAMES[: draw(st.integers(1, 6))])
    effect = effects_of(tasks, [draw(NUMBERS) for _ in range(30)])
    groups = draw(st.lists(st.frozensets(st.sampled_from(tasks), min_size=2), max_size=3)) if len(tasks) > 1 else []
    measured = {g: {t: draw(NUMBERS) for t in sorted(g)} for g in groups}
    return tasks, effect, draw(st.integers(1, 7)), measured


# ------------------------------------------------------------------------------------------------------- best grouping


@given(problems())
@settings(max_examples=150, deadline=None)
def test_the_best_grouping_is_that_of_brute_force(problem):
    tasks, effect, limit, measured = problem
    found = best_grouping(tasks, effect, limit, measured)
    best = max(total(p, effect, measured.items()) for p in partitions(tasks, limit))
    assert found.exact
    assert found.total == pytest.approx(best, abs=1e-6)
    assert total(found.groups, effect, measured.items()) == pytest.approx(found.total, abs=1e-6)
    # A partition: each task in one group, in the order given.
    assert sorted(t for g in found.groups for t in g) == tasks
    assert all(list(g) == sorted(g) for g in found.groups)
    assert [g[0] for g in found.groups] == sorted(g[0] for g in found.groups)
    assert 1 <= len(found.groups) <= limit
    # Of equal ones that of fewest groups.
    fewest = min(len(p) for p in partitions(tasks, limit) if total(p, effect, measured.items()) >= best - 1e-12)
    assert len(found.groups) <= fewest


@given(problems())
@settings(max_examples=60, deadline=None)
def test_local_search_finds_the_best_grouping_of_a_few_tasks(problem):
    tasks, effect, limit, measured = problem
    exact = best_grouping(tasks, effect, limit, measured)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "EXACT", 0)
        found = best_grouping(tasks, effect, limit, measured)
    assert not found.exact
    assert sorted(t for g in found.groups for t in g) == tasks
    assert len(found.groups) <= limit
    assert found.total == pytest.approx(total(found.groups, effect, measured.items()), abs=1e-6)
    assert found.total <= exact.total + 1e-6
    # No guarantee in general; from so many starts over so few tasks it is never far off.
    assert found.total >= total([tasks], effect, measured.items()) - 1e-6


def test_local_search_is_close_to_the_best():
    draw, same = np.random.default_rng(0), 0
    for _ in range(40):
        tasks = list(NAMES[:8])
        effect = effects_of(tasks, draw.normal(size=56))
        exact = best_grouping(tasks, effect, 3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grouping, "EXACT", 0)
            found = best_grouping(tasks, effect, 3)
        same += found.groups == exact.groups
        assert found.total >= 0.8 * exact.total
    assert same >= 36


def test_the_directions_of_a_pair_are_not_averaged():
    # b gains what a loses: as directed effects the pair is worth 1, and a's own value in it stays −4.
    effect = {("a", "b"): -4.0, ("b", "a"): 5.0}
    assert best_grouping(["a", "b"], effect, 2) == ((("a", "b"),), 1.0, True)
    three = effect | {("a", "c"): 0.0, ("c", "a"): 0.0, ("b", "c"): 3.0, ("c", "b"): -1.0}
    # a's companion is worse for it than a's worth to b: {b, c} and a alone.
    assert best_grouping(["a", "b", "c"], three, 2) == ((("a",), ("b", "c")), 2.0, True)


def test_a_measured_group_counts_as_measured_and_not_as_the_mean_of_its_pairs():
    effect = effects_of("abc", [1.0] * 6) | {("a", "b"): 2.0}
    everything = frozenset("abc")
    assert best_grouping("abc", effect, 3).groups == (("a", "b", "c"),)
    bad = {everything: {"a": -1.0, "b": -1.0, "c": 0.5}}
    assert best_grouping("abc", effect, 3, bad) == ((("a", "b"), ("c",)), 3.0, True)
    assert best_grouping("abc", effect, 1, bad) == ((("a", "b", "c"),), -1.5, True)


def test_equal_totals_go_to_fewer_models():
    assert best_grouping("abcd", effects_of("abcd", [0.0] * 12), 4).groups == (("a", "b", "c", "d"),)


def test_more_tasks_than_can_be_grouped_exactly_are_said_to_be_searched():
    tasks = NAMES[: EXACT + 2]
    half = {t: i % 2 for i, t in enumerate(tasks)}
    effect = {(t, u): 1.0 if half[t] == half[u] else -1.0 for t in tasks for u in tasks if t != u}
    found = best_grouping(tasks, effect, 3)
    assert found == ((tuple(tasks[::2]), tuple(tasks[1::2])), pytest.approx(len(tasks)), False)
    assert best_grouping(tasks, effect, 3) == found
    assert best_grouping(tasks[:EXACT], {p: v for p, v in effect.items() if set(p) <= set(tasks[:EXACT])}, 3).exact


@pytest.mark.parametrize(
    ("tasks", "effect", "limit", "message"),
    [
        (
            "ab",
            {("a", "b"): 1.0},
            2,
            "a grouping needs the effect of every ordered pair; that of ('b', 'a') is missing.",
        ),
        ("ab", {("a", "b"): 1.0, ("b", "a"): 1.0}, 0, "a grouping needs a limit of 1 or more models. Got 0."),
        ("aa", {}, 1, "a grouping needs one or more different tasks. Got ['a', 'a']."),
        ("", {}, 1, "a grouping needs one or more different tasks. Got []."),
        (
            *("ab", {("a", "b"): 1.0, ("b", "a"): float("nan")}, 1),
            "the effects of a grouping must be numbers: leave out the tasks that were not measured.",
        ),
    ],
)
def test_what_cannot_be_grouped_is_refused(tasks, effect, limit, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        best_grouping(list(tasks), effect, limit)


def test_seeds_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"one value per seed, of the same seeds\.$"):
        cross_fit("ab", {("a", "b"): [1.0, 2.0], ("b", "a"): [1.0]}, 2)


# ---------------------------------------------------------------------------------------------------------- simulations

BLOCKS = {t: i // 3 for i, t in enumerate("abcdef")}


def simulated(draw, truth, seeds, sd):
    """Effects of each seed as a study has them: all of a task share the noise of its single arm; with a joint model."""
    tasks = sorted({t for t, _ in truth})
    single = {t: draw.normal(0, sd / 2**0.5, seeds) for t in tasks}

    def noisy(t, value):
        return value + draw.normal(0, sd / 2**0.5, seeds) - single[t]

    pairs = {(t, u): noisy(t, value) for (t, u), value in truth.items()}
    joint = {t: noisy(t, float(np.mean([truth[t, u] for u in tasks if u != t]))) for t in tasks}
    return tasks, pairs, {frozenset(tasks): joint}


def test_two_planted_groups_are_found_and_supported():
    draw = np.random.default_rng(1)
    truth = {(t, u): 2.0 if BLOCKS[t] == BLOCKS[u] else -2.0 for t in BLOCKS for u in BLOCKS if t != u}
    right = supported = covered = 0
    for _ in range(60):
        tasks, pairs, joint = simulated(draw, truth, 5, 1.0)
        fit = cross_fit(tasks, pairs, 3, joint)
        right += fit.best.groups == (("a", "b", "c"), ("d", "e", "f"))
        supported += fit.supported
        covered += fit.over_joint.low <= 6 * (2.0 - -0.4) <= fit.over_joint.high
    assert right >= 57
    assert supported >= 57
    assert covered >= 54


@pytest.mark.parametrize("seeds", [3, 5])
def test_pure_noise_supports_a_split_in_at_most_five_percent_of_studies(seeds):
    draw = np.random.default_rng(seeds)
    truth = {(t, u): 0.0 for t in BLOCKS for u in BLOCKS if t != u}
    fits = []
    for _ in range(200):
        tasks, pairs, joint = simulated(draw, truth, seeds, 1.0)
        fits.append(cross_fit(tasks, pairs, 3, joint))
    assert sum(f.supported for f in fits) <= 10
    # The seeds that chose say that something is gained; those that did not choose say the truth.
    gains = [f.over_single.value for f in fits]
    assert np.mean([f.best.total for f in fits]) > 1
    assert abs(np.mean(gains)) < 4 * np.std(gains) / len(gains) ** 0.5


def test_noise_of_the_evaluation_examples_widens_the_interval():
    draw = np.random.default_rng(0)
    truth = {(t, u): 2.0 if BLOCKS[t] == BLOCKS[u] else -2.0 for t in BLOCKS for u in BLOCKS if t != u}
    tasks, pairs, joint = simulated(draw, truth, 5, 0.1)
    without = cross_fit(tasks, pairs, 2, joint)
    everything = frozenset(tasks)
    sd = dict.fromkeys([*pairs, *((t, everything) for t in tasks)], 1.0)
    wide = cross_fit(tasks, pairs, 2, joint, examples_sd=sd)
    assert wide.over_joint.value == without.over_joint.value
    half, old = (wide.over_joint.high - wide.over_joint.low) / 2, (without.over_joint.high - without.over_joint.low) / 2
    # For each task two effects with the weight 1/2 and the joint one with −1: (1/4 + 1/4 + 1 + (1/2 + 1/2 − 1)²) / 2.
    from scipy.stats import t as student

    assert half**2 - old**2 == pytest.approx(6 * 0.75 * student.ppf(0.975, 4) ** 2)


def test_fewer_than_three_seeds_support_nothing():
    truth = {(t, u): 9.0 if BLOCKS[t] == BLOCKS[u] else -9.0 for t in BLOCKS for u in BLOCKS if t != u}
    for seeds in (1, 2):
        fit = cross_fit(*simulated(np.random.default_rng(0), truth, seeds, 0.1)[:2], 2)
        assert fit.best.groups == (("a", "b", "c"), ("d", "e", "f"))
        assert fit.over_joint == fit.over_single == (None, None, None)
        assert not fit.supported


def test_one_joint_model_is_never_a_supported_split():
    effect = {pair: np.full(5, 3.0) for pair in effects_of("abc", range(6))}
    fit = cross_fit("abc", effect, 3)
    assert fit.best.groups == (("a", "b", "c"),)
    assert fit.over_joint == (0.0, 0.0, 0.0)
    assert fit.over_single == (9.0, 9.0, 9.0)
    assert not fit.supported


# -------------------------------------------------------------------------------------------------------------- records


def planted(tasks, delta, seeds=5, noise=0.1, match="examples"):
    """The example record with every effect on a primary metric replaced by `delta(kind, task, companion)` + noise."""
    record = example_record(tasks, seeds)
    draw = np.random.default_rng(0)
    for e in record["effects"]:
        if e["metric"] != LIKELIHOOD and e["match"] == match:
            values = delta(e["kind"], e["task"], e["companion"]) + draw.normal(0, noise, seeds)
            e.update(per_seed=list(values), delta=float(values.mean()), se=noise / seeds**0.5)
    return record


def two_and_one(kind, task, companion):
    """a and b help each other, c hurts and is hurt."""
    if kind == "company":
        return -2.0
    return 3.0 if {task, companion} == {"a", "b"} else -3.0


def test_a_supported_split_says_what_it_gains_and_on_what():
    advice = advise(planted(("a", "b", "c"), two_and_one))
    assert advice["limit"] == 3
    assert advice["supported"]
    assert [g["tasks"] for g in advice["groups"]] == [["a", "b"], ["c"]]
    pair, alone = advice["groups"]
    assert pair["total"] == pytest.approx(6, abs=0.3)
    assert pair["low"] < 6 < pair["high"]
    assert pair["runs"] == 15  # a alone, b alone, both
    assert (alone["total"], alone["low"], alone["high"], alone["runs"]) == (0.0, None, None, 5)
    assert advice["gain_over_joint"] == pytest.approx(12, abs=0.3)  # 6, and 3 × 2 less
    assert advice["low"] > 11
    assert advice["high"] < 13
    number, bounds = r"\+\d+\.\d", r"\[\d+\.\d, \d+\.\d\]"
    assert re.fullmatch(
        rf"Train a \+ b \| c in 2 models: {number} points {bounds} over one joint model and {number} points {bounds} "
        rf"over training each task alone, each seed judging what the other 4 chose \({number} over the joint model on "
        r"the seeds that chose\)\. Points of different tasks are summed as they are\.",
        advice["sentence"],
    )


def test_noise_is_said_to_support_nothing():
    advice = advise(planted(("a", "b", "c"), lambda *_: 0.0, noise=1.0))
    assert not advice["supported"]
    assert advice["sentence"].startswith(("No split is supported by the evidence: ", "One joint model of all tasks "))
    assert "no split is supported by the evidence" in advice["sentence"].lower()


def test_one_seed_gives_the_best_grouping_without_an_interval():
    advice = advise(planted(("a", "b", "c"), two_and_one, seeds=1))
    assert [g["tasks"] for g in advice["groups"]] == [["a", "b"], ["c"]]
    assert (advice["supported"], advice["gain_over_joint"], advice["low"], advice["high"]) == (False, None, None, None)
    assert advice["groups"][0]["low"] is None
    assert advice["sentence"].startswith(
        "No split is supported by the evidence: that takes 3 seeds or more, and there is 1. "
        "The best one here is a + b | c, at +"
    )
    assert "which is optimistic: the same runs chose it." in advice["sentence"]


def test_a_group_without_a_model_is_said_to_be_predicted():
    tasks = ("a", "b", "c", "d", "e", "f")

    def delta(kind, task, companion):
        return 0.0 if kind != "pair" else 2.0 if BLOCKS[task] == BLOCKS[companion] else -2.0

    advice = advise(planted(tasks, delta), 2)
    assert [g["tasks"] for g in advice["groups"]] == [["a", "b", "c"], ["d", "e", "f"]]
    assert [g["runs"] for g in advice["groups"]] == [30, 30]  # three pairs and three tasks alone
    assert (
        "a + b + c and d + e + f: predicted from the pairs, not trained as a group; "
        "no interval holds the error of that." in advice["sentence"]
    )


def test_leave_one_out_models_are_used_as_measured():
    # Every pair hurts; all but d together were measured to gain: joint − without d = −8 where joint − single = −1.
    def delta(kind, task, companion):
        return {"company": -1.0, "pair": -2.0}.get(kind, -8.0 if companion == "d" else 0.0)

    advice = advise(planted(("a", "b", "c", "d"), delta), 2)
    assert [g["tasks"] for g in advice["groups"]] == [["a", "b", "c"], ["d"]]
    assert advice["groups"][0]["total"] == pytest.approx(21, abs=0.5)
    assert advice["groups"][0]["runs"] == 20  # without d, and the three alone
    assert "predicted" not in advice["sentence"]


def test_without_a_joint_model_its_total_is_predicted_and_said_so():
    record = planted(("a", "b", "c"), two_and_one)
    record["effects"] = [e for e in record["effects"] if e["kind"] == "pair"]
    advice = advise(record)
    assert advice["supported"]
    assert advice["gain_over_joint"] == pytest.approx(9, abs=0.3)  # 6, and 0 + 0 − 3 as the pairs predict
    assert "The joint model was not used: its total is predicted from the pairs too." in advice["sentence"]


def test_equal_compute_alone_uses_the_pairs_alone():
    record = planted(("a", "b", "c"), two_and_one, match="steps")
    record["setting"]["match"] = ["steps"]
    record["effects"] = [e for e in record["effects"] if e["match"] == "steps"]
    advice = advise(record)
    assert advice["gain_over_joint"] == pytest.approx(9, abs=0.3)
    assert "At equal compute." in advice["sentence"]


def test_equal_exposure_is_used_even_if_the_tables_lead_with_the_other_budget():
    record = planted(("a", "b", "c"), two_and_one)
    before = advise(record)
    record["setting"]["match"] = ["steps", "examples"]
    assert advise(record) == before


def test_advice_needs_every_ordered_pair():
    def complete():
        made = copy.deepcopy(example_record(("a", "b", "c")))
        made["effects"][3]["per_seed"][0] = 0.0  # undefined in one seed
        return made

    assert advise(complete()) is not None
    for change in ({"kind": "none"}, {"per_seed": [1.0]}):
        record = complete()
        record["setting"]["match"] = ["examples"]
        next(e for e in record["effects"] if e["kind"] == "pair").update(change)
        assert advise(record) is None
    record = example_record(("a", "b", "c"))
    record["effects"] = [e for e in record["effects"] if e["kind"] != "pair"]
    assert advise(record) is None


def test_a_task_whose_score_is_undefined_is_left_out_of_the_advice_by_name():
    record = planted(("a", "b", "c"), two_and_one)
    next(e for e in record["effects"] if e["kind"] == "pair" and e["task"] == "b").update(per_seed=[None] * 5)
    advice = advise(record)
    assert sorted(t for g in advice["groups"] for t in g["tasks"]) == ["a", "c"]
    assert "Without b, whose score is undefined in some of the models." in advice["sentence"]
    for effect in record["effects"]:
        if effect["kind"] == "pair" and effect["task"] == "a":
            effect["per_seed"] = [float("nan")] * 5
    assert advise(record) is None  # nothing is left to group


def test_at_most_one_model_is_the_joint_one():
    advice = advise(planted(("a", "b", "c"), two_and_one), 1)
    assert [g["tasks"] for g in advice["groups"]] == [["a", "b", "c"]]
    assert advice["groups"][0]["runs"] == 20
    assert (advice["gain_over_joint"], advice["low"], advice["high"]) == (0.0, 0.0, 0.0)
    assert not advice["supported"]
