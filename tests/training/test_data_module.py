"""From the plan to weighted batches: the position is the index, and company changes nothing."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pickle
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.batching.step import gather_step
from multitask.batching.step_maker import StepMaker
from multitask.mixing.plan import MixingPlan
from multitask.mixing.schedule import Ramp
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.tokenize import TokenizedTask
from multitask.training import data_module
from multitask.training.data_module import MultitaskData, PlanSteps


def made_tokens(rows: int, seed: int) -> TokenizedTask:
    draw = np.random.default_rng(seed)

    def sequences(longest: int) -> Ragged:
        return Ragged.of([[*draw.integers(3, 300, draw.integers(0, longest)), 1] for _ in range(rows)])

    return TokenizedTask(sequences(12), sequences(5), 0, 0)


TOKENS = {"a": made_tokens(20, 1), "b": made_tokens(9, 2), "c": made_tokens(5, 3)}


def maker(per_step, loss="task", factors=None, batch_size=None, seed=0) -> StepMaker:
    plan = MixingPlan({t: len(TOKENS[t]) for t in per_step}, per_step, seed)
    total = float(sum(plan.per_step_at(t, 0) for t in plan.tasks))
    return StepMaker(
        plan,
        tuple(per_step),
        tuple(TOKENS[t] for t in per_step),
        loss,
        tuple((factors or {}).get(t, 1.0) for t in per_step),
        batch_size or total,
        0,
    )


def examples(micros, tasks):
    """{(task, input ids): (target ids, weight)} of real examples."""
    found = {}
    for m in micros:
        for ids, mask, labels, weight, task, real, _ in zip(*map(np.asarray, m), strict=True):
            if real:
                key = tasks[int(task)], tuple(ids[mask == 1].tolist()), tuple(labels[labels >= 0].tolist())
                found[key] = float(weight)
    return found


def test_a_step_holds_the_rows_of_the_plan():
    made = maker({"a": 4, "b": 2})
    for step in range(6):
        rows = made.plan.step(step)
        wanted = {
            (t, tuple(TOKENS[t].inputs[r]), tuple(TOKENS[t].targets[r])) for t, part in rows.items() for r in part
        }
        assert set(examples(made.make(step), made.tasks)) == wanted


def weights_of(made, step):
    """{task: the summed weight of its loss in this step, times the token mean}."""
    sums = dict.fromkeys(made.tasks, 0.0)
    for m in made.make(step):
        for t, name in enumerate(made.tasks):
            sums[name] += float((m.weights * (m.labels >= 0).sum(1))[m.task_ids == t].sum())
    return sums


def test_the_loss_of_a_task_is_weighted_by_its_examples_in_the_step():
    assert weights_of(maker({"a": 6, "b": 2}, factors={"b": 3.0}), 0) == pytest.approx({"a": 0.75, "b": 3 * 0.25})
    made = maker({"a": 4, "b": "1/2"}, factors={"b": 2.0}, batch_size=8)
    for step in range(4):
        here = len(made.plan.step(step).get("b", ()))
        assert weights_of(made, step) == pytest.approx({"a": 4 / 8, "b": 2 * here / 8})


@settings(max_examples=40, deadline=None)
@given(
    st.fractions("1/100", 100, max_denominator=100), st.fractions("1/100", 100, max_denominator=100), st.integers(0, 99)
)
def test_over_training_a_task_counts_by_its_rate_however_rarely_it_comes(a, b, seed):
    """By b / B in the fraction b of the steps a task with b < 1 counted b²/B: at b = 0.01 a hundredth of its share."""
    made = maker({"a": a, "b": b}, seed=seed)
    steps = 300
    counted = dict.fromkeys("ab", 0.0)
    for step in range(steps):
        here = {i: r for i, t in enumerate(made.tasks) if (r := made.plan.step(step).get(t)) is not None}
        examples = gather_step(made.tokens, here, loss="task", loss_weights=made.factors, batch_size=made.batch_size)
        lengths = examples.target_lengths
        for t, name in enumerate(made.tasks):
            counted[name] += float((examples.weights * lengths)[examples.task_ids == t].sum())
    for name, rate in (("a", a), ("b", b)):  # exact but for the one example that is under way
        assert abs(counted[name] * float(a + b) - steps * float(rate)) < 1 + 1e-6


def test_the_winograd_of_glue_gets_its_whole_share():
    """WNLI beside GLUE's capped tasks at batch size 128: b = 0.28, and 0.28 of its share when weighted by b / B."""
    made = maker({"a": "127.72", "b": "0.28"}, batch_size=128)
    total = sum(weights_of(made, step)["b"] for step in range(100))
    assert total == pytest.approx(28 / 128)


