"""WNLI (Levesque et al. 2012; GLUE) in the format of WSC, by T5's `preprocessors.wnli_simple`.

    row      {"sentence1": "The cat saw the mouse before it could hide.", "sentence2": "The mouse could hide.",
              "label": 1}
    example  "wnli: The cat saw the mouse before *it* could hide."  →  "The mouse"

The second sentence is the first with the pronoun replaced by a noun. Where the words around a pronoun agree best with
the second sentence, that pronoun is the one that is asked for, and what stands in its place is the noun. T5 evaluates
this with its WSC model and does not train on it; a training split here gives the rows whose noun is right, as WSC's.
Rows of which no pronoun fits (nine of GLUE's) ask for nothing and are left out, and counted among what is skipped.
"""

from __future__ import annotations

import re

from multitask.task import Decoding, Example, Row, register_task

from ._format import judge_referent, label_name, referent_example, text
from ._hub import glue

PRONOUNS = frozenset(["he", "she", "they", "it", "her", "his", "their", "them", "him"])


# T5's prefix is that of WSC, "wsc:". Two tasks with one prefix are refused, so this is a departure: to evaluate a
# model that was trained on WSC, take `wnli.replace(prefix="wsc: ")`.
@register_task(
    prefix="wnli: ",
    source=glue("wnli"),
    metrics=["accuracy"],
    postprocess=judge_referent,
    max_target_tokens=32,
    decoding=Decoding(max_new_tokens=32),
    version=2,
)
def wnli(row: Row, split: str = "validation") -> list[Example]:
    """The noun that the pronoun in asterisks stands for (GLUE's sentences)."""
    label = label_name(row, "label", ("False", "True"))
    if split == "train" and label == "False":
        return []
    premise, hypothesis = text(row, "sentence1"), text(row, "sentence2")
    at, referent = find_referent(premise, hypothesis)
    if not referent:
        return []
    return [referent_example(_mark(premise, at), referent, label)]


def find_referent(premise: str, hypothesis: str) -> tuple[int, str]:
    """The index of the pronoun among the premise's words, and the noun in its place in the hypothesis.

    -1 if the premise has no pronoun that is known here, "" if no noun was found.

    >>> find_referent("The fish ate the worm. It was tasty.", "The worm was tasty.")
    (5, 'The worm')
    """
    words, other = _clean(premise), _clean(hypothesis)
    best = (-1, -1, "")
    for at in (i for i, w in enumerate(words) if w in PRONOUNS):
        before = _run(words[:at][::-1], other[::-1])[::-1]
        after = _run(words[at + 1 :], other)
        found = _between(before, after, other) if before or after else ""
        if len(before) + len(after) > best[0]:
            best = (len(before) + len(after), at, found)
    _, at, found = best
    # The noun may come with the start of the hypothesis; all before its last article is cut off.
    noun = found.split()
    noun = noun[max((noun.index(a) for a in ("a", "an", "the") if a in noun), default=0) :]
    spelt = re.search(r"[.,?!]? ".join(map(re.escape, noun)), hypothesis, re.IGNORECASE) if noun else None
    # The noun is never a possessive, even where the pronoun is one.
    return at, re.sub(r"'s?$", "", spelt.group(0)) if spelt else ""


def _mark(premise: str, at: int) -> str:
    if at < 0:
        return premise
    words = premise.split()
    word = words[at].rstrip(".,!?")
    words[at] = f"*{word}*" + (f" {words[at][len(word) :]}" if word != words[at] else "")
    return " ".join(words)


def _clean(sentence: str) -> list[str]:
    return [re.sub(r"[.,?!]$", "", w) for w in sentence.lower().split()]


def _run(words: list[str], within: list[str]) -> list[str]:
    # The longest beginning of `words` that stands in `within`.
    for n in range(len(words), 0, -1):
        if f" {' '.join(words[:n])} " in f" {' '.join(within)} ":
            return words[:n]
    return []


def _between(before: list[str], after: list[str], sentence: list[str]) -> str:
    left, right = map(re.escape, (" ".join(before), " ".join(after)))
    joined = " ".join(sentence)
    for pattern in (f"{left} (.+) {right}" if left and right else "", f"^(.+) {right}$", f"^{left} (.+)$"):
        match = re.search(pattern, joined) if pattern else None
        if match:
            return match.group(1)
    match = re.search(f"^(.+) {right}", joined) if right else re.search(f"{left} (.+)$", joined)
    return match.group(1) if match else ""
