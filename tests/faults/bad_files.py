"""Bad files, drawn by Hypothesis: valid ones of every format that are then damaged as files come to be damaged."""

from __future__ import annotations

import csv
import gzip
import io
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

from hypothesis import strategies as st

oracle = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("reader_oracle.py"))))

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            *(
                "",
                " ",
                "a",
                "fine , really .",
                'He said "hi"',
                "a,b",
                "a\tb",
                "a\nb",
                "a\r\nb",
                "a\rb",
                "'",
                "\\",
                "\\N",
            ),
            *(
                "\u202eevil\u202c",
                "שלום",
                "مرحبا",
                "👩‍👩‍👧",
                "😀" * 3,
                "e\u0301",
                "\u2028",
                "\u2029",
                "\x85",
                "\x0b",
                "\x0c",
                "\x1c",
            ),
            *("\x00", "\x01\x08", "\x1b[2J", "\x7f", "\ufeff", "\ufffe", "\uffff", "\ud83d", "\udc00", "\ud83d\ude00"),
            *("NaN", "nan", "None", "null", "NA", "-1", "007", "1e5", "1.5e999", "=1+1", "@x", "<unk>", "</s>", "▁"),
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.sampled_from([0, 1, -1, 2, 2**31, 2**63, -(2**63), 10**400, float("nan"), float("inf"), 1e308, 5e-324, -0.0]),
)
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.none(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
LABELS = st.one_of(
    st.sampled_from(["a", "b", "a", "b", "c", "", "A", " a", 0, 1, 2, -1, 1.5, None, True, float("nan")]), VALUES
)


@st.composite
def tables(draw):
    """Rows for the task that wants "text" and "label", some of them not as it wants them."""
    columns = draw(
        st.sampled_from([("text", "label"), ("text", "label", "more"), ("Text", "label"), ("text",), ("label", "text")])
    )
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        row = {"text": draw(TEXTS), "label": draw(st.sampled_from("ab"))}
        if draw(st.integers(0, 2)) == 0:
            row = {"text": draw(st.one_of(TEXTS, VALUES)), "label": draw(LABELS)}
        values = {name: row.get(name, row["text"]) for name in columns}
        if draw(st.integers(0, 9)) == 0:
            values.pop(draw(st.sampled_from(columns)))
        rows.append(values)
    return rows


def _encoded(text):
    return text.encode("utf-8", "surrogatepass")


def valid_file(ending, rows):
    """The rows as a file of that ending; not all values come through every format."""
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["text", "label"]
    if ending == ".csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([row.get(name, "") for name in columns] for row in rows)
        return _encoded(out.getvalue())
    if ending == ".tsv":
        return _encoded(
            "".join(
                "\t".join(map(str, line)) + "\n" for line in [columns, *([r.get(c, "") for c in columns] for r in rows)]
            )
        )
    if ending == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if ending == ".json":
        return json.dumps(rows, indent=1).encode()
    if ending == ".txt":
        return _encoded("\n".join(str(row.get("text")) for row in rows))
    try:
        return oracle.parquet(rows or [{"text": "a", "label": "b"}])
    except Exception:  # Arrow has one type a column
        return oracle.parquet([{name: ascii(value) for name, value in row.items()} for row in rows])


TOKENS = [
    *(
        b"\x00",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x85",
        b"\r",
        b"\n",
        b"\r\n",
        b"\t",
    ),
    *(
        b'"',
        b'""',
        b"'",
        b",",
        b",,",
        b";",
        b"\\",
        b"\\u0000",
        b"\\ud83d",
        b"\\ud83d\\ude00",
        b"\xe2\x80\xa8",
        b"\xe2\x80\xae",
    ),
    *(
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"1e-999",
        b"9" * 400,
        b"9" * 5000,
        b"0x10",
        b"01",
        b"+1",
        b"1.",
        b".5",
    ),
    *(
        b'{"a": 1, "a": 2}',
        b'{"text": "x", "label": "a", "label": "b"}',
        b"[" * 2000,
        b'{"a":' * 2000,
        b"{}",
        b"[]",
        b"[1]",
        b"null",
    ),
    *(
        b"text,label\n",
        b"text\tlabel\n",
        b"text,text\n",
        b'{"data": ',
        b"}",
        b"]",
        b"PAR1",
        b"\x1b[31m",
        b"\x07",
        b"\x15\x04\x15",
    ),
    *(b"\xff\xff\xff\x7f", b"\xff" * 8, b"\x00" * 8, b"\x80" * 5),
]


def _flip(draw, content):
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        if changed:
            changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


def _at(draw, content):
    return draw(st.integers(0, len(content)))


def _insert(draw, content):
    at = _at(draw, content)
    return content[:at] + draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6))) + content[at:]


def _truncate(draw, content):
    return content[: _at(draw, content)]


def _delete(draw, content):
    begin, end = sorted((_at(draw, content), _at(draw, content)))
    return content[:begin] + content[end:]


def _repeat(draw, content):
    begin, end = sorted((_at(draw, content), _at(draw, content)))
    return content[:end] + content[begin:end] * draw(st.integers(1, 3)) + content[end:]


def _splice(draw, content):
    other = valid_file(draw(st.sampled_from(oracle.ENDINGS)), draw(tables()))
    return content[: _at(draw, content)] + other[_at(draw, other) :]


def _encode(draw, content):
    text = content.decode("utf-8", "replace")
    name = draw(
        st.sampled_from(
            ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "utf-8-sig", "latin-1", "cp1252", "shift_jis"]
        )
    )
    return text.encode(name, "replace")


def _line_ends(draw, content):
    return content.replace(
        b"\n", draw(st.sampled_from([b"\r", b"\r\n", b"\n\r", b"\n\n", b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b", b""]))
    )


def _pack(draw, content):
    return gzip.compress(content, mtime=0)


def _foreign(draw, content):
    return valid_file(draw(st.sampled_from(oracle.ENDINGS)), draw(tables()))


DAMAGES = [_flip, _insert, _insert, _truncate, _delete, _repeat, _splice, _encode, _line_ends, _foreign, _pack]


@st.composite
def bad_files(draw, ending):
    """The bytes of a file that was valid, or nearly, and then was damaged up to three times."""
    content = valid_file(ending, draw(tables()))
    for damage in draw(st.lists(st.sampled_from(DAMAGES), max_size=3)):
        content = damage(draw, content)
    return content
