"""Tables from a name to an object, with errors that help.

Names exist so that a command line, a config or a saved run can say them. In Python, pass the object itself.

Words
    place    `Place`: which function of which module or file registers a thing, and in which execution of it. A cell of
             a notebook that is run again, or a module that is reloaded, is the same place in another execution
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, Generic, NamedTuple, TypeVar

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


class Place(NamedTuple):
    """Where a thing is registered; `place_of` gives it."""

    module: str
    file: str
    function: str
    """The qualified name of the function that is registered, "" for what is none."""
    execution: CodeType
    """The code that is being run: another object each time that a cell is run or a file imported."""

    def is_run_again(self, earlier: Place | None) -> bool:
        """Whether this is an earlier place once more; not if one run of it registers a name twice."""
        if earlier is None or earlier.function != self.function or earlier.execution is self.execution:
            return False
        is_same_file = earlier.file == self.file and not self.file.startswith("<")  # "<string>" is no file
        return earlier.module == self.module or is_same_file


def place_of(function: object = None, *, depth: int = 2) -> Place:
    """The place of a call.

    Args:
        function: What is registered.
        depth: Frames from this function to the one that makes the call: 2 for the caller of the caller.
    """
    frame: FrameType | None = sys._getframe(depth)
    assert frame is not None
    names, outermost = frame.f_globals, frame
    while frame is not None:
        if frame.f_globals is names:
            outermost = frame
        frame = frame.f_back
    code = outermost.f_code
    return Place(str(names.get("__name__")), code.co_filename, getattr(function, "__qualname__", ""), code)


INCLUDED = "_multitask_include_"
"""Begins the names of modules that `--include` makes; nobody knows them, so no message shows one."""


def holder_of(function: object) -> str:
    """Who registers, for people: the function with its module, and where it stands.

    >>> holder_of(did_you_mean).partition(" (")[0], holder_of(print)
    ('multitask.registry.did_you_mean', 'builtins.print')
    """
    code = getattr(function, "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    module = str(getattr(function, "__module__", None) or type(function).__module__)
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{name}{where}" if module.startswith(INCLUDED) else f"{module}.{name}{where}"


class Registry(Generic[T]):
    """A table of one kind of thing.

    A name that is taken is refused, with the holder named: silent overwriting is how two plug-ins come to disagree
    about what a saved run meant. Only the same place, run again, replaces what it registered, or who says so.
    `load` is called once, before the first look-up, to fill in what is built in.
    """

    def __init__(self, kind: str, load: Callable[[], None] | None = None) -> None:
        self.kind = kind
        self._objects: dict[str, T] = {}
        self._holders: dict[str, str] = {}
        self._places: dict[str, Place | None] = {}
        self._replaced: list[T] = []
        self._reloadable: set[str] = set()
        self._load = load
        self._loading = False
        self._lock = threading.RLock()
        _REGISTRIES.add(self)

    def fill_with(self, load: Callable[[], None]) -> None:
        """Have `load` called before the first look-up, in place of what the constructor was given."""
        self._load = load

    def __repr__(self) -> str:
        return f"Registry({self.kind!r}, {len(self._objects)} names)"

    def add(self, name: str, thing: T, holder: str, *, place: Place | None = None, replace: bool = False) -> T:
        """Register `thing`.

        Args:
            name: The name.
            thing: What it stands for.
            holder: Who does it, for the error of the next who tries.
            place: Where; run again, it replaces what it registered before.
            replace: Take the name from whoever holds it.
        """
        if name in self._objects:
            if not replace and not (place is not None and place.is_run_again(self._places.get(name))):
                raise UserError(
                    f"{self.kind} '{name}' is already registered by {self._holders[name]}; "
                    f"{holder} cannot take the name again: choose another, or say replace=True."
                )
            self._replaced.append(self._objects[name])
            self._reloadable.discard(name)
        self._objects[name] = thing
        self._holders[name] = holder
        self._places[name] = place
        if _loading.get():
            self._reloadable.add(name)
        return thing

    def was_replaced(self, thing: T) -> bool:
        """Whether another thing took the name of this one."""
        return any(earlier is thing for earlier in self._replaced)

    def of_module(self, module: str) -> dict[str, T]:
        """The things that a module registered."""
        return {name: self._objects[name] for name, place in self._places.items() if place and place.module == module}

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
        """Take a name out again."""
        self._objects.pop(name, None)
        self._holders.pop(name, None)
        self._places.pop(name, None)
        self._reloadable.discard(name)

    @contextlib.contextmanager
    def undone_by_errors(self) -> Iterator[None]:
        """If what is done inside fails, all is registered as it was before."""
        objects, holders, places = dict(self._objects), dict(self._holders), dict(self._places)
        reloadable, replaced = set(self._reloadable), list(self._replaced)
        try:
            yield
        except BaseException:
            self._objects, self._holders, self._places = objects, holders, places
            self._reloadable, self._replaced = reloadable, replaced
            raise

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
        """All there is now, without loading what is built in (for checks made while that is being loaded)."""
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
                    with loading():
                        load()
                finally:
                    self._loading = False


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Mark what is registered inside as registered in other processes too, which load the same files and packages."""
    before = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(before)


_loading: contextvars.ContextVar[bool] = contextvars.ContextVar("loading", default=False)
_REGISTRIES: weakref.WeakSet[Registry[Any]] = weakref.WeakSet()


def registries() -> list[Registry[Any]]:
    """All that there are, of whatever kind."""
    return list(_REGISTRIES)
