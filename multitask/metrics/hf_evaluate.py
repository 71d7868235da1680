"""Between this project's metrics and Hugging Face `evaluate`, both ways, so that one can stand in the other's place.

Words
    module  an `evaluate.EvaluationModule`: an object with `compute(predictions=, references=)` that gives a dict
    spec    what follows "evaluate:" in a metric's name: NAME or NAME/KEY, KEY being the entry of the dict. A community
            metric has a slash in its name already, so there the key must be said: OWNER/NAME/KEY. A local script or
            folder is a path that exists, with or without /KEY

`evaluate` is imported where it is used: it takes a second or more. A metric named by its spec is loaded when it is
first needed, or by `Metric.prepare` before a training begins, because loading may need the network.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from multitask.errors import UserError
from multitask.metrics.classification import codes, never_invalid
from multitask.metrics.outputs import Outputs
from multitask.metrics.regression import numbers

LOWER_IS_BETTER = frozenset({"perplexity", "wer", "cer", "ter", "mse", "mae", "rmse", "mape", "smape", "mase"})
"""Modules and keys of `evaluate` where less is better; `evaluate` itself does not say."""

OUT_OF_100 = frozenset({"sacrebleu", "chrf", "ter"})
"""Modules that give 0 to 100 rather than 0 to 1."""


def split_spec(spec: str) -> tuple[str, str | None]:
    """(what `evaluate.load` is asked for, the key of the result or None) of a spec.

    >>> split_spec("accuracy"), split_spec("rouge/rougeL"), split_spec("someone/metric/score")
    (('accuracy', None), ('rouge', 'rougeL'), ('someone/metric', 'score'))
    """
    if "/" not in spec or os.path.exists(spec):
        return spec, None
    path, key = spec.rsplit("/", 1)
    return path, key


@dataclass(frozen=True)
class EvaluateFunction:
    """A module of `evaluate` as the function of a `Metric`: strings in, one number out.

    What the module wants instead of strings is made for it: codes of the labels where it takes integers (an invalid
    prediction counts as another label), numbers where it takes floats, all gold answers where it takes lists.
    """

    path: str
    """What `evaluate.load` is asked for."""
    key: str | None = None
    """The entry of the result; None for the only number in it."""
    module: Any = field(default=None, compare=False)
    """The loaded module, if there is one already."""

    def __call__(self, outputs: Outputs) -> float:
        """The number that the module gives."""
        module = self.load()
        return self._pick(module.compute(**_arguments(module, outputs, self.path)))

    def load(self) -> Any:
        """The module; a `UserError` if it cannot be loaded."""
        return self.module if self.module is not None else _load(self.path)

    def _pick(self, result: dict[str, Any]) -> float:
        found = {k: v for k, v in result.items() if _is_number(v)}
        if self.key is not None and self.key in found:
            return float(found[self.key])
        if self.key is None and len(found) == 1:
            return float(*found.values())
        if not found:
            raise UserError(f"metric 'evaluate:{self.path}' gives no number, only {sorted(result)}.")
        asked = f"no number called '{self.key}'" if self.key is not None else f"{len(found)} numbers"
        raise UserError(
            f"metric 'evaluate:{self.path}' gives {asked}: choose one of {', '.join(sorted(found))}, "
            f"as in 'evaluate:{self.path}/{min(found)}'."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # A module holds locks and Arrow buffers; its class and configuration are what makes it.
        made_of = (type(self.module), self.module.config_name) if self.module is not None else None
        return _restore, (self.path, self.key, made_of)


def _restore(path: str, key: str | None, made_of: tuple[Callable[..., Any], str] | None) -> EvaluateFunction:
    module = made_of[0](config_name=made_of[1]) if made_of is not None else None
    return EvaluateFunction(path, key, module)


def _is_number(value: Any) -> bool:
    import numpy as np

    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


@functools.cache
def _load(path: str) -> Any:
    import evaluate  # type: ignore[import-untyped]

    try:
        return evaluate.load(path)
    except Exception as error:  # its script is foreign code: what it raises is not known
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"metric 'evaluate:{path}' could not be loaded by evaluate.load({path!r}) "
            f"({type(error).__name__}: {reason}): it needs the network the first time, and the packages that its "
            f"script imports; the metrics named without 'evaluate:' need neither."
        ) from error


def is_module(thing: object) -> bool:
    """Whether `thing` is a module of `evaluate`; if `evaluate` was never imported nothing is."""
    evaluate = sys.modules.get("evaluate")
    return evaluate is not None and isinstance(thing, evaluate.EvaluationModule)


def _arguments(module: Any, outputs: Outputs, name: str) -> dict[str, Any]:
    """The arguments of `module.compute`."""
    forms = module.features if isinstance(module.features, list) else [module.features]
    if any(set(form) != {"predictions", "references"} for form in forms):
        raise UserError(
            f"metric 'evaluate:{name}' takes {', '.join(sorted(forms[0]))}, not predictions and references alone: "
            f"call it from a function under @register_metric."
        )
    lists = [form for form in forms if _inner(form["references"]) is not None]
    flat = [form for form in forms if _inner(form["references"]) is None]
    gold = outputs.gold
    if lists and not (flat and all(len(answers) == 1 for answers in gold)):
        return {"predictions": list(outputs.predictions), "references": [list(answers) for answers in gold]}
    kind = str(getattr(flat[0]["predictions"], "dtype", "?"))
    if kind.endswith("string"):
        single = [answers[0] if len(answers) == 1 else t for answers, t in zip(gold, outputs.targets, strict=True)]
        return {"predictions": list(outputs.predictions), "references": single}
    if kind.startswith(("int", "uint")) and outputs.labels:
        targets, predictions, labels = codes(outputs, f"evaluate:{name}")
        return {
            "predictions": never_invalid(targets, predictions, labels).tolist(),
            "references": targets.tolist(),
        }
    if kind.startswith(("int", "uint", "float")):
        read, true = numbers(outputs, f"evaluate:{name}")
        number = float if kind.startswith("float") else int
        return {"predictions": [number(x) for x in read], "references": [number(x) for x in true]}
    raise UserError(
        f"metric 'evaluate:{name}' takes predictions of another kind ({flat[0]['predictions']}) than strings, labels "
        f"or numbers: call it from a function under @register_metric."
    )


def _inner(feature: Any) -> Any:
    """The feature inside a list feature, in any of the ways `datasets` has of writing one; None for a plain value."""
    if isinstance(feature, list):
        return feature[0]
    return getattr(feature, "feature", None)


@functools.cache
def _offline_class() -> Any:
    import datasets  # type: ignore[import-untyped]
    import evaluate

    text = datasets.Value("string")

    class Offline(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
        """A `multitask` metric as an `evaluate.Metric`: nothing is downloaded, nothing is written to disk."""

        def __init__(self, name: str, score: Callable[..., float]) -> None:
            self._score_name, self._score = name, score
            super().__init__(keep_in_memory=True)

        def _info(self) -> Any:
            forms = [
                datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
                datasets.Features({"predictions": text, "references": text}),
            ]
            return evaluate.MetricInfo(
                description=f"{self._score_name} of multitask", citation="", inputs_description="", features=forms
            )

        @property
        def name(self) -> str:
            return self._score_name

        def compute(self, *, predictions: Any = None, references: Any = None, **columns: Any) -> Any:
            """`{name: value}`; NaN for no examples."""  # evaluate appends to it, so there must be one
            if predictions is not None and references is not None and len(predictions) == len(references) == 0:
                return {self._score_name: float("nan")}  # evaluate would look at the first example
            return super().compute(predictions=predictions, references=references, **columns)

        def _compute(self, predictions: list[str], references: list[Any], **columns: Any) -> dict[str, float]:
            several = [tuple(r) if not isinstance(r, str) else (r,) for r in references]
            targets = [answers[0] for answers in several]
            value = self._score(predictions, targets, **{"references": several, **columns})
            return {self._score_name: value}

    return Offline


def as_evaluate(name: str, score: Callable[..., float]) -> Any:
    """An `evaluate.Metric` whose `compute(predictions=, references=)` gives `{name: score(predictions, targets)}`.

    References are strings or lists of strings, all of them gold; the other columns of `Outputs` (`labels=`, `groups=`,
    `log_likelihood=` …) are passed on.
    """
    return _offline_class()(name, score)
