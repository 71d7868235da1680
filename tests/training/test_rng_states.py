"""One random generator for all threads of a process: what draws from it, and who may not at the same time."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from transformers import T5ForConditionalGeneration

import multitask
import multitask.training.callbacks
from multitask.errors import UserError
from multitask.model.from_scratch import add_copy_head, build_model
from multitask.model.pretrained import load_pretrained
from multitask.model.private_generator import private_generator
from multitask.registry import Registry
from multitask.training.rng_states import one_training

SETTINGS: dict[str, Any] = {
    "tasks": "toy_labels",
    "vocab_size": 60,
    "batch_size": 8,
    "quiet": True,
    "execution": "grouped",  # the one whose dropout draws from torch's generator
    "trainer": {"max_steps": 3, "enable_progress_bar": False, "accelerator": "cpu"},
}


def in_thread(what: Any) -> Any:
    """What it gives, or the error that it ends with."""
    found: list[Any] = []

    def catch() -> None:
        try:
            found.append(what())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=catch)
    thread.start()
    thread.join()
    return found[0]


# ------------------------------------------------------------------------------------------------------------- threads


def openmp() -> Any:
    """What torch computes with: its `omp_get_max_threads` says how many threads the one that asks has."""
    import ctypes

    near = Path(torch.__file__).parent.rglob("lib*omp*.so*")  # other packages bring one of their own
    return next((ctypes.CDLL(str(path)) for path in near), None)


def test_a_training_in_a_thread_of_its_own_computes_with_the_threads_that_were_asked_for():
    library, before = openmp(), torch.get_num_threads()
    if library is None:
        pytest.skip("no OpenMP to ask")

    def within() -> int:
        with one_training("a"):
            return int(library.omp_get_max_threads())

    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            assert in_thread(within) == threads
    finally:
        torch.set_num_threads(before)


class Meanwhile(pl.Callback):
    """In the middle of a training another thread wants to do something, too."""

    def __init__(self, what: Any) -> None:
        self.what, self.found = what, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 1:
            self.found = [in_thread(one) for one in self.what]


def test_a_second_training_in_another_thread_is_refused_and_the_first_one_keeps_its_bits(toys, tmp_path, monkeypatch):
    def train(name: str) -> bytes:
        folder = multitask.train(**SETTINGS, out=str(tmp_path / name)).folder
        return (folder / "model" / "model.safetensors").read_bytes()

    alone = in_thread(lambda: train("alone"))  # a thread of its own is as good as the main one
    meanwhile = Meanwhile(
        [
            lambda: train("second"),
            lambda: multitask.measure_interference(tasks="toy_labels,toy_span", out=tmp_path / "study"),
            lambda: multitask.evaluate(tmp_path / "alone")["toy_labels"].metrics,
            lambda: multitask.predict(tmp_path / "alone", "toy_labels", ["red blue"])["valid"].tolist(),
        ]
    )
    plain = multitask.training.callbacks.callbacks_of
    monkeypatch.setattr(multitask.training.callbacks, "callbacks_of", lambda *a: [meanwhile, *plain(*a)])
    assert train("first") == alone
    second, study, scores, valid = meanwhile.found
    assert isinstance(second, UserError)
    assert str(second) == (
        f"the run in {tmp_path / 'first'} is being trained in another thread of this process, which has one random "
        f"generator for both: train the run in {tmp_path / 'second'} after it, or in a process of its own."
    )
    assert isinstance(study, UserError)
    assert "in a process of its own" in str(study)
    assert scores == multitask.evaluate(tmp_path / "alone")["toy_labels"].metrics
    assert valid == [True]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone", "first"]  # nothing was made of what was refused


def test_a_training_may_stand_in_another_of_its_own_thread_and_a_forked_process_has_its_own():
    with one_training("a"):
        with one_training("b"):
            assert isinstance(in_thread(lambda: one_training("c").__enter__()), UserError)
        with pytest.raises(UserError, match=r"^a is being trained in another thread .* train c after it"):
            raise in_thread(lambda: one_training("c").__enter__())
        child = os.fork()
        if child == 0:
            os._exit(isinstance(in_thread(lambda: one_training("c").__enter__()), UserError))
        assert os.waitpid(child, 0)[1] == 0

    def fails() -> None:
        with one_training("d"):
            raise ZeroDivisionError

    assert isinstance(in_thread(fails), ZeroDivisionError)
    with one_training("e"):
        pass


def test_a_first_look_up_waits_for_another_threads():
    def load() -> None:
        assert "slow" not in names  # the loader's own look-ups do not wait for itself
        time.sleep(0.1)
        names.add("slow", 1, "here")

    names: Registry[int] = Registry("name", load=load)
    first = threading.Thread(target=lambda: names.get("slow"))
    first.start()
    time.sleep(0.02)
    assert in_thread(lambda: names.get("slow")) == 1
    first.join()


# ---------------------------------------------------------------------------------------------------- initial weights


@pytest.mark.parametrize("gated", [False, True])
def test_initial_weights_are_those_of_the_seed_and_the_global_generator_stays_where_it_is(gated):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    made = build_model("tiny", 300, seed=3, dropout=0.1, pad=0, eos=1, gated=gated)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(3)
    plain = T5ForConditionalGeneration(made.config)
    add_copy_head(plain)
    expected = plain.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in made.state_dict().items())


def test_only_dropout_seeds_torchs_generator():
    """Of each step, before its forward pass; elsewhere a generator is private, or the global one is given back."""
    package = Path(multitask.__file__).parent
    found = {
        (path.relative_to(package).as_posix(), word)
        for path in package.rglob("*.py")
        for word in ("torch.manual_seed", "fork_rng", "default_generator", "set_rng_state")
        if word in path.read_text(encoding="utf-8")
    }
    assert found == {
        ("training/module.py", "torch.manual_seed"),  # within `seeded_generators`
        ("model/private_generator.py", "torch.manual_seed"),  # named in a docstring
        ("interference/execution/estimate.py", "fork_rng"),  # around steps that are timed
        ("training/execution.py", "fork_rng"),  # the same
        ("runs/fitness.py", "fork_rng"),  # around the passes that try a family
        ("training/conflict.py", "fork_rng"),  # around a probe's passes
        ("training/gradients.py", "fork_rng"),  # around the passes that measure each task's part
        *(("training/rng_states.py", word) for word in ("torch.manual_seed", "fork_rng", "set_rng_state")),
    }


def test_every_way_to_draw_that_takes_a_generator_is_private():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with private_generator(1):
        weight = torch.empty(4, 4)
        for name in ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_"):
            getattr(torch.nn.init, name)(weight)
        drawn = [torch.nn.Linear(3, 3).weight, torch.nn.Embedding(3, 3).weight, torch.randperm(9), torch.rand(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(drawn[-1], torch.rand(2))


def test_a_model_that_is_made_while_another_is_loaded_has_its_random_weights(tmp_path, tiny_model, monkeypatch):
    """transformers switches initialisation off while it loads, for all threads."""
    tiny_model("t5").save_pretrained(tmp_path / "model")

    def build() -> dict[str, torch.Tensor]:
        return build_model("tiny", 300, seed=3, dropout=0.1, pad=0, eos=1).state_dict()

    expected, made, plain = build(), [], T5ForConditionalGeneration.__init__
    thread = threading.Thread(target=lambda: made.append(build()))

    def slow(self: Any, *args: Any, **settings: Any) -> None:
        if threading.current_thread() is not thread:
            thread.start()
            thread.join(1.0)
        plain(self, *args, **settings)

    monkeypatch.setattr(T5ForConditionalGeneration, "__init__", slow)
    load_pretrained(str(tmp_path / "model"))
    thread.join()
    assert all(torch.equal(value, expected[name]) for name, value in made[0].items())


def test_asking_for_the_mask_of_rights_in_many_threads_does_not_change_it(tmp_path):
    from multitask.storage.json_files import write_json

    before = os.umask(0o027)
    try:
        threads = [
            threading.Thread(target=lambda n=n: [write_json(Path(tmp_path, f"{n}-{i}"), {}) for i in range(20)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        after = os.umask(before)
    assert after == 0o027
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o640}
