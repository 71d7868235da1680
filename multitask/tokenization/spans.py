"""Spans: pieces of a source text, kept exact.

A tokenizer loses characters (the T5 vocabulary lacks backticks, emoji, repeated spaces), so a generated span, decoded,
is often not what stands in the text: 30 % of the tweets' spans do not survive the round trip. Here a span is always a
range of *characters* of the source, reached through the offsets of its tokens.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multitask.errors import UserError
from multitask.tokenization.special_tokens import dropped_tokens, input_first_tokens
from multitask.tokenization.tokenizer import Tokenizer, encode_with_offsets

if TYPE_CHECKING:
    from multitask.task import Example


@dataclass(frozen=True)
class SourceSpan:
    """The tokens of the text that spans are cut from, and the characters that each stands for."""

    context: str
    ids: list[int]
    """[n] token ids, as they stand in the model's input."""
    edges: list[tuple[int, int]]
    """[n] begin and end of each token, in characters of `context`."""

    def text(self, first: int, last: int) -> str:
        """The exact characters from token `first` to token `last`, both included.

        SentencePiece may write a word's mark `▁` as a token of its own, with the offsets of the character that comes
        next: a piece that ends with such a mark ends before that character. So does one that ends with a character's
        first bytes, unless nothing would be left.
        """
        begin = self.edges[first][0]
        while first < last < len(self.edges) - 1 and begin < self.edges[last + 1][0] < self.edges[last][1]:
            last -= 1
        return self.context[self.edges[first][0] : self.edges[last][1]]

    def matches(self, ids: Sequence[int]) -> list[int]:
        """Where `ids` stands among the source's tokens: the first positions."""
        size = len(ids)
        wanted = list(ids)
        return [i for i in range(len(self.ids) - size + 1) if self.ids[i : i + size] == wanted]

    def find(self, ids: Sequence[int]) -> str:
        """The characters of the first place where `ids` stands; empty if it stands nowhere."""
        places = self.matches(ids) if ids else []
        return self.text(places[0], places[0] + len(ids) - 1) if places else ""


def source_spans(tokenizer: Tokenizer, examples: Sequence[Example], *, limit: int | None = None) -> list[SourceSpan]:
    """As `source_span`, of several examples: their tokens are looked up together."""
    for example in examples:
        if example.context is None:
            raise UserError(f"example '{example.id}' has no context to cut a span from: give Example(…, context=text).")
    ids, spots = encode_with_offsets(tokenizer, [e.inputs for e in examples])
    if getattr(tokenizer, "is_fast", False):
        spots = [without_spaces(e.inputs, s) for e, s in zip(examples, spots, strict=True)]
    special = _unspellable(tokenizer)
    skip = len(input_first_tokens(tokenizer))
    return [_cut_out(e, i, s, special, limit, skip) for e, i, s in zip(examples, ids, spots, strict=True)]


def source_span(tokenizer: Tokenizer, example: Example, *, limit: int | None = None) -> SourceSpan:
    """The source of an example's span; tokens beyond `limit` (the input's own limit) are not there to choose.

    Raises:
        UserError: If the example has no context, or it does not stand in its input.
    """
    return source_spans(tokenizer, [example], limit=limit)[0]


