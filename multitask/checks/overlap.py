"""Texts of one task's evaluation that stand in some task's training: leakage, which shows up as false transfer.

Words
    word      a run of letters and digits, in lower case and compatibility form; all else only separates words, so
              "I'd go", "I ' d  go" and "i`d GO" are the same three words
    field     a piece of an input between field markers ("sentence2:", "context:"). A marker is a word with a colon
              that nearly every input of the task has, so that "Subject:" in one e-mail is none
    segment   the whole input without its prefix and markers, or one field of it, if it has `MIN_WORDS` words or more;
              a whole input compared with its own task's may be shorter: "what is love" twice is twice the same question
    whole     a validation example whose whole input is some whole training input
    field     … a segment of which is a segment of some training input (so this counts the whole ones too)
    part      … a segment of which stands within a training input, or the other way round (counts the others too): the
              sentence of one task in the passage of another, the phrase of SST-2's training rows in a sentence

Every word has a random 64-bit value, and a piece of text the polynomial of its words' values modulo 2^64, which is
read off running sums for any piece in one step. Everything is sorting and look-ups of such numbers, so the work grows
with the number of words; two different pieces are taken for one with a probability of about 1e-7 over 10^6 pieces.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from multitask.examples.held_out import words_of

if TYPE_CHECKING:
    from multitask.examples.dataset import TaskData
    from multitask.task import Task

MIN_WORDS = 5
"""Shorter segments ("what is this") are alike by chance."""
MARKER_SHARE = 0.95
"""A word with a colon is a field marker if this share of a task's training inputs has it."""

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_COLON = re.compile(r"(?<!\S)[A-Za-z]\w*:(?!\S)")
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_INVERSE = pow(_BASE, -1, 1 << 64)


@dataclass(frozen=True)
class Overlap:
    """The part of one task's validation inputs that stands in one task's training inputs."""

    train: str
    """The task that is trained on."""
    validation: str
    """The task that is evaluated; may be the same one."""
    examples: int
    """Validation examples of that task."""
    whole: int
    """Of them, those of which the whole input is a training input."""
    field: int
    """Those with a segment that is a training input's; at least `whole`."""
    part: int
    """Those with a segment within a training input's, or that has one within; at least `field`."""
    validation_id: str
    """One of the affected examples, the most affected kind first."""
    train_id: str
    """A training example that it has the text from."""
    text: str
    """The words in common."""

    @property
    def share(self) -> float:
        """Share of the validation examples that are affected in any way, 0..1."""
        return self.part / self.examples

    @property
    def field_share(self) -> float:
        """Share of those with a segment that is a training input's, 0..1."""
        return self.field / self.examples


def markers_of(inputs: Sequence[str]) -> frozenset[str]:
    """The words with a colon that at least `MARKER_SHARE` of the inputs have.

    >>> sorted(markers_of(["A b. sentence2: C d.", "Re: x sentence2: y"]))
    ['sentence2:']
    """
    seen = Counter(marker for text in inputs for marker in set(_COLON.findall(text)))
    return frozenset(m for m, n in seen.items() if n >= MARKER_SHARE * len(inputs))


def fields_of(text: str, markers: frozenset[str]) -> list[str]:
    """The pieces of a text between markers, as they stand.

    >>> fields_of("A b. sentence2: C d.", frozenset({"sentence2:"}))
    ['A b.', 'C d.']
    """
    pieces, begin = [], 0
    for found in _COLON.finditer(text):
        if found.group() in markers:
            pieces.append(text[begin : found.start()].strip())
            begin = found.end()
    pieces.append(text[begin:].strip())
    return [p for p in pieces if p]


def find_overlaps(tasks: Mapping[str, Task], data: Mapping[str, TaskData]) -> list[Overlap]:
    """All pairs of a training and an evaluated task that share texts, the largest shares first.

    Args:
        tasks: {name: task}, for their prefixes.
        data: {name: its examples}, of the same names.
    """
    names = list(tasks)
    vocabulary: dict[str, int] = {}
    inputs = {
        n: [[e.inputs.removeprefix(tasks[n].prefix) for e in part] for part in (data[n].train, data[n].validation)]
        for n in names
    }
    words = [
        [_words(part, markers, vocabulary) for part in inputs[n]]
        for n, markers in ((n, markers_of(inputs[n][0])) for n in names)
    ]
    # A private generator: the values differ between words, and nothing else is asked of them. Odd, never 0.
    values = np.random.default_rng(0).integers(1 << 63, size=len(vocabulary), dtype=np.uint64) * np.uint64(2)
    texts = [[_Text(w, task, values + np.uint64(1)) for w in pair] for task, pair in enumerate(words)]
    found = _match([train for train, _ in texts], [validation for _, validation in texts])

    spelled = list(vocabulary)
    overlaps = []
    for (t, v), seen in found.items():
        row = int(seen.level.argmax())
        begin, size = seen.begin[row], seen.length[row]
        overlaps.append(
            Overlap(
                train=names[t],
                validation=names[v],
                examples=len(seen.level),
                whole=int((seen.level >= _WHOLE).sum()),
                field=int((seen.level >= _FIELD).sum()),
                part=int((seen.level >= _PART).sum()),
                validation_id=data[names[v]].validation[row].id,
                train_id=data[names[t]].train[int(seen.train_row[row])].id,
                text=" ".join(spelled[i] for i in words[v][1].ids[begin : begin + size]),
            )
        )
    return sorted(overlaps, key=lambda o: (-o.whole / o.examples, -o.field_share, -o.share, o.train, o.validation))


