"""Tasks from outside: a user's file (`--include my_tasks.py`) and installed packages (entry points).

Words
    include       to run a Python file that registers tasks, under a module name made of its path
    plug-in       an installed distribution with an entry point in the group `multitask.tasks`: a module that registers
                  tasks when it is imported, a `Task`, or a list of them

Both run the code they name: include files and install packages that you trust.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType

from multitask.errors import UserError
from multitask.registry import INCLUDED as MODULES
from multitask.registry import loading, registries
from multitask.storage.paths import expanded

GROUP = "multitask.tasks"
"""The entry-point group of plug-ins."""

INCLUDED = "MULTITASK_INCLUDE"
"""Environment variable with the files included so far. A spawned worker unpickles tasks by name, so it has to include
what its parent did; it inherits this, and `load_entry_points` reads it."""


class PluginWarning(UserWarning):
    """A plug-in that could not be loaded, or a distribution that gets in the way."""


def include(path: str | Path, *, again: bool = False) -> ModuleType:
    """Runs a Python file, once; the tasks in it are registered when this returns.

    The file's folder is put at the end of `sys.path`, so that it can import its neighbours and can hide nothing.

    Args:
        path: The file.
        again: Run it again if it was changed since; what it registered before is replaced, or gone if it is not in the
            file any more. Without this a change is a `PluginWarning`: a study must not change under its own hands.

    Raises:
        UserError: If there is no such file, or it fails: with the file, the line and its own words. Then all is
            registered as it was before, so that a corrected file can be included.
    """
    where = Path(expanded(str(path)))
    full = where.resolve()
    if full.suffix != ".py" or not full.is_file():
        raise UserError(f"--include '{where}': there is no Python file of that name; give the path of a .py file.")
    name = _module_name(full)
    for registry in registries():
        registry.load()  # so that what is there before is known; in a process of a training this includes the file
    content, earlier = full.read_bytes(), sys.modules.get(name)
    digest = hashlib.sha256(content).hexdigest()
    if earlier is not None:
        if digest == _CONTENTS.get(name, digest):
            return earlier
        if not again:
            warnings.warn(
                f"'{where}' was changed since it was included, which changes nothing here: "
                f"multitask.include('{where}', again=True) runs it as it is now.",
                PluginWarning,
                stacklevel=2,
            )
            return earlier
    _run_file(name, full, where, content)
    _CONTENTS[name] = digest
    others = [p for p in os.environ.get(INCLUDED, "").split(os.pathsep) if p]
    if str(full) not in others:
        os.environ[INCLUDED] = os.pathsep.join([*others, str(full)])
    return sys.modules[name]


_CONTENTS: dict[str, str] = {}
"""{module: SHA-256 of its file when it was run}"""


def _run_file(name: str, full: Path, where: Path, content: bytes) -> None:
    spec = importlib.util.spec_from_file_location(name, full)
    assert spec is not None and spec.loader is not None  # a .py file has a loader
    earlier, before = sys.modules.get(name), [(registry, registry.of_module(name)) for registry in registries()]
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # before it runs, as `import` does
    if str(full.parent) not in sys.path:
        sys.path.append(str(full.parent))
    try:
        with contextlib.ExitStack() as stack:
            for registry, _ in before:
                stack.enter_context(registry.undone_by_errors())
            stack.enter_context(loading())  # other processes include it too
            # Not the loader's own: it may take bytecode of the same second and size for that of the file as it is now.
            exec(compile(content, str(full), "exec"), module.__dict__)  # noqa: S102
    except (Exception, SystemExit) as error:
        if earlier is None:
            del sys.modules[name]
        else:
            sys.modules[name] = earlier
        for registry in registries():  # also one that the file was the first to import
            for thing in registry.of_module(name) if registry not in [known for known, _ in before] else ():
                registry.discard(thing)
        raise UserError(f"--include '{where}'{_reason(error, full)}") from error
    for registry, things in before:
        for thing, what in things.items():
            if registry.registered()[thing] is what:
                registry.discard(thing)


def is_included(path: str | Path) -> bool:
    """Whether this process has run the file already."""
    return _module_name(Path(expanded(str(path))).resolve()) in sys.modules


def _module_name(full: Path) -> str:
    return f"{MODULES}{hashlib.sha256(str(full).encode()).hexdigest()[:12]}_{full.stem}"


def _reason(error: BaseException, path: Path) -> str:
    """The end of the error: the last line of the file itself that was being run, and what happened there."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}: {error.msg}."
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    at = f", line {lines[-1]}" if lines else ""
    if isinstance(error, UserError):
        return f"{at}: {error}"
    return f"{at}: {type(error).__name__}: {error}"


def load_entry_points(register: Callable[[object, str], None]) -> None:
    """Loads the plug-ins of all installed distributions, and the files that a parent process included.

    A plug-in that fails is a `PluginWarning` that names its distribution: the others, and the built-in tasks, must
    not be lost with it.

    Args:
        register: Takes what an entry point names, unless that is a module, and the distribution's name and version.
    """
    for name, value in dict.fromkeys((e.name, e.value) for e in metadata.entry_points(group=GROUP)):
        (point, *_) = metadata.entry_points(group=GROUP, name=name, value=value)
        holder = f"{point.dist.name} {point.dist.version}" if point.dist is not None else value
        try:
            loaded = point.load()
            if not isinstance(loaded, ModuleType):  # of a module importing it was all
                register(loaded, holder)
        except Exception as error:  # whatever someone else's package does
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            warnings.warn(
                f"the plug-in '{name}' ({value}) of distribution '{holder}' could not be loaded: {kind}{error} "
                f"(its tasks are missing; upgrade or uninstall it)",
                PluginWarning,
                stacklevel=2,
            )
    for path in os.environ.get(INCLUDED, "").split(os.pathsep):
        if path and Path(path).is_file():
            include(path)


@functools.lru_cache(maxsize=1)
def check_distribution() -> tuple[str, ...]:
    """The names of other installed distributions whose import package is `multitask` too; warns of them, once."""
    found: list[str] = []
    for name in ("multitask-py", "multitask"):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
        warnings.warn(
            f"the distribution '{name}' {version} is installed as well, and its import package is also named "
            f"'multitask': one of the two overwrites or hides the other. Uninstall both, then install multitask-t5.",
            PluginWarning,
            stacklevel=2,
        )
    return tuple(found)
