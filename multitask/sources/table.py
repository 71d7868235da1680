"""One split of raw rows: `Rows`, a sequence of mappings that knows where each of them stands.

Words
    row          a mapping from column names to values
    position     the index of a row in its split, from 0; an example's id is made of it
    line         a line of a text file, from 1, as an editor counts
    fingerprint  SHA-256 of the content, in hex: part of a run's address
"""

from __future__ import annotations

import bisect
import datetime
import decimal
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast, overload

from multitask.errors import UserError
from multitask.short_repr import Plain, short_repr
from multitask.terminal.escaping import shown

Row = Mapping[str, Any]


class Rows(Sequence[Row]):
    """The rows of one split, and where each of them stands.

    `items` may be any sequence of mappings; an Arrow table or a `datasets.Dataset` stays as it is and gives one row
    at a time.

    >>> rows = Rows([{"text": "a"}, {"text": "b"}], columns=("text",), fingerprint="", origin="x.txt", lines=[1, 3])
    >>> len(rows), rows[1]["text"], rows.where(1)
    (2, 'b', 'x.txt, line 3')
    """

    def __init__(
        self,
        items: Sequence[Row],
        *,
        columns: Sequence[str],
        fingerprint: str,
        origin: str,
        lines: Sequence[int] | None = None,
    ) -> None:
        self._items = items
        self._lines = lines
        self.columns: tuple[str, ...] = tuple(columns)
        """The names of the columns, in the order of the source."""
        self.fingerprint = fingerprint
        """SHA-256 of the content, in hex: the same in every run and on every machine."""
        self.origin = origin
        """The file, the Hub data set and split, or the function that the rows come from."""

    @property
    def kinds(self) -> dict[str, str]:
        """{column: the kind of its values}, of what has one for each column; see `ArrowRows.kinds`."""
        return self._items.kinds if isinstance(self._items, ArrowRows) else {}

    def line(self, position: int) -> int | None:
        """The line of a row in its file, from 1; None for what has no lines."""
        return None if self._lines is None else self._lines[position]

    def file(self, position: int) -> str:
        """Where a row comes from: `origin`, or of several files the row's own."""
        return self.origin

    def where(self, position: int) -> str:
        """Names a row for an error: "data/sst2/train.tsv, line 18", or for what has no lines "…, row 16" (from 0)."""
        line = self.line(position)
        return f"{self.origin}, row {position}" if line is None else f"{self.origin}, line {line}"

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self._items[i] for i in range(*index.indices(len(self)))]
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._items)

    def __repr__(self) -> str:
        return short_repr(self, self.origin, Plain(f"{len(self)} rows"), columns=list(self.columns))


class JoinedRows(Rows):
    """The rows of several files, one after the other; each row is named by its own file.

    >>> a, b = (Rows([{"text": x}], columns=("text",), fingerprint=x, origin=f"{x}.txt", lines=[1]) for x in "ab")
    >>> rows = JoinedRows([a, b], origin="a.txt … b.txt (2 files)")
    >>> [row["text"] for row in rows], rows[1]["text"], rows.where(1)
    (['a', 'b'], 'b', 'b.txt, line 1')
    """

    def __init__(self, parts: Sequence[Rows], *, origin: str) -> None:
        digest = hashlib.sha256("".join(part.fingerprint for part in parts).encode()).hexdigest()
        super().__init__(_Chain(parts), columns=columns_of(map(_named, parts)), fingerprint=digest, origin=origin)
        self._parts = parts

    def line(self, position: int) -> int | None:
        """As of the row's own file."""
        part, at = self._at(position)
        return part.line(at)

    def file(self, position: int) -> str:
        """The row's own file."""
        return self._at(position)[0].origin

    def where(self, position: int) -> str:
        """As the row's own file names it."""
        part, at = self._at(position)
        return part.where(at)

    def _at(self, position: int) -> tuple[Rows, int]:
        number, at = cast(_Chain, self._items).place(position)
        return self._parts[number], at


def _named(part: Rows) -> Row:
    return dict.fromkeys(part.columns)


