"""What a file of rows means, read a second time by simple code of another kind, and the check of a reader against it.

`check_file` is what both the property tests and `fuzz_readers.py` hold to, for any bytes under any ending:

    either   a `UserError` of one printable line, 500 characters at most, that names the file
    or       rows that are exactly those which the oracle reads: types, order, columns and lines too

For text formats the two must also agree on *whether* the file can be read, so that nothing is refused without need.
Of parquet the oracle is pyarrow's own `read_table`, which knows no bounds: it is asked only about what was read.
"""

from __future__ import annotations

import faulthandler
import io
import json
import math
import re
import sys
import time
import unicodedata
from pathlib import Path

from multitask.errors import UserError
from multitask.sources.readers import read_rows

ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".txt")
LONGEST = 500
"""Characters of a message."""
SECONDS = 20.0
"""Of processor time, for one input of up to 10 MB; a small one takes milliseconds."""
HANG = 120
"""Seconds after which the process ends itself with a traceback: C code does not hear Python's signals."""


class Refused(Exception):
    """The oracle cannot read it either."""


# ---------------------------------------------------------------------------------------------------------- the oracle


def oracle(ending, content):
    """[(line or position, row)] of the file."""
    if ending == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        return list(enumerate(pq.read_table(pa.BufferReader(content), use_threads=False).to_pylist()))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused from None
    if "\0" in text:
        raise Refused
    text = text[1:] if text[:1] == "\ufeff" else text
    found = {".csv": _csv, ".tsv": _tsv, ".json": _json, ".jsonl": _jsonl, ".txt": _txt}[ending](text)
    if not found:
        raise Refused
    return found


def _csv(text):
    return _table(_csv_records(text))


def _csv_records(text):
    """RFC 4180, a character at a time: (line, fields)."""
    records, fields, field, state = [], [], [], "start"
    line = first = 1
    i = 0
    while i < len(text):
        c = text[i]
        end = c in "\r\n"
        if end and text[i : i + 2] == "\r\n" and state != "quoted":
            i += 1
        if state == "quoted":
            if c == '"':
                if text[i + 1 : i + 2] == '"':
                    field.append('"')
                    i += 1
                else:
                    state = "closed"
            else:
                field.append(c)
                if c == "\n" or (c == "\r" and text[i + 1 : i + 2] != "\n"):
                    line += 1
        elif end:
            if fields or field or state != "start":
                records.append((first, [*fields, "".join(field)]))
            fields, field, state = [], [], "start"
            line += 1
            first = line
        elif c == ",":
            fields.append("".join(field))
            field, state = [], "next"
        elif state == "closed":
            raise Refused
        elif c == '"' and state in ("start", "next"):
            state = "quoted"
        else:
            field.append(c)
            state = "plain"
        i += 1
    if state == "quoted":
        raise Refused
    if fields or field or state != "start":
        records.append((first, [*fields, "".join(field)]))
    return records


def _text_lines(text):
    if "\n" not in text and "\r" in text.rstrip("\r") + ("\r" if text.endswith("\r\r") else ""):
        raise Refused  # Mac lines
    lines = re.split("\n", text)
    if lines[-1] == "":
        del lines[-1]
    return [(i, re.sub("\r$", "", line) if line.endswith("\r") else line) for i, line in enumerate(lines, 1)]


def _tsv(text):
    return _table([(i, line.split("\t")) for i, line in _text_lines(text) if line])


def _txt(text):
    return [(i, {"text": line}) for i, line in _text_lines(text)]


def _table(records):
    if not records:
        raise Refused
    header = [name.strip() for name in records[0][1]]
    rows = records[1:]
    if "" in header or len({*header}) != len(header) or all(_is_number(name) for name in header):
        raise Refused
    if any(len(fields) != len(header) for _, fields in rows):
        raise Refused
    return [(line, dict(zip(header, fields, strict=True))) for line, fields in rows]


def _is_number(value):
    mantissa, e, exponent = value.replace("E", "e").partition("e")
    digits = exponent[1:] if exponent[:1] in ("+", "-") else exponent
    if e and not (digits.isascii() and digits.isdigit() and len(digits) <= 3):
        return False
    whole, dot, fraction = mantissa.removeprefix("-").partition(".")
    if not (whole.isascii() and whole.isdigit()) or (len(whole) > 1 and whole[0] == "0"):
        return False
    return not dot or (fraction.isascii() and fraction.isdigit())


def _value(text):
    def unique(pairs):
        if len({name for name, _ in pairs}) != len(pairs):
            raise Refused
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise Refused from None
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, float) and math.isinf(one):
            raise Refused
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return value


def _objects(numbered):
    if not all(isinstance(value, dict) for _, value in numbered):
        raise Refused
    return numbered


def _jsonl(text):
    lines = text.split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    if len(lines) == 1 and "\r" in text[:-1] and "\n" not in text:
        raise Refused
    return _objects([(i, _value(line)) for i, line in enumerate(lines, 1) if line.strip()])


def _json(text):
    first, *rest = text.strip().split("\n", 1)
    if first[:1] == "{" and first.rstrip()[-1:] == "}" and rest and rest[0].lstrip()[:1] == "{":
        return _jsonl(text)
    if not text.strip():
        raise Refused
    value = _value(text)
    value = value["data"] if isinstance(value, dict) and "data" in value else value
    if not isinstance(value, list):
        raise Refused
    return _objects(list(enumerate(value)))


# ----------------------------------------------------------------------------------------------------------- the check


def check_message(error, *names):
    """The message is for people and terminals."""
    message = str(error)
    assert len(message) <= LONGEST, f"{len(message)} characters: {message[:200]}"
    for c in message:
        assert c.isprintable() or unicodedata.category(c) == "Zs", f"{c!r} in {message!r}"
    for name in names:
        assert name in message, message


def check_file(path, content):
    """Read the bytes as a file of that name; gives "refused" or "read".

    Raises:
        AssertionError: If the outcome is none that may be.
    """
    path = Path(path)
    path.write_bytes(content)
    faulthandler.dump_traceback_later(HANG, exit=True, file=sys.__stderr__)  # pytest's has no number
    began = time.process_time()
    try:
        try:
            rows = read_rows(path)
            found = list(rows)
        except UserError as error:
            check_message(error, str(path))
            rows = found = None
        took = time.process_time() - began
        assert took < SECONDS, f"{took:.1f} s for {len(content):,} bytes"
        if path.suffix == ".parquet" and found is None:
            return "refused"
        try:
            expected = oracle(path.suffix, content)
        except Refused:
            expected = None
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert (found is None) == (expected is None), (found, expected)
    if found is None:
        return "refused"
    assert repr([dict(row) for row in found]) == repr([row for _, row in expected]), (found, expected)
    assert list(rows.columns) == list(dict.fromkeys(name for _, row in expected for name in row))
    lines = [rows.line(i) for i in range(len(rows))]
    if path.suffix in (".json", ".parquet"):
        assert lines in ([None] * len(rows), [line for line, _ in expected])
    else:
        assert lines == [line for line, _ in expected]
    return "read"


def parquet(rows):
    """The bytes of a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()
