"""A digest of what a function does, which comments, formatting, docstrings and its place in a file leave as it is.

Words
    code      bytecode with its names and constants, which a lambda and what was typed into a notebook have too; another
              version of Python makes other code, so a digest begins with its version. Python 3.12 alone makes another
              loop of a comprehension that is broken over lines, so there that counts as a change
    own       of whoever wrote the function: neither Python's, nor multitask's, nor of another installed package
    state     what code changes while it runs (a cache, a counter): of that the type counts, not the value

What a function refers to counts with it: functions and classes of its own, wherever they stand, values of closures and
defaults, and constants of the module, also where it imports them only when it runs. Of what is not its own the name
counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import dis
import enum
import fractions
import functools
import hashlib
import importlib.util
import json
import pathlib
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from multitask.metrics.metric import Metric
from multitask.runs.code_state import SKIPPED, state_of, with_inner
from multitask.task import Task

FORMAT = 1
"""Raised when the same code is read another way: else every run of before would be told that its tasks changed."""
VERSION = f"{FORMAT}-{sys.implementation.cache_tag or sys.version.split()[0]}"
OURS = "multitask"
"""Instead of a digest: code of this package, whose version is written down elsewhere."""
BY_NAME = ("split",)
"""Parameters of a formatter that `Task` gives by name, if it has them; the names of others are names of locals."""
MOST = 200_000
"""Values that are looked at, so that a module's table of a million entries takes no minute."""
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
VALUES = (re.Pattern, pathlib.PurePath, fractions.Fraction, decimal.Decimal, range, slice, datetime.date, datetime.time)
"""Types whose `repr` says all; a pattern's cuts long ones off, see `_Reader.of`."""
NO_PART = frozenset(
    (
        *("__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__", "__firstlineno__"),
        *("__static_attributes__", "__annotate__", "__annotate_func__", "__annotations_cache__", "_abc_impl"),
    )
)
"""Attributes of a class that say nothing of what it does."""


def code_digest(function: Any, home: str | None = None) -> str | None:
    """VERSION:SHA-256 of a function, another callable or a metric; None of None, and OURS if all of it is multitask's.

    Args:
        function: What is read.
        home: The top-level package that counts as the function's own though it is installed; by default its own.

    >>> texts = ("lambda row: row['a']", "lambda x: x[ 'a' ]  # the same", "lambda row: row['b']")
    >>> one, same, other = (code_digest(eval(text, {"__name__": "my_tasks"})) for text in texts)
    >>> one == same, one == other
    (True, False)
    """
    if function is None:
        return None
    package = package_of(function)
    reader = _Reader(home or package)
    found = json.dumps(reader.read(function))
    if package == "multitask" and not reader.met_own:
        return OURS
    return f"{VERSION}:{hashlib.sha256(found.encode()).hexdigest()}"


def same_code(one: str | None, other: str | None) -> bool | None:
    """Whether two digests are of the same code; None if another Python, or another format, made one of them."""
    versions = {digest.partition(":")[0] for digest in (one, other) if digest is not None and digest != OURS}
    return None if len(versions) > 1 else one == other


def package_of(thing: Any) -> str:
    """The top-level package that a callable is of."""
    inner = getattr(thing, "func", None) if isinstance(thing, functools.partial) else getattr(thing, "__func__", None)
    module = getattr(thing if inner is None else inner, "__module__", None) or type(thing).__module__
    return str(module).partition(".")[0]


