"""Insert-only tables from a name to an object, with errors that help.

Names exist so that a command line, a config or a saved run can say them. In Python, pass the object itself.
"""

from __future__ import annotations

import contextlib
import difflib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from multitask.errors import UserError

T = TypeVar("T")


def did_you_mean(name: str, known: Iterator[str] | list[str] | tuple[str, ...], *, listed: int = 12) -> str:
    """The end of an error sentence for an unknown name: the nearest known ones, else the first few of them.

    >>> did_you_mean("ssst2", ["span", "sst2"])
    "did you mean 'sst2'?"
    >>> did_you_mean("zzz", ["span", "sst2"])
    'known: span, sst2.'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    if not names:
        return "none is known."
    more = f" and {len(names) - listed} more" if len(names) > listed else ""
    return "known: " + ", ".join(names[:listed]) + more + "."


class Registry(Generic[T]):
    """An insert-only table of one kind of thing.

    A name that is taken is refused, with the holder named: silent overwriting is how two plug-ins come to disagree
    about what a saved run meant. `load` is called once, before the first look-up, to fill in what is built in.
    """

    def __init__(self, kind: str, load: Callable[[], None] | None = None) -> None:
        self.kind = kind
        self._objects: dict[str, T] = {}
        self._holders: dict[str, str] = {}
        self._reloadable: set[str] = set()
        self._reloader: int | None = None
        self._load = load
        self._loading = False
        self._lock = threading.RLock()

    def add(self, name: str, thing: T, holder: str) -> T:
        """Register `thing`; `holder` says who does it, for the error of the next who tries."""
        if name in self._objects:
            raise UserError(
                f"{self.kind} '{name}' is already registered by {self._holders[name]}; "
                f"{holder} cannot take the name again: choose another."
            )
        self._objects[name] = thing
        self._holders[name] = holder
        if self._reloader == threading.get_ident():
            self._reloadable.add(name)
        return thing

    def get(self, name: str) -> T:
        """The thing of that name; a `UserError` with the nearest names if there is none."""
        self.load()
        if name not in self._objects:
            raise UserError(f"unknown {self.kind} '{name}': {did_you_mean(name, list(self._objects))}")
        return self._objects[name]

    def holder(self, name: str) -> str:
        """Who registered `name`."""
        self.load()
        return self._holders[name]

    def discard(self, name: str) -> None:
        """Take a name out again: for tests and notebooks that define a thing twice on purpose."""
        self._objects.pop(name, None)
        self._holders.pop(name, None)
        self._reloadable.discard(name)

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """What is registered inside is registered in any other process too, which loads the same files and packages."""
        before, self._reloader = self._reloader, threading.get_ident()
        try:
            yield
        finally:
            self._reloader = before

    def is_reloadable(self, name: str) -> bool:
        """Whether another process finds the thing by its name; not what a script or notebook registers itself."""
        return name in self._reloadable

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._objects

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(sorted(self._objects))

    def __len__(self) -> int:
        self.load()
        return len(self._objects)

    def registered(self) -> dict[str, T]:
        """What is there now, without loading what is built in (for checks made while that is being loaded)."""
        return dict(self._objects)

    def load(self) -> None:
        """Bring in what is built in, once, before the first look-up."""
        if self._load is None and not self._loading:
            return
        with self._lock:  # another thread's first look-up waits until all is there
            if self._load is not None:
                load, self._load = self._load, None  # before the call: what it loads may look names up
                self._loading = True
                try:
                    with self.loading():
                        load()
                finally:
                    self._loading = False
