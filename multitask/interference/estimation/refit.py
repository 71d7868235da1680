r"""What a few more steps on a pair would give, told from gradients at one model: no training, a small convex fit.

After Li et al. 2024 (Grad-TAG), "Scalable Multitask Learning Using Gradient-based Estimation of Task Affinity": near
a model $\theta$ that was trained on all tasks, the margin of an example $e$ is $m_e + z_e \cdot w$, where $w$ is
the change of the weights and $z_e$ the gradient of its margin, projected to few dimensions by random signs. For a set
of tasks the change that training on them would make minimises

    mean over the set's examples of log(1 + exp(−(m_e + z_e · w))) + λ/2 ‖w‖²

and what it does to a task is read off that task's held-out examples. Text-to-text: the margin of an example is the log
odds of its whole target, $\log p/(1-p)$; so the loss is its negative log-likelihood, and
$z = -\nabla \mathrm{nll} / (1 - p)$.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize  # type: ignore[import-untyped]

from multitask.interference.estimation.matrix import Floats

PENALTY = 0.1
"""λ as a share of the mean squared length of the examples' gradients: what was tried first, and not tuned."""
LEAST = 1e-3
"""Least 1 − p that a gradient is divided by: an example that is known for sure has no say in where to go."""


class Features(NamedTuple):
    """Examples of one task at one model: R training rows and H held-out ones, D projected dimensions."""

    margins: Floats  # [R]
    slopes: Floats  # [R, D]
    held_margins: Floats  # [H]
    held_slopes: Floats  # [H, D]


def features(nll: Floats, gradients: Floats) -> tuple[Floats, Floats]:
    """Margins [R] and their slopes [R, D], from negative log-likelihoods and their projected gradients."""
    missed = np.maximum(-np.expm1(-nll), LEAST)  # 1 − p
    return -nll - np.log(missed), -gradients / missed[:, None]


def refitted(tasks: list[Features]) -> tuple[Floats, Floats]:
    """[n, n] twice: nats an example that a companion takes from each task's held-out loss, and the standard errors."""
    n = len(tasks)
    scale = float(np.mean([np.mean((t.slopes**2).sum(1)) for t in tasks]))
    penalty = PENALTY * max(scale, 1e-12)
    alone = [_held_losses(tasks[t], _fit([tasks[t]], penalty)) for t in range(n)]
    values, errors = np.full((n, n), np.nan), np.zeros((n, n))
    for t in range(n):
        for u in range(t):
            change = _fit([tasks[t], tasks[u]], penalty)
            for one, other in ((t, u), (u, t)):
                gained = alone[one] - _held_losses(tasks[one], change)
                values[one, other] = gained.mean()
                errors[one, other] = gained.std(ddof=1) / np.sqrt(len(gained))
    return values, errors


def _fit(chosen: list[Features], penalty: float) -> Floats:
    """[D] the change of the weights that minimises the loss of the chosen tasks, each counted alike.

    In the examples' own span: w = Σ αₑ zₑ, so there are as many unknowns as examples.
    """
    margins = np.concatenate([t.margins for t in chosen])
    slopes = np.concatenate([t.slopes for t in chosen])
    weights = np.concatenate([np.full(len(t.margins), 1 / len(t.margins)) for t in chosen])
    kernel = slopes @ slopes.T

    def value(alpha: Floats) -> tuple[float, Floats]:
        moved = kernel @ alpha
        z = margins + moved
        loss = float((weights * np.logaddexp(0, -z)).sum() + penalty / 2 * alpha @ moved)
        return loss, kernel @ (-weights / (1 + np.exp(np.clip(z, -500, 500))) + penalty * alpha)

    found = minimize(value, np.zeros(len(margins)), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x @ slopes)


def _held_losses(task: Features, change: Floats) -> Floats:
    return np.logaddexp(0, -(task.held_margins + task.held_slopes @ change))
