"""The embedded sample: small data sets made up by a seeded grammar, so that everything can be tried without a network.

Words
    sample      2,000 training and 400 validation rows with the columns of the real data set
    phrase      the words that carry a sentiment ("so charming", "not a joy"): what the span task asks for
    turned      a phrase with a negation, one sentence in five: "not good" is negative
    contrast    a second clause after "but", one sentence in ten, of the other sentiment: the last one counts

Tweets (span, tweet_sentiment) and reviews (sst2) draw their phrases from one lexicon: what is learned from one is of
use to the other. Validation rows are new combinations of words that training rows have; no text is in both. A score on
these rows says that the machinery works, and nothing about the task.

All of it rests on `random.Random(seed).random()` alone, whose numbers Python promises to keep from version to version.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from multitask.errors import UserError
from multitask.sources import sample_words as words

T = TypeVar("T")

TRAIN_ROWS = 2000
VALIDATION_ROWS = 400
OTHER = {"positive": "negative", "negative": "positive"}


def sample_rows(name: str, split: str) -> list[dict[str, Any]]:
    """The generated rows of a task: always the same, with the columns of the real data set.

    >>> len(sample_rows("sst2", "train")), len(sample_rows("sst2", "validation"))
    (2000, 400)
    >>> sorted(sample_rows("span", "train")[0])
    ['selected_text', 'sentiment', 'text', 'textID']

    Raises:
        UserError: If there is no sample for that task or split.
    """
    if name not in _MAKERS:
        raise UserError(f"there is no generated sample for task '{name}'; there is one for {', '.join(SAMPLED)}.")
    if split not in ("train", "validation"):
        raise UserError(f"generated sample '{name}' has no split '{split}': its splits are train, validation.")
    rows = _all_rows(name)
    return [dict(row) for row in (rows[:TRAIN_ROWS] if split == "train" else rows[TRAIN_ROWS:])]


@functools.cache
def _all_rows(name: str) -> tuple[Mapping[str, Any], ...]:
    classes, make = _MAKERS[name]
    draw = _Draw(int.from_bytes(hashlib.blake2b(make.__name__.encode(), digest_size=8).digest(), "big"))
    seen: set[str] = set()
    rows: list[Mapping[str, Any]] = []
    # Classes are dealt, not drawn, in each split: the balance is exact, so a majority baseline is known beforehand.
    for size in (TRAIN_ROWS, VALIDATION_ROWS):
        for kind in draw.shuffled([classes[i % len(classes)] for i in range(size)]):
            row = make(draw, kind)
            while row[next(iter(row))] in seen:  # the first column is the text
                row = make(draw, kind)
            seen.add(row[next(iter(row))])
            rows.append(row)
    return tuple(rows)


class _Draw:
    """Choices made of `random()` alone; `choice` and `shuffle` of the library have changed between versions."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def of(self, things: Sequence[T]) -> T:
        return things[int(self._random() * len(things))]

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def shuffled(self, things: Sequence[T]) -> list[T]:
        return [thing for _, thing in sorted(((self._random(), i), thing) for i, thing in enumerate(things))]

    def some(self, things: Sequence[T], n: int) -> list[T]:
        return self.shuffled(things)[:n]


# ------------------------------------------------------------------------------------------- tweets: span, sentiment


def _opinion(draw: _Draw, sentiment: str, thing: str) -> tuple[str, str, str]:
    """A clause about a thing: the words before its phrase, the phrase, the words after it."""
    turned = draw.chance(0.2)
    lexical = OTHER[sentiment] if turned else sentiment
    form = draw.of(("adjective", "adjective", "verb", "noun"))
    if form == "verb":
        verb = draw.of(words.VERBS[lexical])
        phrase = f"{draw.of(('don`t', 'do not'))} {verb}" if turned else f"{draw.of(words.ADVERBS)} {verb}"
        return "i", phrase, thing
    words_of = words.ADJECTIVES if form == "adjective" else words.NOUNS
    phrase = draw.of(words_of[lexical])
    if turned:
        phrase = f"{draw.of(('not', 'not', 'never'))} {phrase}"
    elif form == "adjective":
        phrase = f"{draw.of(words.INTENSIFIERS)} {phrase}"
    after = draw.of(words.TIMES) if not turned and draw.chance(0.5) else ""
    return f"{thing} is", phrase, after


