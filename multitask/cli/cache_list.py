"""The list of `multitask cache`: each entry of the cache in a line, and their size together."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from multitask.errors import UserError
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import MISSING
from multitask.tables.table import Table
from multitask.tables.terminal import print_tables
from multitask.terminal.output import say, say_as_it_is
from multitask.tokenization.disk_cache import OFF, Entry, cache_folder, clear, entries, shown_size
from multitask.training.execution import FOLDER


def print_cache(*, as_json: bool) -> None:
    """The list on standard output."""
    folder = _folder()
    with _readable(folder):
        found = entries(folder)
    if as_json:
        listed = [
            {"kind": e.kind, **e.about, "bytes": e.size, "used": round(e.used), "file": e.path.name} for e in found
        ]
        total = sum(e.size for e in found)
        say_as_it_is(
            json.dumps({"folder": str(folder), "bytes": total, "entries": listed}, indent=2, ensure_ascii=False)
        )
        return
    if found:
        print_tables(cache_table(found, time.time()))
    say(f"{_amount(found)} in {folder}")


def print_cleared(unused_days: float) -> None:
    """Delete, and say what went."""
    folder = _folder()
    with _readable(folder):
        gone, stayed = clear(folder, unused_days=unused_days)
        if not unused_days:
            shutil.rmtree(folder / FOLDER, ignore_errors=True)  # which form of a step is the faster on a GPU
    say(f"deleted {_amount(gone)} in {folder}")
    if stayed:
        raise UserError(f"{_amount(stayed)} in {folder} could not be deleted: they are in use, or another user's.")


def _folder() -> Path:
    folder = cache_folder()
    if folder is None:
        raise UserError(f"there is no cache: MULTITASK_CACHE is '{OFF}', or the user has no home folder.")
    return folder


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"the cache {folder} cannot be read: {error.strerror}.") from error


def _amount(found: Sequence[Entry]) -> str:
    return f"{len(found):,} {'entry' if len(found) == 1 else 'entries'} ({shown_size(sum(e.size for e in found))})"


def cache_table(found: Sequence[Entry], now: float) -> Table:
    """A row an entry; `now` in seconds since 1970."""
    rows = []
    for entry in found:
        about = entry.about
        numbers = [about.get(name) for name in ("rows", "tokens")]
        rows.append(
            (
                Cell(str(about.get("task", MISSING))),
                Cell(str(about.get("split", MISSING))),
                Cell(entry.kind),
                *(Cell(MISSING) if n is None else Cell(f"{n:,}", float(n)) for n in numbers),
                Cell(shown_size(entry.size), entry.size),
                Cell(shown_age(now - entry.used), now - entry.used),
            )
        )
    columns = (
        Column("task", left=True),
        Column("split", left=True, optional=1),
        Column("what", left=True, optional=2, wrap=True),
        Column("rows", optional=3),
        Column("tokens", optional=4),
        Column("size"),
        Column("last used"),
    )
    return Table("Cache", columns, tuple(rows), key="cache")


def shown_age(seconds: float) -> str:
    """How long ago, as people say it.

    >>> [shown_age(s) for s in (20, 90, 7200, 90_000, 30 * 86_400)]
    ['now', '1 minute ago', '2 hours ago', '1 day ago', '30 days ago']
    """
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count >= 1:
            return f"{count} {unit}{'s'[: count != 1]} ago"
    return "now"
