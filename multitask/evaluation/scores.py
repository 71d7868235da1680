"""Predictions to per-task scores, each beside the baseline that needs no model.

Words
    scores    a task's metrics over its split, the share of invalid outputs, and the frame of its predictions
    baseline  what answers without a model score; see `baselines`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from multitask.batching.grouping import batches_of
from multitask.decoding.decoder import Decoder, Prediction
from multitask.evaluation.baselines import below_baseline, score_baselines
from multitask.evaluation.standard_errors import mean_error, scored
from multitask.evaluation.warnings import one_sided, undefined
from multitask.field_docs import explain_fields
from multitask.metrics.metric import Metric
from multitask.metrics.outputs import Outputs
from multitask.short_repr import short_repr
from multitask.task import UNLABELLED, Example, Task
from multitask.tokenization.tokenize import TokenizedTask
from multitask.tokenization.tokenizer import Tokenizer

if TYPE_CHECKING:
    import pandas as pd


@explain_fields
@dataclass(frozen=True, eq=False)
class TaskScores:
    """Scores of one task on one split."""

    task: str
    metrics: dict[str, float]
    """In each metric's own unit, the primary one first; NaN where it is not defined."""
    baseline: dict[str, float]
    """The same metrics for the best baseline's answers; empty if there is none; see `baselines`."""
    baseline_name: str
    """What it answers, e.g. "always 'positive'", "copy of the input"."""
    invalid_rate: float
    """Share of outputs that are not of the kind asked for, 0..1."""
    log_likelihood: float
    """Mean over examples of the target's summed log-likelihood, in nats."""
    generated: bool
    """Whether the examples are the generated sample."""
    frame: pd.DataFrame
    """A row an example: id, inputs, prediction, target, score and more; see `predictions_frame`."""
    warnings: tuple[str, ...] = ()
    """What looks wrong with the predictions; see `cautions`."""
    other_baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    """{what it answers: its metrics}, for tasks with several baselines; see `baselines`."""
    below_baseline: tuple[str, ...] = ()
    """A sentence if the primary metric is worse than the baseline's."""
    standard_errors: dict[str, float] = field(default_factory=dict)
    """Of each metric over examples, in its own unit, and of log_likelihood and invalid_rate; NaN where there is none;
    empty where they were not asked for. See `standard_errors`."""

    def __repr__(self) -> str:
        return short_repr(self, self.task, **{name: round(value, 4) for name, value in self.metrics.items()})

    @property
    def numbers(self) -> dict[str, float]:
        """The task's entry in metrics.json."""
        return {**self.metrics, "log_likelihood": self.log_likelihood, "invalid_rate": self.invalid_rate}


class Share(NamedTuple):
    """The part of the rows that one of several processes decodes."""

    process: int
    processes: int
    gather: Callable[[list[Prediction]], list[Prediction]]
    """Gives what all processes have; every process calls it."""


