"""A table as CSV: numbers in full, an empty field for what was not measured, no text that is a formula."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from multitask.tables.numbers import MISSING
from multitask.tables.table import Table
from multitask.terminal.escaping import visible


def csv_text(table: Table) -> str:
    """One table: text where a column is text, unrounded numbers elsewhere."""
    head = [c.name.replace(" ", "_") for c in table.columns]
    rows = [
        [c.text if column.left else c.value for column, c in zip(table.columns, row, strict=True)] for row in table.rows
    ]
    return csv_lines(head, [[None if v == MISSING else v for v in row] for row in rows])


def csv_lines(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A head and rows of any values."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([_csv_field(value) for value in row] for row in (head, *rows))
    return file.getvalue()


def _csv_field(value: Any) -> Any:
    """A value as it stands in its field; numbers are left alone, minus and all.

    Text that begins as a formula does gets an apostrophe before it: the spreadsheet that opens the file would run it.

    >>> [_csv_field(v) for v in ("span", "=1+1", "-1", -1.5, float("nan"), None)]
    ['span', "'=1+1", "'-1", -1.5, '', None]
    """
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if value.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
    return "" if isinstance(value, float) and not math.isfinite(value) else value
