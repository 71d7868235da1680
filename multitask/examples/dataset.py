"""A split's examples, and all splits of a task."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as _quoted
from typing import NamedTuple, overload

from multitask.examples.bad_rows import BadRow
from multitask.short_repr import Plain, short_repr
from multitask.task import Example, Task

EMPTY, NO_LABEL, NO_EXAMPLE = "empty input", "no label", "no example"


@dataclass(frozen=True)
class Examples(Sequence[Example]):
    """The examples of one split of one task."""

    task: str
    """The task's name."""
    split: str
    """What they are used as: "train", "validation", "selection", "test". Ids say which split the row came from."""
    examples: tuple[Example, ...] = field(repr=False)
    source: str = ""
    """Where the rows came from, for people."""
    generated: bool = False
    """True for the generated sample."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """{reason: how many were left out}."""
    bad_rows: tuple[BadRow, ...] = ()
    """The rows that were left out because they are bad, in their order; also kept by a part of the examples."""
    total_rows: int = 0
    """Rows of the split that the source has, with those."""
    held_out: str = ""
    """A sentence on how many training examples of what were held out for it; empty for a split of the source's own."""

    def __repr__(self) -> str:
        return short_repr(self, self.task, self.split, Plain(f"{len(self):,} examples"), source=self.source or None)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that the examples are made of; the same whatever file format the rows came in.

        And over the bad rows, by position and content: a file in which they are fixed, or spoilt in another way, is
        other data, even where the examples (whose ids the formatter may have taken from the row) are the same.
        """
        return _fingerprint(self.examples, self.bad_rows)

    @functools.cached_property
    def _with_other_targets(self) -> dict[int, Examples]:
        return {}

    def shuffled_targets(self, seed: int) -> Examples:
        """The same examples, each with the target and references of another: a seeded permutation of them all.

        Made once for each seed, for a run of a study asks for it again and again.
        """
        if seed not in self._with_other_targets:
            key = hashlib.blake2b(f"targets/{self.task}/{seed}".encode(), digest_size=8).digest()
            order = list(range(len(self.examples)))
            random.Random(int.from_bytes(key, "big")).shuffle(order)
            mixed = tuple(
                dataclasses.replace(one, target=self.examples[i].target, references=self.examples[i].references)
                for one, i in zip(self.examples, order, strict=True)
            )
            self._with_other_targets[seed] = dataclasses.replace(self, examples=mixed)
        return self._with_other_targets[seed]

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Example, ...]: ...
    def __getitem__(self, index: int | slice) -> Example | tuple[Example, ...]:
        return self.examples[index]

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)


class TaskData(NamedTuple):
    """A task with all its examples, and what a reader of the results should know of them."""

    task: Task
    """As given, with what the training examples settle: `Decoding.no_answer`."""
    train: Examples
    validation: Examples
    """What is reported."""
    selection: Examples | None
    """What checkpoints are chosen on, if asked for."""
    notes: list[str]
    """Sentences: what was held out, what was skipped, what is generated."""

    def __repr__(self) -> str:
        return short_repr(self, self.task.name, train=len(self.train), validation=len(self.validation))


def _fingerprint(examples: Sequence[Example], bad: Sequence[BadRow] = ()) -> str:
    digest = hashlib.sha256()
    for e in examples:
        try:
            line = _json_line(e)
        except TypeError:  # a field that is not text, e.g. an id that the formatter took from the row as a number
            fields = [e.id, e.inputs, e.target, list(e.references), e.context, e.group]
            line = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
        digest.update(line.encode() + b"\n")
    for row in bad:  # a line of a form that no example has; without bad rows nothing is added
        digest.update(json.dumps(["bad row", row.split, row.row, row.content]).encode() + b"\n")
    return digest.hexdigest()


def _json_line(e: Example) -> str:
    """Write the example's fields as `json.dumps` does, in half its time.

    >>> _json_line(Example("a", "b", id="x"))
    '["x","a","b",["b"],null,null]'
    """
    context = "null" if e.context is None else _quoted(e.context)
    group = "null" if e.group is None else _quoted(e.group)
    references = ",".join(map(_quoted, e.references))
    return f"[{_quoted(e.id)},{_quoted(e.inputs)},{_quoted(e.target)},[{references}],{context},{group}]"