class _Chain(Sequence[Row]):
    """Sequences, one after the other."""

    def __init__(self, parts: Sequence[Sequence[Row]]) -> None:
        self._parts = parts
        self._ends = list(itertools.accumulate(map(len, parts)))

    def place(self, index: int) -> tuple[int, int]:
        """(the number of the part, the index in it)."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        number = bisect.bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number, at = self.place(index)
        return self._parts[number][at]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Row]:
        return itertools.chain.from_iterable(self._parts)


class ArrowRows(Sequence[Row]):
    """An Arrow table as a sequence of rows, made one batch at a time: a large file stays compact.

    Args:
        table: The table.
        origin: Its file, for errors: Arrow holds values that Python has not, a time in the year 292277 for instance.
    """

    def __init__(self, table: Any, origin: str) -> None:
        self._table, self._origin = table, origin

    @property
    def kinds(self) -> dict[str, str]:
        """{column: "text", "numbers", …}, without columns of nulls alone."""
        import pyarrow.types as of  # type: ignore[import-untyped]

        found = {}
        for field in self._table.schema:
            kind = field.type.value_type if of.is_dictionary(field.type) else field.type
            if of.is_string(kind) or of.is_large_string(kind) or str(kind) == "string_view":
                found[field.name] = "text"
            elif of.is_integer(kind) or of.is_floating(kind):
                found[field.name] = "numbers"
            elif not of.is_null(kind):
                found[field.name] = "lists" if "list" in str(kind).partition("<")[0] else str(kind).partition("<")[0]
        return found

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._rows(self._table.slice(index % len(self), 1), index % len(self))[0]

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[Row]:
        at = 0
        for batch in self._table.to_batches(max_chunksize=4096):
            yield from self._rows(batch, at)
            at += batch.num_rows

    def _rows(self, batch: Any, at: int) -> list[Row]:
        """The rows of a part of the table that begins at row `at`."""
        try:
            rows: list[Row] = batch.to_pylist()
        except Exception as error:  # OverflowError, ValueError, …: by the type of the column
            if batch.num_rows > 1:
                half = batch.num_rows // 2
                return self._rows(batch.slice(0, half), at) + self._rows(batch.slice(half), at + half)
            column = next(name for name in batch.schema.names if not _converts(batch.column(name)))
            raise UserError(
                f"{self._origin}, row {at}: column {shown(repr(column), 60)} holds a value that Python has not "
                f"({shown(error)})."
            ) from error
        return rows


def _converts(column: Any) -> bool:
    try:
        column.to_pylist()
    except Exception:
        return False
    return True


def rows_fingerprint(rows: Iterable[Row]) -> str:
    """SHA-256 of the rows' content, in hex: of values, not of the order of columns or of Python's hashes."""
    digest = hashlib.sha256()
    for row in rows:
        line = json.dumps(dict(row), sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "isoformat"):  # dates
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, datetime.timedelta)):
        return str(value)
    if hasattr(value, "tobytes") and hasattr(value, "mode"):  # an image in a column that no task reads
        return [value.mode, list(value.size), hashlib.sha256(value.tobytes()).hexdigest()]
    raise UserError(f"rows are made of text, numbers, lists and mappings. Got {type(value).__name__}.")


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """All columns of the rows, in the order in which they first appear.

    >>> columns_of([{"text": "a"}, {"text": "b", "label": 1}])
    ('text', 'label')
    """
    return tuple(dict.fromkeys(name for row in rows for name in row))


def check_split(split: str, splits: Iterable[str], description: str, hint: str = "") -> None:
    """Refuses a split that a source does not have.

    >>> check_split("dev", ["train", "test"], "data/sst2")
    Traceback (most recent call last):
    multitask.errors.UserError: data/sst2 has no split 'dev': its splits are train, test.
    """
    known = list(splits)
    if split not in known:
        has = f"its splits are {', '.join(known)}" if known else "it has none"
        raise UserError(f"{description} has no split '{split}': {has}{hint}.")