def _remark(draw: _Draw) -> str:
    """A clause without a sentiment."""
    who = draw.of(words.PEOPLE)
    return draw.of(
        (
            f"{draw.of(words.DEEDS)} {draw.of(words.PLACES)}",
            f"{draw.of(words.DEEDS)} with {who}",
            f"{who} asked about {draw.of(words.THINGS)} {draw.of(words.TIMES)}",
            f"{draw.of(words.THINGS)} is {draw.of(words.PLACES)} {draw.of(words.TIMES)}",
            f"{draw.of(words.QUESTIONS)}?",
        )
    )


def _ended(remark: str, mark: str) -> str:
    return remark if remark.endswith("?") else remark + mark


def _tweet(draw: _Draw, sentiment: str) -> Mapping[str, Any]:
    pieces: list[str] = []
    if draw.chance(0.3):
        pieces.append(draw.of(words.OPENERS) + ",")
    if sentiment == "neutral":
        pieces.append(_ended(_remark(draw), draw.of((".", "...", " and"))))
        if pieces[-1].endswith("and") or draw.chance(0.6):
            pieces.append(_remark(draw))
        text = selected = " ".join(pieces)
    else:
        thing, other = draw.some(words.THINGS, 2)
        if draw.chance(0.1):
            before, phrase, after = _opinion(draw, OTHER[sentiment], other)
            pieces.append(" ".join(p for p in (before, phrase, after, "but") if p))
        elif draw.chance(0.6):
            pieces.append(_ended(_remark(draw), draw.of((".", "...", " and"))))
        before, phrase, after = _opinion(draw, sentiment, thing)
        # A mark belongs to the word it stands on, so that the answer is made of whole words.
        mark = draw.of(("!", "!!", ".", "..."))
        selected = phrase if after else phrase + mark
        pieces += [before, selected, after + mark] if after else [before, selected]
        if draw.chance(0.4):
            pieces.append(_remark(draw))
        text = " ".join(pieces)
    return {
        "text": text,
        "selected_text": selected,
        "sentiment": sentiment,
        "textID": hashlib.blake2b(text.encode(), digest_size=5).hexdigest(),
    }


# ------------------------------------------------------------------------------------------------------ reviews: sst2


def _verdict(draw: _Draw, label: str) -> str:
    """A clause about a film, tokenised as SST-2 is: "the plot is n't clever"."""
    turned = draw.chance(0.2)
    lexical = OTHER[label] if turned else label
    film = draw.of(words.FILMS)
    form = draw.of(("adjective", "adjective", "pair", "verb", "noun"))
    if form == "verb":
        verb = draw.of(words.VERBS[lexical])
        return f"you {draw.of(('do not', 'will not', 'wo n`t')) if turned else 'will'} {verb} {film}"
    if form == "noun":
        noun = draw.of(words.NOUNS[lexical])
        return f"{film} is {draw.of(('not', 'never')) + ' ' if turned else ''}{noun}"
    if form == "pair" and not turned:
        first, second = draw.some(words.ADJECTIVES[lexical], 2)
        return f"{film} is {first} and {second}"
    adjective = draw.of(words.ADJECTIVES[lexical])
    how = draw.of(("not", "never", "n't")) if turned else draw.of(words.INTENSIFIERS)
    return f"{film} is {how} {adjective}"


def _review(draw: _Draw, label: str) -> Mapping[str, Any]:
    clause = _verdict(draw, label).replace("`", "'")
    if draw.chance(0.1):
        clause = f"{_verdict(draw, OTHER[label])} , but {clause}".replace("`", "'")
    if draw.chance(0.5):
        aside = draw.of(words.ASIDES)
        clause = f"{aside} , {clause}" if draw.chance(0.5) else f"{clause} , {aside}"
    return {"sentence": clause + " .", "label": int(label == "positive")}


