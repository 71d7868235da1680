"""Mixing rates: how often each task is read, from how many examples it has.

Words
    size      a task's training examples, counted after formatting
    rate      a task's share of the examples; rates are relative and are given normalised, summing to 1
    strategy  how rates follow from sizes: size → scale → cap K → temperature → normalise
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, TypedDict, get_args

from multitask.errors import UserError
from multitask.mixing.schedule import RateSchedule
from multitask.registry import did_you_mean

Strategy = Literal["proportional", "equal", "temperature", "unimax", "weights"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)

MAX_EPOCHS = 4.0
"""UniMax's N unless given. The paper's released models use 1, for pre-training; in fine-tuning, where data is small,
up to 4 epochs are worth nearly as much as fresh data (Muennighoff et al. 2023), so 4 is where repeating is capped."""


class MixingSettings(TypedDict, total=False):
    """The settings of `mixing_rates`, by name."""

    strategy: Strategy | None
    temperature: float | None
    cap: float | None
    scale: Mapping[str, float] | None
    weights: Mapping[str, float] | None
    budget: float | None
    max_epochs: float | None


def mixing_rates(
    sizes: Mapping[str, float],
    *,
    strategy: Strategy | None = None,
    temperature: float | None = None,
    cap: float | None = None,
    scale: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    budget: float | None = None,
    max_epochs: float | None = None,
) -> dict[str, float]:
    r"""Rates $r_m \propto \min(s_m e_m, K)^{1/T}$ (Raffel et al. 2020, section 3.5.2), or by another strategy.

    `proportional` is T = 1. A large T tends to `equal`, which looks at no sizes. `unimax` (Chung et al. 2023,
    algorithm 1) shares a budget of examples as evenly as it can without reading any task more than N times.
    `weights` are explicit. A setting that the strategy would ignore is an error.

    Args:
        sizes: Training examples $e_m$ of each task, 1 or more.
        strategy: By default `weights` if there are weights, `temperature` if there is one, else `proportional`.
        temperature: $T$, above 0.
        cap: $K$, in examples after scaling: what larger tasks count as. None for no cap.
        scale: $s_m$, factors on the sizes; 1 for a task that is not named.
        weights: Relative rates of all tasks, 0 or more.
        budget: For UniMax: all examples of the training, steps × examples per step.
        max_epochs: For UniMax: N, `MAX_EPOCHS` by default. If the budget exceeds N epochs of everything, all tasks
            are at their N and the rates are proportional.

    Returns:
        Rates that sum to 1, in the order of `sizes`.

    Raises:
        UserError: If a task has no examples, or a setting is unknown, ignored, missing or out of range.

    >>> mixing_rates({"span": 900, "sst2": 100})
    {'span': 0.9, 'sst2': 0.1}
    >>> mixing_rates({"span": 900, "sst2": 100}, temperature=2.0)
    {'span': 0.75, 'sst2': 0.25}
    >>> mixing_rates({"span": 900, "sst2": 100}, cap=300)
    {'span': 0.75, 'sst2': 0.25}
    >>> mixing_rates({"span": 900, "sst2": 100}, strategy="unimax", budget=1000, max_epochs=2)
    {'span': 0.8, 'sst2': 0.2}
    """
    check_sizes(sizes)
    if strategy is None:
        strategy = "weights" if weights is not None else "proportional" if temperature in (None, 1) else "temperature"
    if strategy not in STRATEGIES:
        raise UserError(f"unknown mixing strategy '{strategy}': {did_you_mean(strategy, STRATEGIES)}")
    _check_used(
        strategy,
        {
            "temperature": None if temperature == 1 else temperature,  # 1 changes nothing: a config may spell it out
            "cap": cap,
            "scale": scale or None,
            "weights": weights,
            "budget": budget,
            "max_epochs": max_epochs,
        },
    )
    match strategy:
        case "weights":
            amounts = _weights(sizes, weights)
        case "equal":
            amounts = dict.fromkeys(sizes, 1.0)
        case "unimax":
            if budget is None:
                raise UserError("UniMax mixing shares out a budget of examples; give one (steps × examples per step).")
            epochs = MAX_EPOCHS if max_epochs is None else max_epochs
            amounts = _unimax(sizes, _positive("budget", budget), _positive("max_epochs", epochs))
        case "temperature":
            if temperature is None:
                raise UserError("temperature mixing needs a temperature above 0, e.g. 2.")
            amounts = effective_sizes(sizes, scale, cap)
            exponent, largest = 1 / _positive("temperature", temperature), max(amounts.values())
            # Relative to the largest, so that a small T underflows to 0 and not to an error.
            amounts = {task: (amount / largest) ** exponent for task, amount in amounts.items()}
        case "proportional":
            amounts = effective_sizes(sizes, scale, cap)
    total = math.fsum(amounts.values())
    return {task: amount / total for task, amount in amounts.items()}


_USED: dict[str, tuple[str, ...]] = {
    "proportional": ("scale", "cap"),
    "temperature": ("scale", "cap", "temperature"),
    "equal": (),
    "unimax": ("budget", "max_epochs"),
    "weights": ("weights",),
}


def check_sizes(sizes: Mapping[str, float]) -> None:
    """Refuse an empty mixture, and a task without examples."""
    if not sizes:
        raise UserError("a mixture needs one or more tasks. Got none.")
    for task, size in sizes.items():
        if not (math.isfinite(size) and size > 0):
            raise UserError(f"Task '{task}' has {size} training examples; a mixture needs one or more.")


def _check_used(strategy: str, given: Mapping[str, object]) -> None:
    for setting, value in given.items():
        if value is not None and setting not in _USED[strategy]:
            users = [repr(s) for s, used in _USED.items() if setting in used]
            raise UserError(
                f"{setting} was given, but '{strategy}' mixing does not use it; "
                f"leave it out, or choose {' or '.join(users)}."
            )


def _positive(setting: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{setting} must be a number above 0. Got {value}.")
    return value


def _check_names(setting: str, named: Mapping[str, float], sizes: Mapping[str, float]) -> None:
    for task in named:
        if task not in sizes:
            raise UserError(f"{setting} names '{task}', which is not in the mixture: {did_you_mean(task, list(sizes))}")


def effective_sizes(
    sizes: Mapping[str, float], scale: Mapping[str, float] | None, cap: float | None
) -> dict[str, float]:
    """The sizes that rates are made of: scaled, then capped."""
    _check_names("scale", scale or {}, sizes)
    factors = {task: _positive(f"the scale of '{task}'", factor) for task, factor in (scale or {}).items()}
    limit = math.inf if cap is None else _positive("cap", cap)
    return {task: min(size * factors.get(task, 1), limit) for task, size in sizes.items()}


def _weights(sizes: Mapping[str, float], weights: Mapping[str, float] | None) -> dict[str, float]:
    if weights is None:
        raise UserError("mixing by weights needs the weights: one number for each task.")
    _check_names("weights", weights, sizes)
    for task in sizes:
        if task not in weights:
            raise UserError(f"weights has no number for '{task}'; give one for each of {', '.join(sizes)}.")
        if not (math.isfinite(weights[task]) and weights[task] >= 0):
            raise UserError(f"the weight of '{task}' must be a number, 0 or more. Got {weights[task]}.")
    if not any(weights.values()):
        raise UserError("all weights are 0; give one task or more a weight above 0.")
    return {task: float(weights[task]) for task in sizes}


def _unimax(sizes: Mapping[str, float], budget: float, max_epochs: float) -> dict[str, float]:
    # Smallest first: what a small task cannot take within its N epochs is left for the larger ones.
    shares: dict[str, float] = {}
    for done, task in enumerate(sorted(sizes, key=sizes.__getitem__)):
        shares[task] = min(budget / (len(sizes) - done), max_epochs * sizes[task])
        budget -= shares[task]
    return {task: shares[task] for task in sizes}


def temperature_schedule(
    rates: Callable[..., Mapping[str, float]], first: float, last: float, steps: int, pieces: int = 16
) -> RateSchedule:
    """A temperature that goes linearly from `first` to `last` over a training of `steps` steps.

    `rates(strategy=…, temperature=…)` gives the rates, e.g. `functools.partial(mixing_rates, sizes, cap=1000)` or
    that of `Mixture.rates`. They are exact at the ends of `pieces` equal pieces of the training, and linear between.

    >>> import functools
    >>> schedule = temperature_schedule(functools.partial(mixing_rates, {"span": 900, "sst2": 100}), 1, 2, 1000)
    >>> schedule.at(0), schedule.at(1000)
    ({'span': 0.9, 'sst2': 0.1}, {'span': 0.75, 'sst2': 0.25})
    """
    for temperature in (first, last):
        _positive("temperature", temperature)

    def at(fraction: float) -> Mapping[str, float]:
        return rates(strategy="temperature", temperature=first + fraction * (last - first))

    return RateSchedule.sampled(steps, at, pieces)
