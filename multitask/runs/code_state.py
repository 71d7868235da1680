"""State that code changes while it runs, such as a cache or a counter, read off its instructions."""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator, Sequence

SKIPPED = frozenset({"NOP", "RESUME", "EXTENDED_ARG", "CACHE"})
"""Instructions that do nothing; the compiler leaves some for lines that have no other."""
CHANGING = frozenset(
    (
        *("append", "add", "update", "setdefault", "pop", "popitem", "extend", "insert", "clear", "discard", "remove"),
        *("appendleft", "popleft", "move_to_end", "sort", "reverse"),
    )
)
"""Methods that change what they belong to."""
NEAR = 8
"""Instructions before an assignment to an item among which the container is loaded."""


def with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function and of those within it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from with_inner(inner)


def state_of(code: types.CodeType) -> set[str]:
    """Names of what the code changes."""
    found: set[str] = set()
    for inner in with_inner(code):
        kept = [one for one in dis.get_instructions(inner) if one.opname not in SKIPPED]
        for i, one in enumerate(kept):
            if one.opname in ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF"):
                found.add(str(one.argval))
            elif one.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
                found |= _loaded(kept[max(0, i - NEAR) : i])
            elif one.opname in ("LOAD_ATTR", "LOAD_METHOD") and str(one.argval) in CHANGING:
                found |= _loaded(kept[max(0, i - 1) : i])
    return found


def _loaded(instructions: Sequence[dis.Instruction]) -> set[str]:
    return {str(one.argval) for one in instructions if one.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF")}
