"""Parquet files, read with a bound on what they unpack to: a few kilobytes can stand for all of the memory there is.

A file says how large its columns are unpacked; that is looked at first. But a value that is repeated counts once there
and a column of nulls hardly at all, so what is read is counted too, a batch at a time, and reading stops at the bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from multitask.errors import UserError
from multitask.terminal.escaping import shown

UNPACKED_TIMES = 100
"""A file may unpack to so many times its size. Texts reach 10, and 50 where a passage stands in many rows."""
UNPACKED_BYTES = 2**28
"""…or to so many bytes, whatever its size: a column of one label in every row is some bytes long."""
_ROW = 64  # bytes that a row is counted for at least: a mapping without values takes as many
_VALUE = 8  # bytes of a value, or of the reference to it
_BATCH = 4096  # rows


def read_parquet(path: str, content: bytes) -> Any:
    """The Arrow table of a file, checked to be whole: each text is UTF-8, each column has one name.

    Raises:
        UserError: If it is malformed, or unpacks to more than `UNPACKED_TIMES` its size and `UNPACKED_BYTES`.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    limit = max(UNPACKED_BYTES, UNPACKED_TIMES * len(content))
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        _check_columns(path, file.schema_arrow)
        declared = _declared(file.metadata)
        _check_size(path, declared, limit, len(content))
        if declared * file.metadata.num_rows > limit:
            _check_texts(path, content, file.schema, limit)
        batches = _bounded(path, file.iter_batches(batch_size=_BATCH), limit, len(content))
        table = pa.Table.from_batches(batches, file.schema_arrow)
        table.validate(full=True)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes Arrow raise nearly anything, a UnicodeDecodeError or KeyError too
        reason = shown(str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__)
        raise UserError(f"'{path}' is not a readable parquet file: {reason}.") from error
    return table


def _declared(metadata: Any) -> int:
    """Bytes that a file says it has when it is unpacked: its pages, and its rows as Arrow holds them.

    Not by `row_group(i).column(j)`, which says more: of a damaged column pyarrow 26 ends the whole process there (an
    exception of C++ that nobody catches; found by fuzz_readers.py).
    """
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    rows = abs(int(metadata.num_rows)) * (_ROW + _VALUE * int(metadata.num_columns))
    return rows + sum(abs(int(group.total_byte_size)) for group in groups)


def _check_texts(path: str, content: bytes, schema: Any, limit: int) -> None:
    """Count the texts of all rows without unpacking them: a text that many rows have stands once in the file.

    Not those in lists, which Arrow cannot read so: of them a batch is unpacked before it is counted.
    """
    import pyarrow as pa
    import pyarrow.compute as pc  # type: ignore[import-untyped]
    import pyarrow.parquet as pq

    columns = [schema.column(i) for i in range(len(schema))]
    texts = [
        c.path
        for c in columns
        if c.physical_type == "BYTE_ARRAY" and c.logical_type.type in ("STRING", "NONE", "JSON") and c.path == c.name
    ]
    if not texts:
        return
    file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
    there = 0
    for batch in file.iter_batches(batch_size=16 * _BATCH, columns=texts):
        for column in batch.columns:
            if pa.types.is_dictionary(column.type):
                there += pc.sum(pc.take(pc.binary_length(column.dictionary), column.indices)).as_py() or 0
        _check_size(path, there, limit, len(content))


def _check_columns(path: str, schema: Any) -> None:
    names = list(schema.names)
    if not names:
        raise UserError(f"'{path}' has no columns.")
    if len(set(names)) < len(names):
        twice = sorted(name for name in set(names) if names.count(name) > 1)[0]
        raise UserError(f"'{path}' has the column {shown(repr(twice), 60)} twice; rename one.")


def _bounded(path: str, batches: Iterator[Any], limit: int, size: int) -> Iterator[Any]:
    there = 0
    for batch in batches:
        there += _ROW * batch.num_rows + batch.nbytes
        _check_size(path, there, limit, size)
        yield batch


def _check_size(path: str, unpacked: int, limit: int, size: int) -> None:
    if unpacked > limit:
        raise UserError(
            f"'{path}' has {size:,} bytes and unpacks to more than {limit:,}, the most that is read of such a file "
            f"({UNPACKED_TIMES} times its size, or {UNPACKED_BYTES:,}); if that is meant, write it as .jsonl."
        )
