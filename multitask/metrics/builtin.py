"""The built-in metrics: each function with its range, its parts for resampling, and what it is about."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from multitask.metrics import classification, likelihood, regression, text
from multitask.metrics.metric import METRICS, Metric
from multitask.metrics.outputs import Floats, Misfit, Outputs


@dataclass(frozen=True)
class _Total:
    """The function of a metric that has sums."""

    sums: Callable[[Outputs], Floats]
    of_sums: Callable[[Floats], Floats]

    def __call__(self, outputs: Outputs) -> float:
        return float(self.of_sums(self.sums(outputs).sum(axis=0)))


@dataclass(frozen=True)
class _Counted:
    """The sums of a mean: [N, 2] the value and 1."""

    per_example: Callable[[Outputs], Floats]

    def __call__(self, outputs: Outputs) -> Floats:
        values = self.per_example(outputs)
        return np.stack([values, np.ones_like(values)], axis=-1)


def _quotient(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _nothing(gold: Outputs) -> Misfit | None:
    """Whatever the gold answers are, the metric can score them."""
    return None


def _add(name: str, function: Callable[[Outputs], float], **fields: Any) -> None:
    METRICS.add(name, Metric(name, function, **{"misfit": _nothing, **fields}), holder=__package__)


def _add_total(
    name: str, sums: Callable[[Outputs], Floats], of_sums: Callable[[Floats], Floats], **fields: Any
) -> None:
    _add(name, _Total(sums, of_sums), sums=sums, of_sums=of_sums, **fields)


def _add_mean(name: str, per_example: Callable[[Outputs], Floats], **fields: Any) -> None:
    _add_total(name, _Counted(per_example), _quotient, per_example=per_example, **fields)


_share: dict[str, Any] = {"low": 0.0, "high": 1.0}
_INVALID = "An answer that is none of the labels is wrong."
# labels. The per-example part of F1 and Matthews is whether the prediction is right; they are not its mean.
_right = classification.correct
_labels: dict[str, Any] = {**_share, "outputs": ("labels",)}
_add_mean(
    "accuracy", _right, **_share, outputs=("labels", "text"), about="Share of the answers that are the target, exactly."
)
_add_total(
    "f1",
    classification.f1_sums,
    classification.f1_of,
    per_example=_right,
    misfit=classification.not_two_labels,
    **_labels,
    about="F1 of the second of the task's two labels, its positive class. That is GLUE's rule: labels=('no', 'yes') "
    f"counts 'yes'. {_INVALID} F1 of any class, of any number of labels, is 'f1/LABEL'; the mean over classes is "
    "f1_macro; the micro-average is accuracy, since each example has one label.",
)
_add_total(
    "f1_macro",
    classification.f1_macro_sums,
    classification.f1_macro_of,
    per_example=_right,
    **_labels,
    about=f"Mean of each label's F1. Every label that occurs counts the same. {_INVALID}",
)
_add_total(
    "mcc",
    classification.mcc_sums,
    classification.mcc_of,
    per_example=_right,
    **{**_labels, "low": -1.0},
    about="Matthews correlation of answers and targets. CoLA's metric, for any number of labels (Gorodkin 2004); it is "
    "0 for answers that are all one label.",
)
_add_total(
    "multirc_f1",
    classification.multirc_f1_sums,
    classification.f1_of,
    per_example=_right,
    target_fault=classification.neither_true_nor_false,
    **_labels,
    about="F1 of 'True' over all answers of all questions. F1a of Khashabi et al. 2018, whatever the order of labels.",
)
_add(
    "multirc_em",
    classification.multirc_em,
    sums=classification.multirc_em_sums,
    of_sums=_quotient,
    per_example=_right,
    misfit=classification.without_group,
    **_labels,
    about="Share of questions with every answer judged rightly. It needs Example(group=…).",
)
# numbers
_number: dict[str, Any] = {"target_fault": regression.not_a_number, "outputs": ("number",)}
_correlation: dict[str, Any] = {**_number, "misfit": regression.constant_targets, "low": -1.0, "high": 1.0}
_UNREADABLE = "An answer that is no number counts as the one that lowers it most."
_add_total(
    "pearson",
    regression.pearson_sums,
    regression.pearson_of,
    **_correlation,
    about="Pearson's correlation of answers and targets. It is undefined where one of them is all one number. "
    f"{_UNREADABLE}",
)
_add(
    "spearman",
    regression.spearman,
    weighted=regression.spearman_weighted,
    **_correlation,
    about=f"Spearman's rank correlation of answers and targets. {_UNREADABLE}",
)
_add_mean(
    "mse",
    regression.squared_error,
    higher_is_better=False,
    scale=1.0,
    low=0.0,
    high=math.inf,
    **_number,
    about="Mean squared error. An answer that is no number stands at the farther end of the range.",
)
# text
_text: dict[str, Any] = {**_share, "outputs": ("text", "span")}
_BEST = "Of several right answers the nearest counts."
_add_mean(
    "jaccard",
    text.jaccard,
    **_text,
    about=f"Shared words over all words of answer and target. Words are sets in small letters. {_BEST}",
)
_add_mean(
    "exact_match",
    text.exact_match,
    **_text,
    about="Share of right answers, but for case, punctuation and articles. As SQuAD's script compares them.",
)
_add_mean(
    "token_f1",
    text.token_f1,
    **_text,
    about=f"F1 of the words of answer and target. Without case, punctuation and articles, as SQuAD's script. {_BEST}",
)
_add_mean(
    "sequence_accuracy",
    text.sequence_accuracy,
    **_text,
    about="Share of right answers, character for character.",
)
_ROUGE = {
    "rouge_1": (text.rouge_1, "single words"),
    "rouge_2": (text.rouge_2, "pairs of words"),
    "rouge_l": (text.rouge_l, "the longest common subsequence"),
    "rouge_lsum": (text.rouge_lsum, "the same, line by line"),
}
for _name, (_rouge, _of) in _ROUGE.items():
    _add_mean(_name, _rouge, **_text, about=f"ROUGE of {_of}. F-measure with the Porter stemmer (Lin 2004). {_BEST}")
for _name, (_rouge, _of) in _ROUGE.items():  # as T5's own code computes them
    _plain = f"{_name} without a stemmer. As T5's own code computes it. {_BEST}"
    _add_mean(f"{_name}_unstemmed", functools.partial(_rouge, stem=False), **_text, about=_plain)
_of_100: dict[str, Any] = {"scale": 1.0, "low": 0.0, "high": 100.0, "outputs": ("text",)}
_add(
    "bleu_intl",
    functools.partial(text.bleu, tokenize="intl"),
    sums=functools.partial(text.bleu_sums, tokenize="intl"),
    of_sums=text.bleu_of,
    **_of_100,
    about="BLEU of the corpus, words as T5 divides them. By sacrebleu with its international tokenizer.",
)
_add(
    "bleu",
    text.bleu,
    sums=text.bleu_sums,
    of_sums=text.bleu_of,
    **_of_100,
    about="BLEU of the corpus. By sacrebleu with its default tokenizer (13a).",
)
_add(
    "chrf",
    text.chrf,
    sums=text.chrf_sums,
    of_sums=text.chrf_of,
    per_example=text.sentence_chrf,
    **_of_100,
    about="chrF2 of the corpus: F-score of character n-grams. By sacrebleu.",
)
# likelihood of the targets
_any = ("labels", "span", "number", "text")
_add_total(
    "token_probability",
    likelihood.perplexity_sums,
    likelihood.token_probability_of,
    **_share,
    outputs=_any,
    about="1 / perplexity. The geometric mean of the probabilities of the targets' tokens.",
)
_add_total(
    "perplexity",
    likelihood.perplexity_sums,
    likelihood.perplexity_of,
    higher_is_better=False,
    scale=1,
    low=1.0,
    high=math.inf,
    outputs=_any,
    about="exp of the nats per token of the targets. Every token counts the same.",
)
_add_mean(
    "log_likelihood",
    likelihood.log_likelihood,
    scale=1.0,
    low=-math.inf,
    high=0.0,
    outputs=_any,
    about="Summed log-probability of a target, in nats. Mean over examples.",
)


LIKELIHOOD_METRICS = ("token_probability", "perplexity", "log_likelihood")
"""Metrics of the model's probabilities: an answer without a model has none."""


F1_OF = "f1/"
"""Begins the name of F1 of one label: `f1/negative`."""


def f1_of_label(label: str) -> Metric:
    """F1 of one label of a task with two or more, the others together being the other class.

    >>> f1_of_label("no")(["no", "no", "yes"], ["no", "yes", "yes"], labels=("no", "yes"))
    0.6666666666666666
    """
    sums = functools.partial(classification.f1_label_sums, label=label)
    return Metric(
        F1_OF + label,
        _Total(sums, classification.f1_of),
        per_example=_right,
        sums=sums,
        of_sums=classification.f1_of,
        misfit=functools.partial(classification.not_among_labels, label=label),
        **_labels,
        about=f"F1 of the class {label!r}, all other labels being the other class. {_INVALID}",
    )
