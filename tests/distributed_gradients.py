"""Run as each of two processes: the gradients that Lightning's DDP gives, and the rows that evaluation looks at.

`LOCAL_RANK=0|1 WORLD_SIZE=2 … python distributed_gradients.py OUT` writes OUT/RANK.pt: {case: [step: {name: gradient}]}
and the rows that were gathered. The model is in float64, and a learning rate of 0 keeps its weights.
"""

from __future__ import annotations

import itertools
import os
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from multitask.batching.step_maker import StepMaker
from multitask.mixing.plan import MixingPlan
from multitask.training.balance import make_balancer
from multitask.training.data_module import MultitaskData
from multitask.training.module import MultitaskModule
from multitask.training.optim import OptimizerSettings

HERE = Path(__file__).parent
batching = runpy.run_path(str(HERE / "batching" / "test_step.py"))
model_of = runpy.run_path(str(HERE / "conftest.py"))["_tiny_model"]

STEPS = 5
TASKS = ("a", "b", "c")
TOKENS = tuple(batching["made_tokens"](4))
RATES = {
    "odd": {"a": 3, "b": "3/2", "c": "1/2"},  # 4 to 6 examples
    "few": {"a": "2/5", "b": "2/5", "c": 0},  # none, or two: with two parts and two processes some have nothing
}
CASES = list(itertools.product(("flat", "grouped"), ("task", "token", "example"), (1, 2), RATES))


BALANCED = list(itertools.product(("flat", "grouped"), ("plain", "pcgrad", "uw", "famo"), (1, 2), RATES))


class Plain:
    """The plain sum, of gradients that were kept apart."""

    needs_gradients, looks_back = True, False

    def weights_of_gramian(self, gramian, tasks, seed):
        return torch.ones(len(tasks), dtype=torch.float64)

    def state(self):
        return {}


def maker(execution: str, loss: str, rates: str, **changes) -> StepMaker:
    plan = MixingPlan(dict.fromkeys(TASKS, 20), RATES[rates], 0)
    size = float(sum(plan.per_step_at(t, 0) for t in TASKS))
    return StepMaker(plan, TASKS, TOKENS, loss, (1.0, 0.5, 2.0), size, 0, execution, **changes)


def model():
    return batching["in_double"](model_of("t5")).eval()


class Noted(MultitaskModule):
    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        self.noted.append({n: p.grad.clone() for n, p in self.model.named_parameters() if p.grad is not None})


def trainer(steps: int, **options) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        **{"devices": 2, "strategy": "ddp", **{n: options.pop(n) for n in ("devices", "strategy") if n in options}},
        precision="64-true",
        max_steps=steps,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        **options,
    )


def balanced(case, **options):
    """The gradients that a balanced training gives step by step."""
    execution, name, accumulate, rates = case
    balancer = Plain() if name == "plain" else make_balancer(name, len(TASKS), accumulate=accumulate)
    if name == "famo":
        balancer.looks_back = False  # at a rate of 0 no loss falls, and Adam would make steps of the rounding
    module = Noted(model(), TASKS, OptimizerSettings("adamw", 0.0), balancer=balancer)
    module.noted = []
    data = MultitaskData(maker(execution, "task", rates, by_task=True))
    trainer(STEPS, accumulate_grad_batches=accumulate, limit_val_batches=0, **options).fit(module, data)
    return module.noted


def main(out: Path) -> None:
    found, watched = {}, {}
    of_balanced = {case: balanced(case) for case in BALANCED}
    for case in CASES:
        execution, loss, accumulate, rates = case
        module = Noted(model(), TASKS, OptimizerSettings("adamw", 0.0))
        module.noted = []
        data = MultitaskData(maker(execution, loss, rates))
        trainer(STEPS, accumulate_grad_batches=accumulate, limit_val_batches=0).fit(module, data)
        found[case] = module.noted, module.total_seen
    for rows in range(1, 6):
        module = MultitaskModule(
            model(),
            TASKS,
            OptimizerSettings("adamw", 0.0),
            watch=lambda model, batch: [(batch.task_id, row) for row in batch.rows],
            score=lambda all_rows, rows=rows: (
                watched.setdefault(rows, [r for batch in all_rows for r in batch])
                and {"val/mean": float(len(watched[rows]))}
            ),
        )
        lengths = {task: np.arange(rows) % 3 + 2 for task in TASKS}
        data = MultitaskData(maker("flat", "task", "odd"), eval_lengths=lengths, batch_tokens=5)
        made = trainer(1, val_check_interval=1)
        made.fit(module, data)
        assert float(made.callback_metrics["val/mean"]) == 3.0 * rows
    torch.save(
        {"gradients": found, "watched": watched, "balanced": of_balanced}, out / f"{os.environ['LOCAL_RANK']}.pt"
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