# -------------------------------------------------------------------------------------------------- texts as numbers

_SEGMENT = np.dtype([("hash", "u8"), ("task", "i8"), ("row", "i8"), ("begin", "i8"), ("length", "i8"), ("whole", "i8")])


class _Words(NamedTuple):
    """The inputs of one split as word ids, and the segments in them."""

    ids: Places
    """[W] of all inputs, one behind the other."""
    firsts: Places
    """[N + 1] where each input begins, and the end."""
    segments: Places
    """[S, 4] row, begin, length, and 1 if it is the whole input."""


def _words(inputs: Sequence[str], markers: frozenset[str], vocabulary: dict[str, int]) -> _Words:
    ids: list[int] = []
    firsts = [0]
    segments: list[tuple[int, int, int, int]] = []
    for row, text in enumerate(inputs):
        pieces = []
        for field in fields_of(text, markers):
            begin = len(ids)
            ids += [vocabulary.setdefault(w, len(vocabulary)) for w in words_of(field)]
            pieces.append((row, begin, len(ids) - begin, 0))
        if len(ids) > firsts[-1]:
            segments.append((row, firsts[-1], len(ids) - firsts[-1], 1))
        if len(pieces) > 1:
            segments += [p for p in pieces if p[2] >= MIN_WORDS]
        firsts.append(len(ids))
    return _Words(np.array(ids, np.int64), np.array(firsts, np.int64), np.array(segments, np.int64).reshape(-1, 4))


class _Text:
    """`_Words` with the hash of any piece."""

    def __init__(self, words: _Words, task: int, values: Hashes) -> None:
        n, firsts = len(words.ids), words.firsts
        self.row_of = np.repeat(np.arange(len(firsts) - 1), np.diff(firsts))  # [W]
        self.end_of = np.repeat(firsts[1:], np.diff(firsts))  # [W] where the input of each word ends
        self.examples = len(firsts) - 1
        self._inverse = _powers(_INVERSE, n + 1)
        self._sums = np.zeros(n + 1, np.uint64)
        np.cumsum(values[words.ids] * _powers(_BASE, n), out=self._sums[1:])  # modulo 2^64, as unsigned numbers are
        self.segments = np.zeros(len(words.segments), _SEGMENT)
        self.segments["task"] = task
        for i, name in enumerate(("row", "begin", "length", "whole")):
            self.segments[name] = words.segments[:, i]
        self.segments["hash"] = self.hashes(self.segments["begin"], self.segments["length"])
        self.starts = np.flatnonzero(np.arange(n) + MIN_WORDS <= self.end_of)
        """The places of words with as many behind them as a segment needs."""
        self.openings = self.hashes(self.starts, MIN_WORDS)
        """The hash of the first `MIN_WORDS` words from each of `starts`."""

    def hashes(self, begin: Places, length: Places | int) -> Hashes:
        return np.asarray((self._sums[begin + length] - self._sums[begin]) * self._inverse[begin])


