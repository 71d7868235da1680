"""Generated tasks whose relation is known before anything is trained: the acceptance test of an interference table.

Words
    family       two tasks, `a` and `b`, with one planted relation
    keyword      a made-up word of one of two classes; a family's lexicon says which
    filler       a made-up word that says nothing
    decided      a row: fillers and one keyword, in any place. Its label is the keyword's class
    coin         a row: fillers alone. Its label is dealt, half and half, and nothing foretells it
    repetition   the same families again with other words, rows and prefixes
    relation     one of three:

    sharing      One lexicon, other fillers, another prefix. Each task's training rows show only a part of the keywords,
                 and its partner's show all the others: with them, what was a guess is known.
    conflicting  The same texts with swapped labels. The two prefixes differ by one space, which SentencePiece
                 vocabularies collapse, so that a model cannot see which task it is asked. Its answers to both are the
                 same, and right in one where they are wrong in the other: the two scores add up to 100 points.
    independent  No word in common. A task's few keywords are learned fully in any company.

Coin rows are right half of the time, whatever a model answers. So they move no difference, and give it the noise of a
real task: without them two independent tasks would meet on a plateau without any, where an effect of 0 is no finding.

Like the sample, all of it rests on `random.Random(seed).random()` alone.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from multitask.errors import UserError
from multitask.sources.generated import GeneratedSource
from multitask.sources.table import Row
from multitask.task import Decoding, Example, Task, register_task

T = TypeVar("T")

Relation = Literal["sharing", "conflicting", "independent"]
Sign = Literal["gain", "loss", "none"]

SPLITS = {"train": 2000, "validation": 500}
"""Rows of each split."""
LENGTH = 3
"""Words of a text."""


class Shape(NamedTuple):
    """The size of a family."""

    keywords: int
    """Words of its lexicon, half of them of each class."""
    fillers: int
    labels: tuple[tuple[str, str], tuple[str, str]]
    """What `a` and `b` call the two classes."""
    coin: float
    """Share of coin rows."""


SHAPES: dict[Relation, Shape] = {
    "sharing": Shape(60, 30, (("warm", "cold"), ("warm", "cold")), 0.2),
    "conflicting": Shape(20, 30, (("left", "right"), ("right", "left")), 0.2),
    "independent": Shape(12, 30, (("solid", "liquid"), ("early", "late")), 0.5),
}
SEEN = 0.6
"""Share of a sharing family's keywords that one task's training rows show; 2 · SEEN − 1 of them are shown in both."""


def planted(task: str, companion: str) -> Sign:
    """The effect of joint training with `companion` on `task`, by construction.

    >>> planted("sharing_a", "sharing_b"), planted("conflicting_b_r3", "conflicting_a_r3")
    ('gain', 'loss')
    >>> planted("sharing_a", "conflicting_a"), planted("independent_a", "independent_b")
    ('none', 'none')

    Raises:
        UserError: If one of them is no task of a family, both are the same, or they are of different repetitions.
    """
    one, other = _parsed(task), _parsed(companion)
    if one == other or one[2] != other[2]:
        raise UserError(f"'{task}' and '{companion}' are not two tasks of one repetition: give two that are.")
    if one[0] != other[0]:
        return "none"
    signs: dict[Relation, Sign] = {"sharing": "gain", "conflicting": "loss", "independent": "none"}
    return signs[one[0]]


def ceilings(relation: Relation) -> tuple[float, float]:
    """The most points of accuracy that a task of the family can expect alone, and in its partner's company.

    Alone, half of a sharing family's keywords that were not shown are right by chance. A conflicting pair's second
    number is the mean of its two tasks, and exact. The difference is the planted effect of a model that learns all
    there is to learn; one that learns less shows less of a gain.

    >>> ceilings("sharing"), ceilings("conflicting"), ceilings("independent")
    ((74.0, 90.0), (90.0, 50.0), (75.0, 75.0))
    """
    coin = SHAPES[relation].coin
    best = 100 * (1 - coin / 2)
    alone = best - 100 * (1 - coin) * (1 - SEEN) / 2 if relation == "sharing" else best
    return round(alone, 6), 50.0 if relation == "conflicting" else best


def family_tasks(repetition: int = 0) -> tuple[str, ...]:
    """The names of the six tasks: sharing_a, sharing_b, conflicting_a, …; `_rN` behind them from repetition 1 on."""
    return tuple(_name(relation, side, repetition) for relation in SHAPES for side in (0, 1))


def register_families(repetition: int = 0) -> list[Task]:
    """Register the six tasks of a repetition; their rows are made when they are asked for.

    Raises:
        UserError: If they are registered already.
    """
    if repetition < 0:
        raise UserError(f"a repetition is 0 or above. Got {repetition}.")
    return [_register(relation, side, repetition) for relation in SHAPES for side in (0, 1)]


def _register(relation: Relation, side: int, repetition: int) -> Task:
    return register_task(
        _name(relation, side, repetition),
        prefix=_words(repetition)[relation].prefixes[side],
        source=FamilySource(relation, side, repetition),
        labels=SHAPES[relation].labels[side],
        metrics=["accuracy"],
        max_input_tokens=64,
        max_target_tokens=8,
        decoding=Decoding(max_new_tokens=8),
        description=f"Generated, for known answers: {relation}, task {'ab'[side]}.",
    )(_example)


def _example(row: Row) -> Example:
    return Example(row["text"], row["label"])


def _name(relation: Relation, side: int, repetition: int) -> str:
    return f"{relation}_{'ab'[side]}" + (f"_r{repetition}" if repetition else "")


def _parsed(name: str) -> tuple[Relation, int, int]:
    number = name.partition("_r")[2]
    if number.isdecimal() or not number:
        for relation in SHAPES:
            for side in (0, 1):
                if name == _name(relation, side, int(number or 0)):
                    return relation, side, int(number or 0)
    raise UserError(f"'{name}' is no task of a generated family; these are: {', '.join(family_tasks())}.")


@dataclass(frozen=True)
class FamilySource(GeneratedSource):
    """The rows of one task: {"text": three words, "label": one of the task's two}."""

    relation: Relation
    side: int
    """0 is task `a`, 1 is `b`."""
    repetition: int

    @property
    def description(self) -> str:
        """Says that it is no real data."""
        return f"generated family '{self.relation}', task {'ab'[self.side]}, repetition {self.repetition}"

    def made(self, split: str) -> Sequence[Row]:
        """The rows of a split."""
        return _all_rows(self.relation, self.side, self.repetition)[split]


# -------------------------------------------------------------------------------------------------------------- words


@dataclass(frozen=True)
class Words:
    """The made-up words of one family in one repetition."""

    lexicons: tuple[dict[str, int], dict[str, int]]
    """{keyword: class} of each task; the same one twice unless the family is independent."""
    shown: tuple[tuple[str, ...], tuple[str, ...]]
    """The keywords of each task's training rows."""
    fillers: tuple[tuple[str, ...], tuple[str, ...]]
    prefixes: tuple[str, str]


def family_words(relation: Relation, repetition: int = 0) -> Words:
    """The lexicons, fillers and prefixes of a family: what its rows are made of."""
    return _words(repetition)[relation]


@functools.cache
def _words(repetition: int) -> dict[Relation, Words]:
    new = made_up_words(Draw(f"words {repetition}"))
    made: dict[Relation, Words] = {}
    for relation, shape in SHAPES.items():
        p, q = next(new), next(new)

        def lexicon(shape: Shape = shape) -> dict[str, int]:
            return {next(new): i % 2 for i in range(shape.keywords)}

        def fillers(shape: Shape = shape) -> tuple[str, ...]:
            return tuple(next(new) for _ in range(shape.fillers))

        if relation == "conflicting":
            both = lexicon()
            made[relation] = Words((both, both), (tuple(both),) * 2, (fillers(),) * 2, (f"{p} {q}: ", f"{p}  {q}: "))
            continue
        own = (f"{p}: ", f"{q}: ")
        if relation == "sharing":
            both = lexicon()
            keys, n = tuple(both), int(SEEN * shape.keywords)  # classes alternate, so each part has half of each
            made[relation] = Words((both, both), (keys[:n], keys[-n:]), (fillers(), fillers()), own)
        else:
            two = lexicon(), lexicon()
            made[relation] = Words(two, (tuple(two[0]), tuple(two[1])), (fillers(), fillers()), own)
    return made


class Draw:
    """Choices made of `random()` alone; `choice` and `shuffle` of the library have changed between versions."""

    def __init__(self, key: str) -> None:
        digest = hashlib.blake2b(f"families {key}".encode(), digest_size=8).digest()
        self._random = random.Random(int.from_bytes(digest, "big")).random

    def of(self, things: Sequence[T]) -> T:
        """One of them."""
        return things[int(self._random() * len(things))]

    def shuffled(self, things: Sequence[T]) -> list[T]:
        """All of them in another order."""
        return [thing for _, thing in sorted(((self._random(), i), thing) for i, thing in enumerate(things))]


def made_up_words(draw: Draw) -> Iterator[str]:
    """Words such as "tabuk" and "miros", none of them twice and none a label."""
    seen = {label for shape in SHAPES.values() for side in shape.labels for label in side}
    consonants, vowels, ends = "bdfgklmnprstvz", "aeiou", "klmnrst"
    while True:
        word = "".join(map(draw.of, (consonants, vowels, consonants, vowels, ends)))
        if word not in seen:
            seen.add(word)
            yield word


# --------------------------------------------------------------------------------------------------------------- rows


@functools.cache
def _all_rows(relation: Relation, side: int, repetition: int) -> dict[str, list[Row]]:
    shape, words = SHAPES[relation], _words(repetition)[relation]
    # A conflicting family's texts are drawn once, for both tasks.
    draw = Draw(f"{relation} {0 if relation == 'conflicting' else side} rows {repetition}")
    lexicon, fillers, labels = words.lexicons[side], words.fillers[side], shape.labels[side]
    seen: set[str] = set()
    made: dict[str, list[Row]] = {}
    for split, size in SPLITS.items():
        keywords = words.shown[side] if split == "train" else tuple(lexicon)
        labelled = [(word, lexicon[word]) for word in keywords]
        made[split] = dealt_rows(draw, size, shape.coin, labelled, fillers, labels, seen)
    return made


def dealt_rows(
    draw: Draw,
    size: int,
    coin: float,
    keywords: Sequence[tuple[str, int]],
    fillers: Sequence[str],
    labels: Sequence[str],
    seen: set[str],
) -> list[Row]:
    """Rows of fillers, most of them with a keyword that decides the label.

    Dealt, not drawn: each keyword, and each label of the coin rows, is there as often as any other, within one.

    Args:
        draw: Makes the choices.
        size: How many rows.
        coin: Share of coin rows.
        keywords: (word, number of its class) of those that are shown.
        fillers: The words that say nothing.
        labels: What the classes are called.
        seen: Texts that there are; no text comes twice, and new ones are added.
    """
    coins = int(coin * size)
    dealt: list[tuple[str | None, int]] = [(None, i % 2) for i in range(coins)]
    dealt += [keywords[i % len(keywords)] for i in range(size - coins)]
    rows: list[Row] = []
    for keyword, kind in draw.shuffled(dealt):
        text = _text(draw, keyword, fillers)
        while text in seen:
            text = _text(draw, keyword, fillers)
        seen.add(text)
        rows.append({"text": text, "label": labels[kind]})
    return rows


def _text(draw: Draw, keyword: str | None, fillers: Sequence[str]) -> str:
    words = [draw.of(fillers) for _ in range(LENGTH)]
    if keyword is not None:
        words[draw.of(range(LENGTH))] = keyword
    return " ".join(words)
