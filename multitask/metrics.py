"""Metrics: from the outputs of one task to one number, with its direction and its scale.

Words
    unit          what a metric's value is in: 0 to 1 for most, 0 to 100 for BLEU and chrF, -1 to 1 for correlations
    points        value × scale: the 0 to 100 of tables
    per example   a number for each example, for predictions/TASK.parquet. For most metrics the value is their mean
    sums          [N, K] addends for each example, such that the value is a function of their total over the examples:
                  `of_sums(sums(outputs).sum(axis=0))`. Resampling needs the addends only, so that 10,000 resamples
                  with counts W [R, N] are `of_sums(W @ sums(outputs))`, without looking at a string again
    counts        [R, N] how often each example stands in each of R resamples; `resampled` gives their R values, by the
                  sums or `weighted` where a metric has them, else one resample after the other

All that are built in work offline. Their functions are in `label_metrics`, `number_metrics` and `text_metrics`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multitask import evaluate_bridge, label_metrics, number_metrics, text_metrics
from multitask.errors import UserError
from multitask.field_docs import explain_fields
from multitask.outputs import Floats, Misfit, Outputs
from multitask.registry import Registry, holder_of, place_of
from multitask.short_repr import short_repr

__all__ = ["METRICS", "Metric", "Outputs", "from_evaluate", "register_metric", "resolve_metrics"]

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

    def resampled(self, outputs: Outputs, counts: Floats) -> Floats:
        """[R] the values of the resamples with counts [R, N]: `resampler(outputs)(counts)`."""
        return self.resampler(outputs)(counts)

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
        if isinstance(self.function, evaluate_bridge.EvaluateFunction):
            self.function.load()

    def as_evaluate(self) -> Any:
        """An `evaluate.Metric` that gives `{name: value}`, offline; see `evaluate_bridge.as_evaluate`."""
        return evaluate_bridge.as_evaluate(self.name, self)

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


def _quotient(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _nothing(gold: Outputs) -> Misfit | None:
    """Whatever the gold answers are, the metric can score them."""
    return None


def _add(name: str, function: Callable[[Outputs], float], **fields: Any) -> None:
    METRICS.add(name, Metric(name, function, **{"misfit": _nothing, **fields}), holder=__name__)


def _add_total(
    name: str, sums: Callable[[Outputs], Floats], of_sums: Callable[[Floats], Floats], **fields: Any
) -> None:
    _add(name, _Total(sums, of_sums), sums=sums, of_sums=of_sums, **fields)


def _add_mean(name: str, per_example: Callable[[Outputs], Floats], **fields: Any) -> None:
    _add_total(name, _Counted(per_example), _quotient, per_example=per_example, **fields)


_share: dict[str, Any] = {"low": 0.0, "high": 1.0}
_INVALID = "An answer that is none of the labels is wrong."
# labels. The per-example part of F1 and Matthews is whether the prediction is right; they are not its mean.
_right = label_metrics.correct
_labels: dict[str, Any] = {**_share, "outputs": ("labels",)}
_add_mean(
    "accuracy", _right, **_share, outputs=("labels", "text"), about="Share of the answers that are the target, exactly."
)
_add_total(
    "f1",
    label_metrics.f1_sums,
    label_metrics.f1_of,
    per_example=_right,
    misfit=label_metrics.not_two_labels,
    **_labels,
    about="F1 of the second of the task's two labels, its positive class. That is GLUE's rule: labels=('no', 'yes') "
    f"counts 'yes'. {_INVALID} F1 of any class, of any number of labels, is 'f1/LABEL'; the mean over classes is "
    "f1_macro; the micro-average is accuracy, since each example has one label.",
)
_add_total(
    "f1_macro",
    label_metrics.f1_macro_sums,
    label_metrics.f1_macro_of,
    per_example=_right,
    **_labels,
    about=f"Mean of each label's F1. Every label that occurs counts the same. {_INVALID}",
)
_add_total(
    "mcc",
    label_metrics.mcc_sums,
    label_metrics.mcc_of,
    per_example=_right,
    **{**_labels, "low": -1.0},
    about="Matthews correlation of answers and targets. CoLA's metric, for any number of labels (Gorodkin 2004); it is "
    "0 for answers that are all one label.",
)
_add_total(
    "multirc_f1",
    label_metrics.multirc_f1_sums,
    label_metrics.f1_of,
    per_example=_right,
    target_fault=label_metrics.neither_true_nor_false,
    **_labels,
    about="F1 of 'True' over all answers of all questions. F1a of Khashabi et al. 2018, whatever the order of labels.",
)
_add(
    "multirc_em",
    label_metrics.multirc_em,
    sums=label_metrics.multirc_em_sums,
    of_sums=_quotient,
    per_example=_right,
    misfit=label_metrics.without_group,
    **_labels,
    about="Share of questions with every answer judged rightly. It needs Example(group=…).",
)
# numbers
_number: dict[str, Any] = {"target_fault": number_metrics.not_a_number, "outputs": ("number",)}
_correlation: dict[str, Any] = {**_number, "misfit": number_metrics.constant_targets, "low": -1.0, "high": 1.0}
_UNREADABLE = "An answer that is no number counts as the one that lowers it most."
_add_total(
    "pearson",
    number_metrics.pearson_sums,
    number_metrics.pearson_of,
    **_correlation,
    about="Pearson's correlation of answers and targets. It is undefined where one of them is all one number. "
    f"{_UNREADABLE}",
)
_add(
    "spearman",
    number_metrics.spearman,
    weighted=number_metrics.spearman_weighted,
    **_correlation,
    about=f"Spearman's rank correlation of answers and targets. {_UNREADABLE}",
)
_add_mean(
    "mse",
    number_metrics.squared_error,
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
    text_metrics.jaccard,
    **_text,
    about=f"Shared words over all words of answer and target. Words are sets in small letters. {_BEST}",
)
_add_mean(
    "exact_match",
    text_metrics.exact_match,
    **_text,
    about="Share of right answers, but for case, punctuation and articles. As SQuAD's script compares them.",
)
_add_mean(
    "token_f1",
    text_metrics.token_f1,
    **_text,
    about=f"F1 of the words of answer and target. Without case, punctuation and articles, as SQuAD's script. {_BEST}",
)
_add_mean(
    "sequence_accuracy",
    text_metrics.sequence_accuracy,
    **_text,
    about="Share of right answers, character for character.",
)
_ROUGE = {
    "rouge_1": (text_metrics.rouge_1, "single words"),
    "rouge_2": (text_metrics.rouge_2, "pairs of words"),
    "rouge_l": (text_metrics.rouge_l, "the longest common subsequence"),
    "rouge_lsum": (text_metrics.rouge_lsum, "the same, line by line"),
}
for _name, (_rouge, _of) in _ROUGE.items():
    _add_mean(_name, _rouge, **_text, about=f"ROUGE of {_of}. F-measure with the Porter stemmer (Lin 2004). {_BEST}")
for _name, (_rouge, _of) in _ROUGE.items():  # as T5's own code computes them
    _plain = f"{_name} without a stemmer. As T5's own code computes it. {_BEST}"
    _add_mean(f"{_name}_unstemmed", functools.partial(_rouge, stem=False), **_text, about=_plain)
_of_100: dict[str, Any] = {"scale": 1.0, "low": 0.0, "high": 100.0, "outputs": ("text",)}
_add(
    "bleu_intl",
    functools.partial(text_metrics.bleu, tokenize="intl"),
    sums=functools.partial(text_metrics.bleu_sums, tokenize="intl"),
    of_sums=text_metrics.bleu_of,
    **_of_100,
    about="BLEU of the corpus, words as T5 divides them. By sacrebleu with its international tokenizer.",
)
_add(
    "bleu",
    text_metrics.bleu,
    sums=text_metrics.bleu_sums,
    of_sums=text_metrics.bleu_of,
    **_of_100,
    about="BLEU of the corpus. By sacrebleu with its default tokenizer (13a).",
)
_add(
    "chrf",
    text_metrics.chrf,
    sums=text_metrics.chrf_sums,
    of_sums=text_metrics.chrf_of,
    per_example=text_metrics.sentence_chrf,
    **_of_100,
    about="chrF2 of the corpus: F-score of character n-grams. By sacrebleu.",
)
# likelihood of the targets
_any = ("labels", "span", "number", "text")
_add_total(
    "token_probability",
    number_metrics.perplexity_sums,
    number_metrics.token_probability_of,
    **_share,
    outputs=_any,
    about="1 / perplexity. The geometric mean of the probabilities of the targets' tokens.",
)
_add_total(
    "perplexity",
    number_metrics.perplexity_sums,
    number_metrics.perplexity_of,
    higher_is_better=False,
    scale=1,
    low=1.0,
    high=math.inf,
    outputs=_any,
    about="exp of the nats per token of the targets. Every token counts the same.",
)
_add_mean(
    "log_likelihood",
    number_metrics.log_likelihood,
    scale=1.0,
    low=-math.inf,
    high=0.0,
    outputs=_any,
    about="Summed log-probability of a target, in nats. Mean over examples.",
)

F1_OF = "f1/"
"""Begins the name of F1 of one label: `f1/negative`."""
EVALUATE = "evaluate:"
"""Begins the name of a metric of Hugging Face `evaluate`: `evaluate:meteor`."""


def f1_of_label(label: str) -> Metric:
    """F1 of one label of a task with two or more, the others together being the other class.

    >>> f1_of_label("no")(["no", "no", "yes"], ["no", "yes", "yes"], labels=("no", "yes"))
    0.6666666666666666
    """
    sums = functools.partial(label_metrics.f1_label_sums, label=label)
    return Metric(
        F1_OF + label,
        _Total(sums, label_metrics.f1_of),
        per_example=_right,
        sums=sums,
        of_sums=label_metrics.f1_of,
        misfit=functools.partial(label_metrics.not_among_labels, label=label),
        **_labels,
        about=f"F1 of the class {label!r}, all other labels being the other class. {_INVALID}",
    )


LIKELIHOOD_METRICS = ("token_probability", "perplexity", "log_likelihood")
"""Metrics of the model's probabilities: an answer without a model has none."""


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
        path, spec_key = evaluate_bridge.split_spec(metric)
        function = evaluate_bridge.EvaluateFunction(path, key or spec_key)
        default_name = f"{EVALUATE}{path}" + (f"/{function.key}" if function.key else "")
    else:
        path = default_name = metric.name
        function = evaluate_bridge.EvaluateFunction(path, key, metric)
    lower = {path, function.key} & evaluate_bridge.LOWER_IS_BETTER
    in_points = path in evaluate_bridge.OUT_OF_100 or bool(lower)
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
    if isinstance(metrics, (str, Metric)) or evaluate_bridge.is_module(metrics):
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
    if evaluate_bridge.is_module(one):
        return from_evaluate(one)
    hint = ": put @register_metric() above it" if callable(one) else ""
    raise UserError(
        f"a metric is a name, a Metric or an evaluate.Metric. Got {type(one).__name__} "
        f"{getattr(one, '__name__', one)!r}{hint}."
    )
