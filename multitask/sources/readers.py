"""Files of rows: csv, tsv, json, jsonl, parquet and text become `Rows`, or an error that names the file and the line.

What the formats mean here
    .csv         comma-separated with a header; quoting as in RFC 4180: a field in quotes may hold commas and newlines
    .tsv         tab-separated with a header and *no quoting*: a quote is text (GLUE's files are written so)
    .jsonl       one JSON object a line;  .json  a list of objects, or {"data": [objects]}, or lines as in .jsonl
    .parquet     as it is;  .txt  one row {"text": line} a line
All text is UTF-8, with or without a byte order mark; lines end in a line feed, or in a carriage return and one (csv:
or in a carriage return alone). JSON is read as in `strict_json`, parquet as in `parquet`. Each of
them may be compressed (train.csv.gz), see `storage.compression`. A `Form` says what is written in another way.

csv and tsv have no types: every cell is text as it is written, "1.00", "007", "1e3", "NA", "null", "True" and the empty
"" alike, whatever the other rows hold. What is a number is the formatter's to say: int(…), float(…), or by using a cell
as one, `row["label"] == 1` and `LABELS[row["label"]]`; see `multitask.sources.cells`.

A file that cannot be read as its format is an error, and none of its rows is used. A row that can be read but is no
example of a task is another matter: see `multitask.examples.bad_rows`.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import hashlib
import io
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from multitask.errors import UserError
from multitask.registry import did_you_mean
from multitask.sources.cells import as_cell
from multitask.sources.parquet import read_parquet
from multitask.sources.table import ArrowRows, Row, Rows, columns_of
from multitask.storage.compression import UNPACKERS, binary_kind, split_ending, unpacked
from multitask.storage.strict_json import JsonError, parse_json
from multitask.terminal.escaping import shown

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Form:
    """How files are written, where they are written in another way than the module says."""

    encoding: str = "utf-8"
    header: bool = True
    """Whether the first line of a csv or tsv file names the columns."""
    delimiter: str | None = None
    """Between the fields of a csv, tsv or txt file; by default a comma, a tab, and none in txt."""
    columns: tuple[str, ...] = ()
    """Their names, in the order of the fields; instead of those in the header if there is one."""
    format: str | None = None
    """`csv`, `tsv`, `json`, `jsonl`, `parquet` or `txt`, whatever the ending of the name is."""

    def check(self) -> Form:
        """Refuse what no file can be read by.

        Raises:
            UserError: What was asked, and what can be.
        """
        known = [ending[1:] for ending in READERS]
        if self.format is not None and self.format not in known:
            raise UserError(f"files(format={self.format!r}): {did_you_mean(str(self.format), known)}")
        try:
            "a".encode(self.encoding)
        except (LookupError, TypeError, ValueError) as error:  # also of codecs that are no text encodings
            raise UserError(
                f"files(encoding={self.encoding!r}): Python knows no text encoding of that name; it knows utf-8, "
                f"latin-1, cp1252, utf-16, shift_jis and many more."
            ) from error
        if not isinstance(self.header, bool):
            raise UserError(
                f"files(header={self.header!r}): it is True or False, whether the first line names columns."
            )
        if self.delimiter is not None and (
            not isinstance(self.delimiter, str) or len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'
        ):
            raise UserError(f"files(delimiter={self.delimiter!r}): it is one character, as in delimiter=';'.")
        if not all(isinstance(name, str) and name for name in self.columns):
            raise UserError(f"files(columns={list(self.columns)!r}): they are names, and no name is empty.")
        if len(set(self.columns)) < len(self.columns):
            raise UserError(f"files(columns={list(self.columns)!r}): a name stands there twice.")
        if not self.header and not self.columns:
            raise UserError("files(header=False) needs the names of the columns, as in columns=['text', 'label'].")
        return self

    def changed(self) -> list[str]:
        """The names of what is not the default, but for the format."""
        return [f.name for f in dataclasses.fields(self) if f.name != "format" and getattr(self, f.name) != f.default]


PLAIN = Form()


def read_rows(path: Path | str, form: Form = PLAIN) -> Rows:
    """The rows of a file, by the ending of its name.

    Raises:
        UserError: If the file cannot be read, is malformed (with the line) or has no rows.
    """
    path = Path(path)
    ending = f".{form.format}" if form.format else ending_of(path)
    reader = READERS.get(ending)
    if reader is None:
        raise UserError(
            f"'{path}' has no known ending; rows can be read from {', '.join(READERS)}, each also compressed "
            f'({", ".join(UNPACKERS)}). multitask.files(…, format="csv") reads a file of any name.'
        )
    _check_form(path, ending, form)
    content = read_content(path)
    read = reader(str(path), content, form)
    if not len(read.items):
        raise UserError(f"'{path}' has no rows; remove the file or fill it.")
    changed = form.changed()
    said = repr([(name, getattr(form, name)) for name in changed]).encode() if changed else b""
    digest = hashlib.sha256(ending.encode() + said + b"\0" + content).hexdigest()  # of what is in it, unpacked
    return Rows(read.items, columns=read.columns, fingerprint=digest, origin=str(path), lines=read.lines)


def read_content(path: Path) -> bytes:
    """Read a file, unpacked if it is compressed.

    Raises:
        UserError: If it cannot be read or unpacked.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    return unpacked(str(path), content)


