"""Which rows are taken out of training: held out for validation, for choosing checkpoints, or for the other half.

Words
    unit     what one row became, one example or several
    own key  the unit's declared group (MultiRC's question), else its first example's id
    group    units that are never separated: of one own key, or with an input in common, since else a model would be
             scored on what it was trained on. Inputs are equal if their words are, whatever their case and punctuation
             (`overlap` counts them so too). A group's key is the own key of its first row
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from multitask.task import Example

HOLDOUT_MAX = 1000
"""A held-out part has no more examples than this: enough to see 3 points, few enough to be evaluated often."""

_WORD = re.compile(r"[^\W_]+")


class Unit(NamedTuple):
    """The examples of one row. Units of one key are never separated."""

    key: str
    row: int
    examples: list[Example]


def words_of(text: str) -> list[str]:
    """The words of a text.

    >>> words_of("I`d GO, it's snake_case."), words_of("I ' d go") == words_of("i'd go")
    (['i', 'd', 'go', 'it', 's', 'snake', 'case'], True)
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def grouped(*parts: Sequence[Unit]) -> list[list[Unit]]:
    """The units with their groups' keys.

    Args:
        parts: The same rows, as they are formatted for training and for scoring, for instance: what is equal in one of
            the two stays together in both.
    """
    above: dict[int, int] = {}  # a forest of rows; a group's root is its first row

    def root(row: int) -> int:
        while above[row] != row:
            above[row] = row = above[above[row]]
        return row

    seen: dict[tuple[str, str], int] = {}
    own: dict[int, str] = {}
    for unit in sorted((unit for part in parts for unit in part), key=lambda unit: unit.row):
        above.setdefault(unit.row, unit.row)
        own.setdefault(unit.row, unit.key)
        inputs = (("input", " ".join(words_of(e.inputs)) or e.inputs) for e in unit.examples)
        for common in (("key", unit.key), *inputs):
            one, other = root(unit.row), root(seen.setdefault(common, unit.row))
            above[max(one, other)] = min(one, other)
    return [[unit._replace(key=own[root(unit.row)]) for unit in part] for part in parts]


def share_of(units: Sequence[Unit], share: float, salt: str) -> int:
    """How many examples to take out: those of the units whose own hash is in the lowest `share` of all hashes.

    Where one declared group is more than half of such a part, the share itself. At least one example, at most
    `HOLDOUT_MAX`.
    """
    bound = int(share * 2**64)
    count = sum(len(unit.examples) for unit in units if _hash(salt, unit.key) < bound)
    sizes = Counter[str]()
    for unit in units:
        sizes[unit.key] += len(unit.examples)
    asked = share * sizes.total()
    if max(sizes.values(), default=0) > max(1, asked / 2):
        count = round(asked)
    return min(max(count, 1), HOLDOUT_MAX)


def taken_out(units: Sequence[Unit], count: int, salt: str) -> list[Unit]:
    """The groups of smallest hash that fit into `count` examples, and one more if that comes nearer.

    At least one group is taken, and one left if there are two.

    Args:
        units: See `grouped`.
        count: Examples.
        salt: Of the hashes.
    """
    groups: dict[str, list[Unit]] = {}
    for unit in sorted(units, key=lambda unit: unit.row):
        groups.setdefault(unit.key, []).append(unit)
    # By the first row where two hashes are the same.
    order = sorted(groups.values(), key=lambda group: (_hash(salt, group[0].key), group[0].row))
    taken: list[list[Unit]] = []
    passed: list[list[Unit]] = []
    missing = count
    for group in order:
        fits = examples_of(group) <= missing
        (taken if fits else passed).append(group)
        missing -= examples_of(group) if fits else 0
    if missing and passed:
        least = min(passed, key=examples_of)
        if not taken or examples_of(least) - missing <= missing:
            taken.append(least)
    if len(taken) == len(order) > 1:
        del taken[-1]
    return [unit for group in taken for unit in group]


def without(units: Iterable[Unit], taken: Iterable[Unit]) -> list[Unit]:
    """The units of no group that was taken."""
    keys = {unit.key for unit in taken}
    return [unit for unit in units if unit.key not in keys]


def examples_of(units: Iterable[Unit]) -> int:
    """How many examples the units are."""
    return sum(len(unit.examples) for unit in units)


def _hash(salt: str, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{salt}/{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest())
