"""Metrics by name: registered ones, F1 of one label, those of Hugging Face `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multitask.errors import UserError
from multitask.metrics import hf_evaluate
from multitask.metrics.builtin import F1_OF, f1_of_label
from multitask.metrics.metric import METRICS, Metric, Strings
from multitask.metrics.outputs import Floats, Outputs
from multitask.registry import holder_of, place_of

EVALUATE = "evaluate:"
"""Begins the name of a metric of Hugging Face `evaluate`: `evaluate:meteor`."""


def register_metric(
    name: str | None = None,
    *,
    higher_is_better: bool = True,
    scale: float = 100.0,
    per_example: Callable[[Strings, Strings], npt.ArrayLike] | None = None,
    replace: bool = False,
) -> Callable[[Callable[[Strings, Strings], float]], Metric]:
    """Make the decorated `(predictions, targets) -> number` a metric, by default under the function's name.

    Args:
        name: The metric's name.
        higher_is_better: False for errors.
        scale: What its values are multiplied by to give 0 to 100.
        per_example: `(predictions, targets) -> one number for each example`, for the predictions file.
        replace: Take the name from the metric that has it. A cell of a notebook that is run again may do so in any
            case.

    Raises:
        UserError: If the name is taken.

    >>> @register_metric()
    ... def same_length(predictions, targets):
    ...     return sum(len(p) == len(t) for p, t in zip(predictions, targets)) / len(targets)
    >>> same_length(["abc", "a"], ["xyz", "xyz"])
    0.5
    >>> METRICS.discard("same_length")
    """
    if name is not None and not isinstance(name, str):
        raise UserError(
            "register_metric is called with or without a name: write @register_metric() above the function."
        )

    def register(function: Callable[[Strings, Strings], float]) -> Metric:
        own = name or function.__name__
        metric = Metric(
            own,
            _OfStrings(function),
            per_example=None if per_example is None else _EachOfStrings(per_example, own),
            higher_is_better=higher_is_better,
            scale=scale,
            about=" ".join((function.__doc__ or "").strip().partition("\n\n")[0].split()),
            module=function.__module__,
        )
        holder = holder_of(function)
        return METRICS.add(own, metric, holder, place=place_of(function), replace=replace)

    return register


@dataclass(frozen=True)
class _OfStrings:
    user: Callable[[Strings, Strings], float]

    def __call__(self, outputs: Outputs) -> float:
        return float(self.user(list(outputs.predictions), list(outputs.targets)))


@dataclass(frozen=True)
class _EachOfStrings:
    user: Callable[[Strings, Strings], npt.ArrayLike]
    metric: str

    def __call__(self, outputs: Outputs) -> Floats:
        values = np.asarray(self.user(list(outputs.predictions), list(outputs.targets)), dtype=np.float64)
        if values.shape != (len(outputs),):
            raise ValueError(
                f"per_example of {self.metric} must have shape [N] = ({len(outputs)},). Got {values.shape}."
            )
        return values


def from_evaluate(
    metric: Any,
    *,
    key: str | None = None,
    name: str | None = None,
    higher_is_better: bool | None = None,
    scale: float | None = None,
) -> Metric:
    """A metric of Hugging Face `evaluate` as a `Metric`.

    Args:
        metric: `"NAME"` or `"NAME/KEY"`, loaded by `evaluate.load` when first used, or a loaded `evaluate.Metric`.
        key: The entry of its result; not needed if there is one number in it.
        name: By default `"evaluate:NAME/KEY"`, which can be resolved again, or the loaded module's name.
        higher_is_better: By default from a short list of errors and perplexities; `evaluate` does not say.
        scale: By default 1 for the modules known to give 0 to 100, else 100.
    """
    if isinstance(metric, str):
        path, spec_key = hf_evaluate.split_spec(metric)
        function = hf_evaluate.EvaluateFunction(path, key or spec_key)
        default_name = f"{EVALUATE}{path}" + (f"/{function.key}" if function.key else "")
    else:
        path = default_name = metric.name
        function = hf_evaluate.EvaluateFunction(path, key, metric)
    lower = {path, function.key} & hf_evaluate.LOWER_IS_BETTER
    in_points = path in hf_evaluate.OUT_OF_100 or bool(lower)
    return Metric(
        name or default_name,
        function,
        higher_is_better=not lower if higher_is_better is None else higher_is_better,
        scale=(1.0 if in_points else 100.0) if scale is None else scale,
    )


def resolve_metrics(metrics: Sequence[str | Metric | Any]) -> tuple[Metric, ...]:
    """The `Metric`s of a list of names, `"evaluate:NAME/KEY"`, `Metric`s and `evaluate.Metric`s, in order.

    Nothing is loaded or downloaded here; `Metric.prepare` does that.

    Raises:
        UserError: If one is unknown, is no metric, or has the name of another.

    >>> [metric.name for metric in resolve_metrics(["accuracy", METRICS.get("f1")])]
    ['accuracy', 'f1']
    """
    if isinstance(metrics, (str, Metric)) or hf_evaluate.is_module(metrics):
        shown = f'"{metrics}"' if isinstance(metrics, str) else "metric"
        raise UserError(f"metrics must be a list. Got one {type(metrics).__name__}: write metrics=[{shown}].")
    found: dict[str, Metric] = {}
    for one in metrics:
        metric = _resolve(one)
        if metric.name in found:
            raise UserError(f"metric '{metric.name}' is given twice: each stands under its name in metrics.json.")
        found[metric.name] = metric
    return tuple(found.values())


def known_metric(name: str) -> Metric | None:
    """The metric that a name in metrics.json stands for; None for one that is not registered here.

    >>> known_metric("f1/no").high, known_metric("evaluate:wer").higher_is_better, known_metric("of_somebody")
    (1.0, False, None)
    """
    try:
        return _resolve(name)
    except UserError:
        return None


def _resolve(one: Any) -> Metric:
    if isinstance(one, Metric):
        return one
    if isinstance(one, str):
        if one.startswith(F1_OF) and len(one) > len(F1_OF):
            return f1_of_label(one.removeprefix(F1_OF))
        name = one.removeprefix(EVALUATE)
        if one.startswith(EVALUATE) and not name.strip("/ "):
            raise UserError(f"metric '{one}' names none of evaluate's: write evaluate:NAME, as in evaluate:meteor.")
        return METRICS.get(one) if name == one else from_evaluate(name)
    if hf_evaluate.is_module(one):
        return from_evaluate(one)
    hint = ": put @register_metric() above it" if callable(one) else ""
    raise UserError(
        f"a metric is a name, a Metric or an evaluate.Metric. Got {type(one).__name__} "
        f"{getattr(one, '__name__', one)!r}{hint}."
    )
