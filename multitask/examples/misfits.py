"""Metrics and data that do not fit, found before any training.

Words
    gold      the right answers of a split as a model would give them: the targets, post-processed
    misfit    why a metric cannot score the gold answers (a fault, which ends the command), or is undefined whatever the
              predictions are (a correlation with one number), which is said and never decides anything

What a metric asks of every single target is looked at where rows become examples (`bad_rows.check_target`), since there
the line of the row is known; this is about a split as a whole. The metrics that are built in say themselves what they
need. Any other, a user's own or one of `evaluate`, is given the gold answers to score: what it raises then it would
raise after the training. That costs what scoring one evaluation costs.
"""

from __future__ import annotations

import collections
import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from multitask.errors import UserError
from multitask.examples.bad_rows import check_target, target_checks
from multitask.examples.dataset import Examples, TaskData
from multitask.metrics.builtin import LIKELIHOOD_METRICS
from multitask.metrics.metric import Metric
from multitask.metrics.outputs import Misfit, Outputs
from multitask.task import UNLABELLED, Example, Task
from multitask.terminal.escaping import shown


def undefined_metrics(task: Task, examples: Sequence[Example]) -> dict[str, str]:
    """{metric: why it is undefined on these examples, whatever is predicted}.

    Args:
        task: Whose metrics are looked at.
        examples: A split that is scored, or a part of one; those without a label are left out.

    Raises:
        UserError: If a metric cannot score the gold answers, with the example that it fails on if it is one.
    """
    known = [e for e in examples if e.target != UNLABELLED]
    checks = target_checks(task)
    for example in known if checks else ():  # examples that were not made of rows
        try:
            check_target(example.target, checks)
        except ValueError as error:
            raise UserError(f"task '{task.name}': {_place(examples, example)}: {error}") from error
    gold = _gold(task, known, examples)
    found = {}
    for metric in task.metrics:
        if not known or metric.name in LIKELIHOOD_METRICS:  # which gold answers have none of
            continue
        misfit = metric.misfit(gold) if metric.misfit is not None else _scored(metric, gold)
        if misfit is None:
            continue
        if not misfit.undefined:
            at = "" if misfit.position is None else f" (first at {_place(examples, known[misfit.position])})"
            raise UserError(f"task '{task.name}': metric '{metric.name}' cannot score its data: {misfit.reason}{at}.")
        found[metric.name] = misfit.reason
    return found


class Cautions(NamedTuple):
    """Sentences on scores that can mean nothing."""

    undefined: list[str]
    """Metrics that are undefined on a split that is scored."""
    one_kind: list[str]
    """Splits whose targets are all one string, but for those where a metric is undefined for it."""


def data_cautions(task: Task, data: TaskData) -> Cautions:
    """Find what makes scores on a task's data mean nothing, before any training.

    Raises:
        UserError: As `undefined_metrics`, for the splits that are scored.
    """
    found = Cautions([], [])
    alike = [one_kind(task, data.train, "training")]
    for split, examples in (("validation", data.validation), ("selection", data.selection)):
        if examples is None:
            continue
        undefined = undefined_metrics(task, examples)
        found.undefined.extend(
            f"{task.name}: metric '{metric}' is undefined on the {split} examples ({reason}); it is shown as ·, and no "
            f"mean and no choice rests on it."
            for metric, reason in undefined.items()
        )
        alike.append(None if undefined else one_kind(task, examples, split))
    found.one_kind.extend(line for line in alike if line)
    return found


def one_kind(task: Task, examples: Sequence[Example] | None, which: str) -> str | None:
    """A sentence if two examples or more have one target; None otherwise.

    Args:
        task: For its name.
        examples: Of which; None for none.
        which: What they are called: "training".
    """
    kinds = collections.Counter(e.target for e in examples or ())
    kinds.pop(UNLABELLED, None)
    if len(kinds) != 1:
        return None
    ((only, count),) = kinds.items()
    if count < 2:
        return None
    never = [label for label in task.labels if label != only]
    learned = "a model learns to answer nothing else"
    effect = learned if which == "training" else "always giving it scores as well as knowing the answers"
    others = f" and never {shown(', '.join(map(repr, never)), 80)}" if never else ""
    return f"{task.name}: all {count:,} {which} examples have the target {shown(repr(only), 60)}{others}: {effect}."


# ------------------------------------------------------------------------------------------------------ gold answers


def _gold(task: Task, known: Sequence[Example], examples: Sequence[Example]) -> Outputs:
    said = [e.target for e in known]
    if task.postprocess is not None:
        for i, example in enumerate(known):
            try:
                said[i] = task.postprocess(example.target, example)
            except Exception as error:  # the user's, so anything may come
                raise UserError(
                    f"task '{task.name}': its postprocess fails on the right answer {shown(repr(example.target), 60)} "
                    f"of {_place(examples, example)}: {type(error).__name__}: {shown(error, 200)}"
                ) from error
    return answer_outputs(task, known, said)


def answer_outputs(task: Task, examples: Sequence[Example], answers: Sequence[str]) -> Outputs:
    """Make `Outputs` of answers that no model gave: one an example, post-processed, without likelihoods."""
    return Outputs(
        predictions=answers,
        targets=[e.target for e in examples],
        references=[e.references for e in examples],
        groups=[e.group for e in examples],
        labels=task.labels,
    )


def _scored(metric: Metric, gold: Outputs) -> Misfit | None:
    """Score the gold answers, and give the misfit that shows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a constant input, for one, which is said here
        value, reason = _tried(metric, gold)
        if reason is None:
            undefined = "it gives NaN for the right answers themselves"
            return Misfit(undefined, undefined=True) if math.isnan(value) else None
        return Misfit(reason, _culprit(metric, gold, reason))


def _tried(metric: Metric, gold: Outputs) -> tuple[float, str | None]:
    try:
        return metric.compute(gold), None
    except Exception as error:  # of foreign code
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        return math.nan, f"{kind}{shown(error, 240).rstrip('.')}"


def _culprit(metric: Metric, gold: Outputs, reason: str) -> int | None:
    """The example without which those before it can be scored; None if it fails on the first and the last alike.

    By halving: the least number of examples, from the first on, on which the metric fails in the same words.
    """
    last = len(gold) - 1
    if _tried(metric, gold.take([0]))[1] == reason == _tried(metric, gold.take([last]))[1]:
        return None
    fails, works = last, -1  # positions up to which it fails, and works
    while fails - works > 1:
        middle = (fails + works) // 2
        if _tried(metric, gold.take(range(middle + 1)))[1] == reason:
            fails = middle
        else:
            works = middle
    return fails


def _place(examples: Sequence[Example], example: Example) -> str:
    """Where an example comes from, as far as its id says."""
    where = examples.source if isinstance(examples, Examples) and examples.source else "the examples"
    split, _, row = example.id.partition(":")
    if split.isalpha() and row.split(".")[0].isdigit():
        return f"{where}, row {row.split('.')[0]} (from 0)"
    return f"{where}, id {shown(repr(example.id), 60)}"
