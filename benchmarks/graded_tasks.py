"""Registers three generated families of six tasks with effects of many sizes: overlap_a … mixed_f.

    multitask interference --include benchmarks/graded_tasks.py --tasks overlap_a,overlap_b --arms single,pair

Words
    lexicon    made-up words, each of one of two classes; the six tasks of a family share it
    window     the keywords that a task's training rows show, consecutive on the lexicon's circle; validation asks all
    flipped    a keyword whose class is the other one in this task

    overlap    Windows of several sizes and places. A companion gains a task what it shows and the task does not:
               0 to +24 points. The prefixes differ, so that a model can tell the tasks apart.
    conflict   Every task shows all keywords, and a part of them is flipped, another one in each task. The prefixes
               differ by spaces, which the vocabulary collapses: two tasks lose half of what they disagree about.
    mixed      Small windows and a few flipped keywords, with such prefixes: small gains and small losses.

A fifth of the rows are fillers alone with a label that is dealt; see `multitask.interference.planted_tasks`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

from multitask import Decoding, Example, Row, register_task
from multitask.interference.planted_tasks import SPLITS, Draw, dealt_rows, made_up_words
from multitask.sources.generated import GeneratedSource

LETTERS = "abcdef"
COIN = 0.2
"""Share of the rows without a keyword."""
LABELS = ("warm", "cold")
FILLERS = 30


class Graded(NamedTuple):
    """One family: of each task the keywords that it shows and those that it flips."""

    keywords: int
    windows: tuple[tuple[int, int], ...]
    """(first, how many) on the circle."""
    flipped: tuple[tuple[int, int], ...]
    """(first, how many) of those that are flipped."""
    alike: bool
    """Whether the prefixes cannot be told apart."""

    def shown(self, task: int) -> set[int]:
        """The keywords of a task's training rows."""
        return _stretch(*self.windows[task], self.keywords)

    def label(self, task: int, word: int) -> int:
        """The class of a keyword in a task."""
        return (word % 2) ^ (word in _stretch(*self.flipped[task], self.keywords))


FAMILIES = {
    "overlap": Graded(60, ((0, 30), (6, 36), (24, 24), (36, 30), (50, 16), (20, 44)), ((0, 0),) * 6, alike=False),
    "conflict": Graded(20, ((0, 20),) * 6, ((0, 0), (0, 2), (1, 4), (6, 6), (10, 4), (3, 12)), alike=True),
    "mixed": Graded(
        40,
        ((0, 32), (4, 34), (8, 30), (16, 34), (24, 32), (2, 36)),
        ((0, 2), (8, 1), (14, 3), (0, 0), (28, 2), (20, 4)),
        alike=True,
    ),
}  # fmt: skip


def family_of(name: str) -> tuple[str, int]:
    """("overlap", 2) of "overlap_c"."""
    family, _, letter = name.partition("_")
    return family, LETTERS.index(letter)


def planted_effect(task: str, companion: str) -> float:
    """Points that a companion gives a model that learns all there is to learn; tasks of one family.

    >>> round(planted_effect("overlap_a", "overlap_d"), 1), round(planted_effect("conflict_a", "conflict_b"), 1)
    (16.0, -4.0)
    """
    family, i = family_of(task)
    j = family_of(companion)[1]
    graded = FAMILIES[family]
    gain = 0.0
    for word in range(graded.keywords):
        agrees = graded.label(i, word) == graded.label(j, word)
        if word in graded.shown(j):
            if word not in graded.shown(i):
                gain += 0.5 if agrees else -0.5
            elif not agrees:
                gain -= 0.5 if graded.alike else 0.0
    return 100 * (1 - COIN) * gain / graded.keywords


def _stretch(first: int, size: int, of: int) -> set[int]:
    return {(first + k) % of for k in range(size)}


@functools.cache
def _made(family: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Keywords, each task's fillers, each task's prefix."""
    words = made_up_words(Draw(f"graded {family}"))
    graded = FAMILIES[family]
    p, q = next(words), next(words)
    keys = tuple(next(words) for _ in range(graded.keywords))
    if graded.alike:
        fillers = (tuple(next(words) for _ in range(FILLERS)),) * len(LETTERS)
        return keys, fillers, tuple(f"{p}{' ' * (k + 1)}{q}: " for k in range(len(LETTERS)))
    own = tuple(tuple(next(words) for _ in range(FILLERS)) for _ in LETTERS)
    return keys, own, tuple(f"{next(words)}: " for _ in LETTERS)


@functools.cache
def _rows(family: str, task: int) -> dict[str, list[Row]]:
    keys, fillers, _ = _made(family)
    graded = FAMILIES[family]
    draw = Draw(f"graded {family} {task} rows")
    seen: set[str] = set()
    made = {}
    for split, size in SPLITS.items():
        asked = sorted(graded.shown(task)) if split == "train" else range(graded.keywords)
        labelled = [(keys[word], graded.label(task, word)) for word in asked]
        made[split] = dealt_rows(draw, size, COIN, labelled, fillers[task], LABELS, seen)
    return made


@dataclass(frozen=True)
class GradedSource(GeneratedSource):
    """The rows of one task: {"text": three words, "label": one of two}."""

    family: str
    task: int

    @property
    def description(self) -> str:
        """Says that it is no real data."""
        return f"generated family '{self.family}', task {LETTERS[self.task]}"

    def made(self, split: str) -> list[Row]:
        """The rows of a split."""
        return _rows(self.family, self.task)[split]


def _example(row: Row) -> Example:
    return Example(row["text"], row["label"])


for _family in FAMILIES:
    for _task, _letter in enumerate(LETTERS):
        register_task(
            f"{_family}_{_letter}",
            prefix=_made(_family)[2][_task],
            source=GradedSource(_family, _task),
            labels=LABELS,
            metrics=["accuracy"],
            max_input_tokens=64,
            max_target_tokens=8,
            decoding=Decoding(max_new_tokens=8),
            description=f"Generated, with graded effects: {_family}, task {_letter}.",
        )(_example)
