"""Baselines: the scores of answers that need no model, beside which a model's score says something.

Words
    labels    the most frequent label of the training examples
    span      the whole text; or nothing, where that may be the answer
    number    the mean and the median of the training targets
    text      a copy of the input (all that stands after the prefix), its first sentence, and the most frequent target
              of the training examples if one stands there twice: copying scores 82 BLEU where a rewrite changes little
    best      the one with the highest primary metric on the scored examples; it stands in tables, the others in
              baselines.json. Of a span's two the one that is better on the first training examples
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from multitask.examples.misfits import answer_outputs
from multitask.metrics.builtin import LIKELIHOOD_METRICS
from multitask.metrics.metric import Metric
from multitask.task import UNLABELLED, Example, Task
from multitask.terminal.escaping import shown

COPY, SENTENCE, WHOLE, NOTHING = "copy of the input", "first sentence", "the whole text", "no answer"

_END = re.compile(r"(?<![.!?…])[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”’）]*|\n\s*\n")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|[A-Za-z](?:\.[A-Za-z])+|Mr|Mrs|Ms|Dr|St|Prof|vs|No|Jr|Sr|etc|e\.g|i\.e)$"
)
_LONGEST = (
    40  # characters of an abbreviation: to look through all that stands before it takes minutes in a list of them
)
_SHORT = 40  # characters of a target in a baseline's name
WORK = 30_000_000
"""Pairs of a word of an input and one of a target, over all examples, from which on baselines of text are scored on a
part of the examples, evenly spaced, and say so, if the task has `rouge_lsum`: that looks at each pair, some 25 millions
a minute. An example with so many of its own is left out."""


class Baseline(NamedTuple):
    """Scores of answers that need no model."""

    name: str
    """What they are: "always 'positive'", "copy of the input"."""
    metrics: dict[str, float]
    """{metric: value in its own unit}; NaN where a metric is not defined for such answers, none of the likelihood."""


def baseline_answers(task: Task, train: Sequence[Example], examples: Sequence[Example]) -> dict[str, list[str]]:
    """{name: its answers to `examples`}, the usual one first; empty where there is none."""
    count = len(examples)
    if task.output == "span":
        return {name: [_of_span(name, e) for e in examples] for name in _span_names(task, train)}
    known = [e.target for e in train if e.target != UNLABELLED]
    if task.output == "labels" and known:
        label = collections.Counter(known).most_common(1)[0][0]
        return {f"always '{label}'": [label] * count}
    if task.output == "number" and known:
        numbers = [float(t) for t in known]
        return {f"always {value}": [value] * count for value in (f"{f(numbers):.4g}" for f in (np.mean, np.median))}
    return _of_text(task, known, examples) if task.output == "text" else {}


def score_baselines(task: Task, train: Sequence[Example], examples: Sequence[Example]) -> tuple[Baseline, ...]:
    """The baselines' scores on `examples`, the best one first; none where there is none.

    Each is kept for the next call with the same task and examples: the models of a study are scored on the same ones,
    and ROUGE of whole articles takes longer than that of a model's short answers.
    """
    examples = [e for e in examples if e.target != UNLABELLED]
    part = _part(task, examples)
    if not part:
        return ()
    note = "" if len(part) == len(examples) else f" (of {len(part):,} examples)"
    on = _digest([[e.id, e.inputs, e.target, e.references, e.context, e.group] for e in part])
    found = []
    for name, answers in baseline_answers(task, train, part).items():
        metrics = tuple((metric.name, id(metric)) for metric in task.metrics)
        key = (task.name, task.labels, metrics, on, _digest([name, answers]))
        if key not in _kept:
            while len(_kept) >= _KEPT:
                del _kept[next(iter(_kept))]
            # With the metrics themselves, so that an id stays its own; not in the key, for a user's may have no hash.
            _kept[key] = _scored(task, name + note, part, answers), task.metrics
        found.append(_kept[key][0])
    if task.output == "span":
        return tuple(found)
    name = task.primary.name
    return tuple(sorted(found, key=lambda b: -_points(task.primary, b.metrics.get(name, math.nan))))


_KEPT = 256
_kept: dict[tuple[object, ...], tuple[Baseline, tuple[Metric, ...]]] = {}


def below_baseline(task: Task, metrics: Mapping[str, float], best: Baseline | None) -> list[str]:
    """A sentence if the primary metric is worse than the best baseline's; else none."""
    name = task.primary.name
    if best is None or name not in metrics or name not in best.metrics:
        return []
    score, base = metrics[name], best.metrics[name]
    if not task.primary.points(score) < task.primary.points(base):  # NaN is neither better nor worse
        return []
    way = "below" if task.primary.higher_is_better else "above"
    return [
        f"task '{task.name}': {name} {score:.3f} is {way} the {base:.3f} of answers without a model ({best.name}): it "
        "was not learned."
    ]