class _Reader:
    """Plain data of what code is made of.

    Args:
        home: The top-level package of the function that is read.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self.root: Any = None
        """The code of what is read, which `Task` calls by position."""
        self.count = 0
        self.met_own = False
        self.seen: dict[int, tuple[int, Any]] = {}
        """{id: (number, the object itself, so that the id stays its own)}"""
        self.todo: list[Any] = []

    def read(self, function: Any) -> list[Any]:
        """The function, then what it refers to, one by one: a chain of calls may be longer than Python's stack."""
        self.root = getattr(function, "__code__", None)
        made = [self.of(function)]
        while self.todo:
            value = self.todo.pop(0)
            try:
                made.append([type(value).__name__, *self._parts(value)])
            except Exception as error:  # an object of the user's own whose attributes do anything
                made.append([type(value).__name__, type(error).__name__])
        return made

    def of(self, value: Any) -> Any:
        """A value, a function or anything else."""
        self.count += 1
        kind = type(value).__name__
        if type(value) in PLAIN:
            return [kind, repr(value)]
        if isinstance(value, re.Pattern):
            return [kind, repr(value.pattern), value.flags]
        if isinstance(value, VALUES):
            return [kind, repr(value)]
        if isinstance(value, types.ModuleType):
            return [kind, value.__name__]
        if self.count > MOST:
            return ["…"]
        if isinstance(value, tuple):
            return [kind, [self.of(one) for one in value]]
        if isinstance(value, (set, frozenset)):  # whose order is another in each process
            return [kind, sorted((self.of(one) for one in value), key=json.dumps)]
        if id(value) in self.seen:
            return ["of", self.seen[id(value)][0]]
        self.seen[id(value)] = len(self.seen), value
        if isinstance(value, list):
            return [kind, [self.of(one) for one in value]]
        if isinstance(value, (dict, types.MappingProxyType)):
            return [kind, [[self.of(k), self.of(v)] for k, v in value.items()]]
        self.todo.append(value)
        return ["of", self.seen[id(value)][0]]

    def _parts(self, value: Any) -> Iterator[Any]:
        if isinstance(value, Task):
            yield from (value.name, self.of(value.formatter), self.of(value.postprocess))
        elif isinstance(value, Metric):
            yield from (value.name, value.higher_is_better, value.scale)
            yield [self.of(part) for part in (value.function, value.per_example, value.sums, value.of_sums)]
            yield self.of(value.weighted)
        elif type(value).__module__.startswith("multitask.") and dataclasses.is_dataclass(value):  # of a metric
            yield type(value).__qualname__
            yield [self.of(getattr(value, field.name)) for field in dataclasses.fields(value) if field.compare]
        elif isinstance(value, functools.partial):
            yield from (self.of(value.func), self.of(value.args), self.of(value.keywords))
        elif isinstance(value, types.MethodType):
            yield from (self.of(value.__func__), self.of(value.__self__))
        elif isinstance(value, (staticmethod, classmethod)):
            yield self.of(value.__func__)
        elif isinstance(value, property):
            yield from (self.of(value.fget), self.of(value.fset))
        elif isinstance(value, types.FunctionType) and self._own(value):
            yield from self._function(value)
        elif type(value).__module__ == "functools" and callable(getattr(value, "__wrapped__", None)):
            yield self.of(value.__wrapped__)
        elif isinstance(value, type) and self._own(value):
            yield value.__name__
            yield [self.of(base) for base in value.__bases__]
            yield [[name, self.of(part)] for name, part in sorted(vars(value).items()) if name not in NO_PART]
        elif isinstance(value, enum.Enum):
            yield from (f"{type(value).__qualname__}.{value.name}", self.of(value.value))
        elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            yield f"{value.__module__}.{value.__qualname__}"
        else:
            yield self.of(type(value))
            if self._own(type(value)):  # what it holds may be state, but what cannot change is none
                held = getattr(value, "__dict__", {}).items()
                yield [
                    [name, self.of(one)] for name, one in sorted(held) if isinstance(one, (*PLAIN, tuple, frozenset))
                ]

    def _own(self, thing: Any) -> bool:
        """Whether it was written by whoever wrote the function that is read."""
        name = str(getattr(thing, "__module__", None) or "")
        own = self._own_file(name.partition(".")[0], getattr(sys.modules.get(name), "__file__", None) or "")
        self.met_own |= own
        return own

    def _own_file(self, package: str, file: str) -> bool:
        if package in ("multitask", "builtins", "") or package in sys.stdlib_module_names:
            return False
        installed = {"site-packages", "dist-packages"} & set(pathlib.PurePath(file).parts)
        return package == self.home or not installed

    # ---- functions ---------------------------------------------------------------------------------------------------

    def _function(self, function: types.FunctionType) -> Iterator[Any]:
        code = function.__code__
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        state = state_of(code)
        yield self._code(code, function.__globals__)
        yield self.of(function.__defaults__)
        yield self.of(function.__kwdefaults__)
        yield [self._cell(cell, name in state) for name, cell in cells.items()]
        yield [[name, value] for name, value in self._names(code, function.__globals__, state)]

    def _cell(self, cell: types.CellType, is_state: bool) -> Any:
        try:
            value = cell.cell_contents
        except ValueError:
            return ["empty"]
        return [type(value).__name__] if is_state else self.of(value)

    def _code(self, code: types.CodeType, names: Mapping[str, Any]) -> Any:
        kept = [half for one in dis.get_instructions(code) if one.opname not in SKIPPED for half in _halves(one)]
        place: dict[int, int] = {}
        for i, one in enumerate(kept):
            place.setdefault(one.offset, i)
        offsets = sorted(place)

        def after(offset: int) -> int:
            """Keep what stands before a place: the number of an instruction that may itself be left out."""
            return place[offset] if offset in place else sum(at < offset for at in offsets)

        made: list[Any] = []
        for one in kept:
            argument: Any = one.arg
            if one.opcode in dis.hasconst:
                value = one.argval
                argument = self._code(value, names) if isinstance(value, types.CodeType) else self.of(value)
            elif one.opcode in dis.hasjrel or one.opcode in dis.hasjabs:
                argument = after(int(one.argval))
            elif one.opcode in dis.hasname:
                argument = str(one.argval)
            made.append([one.opname, argument])
        handlers = [
            [after(e.start), after(e.end), after(e.target), e.depth]
            for e in getattr(dis.Bytecode(code), "exception_entries", ())
        ]
        parameters = code.co_argcount + code.co_kwonlyargcount
        shape = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0x2AC]
        called = code.co_varnames[:parameters]
        if code is self.root:  # nobody else calls it by name
            called = tuple(name if name in BY_NAME else "" for name in called)
        return [made, handlers, called, shape]

    def _names(self, code: types.CodeType, names: Mapping[str, Any], state: set[str]) -> Iterator[tuple[str, Any]]:
        """The names that the code finds in its module, in the order in which it asks for them."""
        done: set[tuple[str, ...]] = set()
        for inner in with_inner(code):
            kept = list(dis.get_instructions(inner))
            for i, one in enumerate(kept):
                if one.opname not in ("LOAD_GLOBAL", "LOAD_NAME"):
                    continue
                way = [str(one.argval)]
                value = names.get(way[0], _Missing)
                for further in kept[i + 1 :]:  # module.function
                    if not isinstance(value, types.ModuleType) or further.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
                        break
                    if not self._own_module(value):
                        break
                    way.append(str(further.argval))
                    value = getattr(value, way[-1], _Missing)
                if tuple(way) in done or value is _Missing:  # a builtin, or of nothing
                    continue
                done.add(tuple(way))
                yield ".".join(way), [type(value).__name__] if way[0] in state else self.of(value)
            for module, wanted in self._imported(inner, names):
                for name in wanted:
                    if hasattr(module, name):
                        yield f"{module.__name__}.{name}", self.of(getattr(module, name))

    def _imported(
        self, code: types.CodeType, names: Mapping[str, Any]
    ) -> Iterator[tuple[types.ModuleType, Sequence[str]]]:
        """Modules of its own that code imports when it runs, each with the names that it may want of it."""
        kept = [one for one in dis.get_instructions(code) if one.opname not in SKIPPED]
        for i, one in enumerate(kept):
            if one.opname != "IMPORT_NAME":
                continue
            level, wanted = kept[i - 2].argval, kept[i - 1].argval
            with contextlib.suppress(Exception, SystemExit):  # what fails here fails when it runs, too
                name = importlib.util.resolve_name("." * int(level) + str(one.argval), str(names.get("__package__")))
                spec = importlib.util.find_spec(name.partition(".")[0])
                if spec is not None and self._own_file(name.partition(".")[0], spec.origin or ""):
                    yield importlib.import_module(name), wanted or code.co_names

    def _own_module(self, module: types.ModuleType) -> bool:
        return self._own(types.SimpleNamespace(__module__=module.__name__))


def _halves(one: dis.Instruction) -> list[dis.Instruction]:
    """An instruction, or the two that Python from 3.13 on makes one of where they stand on one line."""
    both = re.fullmatch(r"((?:LOAD|STORE)_FAST(?:_BORROW)?)_((?:LOAD|STORE)_FAST(?:_BORROW)?)", one.opname)
    if both is None or one.arg is None:
        return [one]
    return [one._replace(opname=name, arg=arg) for name, arg in zip(both.groups(), divmod(one.arg, 16), strict=True)]


_Missing: Any = object()
