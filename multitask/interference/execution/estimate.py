"""The cost of a study, measured before anything is spent: a few steps and decoded rows of an untrained model."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from multitask.config import TrainConfig
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.runs import resolve_settings
from multitask.mixing.prepare import PlannedMixture

STEPS = 4
"""Timed; one more before them is not."""
ROWS = 48
"""Decoded of each task."""


class Speed(NamedTuple):
    """Seconds on this machine, with the study's number of threads."""

    trained: float
    """A training example, averaged over the joint mixture."""
    evaluated: dict[str, float]
    """{task: a decoded row}."""


def measure(base: TrainConfig, full: PlannedMixture, tokenizer: Any, threads: int) -> Speed:
    """Time the joint run's steps, and each task's decoding, on the device that training would use.

    Args:
        base: The settings of the joint run.
        full: Its mix.
        tokenizer: The study's.
        threads: Of a run.
    """
    import torch
    from lightning_fabric.utilities.apply_func import move_data_to_device

    from multitask.batching.step_maker import StepMaker, as_tensors
    from multitask.evaluation.scores import evaluate_task
    from multitask.tokenization.tokenize import tokenize_task
    from multitask.training.execution import choose_execution
    from multitask.training.initial_model import make_initial_model
    from multitask.training.module import step_loss
    from multitask.training.rng_states import torch_threads

    config = resolve_settings(base)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch_threads(threads), torch.random.fork_rng(devices=[]):
        model = make_initial_model(config, tokenizer).to(device)
        need = {t: full.plan.count(t, STEPS + 1) for t in full.tasks}
        rows = {t: full.plan.rows(t, 0, min(n, len(full.data[t].train))) for t, n in need.items()}
        # The plan's own first rows, renumbered: the whole of the data need not be tokenised for this.
        parts = {
            t: dataclasses.replace(full.data[t].train, examples=tuple(full.data[t].train[int(i)] for i in np.unique(r)))
            for t, r in rows.items()
        }
        tokens = {t: tokenize_task(tokenizer, full.tasks[t], part) for t, part in parts.items()}
        plan = type(full.plan)({t: len(p) for t, p in parts.items()}, full.plan.per_step, full.plan.seed)
        names = tuple(full.tasks)
        maker = StepMaker(
            plan,
            names,
            tuple(tokens[t] for t in names),
            config.loss,
            (1.0,) * len(names),
            full.batch_size,
            tokenizer.pad_token_id,
            choose_execution(config, model, device),
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        seconds = []
        for step in range(STEPS + 1):
            began = time.perf_counter()
            batch = move_data_to_device(as_tensors(maker.make(step)), torch.device(device))
            total, _ = step_loss(model, batch, step)
            torch.autograd.backward(total)
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.perf_counter() - began)
        per_step = float(sum(full.plan.per_step_at(t, 0) for t in names))
        evaluated = {}
        for name in full.evaluated:
            some = full.data[name].validation
            stride = max(1, len(some) // ROWS)
            part = dataclasses.replace(some, examples=some.examples[::stride][:ROWS])
            ready = tokenize_task(tokenizer, full.tasks[name], part)
            began = time.perf_counter()
            evaluate_task(
                model,
                tokenizer,
                full.tasks[name],
                part,
                ready,
                batch_tokens=config.batch_tokens,
                labels_by=config.labels_by,
            )
            evaluated[name] = (time.perf_counter() - began) / len(part)
    return Speed(statistics.median(seconds[1:]) / per_step, evaluated)


def seconds_of(runs: Sequence[StudyRun], speed: Speed, rows: dict[str, int], jobs: int) -> tuple[float, float]:
    """Seconds of training and of evaluation of all `runs`, `jobs` at a time."""
    trained = [run for run in runs if not run.config.merge]
    train = sum(float(c.arm.budget) * c.steps * speed.trained for c in trained)
    evaluate = sum(rows[t] * speed.evaluated[t] for c in runs for t in c.arm.scored)
    return train / jobs, evaluate / jobs
