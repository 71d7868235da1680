"""Estimates from trained weights: singles' changes added up, and the gradients of examples at the joint model.

Legend: n tasks, R training rows, H held-out rows, D projected dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multitask.config import TrainConfig
from multitask.interference.estimation.matrix import Floats
from multitask.interference.estimation.refit import Features, features
from multitask.model.merging import merged_vector, scaled
from multitask.runs.merging import put_weights, weights_of
from multitask.tokenization.tokenizer import Tokenizer

ROWS = 256
"""Held-out examples of each task that merged models are compared on."""
PER_TASK = 48
"""Training rows of each task, and as many held-out ones, whose gradients are taken one by one."""
DIMENSIONS = 1024
"""That gradients are projected to: each weight goes to one of them, with a random sign (Weinberger et al. 2009)."""


class Probed:
    """The model and data of a joint run, to be looked at with other weights.

    Args:
        config: Of the joint run, with its defaults filled in.
        data: `runs.run_data.RunData` with the evaluated tokens.
    """

    def __init__(self, config: TrainConfig, data: Any) -> None:
        from multitask.batching.held_out import HeldOut
        from multitask.batching.step_maker import StepMaker
        from multitask.training.execution import choose_execution

        self.model = _initial_model(config, data.tokenizer)
        self.model.eval()
        self.tasks = tuple(data.mix.tasks)
        self.seed = config.seed
        self._train = tuple(data.train[n] for n in self.tasks)
        self._held = tuple(data.evaluated[n] for n in self.tasks)
        self._maker = StepMaker(
            data.mix.plan,
            self.tasks,
            self._train,
            config.loss,
            (1.0,) * len(self.tasks),
            data.mix.batch_size,
            data.tokenizer.pad_token_id,
            execution=choose_execution(config, self.model, "cpu"),
        )
        held = HeldOut(self._maker, self._held, rows=ROWS, seed=0)
        self._batches = [held.of_task(task, 0) for task in range(len(self.tasks))]

    def held_losses(self, tasks: Sequence[int]) -> dict[int, Floats]:
        """{task: [H] negative log-likelihood of each held-out example's target, in nats}."""
        import torch

        from multitask.training.module import step_loss

        found = {}
        with torch.no_grad():
            for task in tasks:
                _, pieces = step_loss(self.model, self._batches[task], 0)
                rows = np.concatenate([p.rows.numpy() for p in pieces])
                nll = np.concatenate([p.nll.double().numpy() for p in pieces])
                found[task] = nll[np.argsort(rows, kind="stable")]
        return found

    def merged_singles(self, singles: Sequence[Path]) -> tuple[Floats, Floats]:
        """[n, n] twice: nats an example that adding a companion's change takes from a task's held-out loss.

        Of θ₀ + Δᵢ + Δⱼ beside θ₀ + Δᵢ, the task's own single model; and the standard errors over examples.

        Args:
            singles: The run of each task alone, with its model.
        """
        n = len(self.tasks)
        start, own = weights_of(self.model), [_trained(folder) for folder in singles]
        alone = []
        for task in range(n):
            put_weights(self.model, own[task])
            alone.append(self.held_losses([task])[task])
        values, errors = np.full((n, n), np.nan), np.zeros((n, n))
        for t in range(n):
            for u in range(t):
                put_weights(self.model, scaled(start, merged_vector(start, [own[t], own[u]], "arithmetic"), 1.0))
                together = self.held_losses([t, u])
                for one, other in ((t, u), (u, t)):
                    gained = alone[one] - together[one]
                    values[one, other] = gained.mean()
                    errors[one, other] = gained.std(ddof=1) / np.sqrt(len(gained))
        return values, errors

    def features(self, joint: Path) -> list[Features]:
        """Margins and projected gradients of `PER_TASK` training and held-out rows of each task at a trained model."""
        import torch

        put_weights(self.model, _trained(joint))
        width = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        draw = torch.Generator().manual_seed(1 + self.seed)
        place = torch.randint(DIMENSIONS, (width,), generator=draw)
        sign = torch.randint(2, (width,), generator=draw).float() * 2 - 1

        def project(gradient: Any) -> Floats:
            found: Floats = torch.zeros(DIMENSIONS).index_add_(0, place, gradient * sign).double().numpy()
            return found

        found = []
        for task in range(len(self.tasks)):
            sides = [features(*self._gradients(tokens, task, project)) for tokens in (self._train, self._held)]
            found.append(Features(*sides[0], *sides[1]))
        return found

    def _gradients(self, tokens: Sequence[Any], task: int, project: Callable[[Any], Floats]) -> tuple[Floats, Floats]:
        """[R] losses and [R, D] projected gradients."""
        import torch

        from multitask.batching.held_out import HeldOut
        from multitask.training.module import step_loss
        from multitask.training.task_gradients import joined

        parameters = [p for p in self.model.parameters() if p.requires_grad]
        one_by_one = HeldOut(self._maker, tokens, rows=1, seed=1)
        losses, rows = [], []
        for number in range(min(PER_TASK, len(tokens[task].inputs.lengths))):
            with torch.enable_grad():
                value, _ = step_loss(self.model, one_by_one.of_task(task, number), 0)
            grads = torch.autograd.grad(value, parameters, allow_unused=True)
            rows.append(project(joined(parameters, grads)))
            losses.append(float(value.detach()))
        return np.array(losses), np.stack(rows)


def _initial_model(config: TrainConfig, tokenizer: Tokenizer) -> Any:
    """The model that a run's training begins with, to the bit of one thread: on two a copying head's QR has others."""
    from multitask.training.initial_model import make_initial_model
    from multitask.training.rng_states import seeded_generators, torch_threads

    with torch_threads(1), seeded_generators(config.seed):
        return make_initial_model(config, tokenizer)


def _trained(folder: Path) -> Mapping[str, Any]:
    """The weights of a run's model, by name."""
    from multitask.model.pretrained import load_pretrained

    return weights_of(load_pretrained(str(folder / "model")))


def write_sum(config: TrainConfig, runs: Sequence[Path], folder: Path) -> Path:
    """Write a model that has what each of several runs of one start has learned, θ₀ + Δᵢ + Δⱼ; gives its folder.

    Args:
        config: Of the first run, with its defaults filled in.
        runs: Their folders, with models; all began at the same pretrained or, by one seed, random weights.
        folder: To write it in, under the addresses of the runs: one that is there already is the same.
    """
    from multitask.runs.writing import save_model
    from multitask.tokenization.tokenizer import load_tokenizer

    folder = folder / "+".join(run.name[-10:] for run in runs)
    if (folder / "config.json").is_file():
        return folder
    tokenizer = load_tokenizer(str(runs[0] / "model"))
    model = _initial_model(config, tokenizer)
    start = weights_of(model)
    vector = merged_vector(start, [_trained(run) for run in runs], "arithmetic")
    put_weights(model, scaled(start, vector, 1.0))
    save_model(model, tokenizer, folder)
    return folder