def _part(task: Task, examples: Sequence[Example]) -> Sequence[Example]:
    if task.output != "text" or not any(metric.name.startswith("rouge_lsum") for metric in task.metrics):
        return examples
    pairs = [len(e.inputs.split()) * len(e.target.split()) for e in examples]
    short = [(e, count) for e, count in zip(examples, pairs, strict=True) if count <= WORK]
    spacing = -(-sum(count for _, count in short) // WORK) or 1
    return [e for e, _ in short[::spacing]]


def _points(metric: Metric, value: float) -> float:
    return -math.inf if math.isnan(value) else metric.points(value)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _scored(task: Task, name: str, examples: Sequence[Example], answers: Sequence[str]) -> Baseline:
    outputs = answer_outputs(task, examples, answers)
    values = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a constant input, for one
        for metric in task.metrics:
            if metric.name in LIKELIHOOD_METRICS:
                continue
            try:
                values[metric.name] = metric.compute(outputs)
            except (
                Exception
            ):  # a user's own, of answers that no model would give: the run's scores must not fall for it
                if task.output != "text":
                    raise
                values[metric.name] = math.nan
    return Baseline(name, values)


# ---------------------------------------------------------------------------------------------------------------- text


def first_sentence(text: str) -> str:
    """The text up to the end of its first sentence; all of it if none ends.

    >>> first_sentence('Mr. Smith paid 3.50 euros. "Too much!" he said.'), first_sentence("no end")
    ('Mr. Smith paid 3.50 euros.', 'no end')
    """
    text = text.strip()
    for end in _END.finditer(text):
        if end[0] == "." and _ABBREVIATION.search(text, max(0, end.start() - _LONGEST), end.start()):
            continue
        return text[: end.end()].rstrip()
    return text


def _of_text(task: Task, known: Sequence[str], examples: Sequence[Example]) -> dict[str, list[str]]:
    copies = [e.inputs.removeprefix(task.prefix) for e in examples]
    made = {COPY: copies}
    sentences = [first_sentence(text) for text in copies]
    if sentences != [text.strip() for text in copies]:
        made[SENTENCE] = sentences
    if known:
        ((target, times),) = collections.Counter(known).most_common(1)
        if times > 1:
            name = f"always {shown(repr(target), _SHORT)}" if target.strip() else NOTHING
            made[name] = [target] * len(examples)
    if task.postprocess is None:
        return made
    return {name: done for name, answers in made.items() if (done := _processed(task.postprocess, answers, examples))}


def _processed(
    postprocess: Callable[[str, Example], str], answers: Sequence[str], examples: Sequence[Example]
) -> list[str] | None:
    """As a model's answers are; None if a user's function does not take such answers."""
    try:
        return [postprocess(answer, e) for answer, e in zip(answers, examples, strict=True)]
    except Exception:
        return None


# --------------------------------------------------------------------------------------------------------------- spans


def _of_span(name: str, example: Example) -> str:
    return "" if name == NOTHING else example.context or ""


def _span_names(task: Task, train: Sequence[Example]) -> list[str]:
    """The whole text, and nothing, where that may be the answer: first the better on the first training examples."""
    some = list(itertools.islice((e for e in train if e.target != UNLABELLED), 1000))
    if not task.decoding.no_answer or not some or task.primary.name in LIKELIHOOD_METRICS:
        return [WHOLE]

    def points(name: str) -> float:
        answers = [_of_span(name, e) for e in some]
        return _points(task.primary, task.primary.compute(answer_outputs(task, some, answers)))

    return sorted((WHOLE, NOTHING), key=lambda name: -points(name))