def _unspellable(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids that no answer holds, though a text may spell them; unknown characters are not among them."""
    return dropped_tokens(tokenizer) - {tokenizer.unk_token_id}


def without_spaces(text: str, spots: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Offsets without the spaces that byte-level tokens hold; a token of spaces alone stands for what comes next.

    That is how SentencePiece's mark `▁` is counted. Behind the last word it stands for nothing, (n, n).

    >>> without_spaces("red  blue ", [(0, 3), (3, 4), (4, 9), (9, 10)])
    [(0, 3), (5, 6), (5, 9), (10, 10)]
    """
    trimmed = []
    for first, last in spots:
        if first == last and not text[max(first - 1, 0) : first].isspace():  # no character's, and no trimmed space's
            trimmed.append((first, last))
            continue
        begin, end = first, last
        while begin < len(text) and text[begin].isspace():
            begin += 1
        while end > begin and text[end - 1].isspace():
            end -= 1
        trimmed.append((begin, min(max(end, begin + 1), len(text))))
    return trimmed


def _cut_out(
    example: Example,
    ids: Sequence[int],
    spots: Sequence[tuple[int, int]],
    special: frozenset[int],
    limit: int | None,
    skip: int,
) -> SourceSpan:
    context = example.context or ""
    begin = locate(context, example.inputs)
    end = begin + len(context)
    kept = len(ids) - 1 if limit is None else min(len(ids) - 1, limit - 1)  # without the end of sequence
    # A text that says "</s>" has that token in its middle: an answer runs across it, but cannot spell it.
    inside = [
        (i, (max(first - begin, 0), min(last - begin, len(context))))
        for i, (first, last) in zip(ids[skip:kept], spots[skip:], strict=False)
        if last > begin and first < end and last > first and i not in special
    ]
    return SourceSpan(context, [i for i, _ in inside], [edges for _, edges in inside])


def locate(context: str, inputs: str) -> int:
    """Where `context` begins in `inputs`; characters may have been replaced one for one.

    >>> locate("I`d go", "span sentiment: neutral text: I'd go")
    30
    """
    at = inputs.rfind(context)
    if at >= 0:
        return at
    # Replaced characters: the place where the most characters agree, from the end since that is where texts stand.
    best, place = -1, -1
    for i in range(len(inputs) - len(context), -1, -1):
        same = sum(a == b for a, b in zip(context, inputs[i : i + len(context)], strict=True))
        if same > best:
            best, place = same, i
        if same >= 0.9 * len(context):
            break
    if best < 0.5 * len(context):  # a short text that is mostly quotes
        quotes = str.maketrans(_APOSTROPHES)
        at = inputs.translate(quotes).rfind(context.translate(quotes))
        if at >= 0:
            return at
        raise UserError(
            f"the context of a span must stand in the example's input, character for character. "
            f"Got context {context[:40]!r} and input {inputs[:60]!r}."
        )
    return place


def align(text: str, context: str) -> str:
    """The piece of `context` that `text` most resembles, as exact characters of `context`.

    For spans that were generated freely: letters are compared without spaces, case and compatibility forms, and what
    the vocabulary lacks may be missing. Empty if nothing agrees.

    >>> align("I'd go home", "well   I`d  go home !")
    'I`d  go home'
    """
    if not text.strip() or not context:
        return ""
    at = context.find(text)
    if at >= 0:
        return text
    wanted, _ = _folded(text)
    source, places = _folded(context)
    if not wanted or not source:
        return ""
    at = source.find(wanted)
    if at >= 0:
        return context[places[at] : places[at + len(wanted) - 1] + 1]
    blocks = difflib.SequenceMatcher(None, source, wanted, autojunk=False).get_matching_blocks()
    found = [b for b in blocks if b.size]
    if not found:
        return ""
    # Around the longest agreement, as far as the text's own length reaches on either side.
    longest = max(found, key=lambda b: b.size)
    low, high = longest.a - longest.b, longest.a - longest.b + len(wanted)
    near = [b for b in found if b.a >= low - 2 and b.a + b.size <= high + 2]
    begin, end = near[0].a, near[-1].a + near[-1].size - 1
    return context[places[begin] : places[end] + 1]


_APOSTROPHES = {"`": "'", "\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"'}


def _folded(text: str) -> tuple[str, list[int]]:
    """The text without spaces, in compatibility form and lower case, and where each character comes from."""
    letters: list[str] = []
    places: list[int] = []
    for i, character in enumerate(text):
        for letter in unicodedata.normalize("NFKC", _APOSTROPHES.get(character, character)).lower():
            if not letter.isspace():
                letters.append(letter)
                places.append(i)
    return "".join(letters), places