def outputs_of(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Outputs:
    """The columns that metrics look at, in the order of `predictions`; rows without a label are left out."""
    kept = [(examples[p.row], p) for p in predictions if examples[p.row].target != UNLABELLED]
    return Outputs(
        predictions=[p.text for _, p in kept],
        targets=[e.target for e, _ in kept],
        references=[e.references for e, _ in kept],
        groups=[e.group for e, _ in kept],
        labels=task.labels,
        log_likelihood=np.array([p.log_likelihood for _, p in kept]),
        target_tokens=np.array([p.target_tokens for _, p in kept]),
    )


def score_task(
    task: Task,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    train: Sequence[Example] | None = (),
    errors: bool = False,
) -> TaskScores:
    """All of a task's metrics over `predictions`, with the baseline that `train` gives; with `errors` theirs too.

    Without a baseline if `train` is None.
    """
    predictions = sorted(predictions, key=lambda p: p.row)
    outputs = outputs_of(task, examples, predictions)
    found = () if train is None else score_baselines(task, train, [examples[p.row] for p in predictions])
    frame = predictions_frame(task, examples, predictions)
    likelihoods = np.asarray(outputs.log_likelihood)  # of the rows with a label
    found_errors: dict[str, float] = {}
    if errors:
        both = {m.name: scored(m, outputs) for m in task.metrics}
        metrics = {name: value for name, (value, _) in both.items()}
        invalid = np.array([not p.valid for p in predictions], dtype=np.float64)
        found_errors = {
            **{name: error for name, (_, error) in both.items()},
            "log_likelihood": mean_error(likelihoods),
            "invalid_rate": mean_error(invalid),
        }
    else:
        metrics = {m.name: m.compute(outputs) for m in task.metrics}
    return TaskScores(
        task=task.name,
        metrics=metrics,
        baseline=found[0].metrics if found else {},
        baseline_name=found[0].name if found else "",
        other_baselines={b.name: b.metrics for b in found[1:]},
        below_baseline=tuple(below_baseline(task, metrics, found[0] if found else None)),
        invalid_rate=float(np.mean([not p.valid for p in predictions])) if predictions else math.nan,
        log_likelihood=float(np.mean(likelihoods)) if len(outputs) else math.nan,
        generated=bool(getattr(examples, "generated", False)),
        frame=frame,
        warnings=(*undefined(task, metrics, len(outputs)), *one_sided(task, frame)),
        standard_errors=found_errors,
    )


def predictions_frame(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> pd.DataFrame:
    """A row an example: id, inputs, prediction, target, references, score, log_likelihood, target_tokens, and more.

    The others are valid, raw and group; and generated and normalised, where labels were decoded in these ways too.
    `score` is the primary metric's per-example part; NaN for metrics that have none (Pearson) and rows without label.
    """
    import pandas as pd

    scores = np.full(len(predictions), np.nan)
    primary = task.primary
    if primary.per_example is not None:
        labelled = np.array([examples[p.row].target != UNLABELLED for p in predictions], dtype=bool)
        if labelled.any():
            scores[labelled] = primary.per_example(outputs_of(task, examples, predictions))
    rows = [examples[p.row] for p in predictions]
    plain = all(p.generated is None for p in predictions)
    return pd.DataFrame(
        {
            "id": [e.id for e in rows],
            "inputs": [e.inputs for e in rows],
            "prediction": [p.text for p in predictions],
            "target": [e.target for e in rows],
            "references": [list(e.references) for e in rows],
            "score": scores,
            "log_likelihood": [p.log_likelihood for p in predictions],
            "target_tokens": [p.target_tokens for p in predictions],
            "valid": [p.valid for p in predictions],
            "raw": [p.raw for p in predictions],
            "group": [e.group for e in rows],
            **({} if plain else {"generated": [p.generated for p in predictions]}),
            **({} if plain else {"normalised": [p.normalised for p in predictions]}),
        }
    )


def evaluate_task(
    model: Any,
    tokenizer: Tokenizer,
    task: Task,
    examples: Sequence[Example],
    tokens: TokenizedTask,
    *,
    train: Sequence[Example] | None = (),
    errors: bool = True,
    batch_tokens: int = 4096,
    labels_by: Literal["rank", "generate", "both"] = "rank",
    advance: Callable[[int], None] | None = None,
    share: Share | None = None,
) -> TaskScores:
    """Decode a whole split and score it as `score_task`; `advance(n)` is called as rows are done.

    With `share` this process decodes its part of the rows alone, and scores those of all.
    """
    decoder = Decoder(task, tokenizer, examples, tokens.inputs, tokens.targets, labels_by)
    predictions: list[Prediction] = []
    lengths = tokens.inputs.lengths
    first, stride = (share.process, share.processes) if share else (0, 1)
    for rows in batches_of(np.argsort(-lengths, kind="stable")[first::stride], lengths, batch_tokens):
        predictions += decoder(model, rows)
        if advance:
            advance(min(len(rows) * stride, len(examples)))
    if share:
        predictions = share.gather(predictions)
    return score_task(task, examples, predictions, train=train, errors=errors)


def mean_points(
    scores: Mapping[str, TaskScores], tasks: Mapping[str, Task], left_out: Container[str] = frozenset()
) -> float:
    """The mean over tasks of the primary metric in points (0–100, higher is better): what checkpoints are chosen by.

    Args:
        scores: Of all tasks.
        tasks: The same.
        left_out: Those whose metric is undefined on these examples whatever is predicted; see `misfits`.

    Returns:
        NaN if no task is left.
    """
    points = [
        deciding_points(tasks[name].primary, s.metrics[tasks[name].primary.name])
        for name, s in scores.items()
        if name not in left_out
    ]
    return float(np.mean(points)) if points else math.nan


def deciding_points(metric: Metric, value: float | None) -> float:
    """A value in points for a mean that something is chosen by: never NaN.

    A score that these predictions leave undefined, though others would not (a correlation of one answer to
    everything), says that nothing was learned, and counts as 0; for errors, which have no such value, as -∞. To leave
    the task out there would compare means over different tasks, and a model could win by a worthless answer.

    >>> from multitask.metrics import METRICS
    >>> deciding_points(METRICS.get("pearson"), math.nan), deciding_points(METRICS.get("mse"), math.nan)
    (0.0, -inf)
    """
    if value is None or math.isnan(value):
        return 0.0 if metric.higher_is_better else -math.inf
    return metric.points(value)


def points_of(task: Task, value: float) -> float:
    """A primary metric's value in points, oriented so that higher is better."""
    return task.primary.points(value)
