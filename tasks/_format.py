"""What several built-in tasks share: reading a label, reading a text, rounding a number, judging a referent.

A label in a row may be an int, a bool, a float or a string of digits (files differ), or the label's own name; -1, an
empty cell and null mean "unknown", as in GLUE's test splits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Number

from multitask.sources.raw_values import ValueAsTextError
from multitask.task import UNLABELLED, Example, Row
from multitask.terminal.escaping import shown

DETERMINERS = frozenset(
    [
        "a",
        "an",
        "few",
        "her",
        "his",
        "each",
        "every",
        "many",
        "much",
        "my",
        "our",
        "some",
        "that",
        "the",
        "their",
        "these",
        "this",
        "those",
        "which",
        "whose",
        "your",
    ]
)


def text(row: Row, column: str) -> str:
    """The row's text without spaces around it; an empty string for null and NaN, as pandas writes a missing text.

    >>> text({"sentence": "a gorgeous , witty film . "}, "sentence"), text({"sentence": float("nan")}, "sentence")
    ('a gorgeous , witty film .', '')
    """
    return raw_text(row, column).strip()


def raw_text(row: Row, column: str) -> str:
    """The row's text with the spaces around it; an empty string for null and NaN, a number as it is written.

    Raises:
        ValueAsTextError: If it is no text: bytes, a list, a mapping, a date.
    """
    value = row[column]
    if isinstance(value, str):
        return value
    if _is_missing(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, Number):
        raise ValueAsTextError(value, column)
    return str(value)


def texts(value: object, column: str) -> tuple[str, ...]:
    """The texts of a list; none for null.

    Raises:
        ValueError: If it is no list of texts; of a text alone the letters would be taken.

    >>> texts(["a", "b", "a"], "answers"), texts(None, "answers")
    (('a', 'b', 'a'), ())
    """
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"column '{column}' must hold a list of texts. Got {shown(repr(value), 60)}.")
    return tuple(value)


def own_id(row: Row, column: str) -> str:
    """The id that the row brings, or an empty string: then its position is its id."""
    value = row.get(column)
    return "" if _is_missing(value) else str(value)


def label_name(row: Row, column: str, labels: Sequence[str]) -> str:
    """The name of the row's label, or `UNLABELLED` if the row says that it is unknown.

    Raises:
        ValueError: If the label is not one of them.
        KeyError: If the row has no such column: a file without labels is a mistake, not 10,000 unknown labels.

    >>> [label_name({"label": x}, "label", ("no", "yes")) for x in (1, "0", True, "yes", -1, None)]
    ['yes', 'no', 'yes', 'yes', '<unk>', '<unk>']
    """
    value = row[column]
    if isinstance(value, str):
        value = value.strip()
        if value in labels:
            return value
    if _is_missing(value):
        return UNLABELLED
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if number == -1:
        return UNLABELLED
    # Before int(): int(1.5) is 1, and NaN and infinity have no int.
    if not number.is_integer() or not 0 <= number < len(labels):
        raise ValueError(
            f"label {row[column]!r} in column '{column}' must be 0 to {len(labels) - 1} "
            f"({', '.join(labels)}), or -1 for unknown."
        )
    return labels[int(number)]


def rounded(row: Row, column: str, low: float, high: float, step: float) -> str:
    """The row's number as a string with one decimal, rounded to the nearest multiple of `step`, halves to even.

    Raises:
        ValueError: If it is no number or lies outside `low` to `high`; -1 and empty cells are unknown, not errors.

    >>> [rounded({"label": y}, "label", 0, 5, 0.2) for y in (3.25, 5, "0.5", -1)]
    ['3.2', '5.0', '0.4', '<unk>']
    """
    value = row[column]
    if _is_missing(value):
        return UNLABELLED
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if number == -1:
        return UNLABELLED
    if not low <= number <= high:
        raise ValueError(f"number {value!r} in column '{column}' must be from {low:g} to {high:g}, or -1 for unknown.")
    per_unit = round(1 / step)  # times 5, not divided by 0.2: 0.5 * 5 is exactly a half, 0.5 / 0.2 need not be
    return f"{round(number * per_unit) / per_unit:.1f}"


def _is_missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def same_referent(one: str, other: str) -> bool:
    """Whether two nouns are the same up to case, determiners and words that only one of them has.

    T5's rule (`postprocessors.wsc_simple`): the words of one contain those of the other; but "Bob" is not "Bob's hat".

    >>> same_referent("the Stable", "stable"), same_referent("Bob", "Bob's hat"), same_referent("", "stable")
    (True, False, False)
    """
    a, b = (_content_words(s) for s in (one, other))
    if not a or not b or any("'" in w for w in a) != any("'" in w for w in b):
        return False
    return set(a) <= set(b) or set(b) <= set(a)


def _content_words(noun: str) -> list[str]:
    return [w for w in noun.lower().split() if w not in DETERMINERS]


NOT = "not "
"""In evaluation the target of a false Winograd row is "not the dog": anything but this noun is a right answer."""


def referent_example(inputs: str, referent: str, label: str) -> Example:
    """A Winograd example for a row whose candidate `referent` is right ("True"), wrong ("False") or unknown."""
    if label == UNLABELLED:
        return Example(inputs, UNLABELLED)
    return Example(inputs, referent if label == "True" else NOT + referent)


def judge_referent(prediction: str, example: Example) -> str:
    """What is compared to the target: the candidate, "not " and the candidate, or a prediction without a noun itself.

    T5 compares "is the prediction this noun?" with the row's label. The same verdict in the words of the target, so
    that plain accuracy applies and the predictions of a run can be read. Nothing, or determiners alone, is wrong
    whatever the label (T5 scores it as class -1): else it would be "another noun" than that of each false row.

    >>> judge_referent("The stable", Example("…", "stable")), judge_referent("window", Example("…", "stable"))
    ('stable', 'not stable')
    >>> judge_referent("stable", Example("…", "not stable")), judge_referent("a this", Example("…", "not stable"))
    ('stable', 'a this')
    """
    if not _content_words(prediction) or prediction.strip() == example.target or example.target == UNLABELLED:
        return prediction.strip()
    referent = example.target.removeprefix(NOT)
    return referent if same_referent(prediction, referent) else NOT + referent
