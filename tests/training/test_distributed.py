"""Two processes on gloo are one: their gradients, what evaluation counts, the runs that go on with another number."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from multitask.batching.step_maker import as_tensors
from multitask.training.module import step_loss

HERE = Path(__file__).parents[1]
script = runpy.run_path(str(HERE / "distributed_gradients.py"), run_name="script")
CASES = script["CASES"]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two processes found."""
    out = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    of_all = {"WORLD_SIZE": "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    env = {**os.environ, **of_all, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "distributed_gradients.py"), str(out)]
    started = []
    try:
        for rank in (0, 1):
            with (out / f"{rank}.txt").open("w") as file:
                started.append(subprocess.Popen(command, env={**env, "LOCAL_RANK": str(rank)}, stderr=file))
        for rank, process in enumerate(started):
            assert process.wait(300) == 0, (out / f"{rank}.txt").read_text()[-3000:]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [torch.load(out / f"{r}.pt", weights_only=False) for r in (0, 1)]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c)))
def test_two_processes_have_the_gradient_of_one(both, case):
    execution, loss, _, rates = case
    maker, model = script["maker"](execution, loss, rates), script["model"]()
    found, seen = zip(*(one["gradients"][case] for one in both), strict=True)
    assert [len(gradients) for gradients in found] == [script["STEPS"]] * 2
    counted = []
    for step in range(script["STEPS"]):
        model.zero_grad()
        total, pieces = step_loss(model, as_tensors(maker.make(step)))
        total.backward()
        counted += [(int(t), n) for p in pieces for t, n in zip(p.task_ids, p.real.tolist(), strict=True)]
        for name, p in model.named_parameters():
            for of_process in found:
                torch.testing.assert_close(of_process[step][name], p.grad, rtol=1e-10, atol=1e-10, msg=name)
    for of_process in seen:
        assert of_process[:, 0].tolist() == [sum(n for of, n in counted if of == t) for t in range(3)]


@pytest.mark.parametrize("case", script["BALANCED"], ids=lambda c: "-".join(map(str, c)))
def test_two_processes_weigh_the_tasks_gradients_as_one(both, case):
    execution, name, _, rates = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own, as in the processes
        alone = script["balanced"]((execution, name, 1, rates), devices=1, strategy="auto")
    maker, model = script["maker"](execution, "task", rates), script["model"]()
    for one in both:
        assert len(one["balanced"][case]) == len(alone) == script["STEPS"]
        for step, (gradients, wanted) in enumerate(zip(one["balanced"][case], alone, strict=True)):
            for key, value in gradients.items():
                torch.testing.assert_close(value, wanted[key], rtol=1e-4, atol=1e-7)
            if name == "plain":
                model.zero_grad()
                step_loss(model, as_tensors(maker.make(step)))[0].backward()
                for key, p in model.named_parameters():
                    torch.testing.assert_close(gradients[key], p.grad, rtol=1e-10, atol=1e-10, msg=key)


def test_some_steps_leave_a_process_without_examples():
    steps = [script["maker"]("grouped", "task", "few").make(step, part=3, parts=4) for step in range(script["STEPS"])]
    assert any(not micro.real.any() for step in steps for micro in step)


@pytest.mark.parametrize("rows", range(1, 6))
def test_evaluation_counts_every_row_once_whatever_the_remainder(both, rows):
    for one in both:
        assert sorted(one["watched"][rows]) == [(task, row) for task in range(3) for row in range(rows)]
