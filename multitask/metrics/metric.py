"""`Metric`: a named score of the outputs of one task, and the registry of them."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multitask.field_docs import explain_fields
from multitask.metrics import hf_evaluate
from multitask.metrics.outputs import Floats, Misfit, Outputs
from multitask.registry import Registry
from multitask.short_repr import short_repr

Strings = list[str]


@explain_fields
@dataclass(frozen=True)
class Metric:
    """A named score of one task's outputs.

    Callable on two lists, and on more columns of `Outputs` by keyword. Pickles by name when it is registered.

    >>> METRICS.get("jaccard")(["so happy"], ["happy"])
    0.5
    """

    name: str
    """As in metrics.json: `accuracy`, `jaccard`, `rouge_l`, …"""
    function: Callable[[Outputs], float]
    """From one or more examples to the value, in the metric's own unit."""
    per_example: Callable[[Outputs], Floats] | None = None
    """[N] a number for each example, or None if the metric has no such part."""
    higher_is_better: bool = True
    """False for perplexity and errors."""
    scale: float = 100.0
    """value × scale = points: 1 where the value is in points already, or has no upper end."""
    sums: Callable[[Outputs], Floats] | None = None
    """[N, K] addends for each example; None if the value is not a function of totals (rank correlation)."""
    of_sums: Callable[[Floats], Floats] | None = None
    """[..., K] totals to [...] values."""
    weighted: Callable[[Outputs], Callable[[Floats], Floats]] | None = None
    """What sums are for a metric without them: reads the outputs once and gives the function from counts to values."""
    target_fault: Callable[[str], str | None] | None = None
    """Why a target cannot be scored, None for one that can; None if every string can. Such a row is a bad row."""
    misfit: Callable[[Outputs], Misfit | None] | None = None
    """What of a whole split cannot be scored, from its gold answers; None if only scoring them can tell."""
    low: float | None = None
    """The least value there is, in the metric's own unit; None if it is not known, -inf if there is none."""
    high: float | None = None
    """The largest."""
    outputs: tuple[str, ...] = ()
    """The kinds of output it is for: labels, span, number, text; empty if that is not known."""
    about: str = ""
    """What it measures, in a sentence or two."""
    module: str = ""
    """Of a user's metric, the Python module that registers it: a worker process imports it to find the metric."""

    def __repr__(self) -> str:
        return short_repr(self, self.name, higher_is_better=self.higher_is_better, scale=self.scale)

    def compute(self, outputs: Outputs) -> float:
        """The value; NaN if there are no examples, if it is undefined, or if what it needs was not measured.

        Raises:
            ValueError: If the columns do not fit together, or hold what the metric cannot score.
        """
        outputs.check(self.name)
        return float(self.function(outputs)) if len(outputs) else float("nan")

    def scores(self, outputs: Outputs) -> Floats:
        """[N] the per-example column: NaN throughout if the metric has none.

        Raises:
            ValueError: As `compute`.
        """
        outputs.check(self.name)
        if self.per_example is None or not len(outputs):
            return np.full(len(outputs), np.nan)
        return np.asarray(self.per_example(outputs), dtype=np.float64)

    def resampler(self, outputs: Outputs) -> Callable[[Floats], Floats]:
        """The function from counts [R, N] to the values [R] of those resamples, in the metric's own unit.

        Examples of one group are drawn together: their counts are equal, and a group drawn twice counts as two. A
        metric of a user's own costs one `compute` a resample; those built in cost a fraction of a millisecond.

        Raises:
            ValueError: As `compute`.

        >>> outputs = Outputs(["a", "b", "b"], ["a", "a", "b"])
        >>> METRICS.get("accuracy").resampler(outputs)(np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 0.0]])).round(3).tolist()
        [0.667, 0.333]
        """
        outputs.check(self.name)
        if self.sums is not None and self.of_sums is not None and len(outputs):
            return _OfTotals(self.sums(outputs), self.of_sums)
        if self.weighted is not None and len(outputs):
            return self.weighted(outputs)
        return _OneByOne(self, outputs)

    def points(self, value: float) -> float:
        """A value of this metric in points, oriented so that higher is better.

        >>> METRICS.get("accuracy").points(0.5), METRICS.get("mse").points(0.5)
        (50.0, -0.5)
        """
        return value * self.scale if self.higher_is_better else -(value * self.scale)

    def __call__(self, predictions: Sequence[str], targets: Sequence[str], **columns: Any) -> float:
        """`compute(Outputs(predictions, targets, **columns))`."""
        return self.compute(Outputs(predictions, targets, **columns))

    def prepare(self) -> None:
        """Load what it needs from outside (a metric of `evaluate`): a failing download should come before a training.

        Raises:
            UserError: If it cannot be loaded.
        """
        if isinstance(self.function, hf_evaluate.EvaluateFunction):
            self.function.load()

    def as_evaluate(self) -> Any:
        """An `evaluate.Metric` that gives `{name: value}`, offline; see `hf_evaluate.as_evaluate`."""
        return hf_evaluate.as_evaluate(self.name, self)

    def __reduce__(self) -> tuple[Any, ...]:
        # By name where the name leads back to this object: the decorator replaced the function pickle would look for.
        if METRICS.registered().get(self.name) is self:
            return _metric_by_name, (self.name, self.module)
        return _metric_by_fields, ({f.name: getattr(self, f.name) for f in dataclasses.fields(self)},)


def _metric_by_name(name: str, module: str) -> Metric:
    if module and name not in METRICS.registered():
        importlib.import_module(module)
    return METRICS.get(name)


def _metric_by_fields(fields: dict[str, Any]) -> Metric:
    return Metric(**fields)


METRICS: Registry[Metric] = Registry("metric")
"""All registered metrics."""


@dataclass(frozen=True)
class _OfTotals:
    """Counts to values, by sums."""

    sums: Floats  # [N, K]
    of_sums: Callable[[Floats], Floats]

    def __call__(self, counts: Floats) -> Floats:
        return self.of_sums(counts @ self.sums)


@dataclass(frozen=True)
class _OneByOne:
    """Counts to values, each resample written out and scored."""

    metric: Metric
    outputs: Outputs

    def __call__(self, counts: Floats) -> Floats:
        return np.array([self.metric.compute(written_out(self.outputs, row)) for row in counts], dtype=np.float64)


def written_out(outputs: Outputs, counts: Floats) -> Outputs:
    """The resample in which each example stands `counts` [N] times; the copies of a group are groups of their own.

    >>> written_out(Outputs(["a", "b"], ["c", "d"], groups=["p", "q"]), np.array([2, 1])).groups
    ['p', 'q', 'p copy 1']
    """
    copies = [np.flatnonzero(counts > copy) for copy in range(int(max(counts, default=0)))]
    taken = outputs.take(np.concatenate([np.empty(0, dtype=np.int64), *copies]))
    if not len(outputs.groups):
        return taken
    number = [copy for copy, rows in enumerate(copies) for _ in rows]
    named = [f"{g} copy {n}" if g is not None and n else g for g, n in zip(taken.groups, number, strict=True)]
    return dataclasses.replace(taken, groups=named)
