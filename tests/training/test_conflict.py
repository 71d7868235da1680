"""Conflict probes: what they say adds up, and they leave no trace in the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import multitask
from multitask.errors import UserError
from multitask.runs.conflict_file import CONFLICT, Conflict, read_conflict
from multitask.runs.conflict_page import conflict_view

TASK_FILE = str(Path(__file__).parents[1] / "study_tasks.py")
SETTINGS = {
    "tasks": "study_order,study_first,study_last",
    "include": [TASK_FILE],
    "vocab_size": 70,
    "batch_size": 12,
    "quiet": True,
}

pytestmark = pytest.mark.usefixtures("study_tasks")


def train(out: Path, *, steps: int = 6, **settings) -> multitask.Run:
    trainer = {"max_steps": steps, "accelerator": "cpu", "enable_progress_bar": False}
    return multitask.train(**{**SETTINGS, "out": str(out), "trainer": trainer, **settings})


def weights(run: multitask.Run) -> bytes:
    return (run.folder / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("optimizer", ["adamw-scaled", "adamw", "adafactor"])
def test_attributions_add_up_to_the_change_of_each_held_out_loss_over_the_whole_training(tmp_path, optimizer):
    settings = {"optimizer": optimizer, "dropout": 0.0, "weight_decay": 0.01, "schedule": "constant", "warmup_steps": 0}
    run = train(tmp_path / "run", conflict_every=1, steps=5, **settings)
    found = read_conflict(run.folder)
    assert found is not None
    assert found.steps.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.after[:-1], found.before[1:], rtol=1e-6)  # one step begins where the other ends
    change = found.after[-1] - found.before[0]
    assert (np.abs(change) > 0.05).all()
    np.testing.assert_allclose(found.parts.sum((0, 1)), change, rtol=0.03)
    assert (found.residual() < 0.03).all()
    momentum, decay, rest = found.parts[:, 3:].sum(0)
    assert (momentum == 0).all()  # kept task by task, for every step is probed
    assert (decay != 0).all()
    assert (np.abs(rest) < 1e-3 * np.abs(change)).all()  # without dropout the passes of a probe are those of the step


def test_of_a_sample_of_steps_momentum_has_a_part_of_its_own(tmp_path):
    run = train(tmp_path / "run", conflict_every=3, dropout=0.0, optimizer="adamw-scaled")
    found = read_conflict(run.folder)
    assert found is not None
    assert found.steps.tolist() == [2, 5]
    np.testing.assert_allclose(found.parts.sum(1), found.after - found.before, rtol=0.03, atol=1e-4)
    assert (found.parts[:, 3] != 0).all()
    # What a fresh gradient will do in the end is ten times what it does at once: 1 / (1 − 0.9).
    np.testing.assert_allclose(found.own_steps.reshape(2, 3, 2, 3).sum(2), 10 * found.attribution, rtol=1e-4)


@pytest.mark.parametrize("execution", ["flat", "grouped"])
def test_a_probe_leaves_no_trace_in_the_training_and_resumes_to_the_bit(tmp_path, execution):
    settings = {"execution": execution, "dropout": 0.1, "checkpoint_every": 2}
    settings |= {"schedule": "constant", "warmup_steps": 0}
    plain = train(tmp_path / "plain", **settings)
    whole = train(tmp_path / "whole", conflict_every=1, **settings)
    assert weights(plain) == weights(whole)
    train(tmp_path / "part", steps=4, conflict_every=1, **settings)
    more = {"max_steps": 6, "accelerator": "cpu", "enable_progress_bar": False}
    resumed = multitask.train(resume=str(tmp_path / "part"), trainer=more, quiet=True)
    assert weights(resumed) == weights(whole)
    assert (resumed.folder / CONFLICT).read_bytes() == (whole.folder / CONFLICT).read_bytes()


def test_a_run_shows_who_moved_whom_and_a_damaged_file_is_named(tmp_path):
    run = train(tmp_path / "run", conflict_every=2, dropout=0.0)
    found = read_conflict(run.folder)
    assert found is not None
    saved = found.before[:, None, :] - found.look_ahead  # [K, i, j]
    assert (np.einsum("kii->ki", saved).mean(0) > 0).all()  # a real step on a task alone lowers its own loss
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Who moved whom" in page
    assert "Conflict by block of the model" in page
    assert "encoder 0" in page
    path = run.folder / CONFLICT
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"conflict\.safetensors is not as it was written"):
        read_conflict(run.folder)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"conflict_every": -1}, "--conflict-every must be 0 (never) or above. Got -1."),
        (
            {"conflict_every": 2, "balance": "pcgrad"},
            "--conflict-every takes an update apart into a sum over tasks, and --balance pcgrad weighs the tasks' "
            "gradients anew each step: leave --balance or it out.",
        ),
        (
            {"conflict_every": 2, "trainer": {"max_steps": 2, "gradient_clip_algorithm": "value"}},
            "--conflict-every takes an update apart into a sum over tasks, and clipping by value cuts each coordinate "
            "of their sum: leave --trainer.gradient_clip_algorithm or it out.",
        ),
    ],
)
def test_what_is_no_sum_over_tasks_is_refused(tmp_path, settings, text):
    with pytest.raises(UserError) as error:
        multitask.train(**{**SETTINGS, "out": str(tmp_path / "run"), **settings})
    assert str(error.value) == text


def conflict(gramian: np.ndarray) -> Conflict:
    """Of two tasks and one block; [K, 4, 4]."""
    k = len(gramian)
    zeros = np.zeros((k, 2, 2))
    return Conflict(
        ("a", "b"), ("all",), 1, np.arange(k), gramian[:, None], np.zeros((k, 5, 2)), np.zeros((k, 4, 2)),
        zeros[:, 0], zeros[:, 0], zeros,
    )  # fmt: skip


def test_cosines_are_of_whole_gradients_and_noise_is_of_their_halves():
    halves = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 2.0], [0.0, 2.0]])  # a = (2, 0), b = (0, 4); a's halves disagree
    found = conflict((halves @ halves.T)[None])
    np.testing.assert_allclose(found.cosines()[0], [[1, 0], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(found.noise()[0], [0, 1], atol=1e-12)
    np.testing.assert_allclose(found.ratios()[0], [[1, 0.5], [2, 1]])
    assert np.isnan(found.mean_cosines()[0, 1])  # of a there is nothing but noise


def test_noise_makes_every_cosine_small_and_the_one_freed_of_it_is_not():
    draw = np.random.default_rng(0)
    a, b = np.array([1.0, 0, 0, 0]), np.array([0.6, 0.8, 0, 0])  # cosine 0.6
    halves = [np.stack([v / 2 + draw.normal(0, 1, 4) for v in (a, a, b, b)]) for _ in range(20_000)]
    found = conflict(np.stack([h @ h.T for h in halves]))
    assert abs(np.nanmean(found.cosines()[:, 0, 1])) < 0.2
    assert found.mean_cosines()[0, 1] == pytest.approx(0.6, abs=0.1)


def test_a_task_that_no_probed_step_has_is_no_number_and_no_warning():
    halves = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0], [0.0, 0.0]])
    view = conflict_view(conflict((halves @ halves.T)[None]))
    assert [cell.text for cell in view.cosines.rows[0][2:4]] == ["·", "·"]
    assert view.blocks.rows[0][1].text == "·"