# ------------------------------------------------------------------------------------------------------- other tasks


def _question(draw: _Draw, label: int) -> Mapping[str, Any]:
    region, matter, work, kind = (draw.of(w) for w in (words.REGIONS, words.MATTERS, words.WORKS, words.KINDS))
    sight, thing, acronym = draw.of(words.SIGHTS), draw.of(words.THINGS).split()[-1], draw.of(words.ACRONYMS)
    forms: tuple[tuple[str, ...], ...] = (
        (f"What does {acronym} stand for in {region}", f"What is the {draw.of(('full', 'long'))} form of {acronym}",
         f"What is the abbreviation of the {kind} board of {region}"),
        (f"What {kind} is popular in {region}", f"What {kind} was named after {sight}",
         f"Which {kind} is used to make {matter}"),
        (f"What is {matter}", f"How is {matter} made in {region}", f"Why is {sight} famous for {matter}",
         f"What is the origin of {matter} in {region}", f"How does {matter} work"),
        (f"Who invented {work}", f"Who first brought {matter} to {region}", f"What explorer found {sight}",
         f"Who is the president of {region}", f"What man sold {work} in {region}"),
        (f"Where is {sight}", f"What city in {region} has the largest {thing}", f"Where was {work} first seen",
         f"What country makes the most {matter.split()[-1]} after {region}"),
        (f"How many people live in {region}", f"When was {work} finished", f"How far is {sight} from {region}",
         f"How much does a {thing} cost in {region}", f"What year did {region} get {work}"),
    )  # fmt: skip
    return {"text": draw.of(forms[label]) + " ?", "coarse_label": label}


def _feeling(draw: _Draw, label: int) -> Mapping[str, Any]:
    feeling = draw.of(words.FEELINGS[label])
    form = draw.of(("i feel {}", "i am feeling {}", "i felt {}", "i was feeling so {}", "i feel a little {}"))
    rest = draw.of((f"about {draw.of(words.THINGS)}", draw.of(words.TIMES), f"while {draw.of(words.DEEDS)}"))
    start = draw.of(("", "", f"{draw.of(words.DEEDS)} and "))
    return {"text": f"{start}{form.format(feeling)} {rest}", "label": label}


def _pair(draw: _Draw, shared: int) -> Mapping[str, Any]:
    """Two sentences of five parts; the label is how many parts they share."""
    parts = (words.LOOKS, words.CREATURES, words.ACTS, words.OBJECTS, words.SITES)
    first, second = zip(*(draw.some(part, 2) for part in parts), strict=True)
    same = set(draw.some(range(5), shared))
    second = tuple(first[i] if i in same else second[i] for i in range(5))
    one, two = ("a {} {} is {} {} {} .".format(*sentence) for sentence in (first, second))
    return {"sentence1": one, "sentence2": two, "label": float(shared)}


def _passage(draw: _Draw, _: str) -> Mapping[str, Any]:
    sentences = [f"{_verdict(draw, draw.of(('positive', 'negative')))} {draw.of(words.ASIDES)}".replace("`", "'")]
    sentences += [f"{draw.of(words.PEOPLE)} was {draw.of(words.DEEDS)} {draw.of(words.PLACES)}" for _ in range(2)]
    return {"text": " ".join(f"{s[0].upper()}{s[1:]}." for s in draw.shuffled(sentences))}


_MAKERS: dict[str, tuple[Sequence[Any], Callable[[_Draw, Any], Mapping[str, Any]]]] = {
    "span": (["neutral"] * 4 + ["positive"] * 3 + ["negative"] * 3, _tweet),
    "sst2": (["positive", "negative"], _review),
    "tweet_sentiment": (["neutral"] * 4 + ["positive"] * 3 + ["negative"] * 3, _tweet),  # the same rows as span's
    "trec": (range(6), _question),
    "emotion": (range(6), _feeling),
    "stsb": (range(6), _pair),
    "denoise": ([""], _passage),
}

SAMPLED: tuple[str, ...] = tuple(_MAKERS)
"""The tasks that have a sample."""
