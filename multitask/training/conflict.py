"""What each task's part of a step does to the others: gradient conflict and who moved whose held-out loss.

Words
    probe        a step that is looked at; training goes on from it as if nobody had looked, to the bit
    half         every other example of a task's in the step: two estimates of one gradient, whose disagreement is noise
    part         of an update: −P ⊙ mᵢ. P is what the optimiser multiplies its first moment by, coordinate by coordinate
                 (given its second moments), so an update is a sum over tasks
    rest parts   what is no task's: `momentum` (gradients of earlier steps, if not every step is probed), `decay`, and
                 `rest` (the passes of a probe have dropout masks of their own)
    A(i→j)       realised attribution: the change of j's held-out loss over i's part of the update, along the straight
                 line from the weights before to those after: the mean of ∇Lⱼ on it times the part. The parts add up to
                 the update, so A adds up to the change of the loss, but for how the mean is taken: at the middle, an
                 error of third order in the step's size; at two Gauss points if every step is probed, of fifth. A
                 probe measures that change as well: the attribution tests itself
    own step     −P ⊙ gᵢ: the step that a task's fresh gradient will have made in the end, over all steps in which
                 momentum carries it. Of a sample of steps it says more than its part of those very steps
    look-ahead   j's held-out loss after a real step of the optimiser on i's gradient alone (after Fifty et al. 2021,
                 "Efficiently Identifying Task Groupings for Multi-Task Learning", equation 1)

All losses are nats an example: the mean over held-out examples of the summed negative log-likelihood of their targets.
Legend: n tasks, 2n halves, W weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from multitask.training.optim import ScaledAdamW
from multitask.training.task_gradients import joined

HELD_ROWS = 16
"""Held-out examples of each task that a probe looks at."""
HELD_POOL = 512
"""Held-out examples of each task that the probes take turns with."""
MIDDLE = (0.5,)
GAUSS = (0.5 - 3**0.5 / 6, 0.5 + 3**0.5 / 6)
"""Where on the way from the weights before a step to those after it a slope is taken."""
REST = ("momentum", "decay", "rest")
"""Parts of an update that are no task's."""
Loss = Callable[[Mapping[str, Any], int], tuple[Tensor, Sequence[Any]]]
"""(batch, seed of dropout) → the weighted sum of its losses, with a graph, and the `module.Piece`s it is made of."""


class Probe(NamedTuple):
    """What one probed step showed."""

    step: int
    """Steps that were made before it."""
    gramians: Tensor  # [blocks, 2n, 2n]
    """Inner products of the halves' gradients, as they stand in the loss; task i has the rows 2i and 2i + 1."""
    parts: Tensor  # [n + 3, n]
    """A(i→j); the last three rows are of `REST`."""
    own_steps: Tensor  # [2n, n]
    """∇Lⱼ times the own step of each half."""
    before: Tensor  # [n]
    """Held-out losses before the step."""
    after: Tensor  # [n]
    look_ahead: Tensor  # [n, n]
    """Lⱼ after a step on task i alone; NaN where the step had no examples of it."""


