"""Files of rows: csv, tsv, json, jsonl, parquet and text become `Rows`, or an error that names the file and the line.

What the formats mean here
    .csv         comma-separated with a header; quoting as in RFC 4180: a field in quotes may hold commas and newlines
    .tsv         tab-separated with a header and *no quoting*: a quote is text (GLUE's files are written so)
    .jsonl       one JSON object a line;  .json  a list of objects, or {"data": [objects]}, or lines as in .jsonl
    .parquet     as it is;  .txt  one row {"text": line} a line
All text is UTF-8, with or without a byte order mark; lines end in a line feed, or in a carriage return and one (csv:
or in a carriage return alone). JSON is read as in `multitask.strict_json`, parquet as in `multitask.parquet`.

csv and tsv have no types: every cell is text as it is written, "1.00", "007", "1e3", "NA", "null", "True" and the empty
"" alike, whatever the other rows hold. What is a number is the formatter's to say: int(…), float(…), or by using a cell
as one, `row["label"] == 1` and `LABELS[row["label"]]`; see `multitask.cells`.

A file that cannot be read as its format is an error, and none of its rows is used. A row that can be read but is no
example of a task is another matter: see `multitask.bad_rows`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from multitask.cells import as_cell
from multitask.errors import UserError, shown
from multitask.parquet import read_parquet
from multitask.strict_json import JsonError, parse_json
from multitask.table import ArrowRows, Row, Rows, columns_of

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?")


def read_rows(path: Path | str) -> Rows:
    """The rows of a file, by the ending of its name.

    Raises:
        UserError: If the file cannot be read, is malformed (with the line) or has no rows.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"'{path}' has no known ending; rows can be read from {', '.join(READERS)}.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    read = reader(str(path), content)
    if not len(read.items):
        raise UserError(f"'{path}' has no rows; remove the file or fill it.")
    digest = hashlib.sha256(path.suffix.lower().encode() + b"\0" + content).hexdigest()
    return Rows(read.items, columns=read.columns, fingerprint=digest, origin=str(path), lines=read.lines)


class _Read(NamedTuple):
    items: Sequence[Row]
    columns: Sequence[str]
    lines: Sequence[int] | None


def _text(path: str, content: bytes) -> str:
    """The file as text, without a byte order mark."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} at offset {error.start} is not UTF-8; "
            f"save the file as UTF-8."
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path}, line {line}: a NUL character, which no text file has; save the file as UTF-8 text.")
    return text.removeprefix("\ufeff")


def _lines(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines. Not `splitlines`: that also cuts at U+2028 and U+0085, which stand inside JSON and in tweets."""
    if "\r" in text[:-1] and "\n" not in text:  # it would be one line
        raise UserError(f"{path}: its lines end in carriage returns alone; save it with line feeds.")
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return ((number, line.removesuffix("\r")) for number, line in enumerate(lines, start=1))


def _csv(path: str, content: bytes) -> _Read:
    text = _text(path, content)
    records: list[list[str]] = []
    lines: list[int] = []
    with _LargeFields(len(text)):
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        start = 1  # a record with newlines in its quotes is named by its first line
        try:
            for record in reader:
                if record:  # [] is a blank line
                    records.append(record)
                    lines.append(start)
                start = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise UserError(f"{path}, line {start}: a quote is opened here and never closed.") from error
            raise UserError(
                f"{path}, line {reader.line_num}: {error}; a quote inside a quoted field is written twice."
            ) from error
    return _table(path, records, lines, hint="put a field that holds a comma in quotes.")


def _tsv(path: str, content: bytes) -> _Read:
    records: list[list[str]] = []
    lines: list[int] = []
    for number, line in _lines(path, _text(path, content)):
        if line:
            records.append(line.split("\t"))
            lines.append(number)
    hint = "a .tsv file has no quoting, so no field can hold a tab or a newline; use .csv or .jsonl for such text."
    return _table(path, records, lines, hint=hint)


def _table(path: str, records: list[list[str]], lines: list[int], *, hint: str) -> _Read:
    """Records with their header first -> rows."""
    if not records:
        raise UserError(f"'{path}' is empty; its first line must name the columns.")
    header = [name.strip() for name in records.pop(0)]
    at = lines.pop(0)
    if not all(header):
        raise UserError(f"{path}, line {at}: column {header.index('') + 1} of the header has no name.")
    if len(set(header)) < len(header):
        twice = next(name for name, count in Counter(header).items() if count > 1)
        raise UserError(f"{path}, line {at}: column {shown(repr(twice), 60)} is in the header twice.")
    names = shown(", ".join(header))
    if all(_NUMBER.fullmatch(name) for name in header):
        raise UserError(f"{path}, line {at}: the first line must name the columns. Got {names}.")
    for line, record in zip(lines, records, strict=True):
        if len(record) != len(header):
            raise UserError(
                f"{path}, line {line}: expected {len(header)} fields ({names}), found {len(record)}; {hint}"
            )
    return _Read([dict(zip(header, map(as_cell, record), strict=True)) for record in records], header, lines)


class _LargeFields:
    """Lets csv fields be as long as the file, for the time of a `with`.

    The limit is a global of the csv module (131,072 characters by default); it is put back, one reader at a time.
    """

    _lock = threading.Lock()

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        self._lock.acquire()
        self._before = csv.field_size_limit(max(self._size + 1, csv.field_size_limit()))

    def __exit__(self, *exception: object) -> None:
        csv.field_size_limit(self._before)
        self._lock.release()


def _jsonl(path: str, content: bytes) -> _Read:
    items: list[Row] = []
    lines: list[int] = []
    for number, line in _lines(path, _text(path, content)):
        if not line.strip():
            continue
        row = _parsed(path, line, number)
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: expected a JSON object, found {_json_type(row)}.")
        items.append(row)
        lines.append(number)
    return _Read(items, columns_of(items), lines)


def _json(path: str, content: bytes) -> _Read:
    text = _text(path, content)
    first, _, rest = text.strip().partition("\n")
    if first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{"):
        return _jsonl(path, content)  # many files named .json hold an object a line
    found = _parsed(path, text, None) if text.strip() else []
    items = found["data"] if isinstance(found, dict) and "data" in found else found
    if not isinstance(items, list):
        raise UserError(f'{path}: expected a list of objects or {{"data": [objects]}}, found {_json_type(items)}.')
    for position, row in enumerate(items):
        if not isinstance(row, dict):
            raise UserError(f"{path}, row {position}: expected a JSON object, found {_json_type(row)}.")
    return _Read(items, columns_of(items), None)


def _parsed(path: str, text: str, line: int | None) -> Any:
    """The JSON value in `text`, which is one line of the file, or all of it."""
    try:
        return parse_json(text)
    except JsonError as error:
        at = line or error.line
        raise UserError(f"{path}{'' if at is None else f', line {at}'}: {error.reason}.") from error


def _json_type(value: object) -> str:
    names: dict[type, str] = {list: "a list", dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _parquet(path: str, content: bytes) -> _Read:
    table = read_parquet(path, content)
    return _Read(ArrowRows(table, path), table.column_names, None)


def _txt(path: str, content: bytes) -> _Read:
    numbered = list(_lines(path, _text(path, content)))  # blank lines stay: the position is the line
    return _Read([{"text": line} for _, line in numbered], ("text",), [number for number, _ in numbered])


READERS: dict[str, Callable[[str, bytes], _Read]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".txt": _txt,
}
"""{the ending of a file's name: its reader}."""
