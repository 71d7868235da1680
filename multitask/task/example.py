"""`Example`: one pair of strings, with what evaluation needs of the row that it was made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from multitask.field_docs import explain_fields
from multitask.short_repr import short_repr

if TYPE_CHECKING:
    pass


OutputKind = Literal["labels", "span", "number", "text"]


MAY_BE_EMPTY = ("span", "text")
"""Kinds of output of which "" can be the right one."""


LONGEST_NAME = 200
"""Characters of a task's name: `best@NAME-1000000.ckpt` must be a file's name, which most systems end at 255."""


UNLABELLED = "<unk>"
"""The target of a row whose label is unknown (-1 in GLUE's test splits), as in T5's `preprocessors.glue`."""


class NoStringError(TypeError):
    """The input or the target of an Example is no string."""

    def __init__(self, inputs: object, target: object) -> None:
        super().__init__(
            f"an Example is made of two strings. Got inputs of type {type(inputs).__name__} and "
            f"target of type {type(target).__name__}."
        )
        self.value = target if isinstance(inputs, str) else inputs
        """What is no string, of both the first."""


@explain_fields
@dataclass(frozen=True, slots=True)
class Example:
    """One input and target pair, as strings.

    >>> Example("a gorgeous , witty film .", "positive").references
    ('positive',)
    """

    inputs: str
    """What the model reads; of a formatter's examples without the task's prefix, which is put in front later."""
    target: str
    """What the model is to write."""
    id: str = ""
    """Stable across runs: the pairing of runs rests on it. Left empty, the source's split and row number are used."""
    references: tuple[str, ...] = ()
    """All gold answers, for metrics that take the best over several; by default the target alone."""
    context: str | None = None
    """The text that a `span` is cut from, character for character as in the row. It must stand in `inputs`, except
    that characters may be replaced one for one (the tweets' backticks), and the answer is returned from here."""
    group: str | None = None
    """Examples that are scored together (MultiRC's question)."""

    def __post_init__(self) -> None:
        if not type(self.inputs) is type(self.target) is type(self.id) is str:
            self._make_plain("inputs", "target", "id")
            if not isinstance(self.inputs, str) or not isinstance(self.target, str):
                raise NoStringError(self.inputs, self.target)
        if self.context is not None or self.group is not None:
            self._make_plain("context", "group")
        if not self.references:
            object.__setattr__(self, "references", (self.target,))
        elif type(self.references) is tuple and any(type(r) is not str for r in self.references):
            plain = tuple(str.__str__(r) if isinstance(r, str) else r for r in self.references)
            object.__setattr__(self, "references", plain)

    def __repr__(self) -> str:
        return short_repr(self, self.inputs, self.target, id=self.id or None)

    def _make_plain(self, *names: str) -> None:
        """Strings of a class of their own (a cell of a csv file, numpy's) become strings."""
        for name in names:
            text = getattr(self, name)
            if isinstance(text, str) and type(text) is not str:
                object.__setattr__(self, name, str.__str__(text))

    def renewed(self, inputs: str, id: str) -> Example:
        """A copy with another input and id; `dataclasses.replace` takes five times as long, which 100,000 rows feel."""
        if type(self) is not Example:
            return dataclasses.replace(self, inputs=inputs, id=id)
        return Example(inputs, self.target, id, self.references, self.context, self.group)


Formatter = Callable[..., "Example | Iterable[Example]"]
"""`row -> Example`, or `row -> several` (an empty list leaves the row out). A formatter that also takes `split=`
("train", "validation", …) is told which split it formats: WSC trains on true examples only, but is scored on all."""