def ending_of(path: Path | str) -> str:
    """The ending that says which format a file has, in small letters: ".csv" of "train.CSV.gz"."""
    return Path(split_ending(Path(path).name)[0]).suffix.lower()


def _check_form(path: Path, ending: str, form: Form) -> None:
    """Refuse an option that means nothing for this file, which would be passed over."""
    fit = {".csv": _TABULAR, ".tsv": _TABULAR, ".txt": _TABULAR, ".parquet": ()}.get(ending, ("encoding",))
    odd = [name for name in form.changed() if name not in fit]
    if odd:
        only = "csv, tsv and txt files" if odd != ["encoding"] else "files of text"
        raise UserError(f"'{path}': {', '.join(odd)} of multitask.files(…) is for {only} alone; leave it out.")


_TABULAR = ("encoding", "header", "delimiter", "columns")


class _Read(NamedTuple):
    items: Sequence[Row]
    columns: Sequence[str]
    lines: Sequence[int] | None


def _text(path: str, content: bytes, form: Form) -> str:
    """The file as text, without a byte order mark."""
    kind = binary_kind(content)
    if kind is not None:
        fix = "unpack it, or compress what is in it with gzip" if kind == "zip" else f"let its name end in .{kind}"
        raise UserError(f"'{path}' is no text, but a {kind} file by its first bytes; {fix}.")
    encoding, is_utf8 = form.encoding, codecs.lookup(form.encoding).name in ("utf-8", "utf-8-sig")
    if content.startswith(codecs.BOM_UTF8) and not is_utf8:
        raise UserError(
            f"{path}: it begins with the mark of UTF-8, and encoding={encoding!r} was said; leave that out."
        )
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding, "ignore").count("\n") + 1
        byte = f"{path}, line {line}: byte 0x{content[error.start]:02x} at offset {error.start} is not"
        if not is_utf8:
            raise UserError(f"{byte} {encoding}; say another encoding, or save the file as UTF-8.") from error
        is_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        likely = "utf-16" if is_16 else "cp1252"
        raise UserError(
            f'{byte} UTF-8; save the file as UTF-8, or say what it is: multitask.files(…, encoding="{likely}").'
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


def _csv(path: str, content: bytes, form: Form) -> _Read:
    text = _text(path, content, form)
    records: list[list[str]] = []
    lines: list[int] = []
    with _LargeFields(len(text)):
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=form.delimiter or ",")
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
    between = "a comma" if form.delimiter in (None, ",") else repr(form.delimiter)
    return _table(path, records, lines, form, hint=f"put a field that holds {between} in quotes.")


