"""The LightningModule: its loss, its dropout by position, what it has seen; and two processes are one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from multitask.batching.arrays import micro_batches
from multitask.batching.step import gather_step
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.tokenize import TokenizedTask
from multitask.training.data_module import EvalBatch
from multitask.training.module import MultitaskModule, token_losses
from multitask.training.optim import OptimizerSettings

TOKENS = [
    TokenizedTask(Ragged.of([[5, 6, 1], [7, 8, 9, 1]]), Ragged.of([[4, 1], [4, 5, 6, 1]]), 0, 0),
    TokenizedTask(Ragged.of([[9, 1]]), Ragged.of([[3, 3, 1]]), 0, 0),
]


def batch(rows=None, index=0, weights=(1.0, 1.0)):
    rows = rows or {0: np.array([0, 1]), 1: np.array([0])}
    step = gather_step(TOKENS, rows, loss="task", loss_weights=weights, batch_size=3)
    micros = micro_batches(step, TOKENS, pad=0)
    tensors = [{k: torch.from_numpy(v) for k, v in m._asdict().items()} for m in micros]
    return {"step": index, "index": index, "scale": 1.0, "micro": tensors}


@pytest.fixture
def module(tiny_model, monkeypatch):
    made = MultitaskModule(tiny_model("t5", dropout=0.3), ("a", "b"), OptimizerSettings(), seed=3)
    made.logged = {}
    monkeypatch.setattr(made, "log", lambda name, value, **_: made.logged.update({name: float(value)}))
    made.trainer = SimpleNamespace(global_rank=0, world_size=1, log_every_n_steps=1, _accelerator_connector=None)
    return made


def test_the_loss_is_the_sum_of_the_tasks_weighted_token_means(module):
    module.eval()
    with torch.no_grad():
        loss = float(module.training_step(batch(weights=(1.0, 4.0)), 0))
    # Two of three examples, and one of three that counts four times.
    wanted = 2 / 3 * module.logged["train/loss/a"] + 4 / 3 * module.logged["train/loss/b"]
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert module.logged["train/loss"] == pytest.approx(loss)


def test_each_tasks_logged_loss_is_its_token_mean(module):
    module.eval()
    with torch.no_grad():
        module.training_step(batch(), 0)
        (micro,) = batch({1: np.array([0])})["micro"]
        nll, counted = token_losses(module.model, micro)
    assert counted.sum() == 3
    assert module.logged["train/loss/b"] == pytest.approx(float(nll.sum() / 3), rel=1e-5)


def test_padding_has_no_loss(module):
    (micro,) = [m for m in batch()["micro"] if len(m["weights"]) == 3]
    nll, counted = token_losses(module.model, micro)
    assert counted.sum(1).tolist() == [2, 4, 3]
    assert not nll[~counted].any()


def test_dropout_depends_on_seed_process_and_position_only(module):
    def loss(index, rank=0, seed=3, before=0):
        torch.manual_seed(before)
        module.seed, module.trainer.global_rank = seed, rank
        one = batch(index=index)
        module.on_train_batch_start(one, 99)
        return float(module.training_step(one, 99).detach())

    module.train()
    assert loss(4) == loss(4, before=1)
    assert len({loss(4), loss(5), loss(4, rank=1), loss(4, seed=2)}) == 4


def test_examples_count_as_seen_when_their_step_is_made(module, monkeypatch):
    monkeypatch.setattr("pytorch_lightning.LightningModule.optimizer_step", lambda *a, **k: None)
    module.training_step(batch(), 0)
    assert not module.seen().any()
    module.optimizer_step()
    assert module.seen()[:, :3].tolist() == [[2, 7, 6], [1, 2, 3]]
    module.training_step(batch(), 1)
    module.optimizer_step()
    assert module.seen()[:, :3].tolist() == [[4, 14, 12], [2, 4, 6]]


def test_a_stand_in_is_not_seen_but_a_muted_example_is(module, monkeypatch):
    monkeypatch.setattr("pytorch_lightning.LightningModule.optimizer_step", lambda *a, **k: None)
    module.training_step(batch({0: np.array([], int)}, weights=(1.0, 1.0)), 0)
    module.optimizer_step()
    assert not module.seen().any()
    module.training_step(batch({1: np.array([0])}, weights=(1.0, 0.0)), 0)
    module.optimizer_step()
    assert module.seen()[:, 0].tolist() == [0, 1]


def test_what_was_seen_survives_a_checkpoint(module):
    module._seen += 2.0
    checkpoint: dict = {}
    module.on_save_checkpoint(checkpoint)
    module._seen.zero_()
    module.on_load_checkpoint(checkpoint)
    assert (module.seen() == 2.0).all()


def test_watched_rows_are_scored_together_and_forgotten(tiny_model, monkeypatch):
    scored = []
    made = MultitaskModule(
        tiny_model("t5"),
        ("a",),
        OptimizerSettings(),
        watch=lambda model, batch: [(batch.task_id, r) for r in batch.rows],
        score=lambda watched: scored.append(watched) or {"val/mean": 1.0},
    )
    made.trainer = SimpleNamespace(world_size=1)
    monkeypatch.setattr(made, "log_dict", lambda values, **_: None)
    for _ in range(2):
        made.validation_step(EvalBatch(0, [2, 0]), 0)
        made.validation_step(EvalBatch(0, [1]), 1)
        made.on_validation_epoch_end()
    assert scored == [[[(0, 2), (0, 0)], [(0, 1)]]] * 2


def test_copying_the_module_does_not_copy_what_watches_it(tiny_model):
    import copy

    class Watcher:
        def __deepcopy__(self, memo):
            raise AssertionError("weight averaging would copy all examples")

        def score(self, watched):
            return {"val/mean": 1.0}

    watcher = Watcher()
    made = MultitaskModule(tiny_model("t5"), ("a",), OptimizerSettings(), watch=watcher.score, score=watcher.score)
    assert copy.deepcopy(made)._score([]) == {"val/mean": 1.0}


# -------------------------------------------------------------------------------------------------------- two processes

SCRIPT = """
import os, random, sys, torch
import multitask.evaluation.scores as scores
from multitask.metrics import resolve_metrics
from multitask.runs.train import train
from multitask.sources import rows
from multitask.task import Example, Task, add_task

