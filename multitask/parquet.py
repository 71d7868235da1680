"""Parquet files, read with a bound on what they unpack to: a few kilobytes can stand for all of the memory there is.

A file says how large its columns are unpacked; that is looked at first. But a value that is repeated counts once there
and a column of nulls hardly at all, so what is read is counted too, a batch at a time, and reading stops at the bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from multitask.errors import UserError, shown

UNPACKED_TIMES = 100
"""A file may unpack to so many times its size. Texts reach 10, and 50 where a passage stands in many rows."""
UNPACKED_BYTES = 2**28
"""…or to so many bytes, whatever its size: a column of one label in every row is some bytes long."""
_ROW = 64  # bytes that a row is counted for at least: a mapping without values takes as many
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
        groups = [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]
        _check_size(path, sum(map(abs, groups)) + _ROW * abs(file.metadata.num_rows), limit, len(content))
        # So few rows that a batch stays below the bound even if each has the largest value that can be there.
        rows = min(_BATCH, max(1, limit // max(groups, default=1))) if max(groups, default=0) else _BATCH
        batches = _bounded(path, file.iter_batches(batch_size=rows), limit, len(content))
        table = pa.Table.from_batches(batches, file.schema_arrow)
        table.validate(full=True)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes Arrow raise nearly anything, a UnicodeDecodeError or KeyError too
        reason = shown(str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__)
        raise UserError(f"'{path}' is not a readable parquet file: {reason}.") from error
    return table


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
        there += batch.nbytes + _ROW * batch.num_rows
        _check_size(path, there, limit, size)
        yield batch


def _check_size(path: str, unpacked: int, limit: int, size: int) -> None:
    if unpacked > limit:
        raise UserError(
            f"'{path}' has {size:,} bytes and unpacks to more than {limit:,}, the most that is read of such a file "
            f"({UNPACKED_TIMES} times its size, or {UNPACKED_BYTES:,}); if that is meant, write it as .jsonl."
        )
