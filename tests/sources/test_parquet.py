"""Parquet files from anywhere: what cannot be rows is named, and a small file does not fill the memory."""

from __future__ import annotations

import base64
import io
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from multitask.errors import UserError
from multitask.sources import parquet
from multitask.sources.readers import read_rows


def written(tmp_path, table, **options):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    path = tmp_path / "train.parquet"
    path.write_bytes(buffer.getvalue())
    return path


def error_of(path):
    with pytest.raises(UserError) as caught:
        list(read_rows(path))
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------- bombs


def repeated(text, count):
    """One text in so many rows, which a file holds once."""
    return pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([text]))})


BOMBS = {
    "a column of nulls": lambda: pa.table({"text": pa.nulls(5_000_000, pa.int32())}),
    "a compressed page": lambda: pa.table({"text": ["x" * 3_000_000]}),
    "a long text in many rows": lambda: repeated("x" * 100_000, 30_000),
    "a list of it": lambda: pa.table({"texts": [["y" * 10_000] * 3_000] * 10}),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_that_unpacks_to_very_much_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(parquet, "UNPACKED_BYTES", 2**21)  # as large bombs take long to make
    path = written(tmp_path, BOMBS[kind](), compression="zstd")
    size = path.stat().st_size
    assert size < 20_000
    peak, before = pa.default_memory_pool().max_memory(), pa.total_allocated_bytes()
    assert error_of(path) == (
        f"'{path}' has {size:,} bytes and unpacks to more than 2,097,152, the most that is read of such a file (100 "
        "times its size, or 2,097,152); if that is meant, write it as .jsonl."
    )
    if "list" not in kind:  # of a list that repeats a text only the row after it is refused
        assert pa.default_memory_pool().max_memory() <= max(peak, before + 2**25)


def test_what_is_repeated_is_read_up_to_the_bound(tmp_path):
    path = written(tmp_path, repeated("one text", 100_000))
    assert path.stat().st_size < 2_000
    assert sum(row["text"] == "one text" for row in read_rows(path)) == 100_000


def test_a_file_is_read_in_small_batches_as_one(tmp_path, monkeypatch):
    rows = [
        {"text": f"text {i}", "answers": [str(i)] * (i % 3), "of": {"a": [str(i)]}, "label": i % 2}
        for i in range(1_000)
    ]
    path = written(tmp_path, pa.Table.from_pylist(rows), row_group_size=300)
    whole = list(read_rows(path))
    monkeypatch.setattr(parquet, "_BATCH", 7)
    assert list(read_rows(path)) == whole == rows


# ------------------------------------------------------------------------------------------------------ what is no row


def test_a_text_that_is_not_utf8_is_refused(tmp_path):
    texts = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    message = error_of(written(tmp_path, pa.table({"text": texts})))
    assert "is not a readable parquet file: Column 0: In chunk 0: Invalid: Invalid UTF8 sequence at" in message


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    table = pa.table([[1], [2]], names=["a", "a"])
    path = written(tmp_path, table)
    assert error_of(path) == f"'{path}' has the column 'a' twice; rename one."


def test_rows_without_columns_are_refused(tmp_path):
    path = written(tmp_path, pa.table({"a": [1, 2]}).select([]))
    assert error_of(path) == f"'{path}' has no columns."


def test_a_value_that_python_has_not_is_named(tmp_path):
    times = pa.array([0, 1, 2**62, 3], pa.timestamp("us"))
    path = written(tmp_path, pa.table({"label": [0, 1, 2, 3], "time": times}))
    message = error_of(path)
    assert message.startswith(f"{path}, row 2: column 'time' holds a value that Python has not (")


@pytest.mark.parametrize("cut", [0, 4, 50, -1, -4, -8, -30])
def test_a_file_that_was_cut_off_is_refused(tmp_path, cut):
    path = written(tmp_path, pa.table({"text": ["a", "b"]}))
    path.write_bytes(path.read_bytes()[:cut])
    assert error_of(path).startswith(f"'{path}' is not a readable parquet file: ")


ABORTS = """
UEFSMRUEFVQVWEwVBBUAEgAAKqQPAAAAZmksZby8vLy8vLy8vLy8vLy8vLy8vLy8vLy8vLy8vBUSFRYsFQQVEBUGFQYcNgAoAWIYAWEREQAA
AAkgAgAAAAQBAQMCFQQZPDUAGAZzY2hlbWEVBAAVDCUCGAR0ZXh0JQBMHAAAABUMJQIYBWxhYmVsJQBMHAAAABYEGRwZLCYAHBUMGTUABhAZ
GAR0ZXh0FQIWBBb8ARaEAiZ8JggcNgAoD2ZpbmUgLCByZWFsbHkgLhgTSGUgc2FpZCAiaGkiLCB0d2ljZRERABksFQQVABUCABUAFRAVAkQW
ADwZBhkmAAQAAAAmABwVDBk1AAYQGRgFbGFiZWwVAhYEFnwWhAEmwAImjAIcNgAoAWIYAWEREQAZLBUEFQAVAgAVABUQFQIAPBYEGQYZJgAE
AAAAFvgCFgQmCBaIAwAZHBgMQVJST1c6c2NgZW1hGOABLy8vLy82W0FBQUFRQUFBQUFBQUtBQXdBQmdBRkFBZ0FDZ0FBQUFBQkJBQXiFQUFB
Q0FBSUFBQUFCQUFJQUFBQUJBQUFBQUlBQUFCQUFBQUFCQUG/vrGNLy8vOEFBQUVGRUFBQUFCZ0FBQUFFQUFBQUFBQUFBQVVBQUFCc1lXSmxi
QUFBQU1qLy8vOFFBQlFBQ0FBR0FBY0FEQUFBQUJBQUVBQUFBQUFBQVFVUUFBQUFIQUFBQUFRQUFBQUFBQUFBQkFBQUFIUmxlSFFBQUFBQUJB
QUVBQVFBQUFBQUFBQUEAGCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAuMRksHAAAHAAAABQCAABQQVIx
"""
"""Of this file, which fuzz_readers.py found, `metadata.row_group(0).column(0)` ends the process in pyarrow 26."""


def test_a_file_that_ends_pyarrows_process_is_refused(tmp_path):
    path = tmp_path / "train.parquet"
    path.write_bytes(base64.b64decode(ABORTS))
    code = "import sys; from multitask.sources.readers import read_rows; list(read_rows(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not a readable parquet file: Repetition level histogram size mismatch" in done.stderr