torch.set_num_threads(1)
draw = random.Random(0)
made = [{"text": " ".join(draw.choice(["red", "blue", "green", "old", "new"]) for _ in range(draw.randint(1, 9)))}
        for _ in range(40)]
for name, of in (("first", 0), ("last", -1)):
    add_task(Task(name=name, formatter=lambda row, of=of: Example(row["text"], row["text"].split()[of]),
                  prefix=name + ": ", metrics=resolve_metrics(["exact_match"]),
                  source=rows({"train": made, "validation": made[:9]})))
out, devices = sys.argv[1:]


class Counted(scores.Decoder):
    def __call__(self, model, rows):
        with open(f"{out}-decoded-{os.environ.get('LOCAL_RANK', '0')}", "a") as file:
            file.write("x" * len(rows))
        return super().__call__(model, rows)


scores.Decoder = Counted
train(tasks="first,last", out=out, vocab_size=60, dropout=0.0, optimizer="adamw", lr=1e-3, quiet=True, clip=0.5,
      per_step={"first": 3.5, "last": 0.5}, eval_every=3, checkpoint_every=4, log_every=1,
      trainer={"max_steps": 6, "devices": int(devices), "accelerator": "cpu", "enable_progress_bar": False,
               **({"strategy": "ddp"} if devices != "1" else {})})
"""


def test_two_processes_train_the_model_of_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT")}
    env |= {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    for devices in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / devices), devices],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (load_file(tmp_path / d / "model" / "model.safetensors") for d in ("1", "2"))
    for name in one:
        # Adam makes a whole step (1e-3) of a gradient that is only rounding, so a weight may differ by more: where
        # a ReLU was at 0, 1e-4. One example more or less changes the mean by about 1e-4.
        assert float((one[name] - two[name]).abs().mean()) < 1e-5, name
    mixes = [json.loads((tmp_path / d / "mix.json").read_text())["tasks"] for d in ("1", "2")]
    for task in ("first", "last"):
        ours, theirs = (m[task]["realised"] for m in mixes)
        assert ours["examples"] == theirs["examples"] == mixes[0][task]["planned"]["examples"]
        assert ours["target_tokens"] == theirs["target_tokens"]
        assert ours["mean_loss"] == pytest.approx(theirs["mean_loss"], rel=1e-5)
    metrics = [json.loads((tmp_path / d / "metrics.json").read_text()) for d in ("1", "2")]
    assert metrics[0]["first"] == pytest.approx(metrics[1]["first"], rel=1e-4)
    # The final evaluation: 9 rows of each of two tasks, half of them in each process, all of them in the predictions.
    decoded = {p.name: len(p.read_text()) for p in tmp_path.glob("*-decoded-*")}
    assert decoded == {"1-decoded-0": 18, "2-decoded-0": 10, "2-decoded-1": 8}
    frames = [pd.read_parquet(tmp_path / d / "predictions" / "first.parquet") for d in ("1", "2")]
    assert frames[0]["id"].tolist() == frames[1]["id"].tolist()
    assert frames[0]["log_likelihood"].to_numpy() == pytest.approx(frames[1]["log_likelihood"].to_numpy(), rel=1e-3)