def test_under_a_schedule_the_weight_is_that_of_the_step():
    made = maker({"a": 4, "b": Ramp(((0, 1), (8, 5)))}, factors={"b": 2.0}, batch_size=8)
    for step in (0, 3, 8, 0):
        here = len(made.plan.step(step).get("b", ()))
        assert weights_of(made, step) == pytest.approx({"a": 0.5, "b": 2 * here / 8})


def test_a_maker_that_was_used_makes_the_same_in_a_worker():
    made = maker({"a": 4, "b": Ramp(((0, 1), (8, 5)))})
    made.make(5)
    sent = pickle.loads(pickle.dumps(made))
    assert examples(sent.make(7), sent.tasks) == examples(made.make(7), made.tasks)


@pytest.mark.parametrize("alone", ["a", "b", "c"])
def test_an_arm_of_a_study_is_the_joint_run_with_the_others_taken_out(alone):
    per_step = {"a": 4, "b": "3/2", "c": "1/2"}
    joint = maker(per_step)
    single = maker({alone: per_step[alone]}, batch_size=joint.batch_size)
    for step in range(8):
        theirs = examples(joint.make(step), joint.tasks)
        assert examples(single.make(step), single.tasks) == {k: w for k, w in theirs.items() if k[0] == alone}


def test_every_step_has_something_to_compute():
    made = maker({"a": "1/3", "b": "1/3"})
    for step, part in itertools.product(range(6), range(2)):
        micros = made.make(step, part, 2)
        assert sum(len(m.weights) for m in micros) >= 1


def indices(steps, count, monkeypatch=None):
    return [(b["step"], b["index"], b["scale"]) for b in itertools.islice(steps, count)]


def test_steps_begin_where_they_are_told_and_are_cut_into_parts():
    made = maker({"a": 4})
    assert indices(PlanSteps(made, start=0, rank=0, world=1, accumulate=1), 3) == [
        (0, 0, 1.0),
        (1, 1, 1.0),
        (2, 2, 1.0),
    ]
    assert indices(PlanSteps(made, start=5, rank=1, world=2, accumulate=2), 3) == [
        (5, 10, 4.0),
        (5, 11, 4.0),
        (6, 12, 4.0),
    ]


def test_all_processes_and_accumulated_parts_together_are_the_step():
    made = maker({"a": 5, "b": 2})
    whole = examples(made.make(3), made.tasks)
    parts: dict = {}
    for rank in range(3):
        for batch in itertools.islice(PlanSteps(made, start=3, rank=rank, world=3, accumulate=2), 2):
            assert batch["step"] == 3
            part = examples([m.values() for m in batch["micro"]], made.tasks)
            assert not parts.keys() & part.keys()
            parts.update(part)
    assert parts == whole


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_take_turns(monkeypatch, workers):
    made = maker({"a": 4})
    plain = indices(PlanSteps(made, start=4, rank=0, world=1, accumulate=2), 12)
    streams = []
    for w in range(workers):
        monkeypatch.setattr(data_module, "get_worker_info", lambda w=w: SimpleNamespace(id=w, num_workers=workers))
        streams.append(indices(PlanSteps(made, start=4, rank=0, world=1, accumulate=2), 12))
    assert [streams[i % workers][i // workers] for i in range(12)] == plain


def test_the_loader_of_a_trainer_knows_its_rank_and_start():
    made = MultitaskData(maker({"a": 4}), eval_lengths={"a": np.array([3, 9, 1])}, start=7)
    made.trainer = SimpleNamespace(
        global_rank=1,
        world_size=2,
        accumulate_grad_batches=1,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    loader = made.train_dataloader()
    assert next(iter(loader))["step"] == 7
    assert loader.state_dict() == {}
    (watched,) = made.val_dataloader()
    assert [tuple(batch) for batch in watched] == [(0, [0])]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_leaves_lengths_as_arrays(workers):
    made = MultitaskData(dataclasses.replace(maker({"a": 4}), execution="flat"), workers=workers)
    device = SimpleNamespace(root_device=torch.device("cpu"))
    made.trainer = SimpleNamespace(global_rank=0, world_size=1, accumulate_grad_batches=1, strategy=device)
    flat = next(iter(made.train_dataloader()))["flat"]
    assert all(isinstance(part, np.ndarray) for side in ("input_lengths", "target_lengths") for part in flat[side])
    assert isinstance(flat["input_ids"], torch.Tensor)


def test_ctrl_c_leaves_the_workers_of_a_loader_alone():
    made = MultitaskData(dataclasses.replace(maker({"a": 4}), execution="flat"), workers=1)
    device = SimpleNamespace(root_device=torch.device("cpu"))
    made.trainer = SimpleNamespace(global_rank=0, world_size=1, accumulate_grad_batches=1, strategy=device)
    steps = iter(made.train_dataloader())
    next(steps)
    os.kill(steps._workers[0].pid, signal.SIGINT)  # as a terminal does, to all of its group
    assert [next(steps)["step"] for _ in range(6)] == [1, 2, 3, 4, 5, 6]