def _powers(base: int, n: int) -> Hashes:
    powers = np.full(n, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


# --------------------------------------------------------------------------------------------------------- look-ups

_PART, _FIELD, _WHOLE = 1, 2, 3


class _Found:
    """For each validation example of one pair of tasks, the strongest level and where it was seen."""

    def __init__(self, examples: int) -> None:
        self.level, self.begin, self.length, self.train_row = np.zeros((4, examples), np.int64)


class _Needles:
    """The segments of all tasks of one side, sorted by hash: what is looked for."""

    def __init__(self, texts: Sequence[_Text]) -> None:
        self.all = np.concatenate([t.segments for t in texts])
        openings = [t.hashes(_long(t.segments)["begin"], MIN_WORDS) for t in texts]
        lengths = _long(self.all)["length"]
        # How a segment opens, and how long those that open so are: all that a search within texts has to try.
        order = np.lexsort((lengths, np.concatenate(openings)))
        opening, length = np.concatenate(openings)[order], lengths[order]
        new = np.append(True, (np.diff(opening) != 0) | (np.diff(length) != 0))[: len(order)]
        self._opening, self._length = opening[new], length[new]
        self.all = self.all[np.argsort(self.all["hash"], kind="stable")]

    def find(self, hashes: Hashes) -> tuple[Places, Places]:
        """All pairs (i, j) such that `hashes[i]` is that of segment j of `all`."""
        low, high = (np.searchsorted(self.all["hash"], hashes, side) for side in ("left", "right"))
        return _ranges(low, high)

    def within(self, text: _Text) -> tuple[Places, Places]:
        """Begin and length of the pieces of `text`, inside one input, that open as a needle and are as long."""
        low, high = (np.searchsorted(self._opening, text.openings, side) for side in ("left", "right"))
        at, kind = _ranges(low, high)
        begin, length = text.starts[at], self._length[kind]
        fits = begin + length <= text.end_of[begin]
        return begin[fits], length[fits]


def _match(trains: Sequence[_Text], validations: Sequence[_Text]) -> dict[tuple[int, int], _Found]:
    """{(training task, evaluated task): what was found}, pairs without anything left out."""
    found: dict[tuple[int, int], _Found] = {}

    def note(level: Places | int, v: int, row: Places, begin: Places, length: Places, train: Any) -> None:
        """Keep what is stronger than before; [n] of the validation side, and the training segments."""
        level = np.broadcast_to(level, row.shape)
        for t in np.unique(train["task"]):
            mine = np.flatnonzero(train["task"] == t)[::-1]
            mine = mine[np.argsort(level[mine], kind="stable")]  # of several for a row the last assignment stays
            seen = found.setdefault((int(t), v), _Found(validations[v].examples))
            mine = mine[level[mine] > seen.level[row[mine]]]
            at = row[mine]
            seen.level[at], seen.begin[at], seen.length[at] = level[mine], begin[mine], length[mine]
            seen.train_row[at] = train["row"][mine]

    needles = _Needles([_distinct(t) for t in trains])
    for v, text in enumerate(validations):
        segments = text.segments
        i, j = needles.find(segments["hash"])
        mine, theirs = segments[i], needles.all[j]
        both = (mine["whole"] & theirs["whole"]) == 1
        kept = (mine["length"] >= MIN_WORDS) | (both & (theirs["task"] == v))
        level = np.where(both, _WHOLE, _FIELD)[kept]
        note(level, v, mine["row"][kept], mine["begin"][kept], mine["length"][kept], theirs[kept])
        begin, length = needles.within(text)
        i, j = needles.find(text.hashes(begin, length))
        note(_PART, v, text.row_of[begin[i]], begin[i], length[i], needles.all[j])

    needles = _Needles(validations)
    for t, text in enumerate(trains):
        begin, length = needles.within(text)
        hashes, first = np.unique(text.hashes(begin, length), return_index=True)  # one place in the training is enough
        i, j = needles.find(hashes)
        train = np.zeros(len(i), _SEGMENT)
        train["task"], train["row"] = t, text.row_of[begin[first[i]]]
        mine = needles.all[j]
        for v in np.unique(mine["task"]):
            one = mine["task"] == v
            note(_PART, int(v), mine["row"][one], mine["begin"][one], mine["length"][one], train[one])
    return found


def _long(segments: Any) -> Any:
    return segments[segments["length"] >= MIN_WORDS]


def _distinct(text: _Text) -> _Text:
    """The text with one of each of its segments: copies would multiply the work and find nothing new."""
    order = np.lexsort((text.segments["whole"], text.segments["hash"]))
    key = text.segments[order]
    new = np.append(True, (np.diff(key["hash"]) != 0) | (np.diff(key["whole"]) != 0))[: len(order)]
    out = copy.copy(text)
    out.segments = text.segments[np.sort(order[new])]
    return out


def _ranges(low: Places, high: Places) -> tuple[Places, Places]:
    """All pairs (i, j) with low[i] <= j < high[i].

    >>> [x.tolist() for x in _ranges(np.array([0, 5, 7]), np.array([2, 5, 8]))]
    [[0, 0, 2], [0, 1, 7]]
    """
    counts = high - low
    i = np.repeat(np.arange(len(low)), counts)
    j = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts) + low[i]
    return i, j
