"""How the tasks' losses of a step become one update: weights on them, from the losses alone or from their gradients.

Words
    term        of a task: its part of the step's loss; the terms' plain sum is the loss, `--balance sum`
    Gramian     [k, k] the inner products of the gradients of k terms: all that a gradient method looks at
    scale       weights say a direction; how long the step is should be one thing for all methods, or a learning rate
                that was tuned for one is another's handicap. From gradients the update gets the norm of the plain sum,
                from losses alone the weights of a step's tasks have the mean 1 (`--balance-scale own` leaves both out)

A task that has no examples in a step takes no part in it, and what is known of it stays. Nothing here draws from a
global generator; what is remembered from step to step is in `state`, for checkpoints.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.model.private_generator import private_generator

LOSSES_ONLY = ("uw", "famo")
"""Methods that look at the losses alone: one backward pass a step."""
FROM_GRADIENTS = ("imtl", "pcgrad", "gradvac", "cagrad", "upgrad", "mgda", "fairgrad")
"""Methods that look at each task's gradient: as many backward passes as tasks, each of one task's examples."""

CAGRAD_C = 0.4
"""The radius of CAGrad's ball, of the plain mean's norm (Liu et al. 2021, section 5: 0.4 on NYU-v2)."""
FAIRGRAD_ALPHA = 1.0
"""FairGrad's kind of fairness: 1 is proportional fairness (Ban & Ji 2024, section 3)."""
FAMO_LR, FAMO_DECAY = 0.025, 1e-3
"""Of FAMO's own Adam (Liu et al. 2023, algorithm 1 and section 4)."""
UW_LR = 0.01
"""Of the Adam that moves uncertainty weighting's log-variances. Kendall et al. move them with the model's optimiser,
whose rate is scaled by each matrix here, or is none at all for a vector."""


class Balancer(Protocol):
    """Weights for the terms of a step's loss."""

    needs_gradients: bool
    """Whether `weights_of_gramian` is asked, after a backward pass a task; else `weights_of_losses`, before one."""
    looks_back: bool
    """Whether `look_back` wants the losses of the same examples after the update."""

    def state(self) -> dict[str, Any]:
        """All that is remembered from step to step, in tensors and plain values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""


def check_balance(config: TrainConfig) -> None:
    """Refuse a method whose packages are not there.

    Raises:
        UserError: Says what to install.
    """
    needs = {"cagrad": ("cvxpy", "clarabel"), "upgrad": ("qpsolvers", "quadprog")}
    packages = ("torchjd", *needs.get(config.balance, ())) if config.balance in FROM_GRADIENTS else ()
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"--balance {config.balance} needs the package{'s'[: len(missing) != 1]} {', '.join(missing)}: "
            "pip install 'multitask-t5[balance]'."
        )


def make_balancer(name: str, tasks: int, *, scale: str = "sum", accumulate: int = 1) -> Any:
    """Make the method of that name; None for `sum`.

    Args:
        name: As `--balance`.
        tasks: K, how many there are.
        scale: `sum` or `own`; see the module.
        accumulate: Parts that a step is computed in. FAMO weighs by the whole step's losses, which are known only
            after the last part, so with several parts it keeps the gradients.
    """
    own = scale == "own"
    if name == "sum":
        return None
    if name == "uw":
        return UncertaintyWeights(tasks, own=own)
    if name == "famo":
        return Famo(tasks, own=own, keeps_gradients=accumulate > 1)
    return GradientWeights(name, tasks, own=own)


# ---- from losses alone -----------------------------------------------------------------------------------------------


class UncertaintyWeights:
    r"""Uncertainty weighting (Kendall, Gal & Cipolla 2018, section 3.2): $\sum_t e^{-s_t} L_t + s_t$, $s_t$ learned.

    $L_t$ is the task's mean loss a target token in the step. The factor ½ of a Gaussian likelihood is left out, as the
    weights' scale is (equation 10 of the paper, for a softmax, has none).
    """

    needs_gradients = False
    looks_back = False

    def __init__(self, tasks: int, *, own: bool = False) -> None:
        self.own = own
        self.log_variances = torch.zeros(tasks, dtype=torch.float64)
        self._adam = torch.optim.Adam([self.log_variances], lr=UW_LR)

    def weights_of_losses(self, losses: Mapping[int, float]) -> dict[int, float]:
        """{task: weight of its term}, before the log-variances learn of these losses."""
        raw = {t: math.exp(-float(self.log_variances[t])) for t in losses}
        return raw if self.own else _mean_one(raw)

    def learn(self, losses: Mapping[int, float]) -> None:
        """One step of the log-variances: the derivative of the loss by $s_t$ is $1 - e^{-s_t} L_t$."""
        grad = torch.zeros_like(self.log_variances)
        for t, loss in losses.items():
            grad[t] = 1.0 - math.exp(-float(self.log_variances[t])) * loss
        self.log_variances.grad = grad
        self._adam.step()

    def state(self) -> dict[str, Any]:
        """See `Balancer`."""
        return {"log_variances": self.log_variances.clone(), "adam": self._adam.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Balancer`."""
        self.log_variances.copy_(state["log_variances"])
        self._adam.load_state_dict(state["adam"])