def _tsv(path: str, content: bytes, form: Form) -> _Read:
    records: list[list[str]] = []
    lines: list[int] = []
    for number, line in _lines(path, _text(path, content, form)):
        if line:
            records.append(line.split(form.delimiter or "\t"))
            lines.append(number)
    between = "a tab" if form.delimiter in (None, "\t") else repr(form.delimiter)
    hint = f"a .tsv file has no quoting, so no field can hold {between} or a newline; use .csv or .jsonl for such text."
    return _table(path, records, lines, form, hint=hint)


def _table(path: str, records: list[list[str]], lines: list[int], form: Form, *, hint: str) -> _Read:
    """Records, with their header first if they have one -> rows."""
    if not records:
        raise UserError(
            f"'{path}' is empty; " + ("its first line must name the columns." if form.header else "fill it.")
        )
    header = list(form.columns)
    if form.header:
        header = _header(path, [name.strip() for name in records.pop(0)], lines.pop(0), form)
    names = shown(", ".join(header))
    for line, record in zip(lines, records, strict=True):
        if len(record) != len(header):
            raise UserError(
                f"{path}, line {line}: expected {len(header)} fields ({names}), found {len(record)}; {hint}"
            )
    return _Read([dict(zip(header, map(as_cell, record), strict=True)) for record in records], header, lines)


_name_them = "name each anew: multitask.files(…, columns=[…])"


def _header(path: str, header: list[str], at: int, form: Form) -> list[str]:
    if form.columns:
        if len(form.columns) != len(header):
            raise UserError(
                f"{path}, line {at}: columns={list(form.columns)} are {len(form.columns)} names, and the header has "
                f"{len(header)} ({shown(', '.join(header))}); name each, and say header=False if there is none."
            )
        return list(form.columns)
    if not all(header):
        raise UserError(f"{path}, line {at}: column {header.index('') + 1} of the header has no name; {_name_them}.")
    if len(set(header)) < len(header):
        twice = next(name for name, count in Counter(header).items() if count > 1)
        raise UserError(f"{path}, line {at}: column {shown(repr(twice), 60)} is in the header twice; {_name_them}.")
    names = shown(", ".join(header))
    if all(_NUMBER.fullmatch(name) for name in header):
        raise UserError(
            f"{path}, line {at}: the first line must name the columns. Got {names}. Of a file without a header, name "
            f"them: multitask.files(…, header=False, columns=[…])."
        )
    return header


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


def _jsonl(path: str, content: bytes, form: Form) -> _Read:
    return _objects(path, _text(path, content, form))


def _objects(path: str, text: str) -> _Read:
    """An object a line -> rows."""
    items: list[Row] = []
    lines: list[int] = []
    for number, line in _lines(path, text):
        if not line.strip():
            continue
        row = _parsed(path, line, number)
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: expected a JSON object, found {_json_type(row)}.")
        items.append(row)
        lines.append(number)
    return _Read(items, columns_of(items), lines)


def _json(path: str, content: bytes, form: Form) -> _Read:
    text = _text(path, content, form)
    first, _, rest = text.strip().partition("\n")
    if first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{"):
        return _objects(path, text)  # many files named .json hold an object a line
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


def _parquet(path: str, content: bytes, form: Form) -> _Read:
    table = read_parquet(path, content)
    return _Read(ArrowRows(table, path), table.column_names, None)


def _txt(path: str, content: bytes, form: Form) -> _Read:
    if form.delimiter:
        return _csv(path, content, form)
    if len(form.columns) > 1:
        raise UserError(
            f"'{path}': columns={list(form.columns)} are {len(form.columns)} names, and a line of a .txt file is one "
            f"text; say the delimiter=… between its fields."
        )
    (column,) = form.columns or ("text",)
    numbered = list(_lines(path, _text(path, content, form)))  # blank lines stay: the position is the line
    return _Read([{column: line} for _, line in numbered], (column,), [number for number, _ in numbered])


READERS: dict[str, Callable[[str, bytes, Form], _Read]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".txt": _txt,
}
"""{the ending of a file's name: its reader}."""
