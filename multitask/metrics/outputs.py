"""The input of a metric: the predictions of one task on one split, as parallel columns.

Words
    column    a sequence with one entry per evaluated example; the columns of one `Outputs` are in the same order
    target    the one string that the model was to produce
    gold      all strings that count as right answers: the references if there are any, else the target alone
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Sized
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multitask.field_docs import explain_fields
from multitask.short_repr import Plain, short_repr

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Misfit:
    """Why a metric cannot score the gold answers of a split, or says nothing of them."""

    reason: str
    """Without an end mark."""
    position: int | None = None
    """The example that it is about; None for the split or the task as a whole."""
    undefined: bool = False
    """The metric gives NaN there whatever the predictions are; else it cannot be computed at all."""


@explain_fields
@dataclass(frozen=True, eq=False)  # eq: comparing arrays with == gives an array, not an answer
class Outputs:
    """Predictions and targets as a metric sees them: parallel columns, one entry per evaluated example.

    >>> Outputs(["a", "x"], ["a", "b"], references=[("a", "an"), ()]).gold
    [('a', 'an'), ('b',)]
    """

    predictions: Sequence[str]
    """Post-processed strings."""
    targets: Sequence[str]
    """The strings that were to be produced."""
    references: Sequence[tuple[str, ...]] = ()
    """All gold answers of each example; an empty column, or an empty entry, stands for the target alone."""
    groups: Sequence[str | None] = ()
    """Examples with one group are scored together (MultiRC's question); empty if the task has none."""
    labels: tuple[str, ...] = ()
    """The task's labels in the order of their ids, empty if it has none."""
    log_likelihood: Floats | None = None
    """[N] summed log p(target | input) in nats, at most 0; None if it was not measured."""
    target_tokens: Integers | None = None
    """[N] tokens of the target with its end-of-sequence token; None if they were not counted."""

    def __repr__(self) -> str:
        return short_repr(self, Plain(f"{len(self):,} examples"), labels=list(self.labels) or None)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def gold(self) -> list[tuple[str, ...]]:
        """All right answers of each example, one or more."""
        if not len(self.references):
            return [(target,) for target in self.targets]
        return [tuple(answers) or (target,) for answers, target in zip(self.references, self.targets, strict=True)]

    def check(self, metric: str) -> None:
        """Raise a `ValueError` in the name of `metric` if the columns do not fit together."""
        for strings, entry in ((self.predictions, "prediction"), (self.targets, "target")):
            if isinstance(strings, str):
                raise ValueError(f"{metric} needs a list of {entry}s. Got the string {strings!r}.")
        # `is None` and len: an optional column may be an array, whose truth is not defined
        optional: tuple[tuple[Sized | None, str, str], ...] = (
            (self.references, "tuple of references", "tuples of references"),
            (self.groups, "group", "groups"),
            (self.log_likelihood, "log-likelihood", "log-likelihoods"),
            (self.target_tokens, "token count", "token counts"),
        )
        given = [(c, one, many) for c, one, many in optional if c is not None and len(c)]
        for column, one, many in [(self.predictions, "prediction", "predictions"), *given]:
            if len(column) != len(self.targets):
                raise ValueError(
                    f"{metric} needs one {one} per target, but got {len(column)} {one if len(column) == 1 else many} "
                    f"for {len(self.targets)} target{'' if len(self.targets) == 1 else 's'}."
                )
        given_answers: Sequence[object] = self.references  # a string would be taken apart into characters
        for answers in given_answers:
            if isinstance(answers, str):
                raise ValueError(f"{metric} needs a tuple of references for each example. Got the string {answers!r}.")

    def take(self, rows: npt.ArrayLike) -> Outputs:
        """The examples at `rows` (positions, repeats allowed), in that order: a subset or a bootstrap resample.

        >>> Outputs(["a", "b"], ["a", "c"]).take([1, 1, 0]).targets
        ['c', 'c', 'a']
        """
        at = np.asarray(rows, dtype=np.int64)  # an empty list would be float otherwise
        return dataclasses.replace(
            self,
            predictions=[self.predictions[i] for i in at],
            targets=[self.targets[i] for i in at],
            references=[self.references[i] for i in at] if len(self.references) else (),
            groups=[self.groups[i] for i in at] if len(self.groups) else (),
            log_likelihood=None if self.log_likelihood is None else np.asarray(self.log_likelihood)[at],
            target_tokens=None if self.target_tokens is None else np.asarray(self.target_tokens)[at],
        )