class Famo:
    r"""FAMO (Liu et al. 2023, "Fast Adaptive Multitask Optimization", algorithm 1): all losses fall at one rate.

    With $z = \mathrm{softmax}(\xi)$ over the tasks of the step, a term's weight is $c\, z_t / L_t$, where
    $c = 1 / \sum_t z_t / L_t$. After the update the losses of the same examples, under the same dropout, say how far
    each fell, and Adam moves $\xi$ along $J_z^\top (\log L - \log L')$ with weight decay.
    """

    looks_back = True

    def __init__(self, tasks: int, *, own: bool = False, keeps_gradients: bool = False) -> None:
        self.own, self.needs_gradients = own, keeps_gradients
        self.logits = torch.zeros(tasks, dtype=torch.float64)
        self._adam = torch.optim.Adam([self.logits], lr=FAMO_LR, weight_decay=FAMO_DECAY)

    def weights_of_losses(self, losses: Mapping[int, float]) -> dict[int, float]:
        """{task: weight of its term}; they add up to 1 before they are scaled."""
        z = self._shares(losses)
        raw = {t: float(z[i]) / max(loss, 1e-8) for i, (t, loss) in enumerate(losses.items())}
        total = sum(raw.values())
        weights = {t: w / total for t, w in raw.items()}
        return weights if self.own else _mean_one(weights)

    def look_back(self, before: Mapping[int, float], after: Mapping[int, float]) -> None:
        """Move the logits by how far each loss fell in the update."""
        z = self._shares(before)
        fell = torch.tensor([math.log(max(before[t], 1e-8)) - math.log(max(after[t], 1e-8)) for t in before]).double()
        grad = torch.zeros_like(self.logits)
        grad[list(before)] = z * (fell - (z * fell).sum())  # the softmax's Jacobian, transposed, times `fell`
        self.logits.grad = grad
        self._adam.step()

    def _shares(self, losses: Mapping[int, float]) -> Tensor:
        return torch.softmax(self.logits[list(losses)], 0)

    def state(self) -> dict[str, Any]:
        """See `Balancer`."""
        return {"logits": self.logits.clone(), "adam": self._adam.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Balancer`."""
        self.logits.copy_(state["logits"])
        self._adam.load_state_dict(state["adam"])


def _mean_one(weights: Mapping[int, float]) -> dict[int, float]:
    mean = sum(weights.values()) / max(len(weights), 1)
    return {t: w / mean for t, w in weights.items()}


# ---- from gradients --------------------------------------------------------------------------------------------------


class GradientWeights:
    """A method of the literature that weighs gradients by their Gramian; the formulas are TorchJD's `Weighting`s.

    The Gramian is divided by its mean diagonal first: TorchJD takes one whose trace is below 1e-4 for zero, which
    gradients late in training reach, and every method here gives the same direction for any multiple of it.
    """

    needs_gradients = True
    looks_back = False

    def __init__(self, name: str, tasks: int, *, own: bool = False) -> None:
        self.name, self.own = name, own
        self._weighting = _weighting(name)
        self._phi: Tensor | None = torch.zeros(tasks, tasks, dtype=torch.float64) if name == "gradvac" else None

    def weights_of_gramian(self, gramian: Tensor, tasks: Sequence[int], seed: int) -> Tensor:
        """[k] float64, the weight of each task's gradient.

        Args:
            gramian: [k, k] float64, of the tasks of the step.
            tasks: Their numbers, in its order.
            seed: Of the order in which PCGrad and GradVac go through the tasks, new in each step.
        """
        plain = torch.ones(len(tasks), dtype=torch.float64)
        scale = float(gramian.diagonal().mean())
        if len(tasks) < 2 or not math.isfinite(scale) or scale <= 0:
            return plain  # the guard of the numbers looks at what comes of it
        normed = gramian / scale
        if self._phi is not None:
            # TorchJD remembers one matrix and begins anew when its size changes: a step may lack a task.
            self._weighting._phi_t = self._phi[tasks][:, tasks].clone()
            self._weighting._state_key = (len(tasks), normed.dtype)
        with private_generator(seed):
            weights: Tensor = self._weighting(normed)
        if self._phi is not None:
            self._phi[torch.tensor(tasks)[:, None], torch.tensor(tasks)] = self._weighting._phi_t
        if self.own:
            return weights
        summed, length = float(normed.sum()), float(weights @ normed @ weights)
        # Where all tasks pull against each other to nothing, there is no direction to be scaled.
        return weights * math.sqrt(max(summed, 0.0) / length) if length > 1e-12 * len(tasks) else weights

    def state(self) -> dict[str, Any]:
        """See `Balancer`."""
        return {} if self._phi is None else {"phi": self._phi.clone()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Balancer`."""
        if self._phi is not None:
            self._phi.copy_(state["phi"])


def _weighting(name: str) -> Any:
    from torchjd import aggregation

    made: dict[str, Callable[[], Any]] = {
        "imtl": aggregation.IMTLGWeighting,
        "pcgrad": aggregation.PCGradWeighting,
        "gradvac": aggregation.GradVacWeighting,
        "cagrad": lambda: aggregation.CAGradWeighting(c=CAGRAD_C),
        "upgrad": aggregation.UPGradWeighting,
        "mgda": aggregation.MGDAWeighting,
        "fairgrad": lambda: aggregation.FairGradWeighting(alpha=FAIRGRAD_ALPHA),
    }
    return made[name]()
