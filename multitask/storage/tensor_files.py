"""Files that `torch.save` wrote: read as tensors and plain values only, whoever they come from.

Such a file is a zip of a pickle, and a pickle can name any function to be called when it is read. torch reads it with
`weights_only`, which calls nothing; what is added here is a clear word, and a refusal of compressed members: torch
writes none, and a few kilobytes of them can stand for all of the memory.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from multitask.errors import UserError


def compressed(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members of a file that are compressed: torch writes none."""
    return [one for one in archive.infolist() if one.compress_type != zipfile.ZIP_STORED]


def check_tensor_file(path: Path) -> None:
    """Refuse a zip with compressed members.

    Raises:
        UserError: If there is one.
    """
    if not zipfile.is_zipfile(path):
        return  # torch's older form, which is not compressed
    try:
        with zipfile.ZipFile(path) as archive:
            packed = compressed(archive)
    except zipfile.BadZipFile:
        return  # torch says what is wrong with it
    if packed:
        size = sum(one.file_size for one in packed)
        raise UserError(
            f"{path} is compressed, to {path.stat().st_size:,} bytes from {size:,}: torch writes no such file, and it "
            "may be made to fill the memory. It is not read."
        )


def load_tensors(path: Path) -> Any:
    """The tensors and plain values of a file, on the CPU.

    Raises:
        UserError: If it is damaged, or holds anything else.
    """
    import pickle

    import torch

    check_tensor_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} {NOT_TENSORS}") from error
    except Exception as error:  # a damaged file: whatever zip, pickle and torch make of it
        reason = str(error).strip().splitlines()
        raise UserError(f"{path} cannot be read: {reason[0] if reason else type(error).__name__}") from error


NOT_TENSORS = (
    "is damaged, or holds Python objects besides tensors and numbers, which could run code when they are read: "
    "it is not loaded."
)
