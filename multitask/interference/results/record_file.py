"""interference.json: written whole, read with care."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from multitask.errors import UserError
from multitask.interference.results.earlier import complete_record
from multitask.interference.results.record import FORMAT, StudyRecord
from multitask.storage.json_files import read_json, write_json
from multitask.storage.schema import check_shape


def write_record(path: Path, record: StudyRecord) -> None:
    """Write interference.json; NaN becomes null."""
    write_json(path, record, sealed=True)


def read_record(path: Path) -> StudyRecord:
    """Read interference.json.

    Raises:
        UserError: If it is missing, damaged or of another format.
    """
    record = read_json(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise UserError(f"{path} has format {found!r}, this version reads {FORMAT}: make it again from its cells.")
    complete_record(record)
    check_shape(record, StudyRecord, path)  # it may be untrusted
    return cast(StudyRecord, record)
