"""A task that is trained as two disjoint halves, the null control of a study, and what the second half is called.

The name stands in plans and run folders; whoever needs to know asks here, or the mixture, and looks into no name.
"""

from __future__ import annotations

from collections.abc import Iterable

_SECOND = "~2"


def name_second_half(task: str) -> str:
    """The name under which the second half of a task is trained.

    >>> name_second_half("span")
    'span~2'
    """
    return task + _SECOND


def is_second_half(name: str) -> bool:
    """Whether a name of a plan or a run folder is that of a second half."""
    return name.endswith(_SECOND)


def parts_of(task: str, names: Iterable[str]) -> list[str]:
    """The names, among those of a plan or a run folder, under which a task is trained: itself, or its two halves.

    >>> parts_of("span", ["span", "span~2", "sst2"]), parts_of("cola", ["span"])
    (['span', 'span~2'], [])
    """
    there = set(names)
    return [name for name in (task, name_second_half(task)) if name in there]