class ConflictProbes:
    """Probes every so many steps.

    Args:
        tasks: Names, in the order of the batches' `task_ids`.
        every: Steps between probes; at 1 the momentum is kept task by task, and A adds up over the whole training.
        held_out: Probe number → a batch of `HELD_ROWS` examples of each task, task by task, and one of all of them.
        clip: Largest norm of the gradient; 0 for no clipping.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        every: int,
        held_out: Callable[[int], tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]],
        clip: float,
    ) -> None:
        self.tasks, self.every, self.clip = tuple(tasks), every, clip
        self._held_out = held_out
        self.probes: list[Probe] = []
        self.blocks: tuple[str, ...] = ()
        self._moments: Tensor | None = None  # [n, W] of each task, if every step is probed
        self._open: _Open | None = None

    def before(
        self,
        model: Any,
        optimizer: torch.optim.Optimizer,
        batch: Mapping[str, Any],
        seed: int,
        loss: Loss,
        context: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        """Look at the gradients, before clipping and the update.

        Args:
            model: With the step's gradients, which are put back.
            optimizer: Its state is put back too.
            batch: Of the step, with `halves` as `StepMaker.halves` makes them.
            seed: Of dropout.
            loss: Computes a batch.
            context: Of the precision that the training computes in.
        """
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        view = _Weights([p for _, p in named])
        self.blocks, blocks = _blocks(named)
        total = view.gradient()
        norm = float(total.norm())
        if not norm < float("inf"):
            return
        made = self._held_out(len(self.probes) if self.every > 1 else 0)
        held, together = move_data_to_device(made, view.device)
        with _undisturbed(view.device), context():
            halves = torch.zeros(2 * len(self.tasks), len(total), device=view.device)
            for entry in batch["halves"]:
                with torch.enable_grad():
                    value, _ = loss(entry, seed)
                halves[2 * entry["task"] + entry["half"]] += view.gradient_of(value)
            with torch.autocast(view.device.type, enabled=False):  # in bf16 an inner product has two digits
                gramians = torch.stack([halves[:, a:b] @ halves[:, a:b].T for a, b in blocks])
            with _evaluating(model):
                losses = self._losses(loss, together)
                looks = self._look_ahead(optimizer, view, halves, loss, together)
        clipped = self._kept(norm)
        start = view.values()
        self._open = _Open(batch["step"], view, start, halves, total, clipped, gramians, held, together, losses, looks)

    def after(
        self,
        model: Any,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        context: Callable[[], AbstractContextManager[Any]],
        *,
        made: bool = True,
    ) -> None:
        """Attribute the update that was made since `before`, if one was."""
        opened, self._open = self._open, None
        if opened is None or not made:
            return
        view, n = opened.view, len(self.tasks)
        now = view.values()
        rates, keep, decay = _rates(optimizer, view, opened.start)
        own = -rates * opened.halves.view(n, 2, -1) * opened.clipped  # [n, 2, W]
        fresh = own.sum(1) * (1 - keep)  # [n, W]
        update = now - opened.start
        if self.every == 1 and keep:
            moments = torch.zeros_like(fresh) if self._moments is None else self._moments
            gradients = opened.halves.view(n, 2, -1).sum(1) * opened.clipped
            self._moments = keep * moments + (1 - keep) * gradients
            fresh = -rates * self._moments
            carried = torch.zeros_like(update)
        else:
            earlier = view.state(optimizer, "exp_avg") - (1 - keep) * opened.clipped * opened.total if keep else 0.0
            carried = -rates * earlier
        rest = update - fresh.sum(0) - carried - decay
        rows = torch.cat([fresh, torch.stack([carried, decay, rest])])  # [n + 3, W]
        parts = torch.zeros(n + len(REST), n)
        steps = torch.zeros(2 * n, n)
        with _undisturbed(view.device), context(), _evaluating(model):
            after = self._losses(loss, opened.together)
            nodes = GAUSS if self.every == 1 else MIDDLE
            for node in nodes:
                view.put(opened.start + node * update)
                for j, batch in enumerate(opened.held):
                    with torch.enable_grad():
                        value, _ = loss(batch, 0)
                    slope = view.gradient_of(value) / len(nodes)
                    with torch.autocast(view.device.type, enabled=False):
                        parts[:, j] += (rows @ slope).cpu()
                        steps[:, j] += (own.view(2 * n, -1) @ slope).cpu()
            view.put(now)
        self.probes.append(
            Probe(
                opened.step, opened.gramians.cpu(), parts, steps, opened.losses.cpu(), after.cpu(), opened.looks.cpu()
            )
        )

    def state(self) -> dict[str, Any]:
        """All that a resumed run has to know."""
        found: dict[str, Any] = {"blocks": list(self.blocks), "probes": [tuple(p) for p in self.probes]}
        if self._moments is not None:
            found["moments"] = self._moments
        return found

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self.blocks = tuple(state["blocks"])
        self.probes = [Probe(*p) for p in state["probes"]]
        self._moments = state.get("moments")

    def _kept(self, norm: float) -> float:
        """What clipping leaves of a gradient, as `clip_grads_with_norm_` has it."""
        return min(1.0, self.clip / (norm + 1e-6)) if self.clip else 1.0

    def _losses(self, loss: Loss, together: Mapping[str, Any]) -> Tensor:
        """[n] the held-out loss of each task, in one pass."""
        with torch.no_grad():
            _, pieces = loss(together, 0)
        total, count = torch.zeros(2, len(self.tasks), dtype=torch.float64)
        for piece in pieces:
            ids = piece.task_ids.cpu()
            total.index_add_(0, ids, piece.nll.double().cpu())
            count.index_add_(0, ids, torch.ones(len(ids), dtype=torch.float64))
        found: Tensor = total / count
        return found

    def _look_ahead(
        self, optimizer: torch.optim.Optimizer, view: _Weights, halves: Tensor, loss: Loss, together: Mapping[str, Any]
    ) -> Tensor:
        found = torch.full((len(self.tasks), len(self.tasks)), torch.nan, dtype=torch.float64)
        start, gradients = view.values(), [p.grad for p in view.parameters]
        saved = _copied(optimizer)
        for i in range(len(self.tasks)):
            own = halves[2 * i] + halves[2 * i + 1]
            norm = float(own.norm())
            if not norm:
                continue
            view.put_gradient(own * self._kept(norm))
            type(optimizer).step(optimizer)  # past what a schedule has put around it, which counts steps
            found[i] = self._losses(loss, together)
            view.put(start)
            _put_back(optimizer, saved)
        for p, gradient in zip(view.parameters, gradients, strict=True):
            p.grad = gradient
        return found


class _Weights:
    """The trained weights of a model as one vector [W]."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.device = self.parameters[0].device

    def values(self) -> Tensor:
        return joined(self.parameters, self.parameters)

    def gradient(self) -> Tensor:
        return joined(self.parameters, [p.grad for p in self.parameters])

    def gradient_of(self, value: Tensor) -> Tensor:
        return joined(self.parameters, torch.autograd.grad(value, self.parameters, allow_unused=True))

    def state(self, optimizer: torch.optim.Optimizer, name: str) -> Tensor:
        return joined(self.parameters, [optimizer.state[p].get(name) for p in self.parameters])

    def put(self, values: Tensor) -> None:
        with torch.no_grad():
            for p, part in self.split(values):
                p.copy_(part)

    def put_gradient(self, values: Tensor) -> None:
        for p, part in self.split(values):
            p.grad = None if p.grad is None else part.clone()

    def split(self, values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        at = 0
        for p in self.parameters:
            yield p, values[at : at + p.numel()].view_as(p)
            at += p.numel()


class _Open(NamedTuple):
    """A probe between the gradient and the update."""

    step: int
    view: _Weights
    start: Tensor  # [W] the weights before the update
    halves: Tensor  # [2n, W] gradients
    total: Tensor  # [W] the step's gradient
    clipped: float
    """What clipping leaves of it."""
    gramians: Tensor
    held: Sequence[Mapping[str, Any]]
    together: Mapping[str, Any]
    losses: Tensor
    looks: Tensor


def _rates(optimizer: torch.optim.Optimizer, view: _Weights, start: Tensor) -> tuple[Tensor, float, Tensor]:
    """P [W], the share of the first moment that a step keeps (0 without one), and the update of weight decay [W].

    Args:
        optimizer: After the update.
        view: Of the weights.
        start: The weights before it.
    """
    rates, decays, keep = [], [], 0.0
    groups = {p: group for group in optimizer.param_groups for p in group["params"]}
    for p, before in view.split(start):
        group, state = groups[p], optimizer.state[p]
        rate = group["lr"]
        if not state:
            rates.append(torch.zeros_like(before).flatten())
            decays.append(torch.zeros_like(before).flatten())
            continue
        if isinstance(optimizer, (ScaledAdamW, torch.optim.AdamW)):
            beta1, beta2 = group["betas"]
            keep, made = beta1, float(state["step"])
            scaled = isinstance(optimizer, ScaledAdamW)
            eps, least = group["eps"] if scaled else (group["eps"], 0.0)
            scale = max(float(before.norm()) / max(p.numel(), 1) ** 0.5, least) if scaled else 1.0
            spread = (state["exp_avg_sq"] / (1 - beta2**made)).sqrt_().add_(eps)
            rates.append((scale * rate / (1 - beta1**made) / spread).flatten())
        else:  # Adafactor
            rate *= max(group["eps"][1], float(state["RMS"])) if group["scale_parameter"] else 1.0
            rates.append((rate * _adafactor_divided(p, group, state)).flatten())
        decays.append((-rate * group["weight_decay"] * before).flatten())
    return torch.cat(rates), keep, torch.cat(decays)


def _adafactor_divided(p: Tensor, group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor:
    """What transformers' Adafactor multiplies a gradient by, before its rate: Shazeer & Stern 2018, algorithm 4."""
    if "exp_avg_sq_row" in state:
        row, column = state["exp_avg_sq_row"], state["exp_avg_sq_col"]
        spread = (row / row.mean(dim=-1, keepdim=True)).rsqrt().unsqueeze(-1) * column.unsqueeze(-2).rsqrt()
    else:
        spread = state["exp_avg_sq"].rsqrt()
    gradient = p.grad
    size = float((spread * gradient).norm()) / max(p.numel(), 1) ** 0.5 if gradient is not None else 0.0
    found: Tensor = spread / max(1.0, size / group["clip_threshold"])
    return found


def _blocks(named: Sequence[tuple[str, Tensor]]) -> tuple[tuple[str, ...], list[tuple[int, int]]]:
    """Names and stretches of the model's blocks: `embeddings`, `encoder 0`, …, `decoder norm`, `other`.

    Weights that lie side by side and have one name are a block; of a name that comes twice there are two.
    """
    names: list[str] = []
    stretches: list[tuple[int, int]] = []
    at = 0
    for name, p in named:
        words = name.split(".")
        side = next((w for w in words if w in ("encoder", "decoder")), None)
        number = next((w for w in words if w.isdecimal()), None)
        block = f"{side} {number or 'norm'}" if side else "embeddings" if "shared" in words else "other"
        if names and names[-1] == block:
            stretches[-1] = (stretches[-1][0], at + p.numel())
        else:
            names.append(block)
            stretches.append((at, at + p.numel()))
        at += p.numel()
    return tuple(names), stretches


def _copied(optimizer: torch.optim.Optimizer) -> dict[Any, dict[str, Any]]:
    return {p: _copy(state) for p, state in optimizer.state.items()}


def _copy(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v.clone() if isinstance(v, Tensor) else v for name, v in state.items()}


def _put_back(optimizer: torch.optim.Optimizer, saved: Mapping[Any, Mapping[str, Any]]) -> None:
    for p in list(optimizer.state):
        optimizer.state[p].clear()
        if p in saved:
            optimizer.state[p].update(_copy(saved[p]))
        else:
            del optimizer.state[p]


@contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
