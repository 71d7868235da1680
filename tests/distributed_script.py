"""What two processes are made to do: `python distributed_script.py CONFIG.yaml FAULT RANK` is `multitask train` on two
toy tasks, in which the process RANK has a fault. Lightning starts it again for each other process.
"""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time

import torch

import multitask.evaluation.scores
import multitask.training.callbacks
import multitask.training.module
from multitask.cli import main
from multitask.metrics.naming import resolve_metrics
from multitask.sources.in_memory import rows
from multitask.task import Example, Task, add_task

RANK = int(os.environ.get("LOCAL_RANK", "0"))
CONFIG, FAULT, AT = sys.argv[1], sys.argv[2], int(sys.argv[3])
STEP = 3


def happens() -> None:
    if FAULT.startswith("raise"):
        raise ValueError(f"planted in process {RANK}")
    if FAULT.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if FAULT.startswith("interrupt"):
        os.kill(os.getpid(), signal.SIGINT)
    if FAULT.startswith("terminate"):
        os.kill(os.getpid(), signal.SIGTERM)


def formatter(row, of):
    if RANK == AT and FAULT == "raise-in-formatter":
        happens()
    return Example(row["text"], row["text"].split()[of])


def plant() -> None:
    """In training, in evaluation during it, or a loss that is infinite though its gradient is not."""
    if FAULT.endswith("in-training"):
        step = multitask.training.module.MultitaskModule.training_step

        def training_step(self, batch, batch_idx):
            if batch["step"] == STEP:
                happens()
            return step(self, batch, batch_idx)

        multitask.training.module.MultitaskModule.training_step = training_step
    if FAULT.endswith("in-evaluation"):
        multitask.training.module.MultitaskModule.validation_step = lambda *args: happens()
    if FAULT == "infinite-loss":
        loss = multitask.training.module.step_loss

        def step_loss(model, batch, seed=0):
            total, pieces = loss(model, batch, seed)
            if batch["step"] == STEP:
                pieces[0].nll[0] = math.inf
                total = total + math.inf  # of a constant: the gradient is what it was
            return total, pieces

        multitask.training.module.step_loss = step_loss
    if FAULT == "late":
        time.sleep(60)


if __name__ == "__main__":
    print(f"process {RANK}: {os.getpid()}", flush=True)
    torch.set_num_threads(1)
    draw = random.Random(0)
    words = ["red", "blue", "green", "old", "new"]
    made = [{"text": " ".join(draw.choice(words) for _ in range(draw.randint(1, 9)))} for _ in range(40)]
    for name, of in (("first", 0), ("last", -1)):
        source = rows({"train": made, "validation": made[:7]})
        metrics = resolve_metrics(["exact_match"])
        form = lambda row, of=of: formatter(row, of)  # noqa: E731
        add_task(Task(name=name, formatter=form, prefix=name + ": ", metrics=metrics, source=source))
    if RANK == AT:
        plant()
    code = main(["train", "--config", CONFIG])
    print(f"process {RANK} ends with {code}", flush=True)
    sys.exit(code)
