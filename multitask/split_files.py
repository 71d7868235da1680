"""What stands in a task's folder: the files that are its splits, and what is there but not read, which is an error.

A folder holds SPLIT.EXT. Whatever else looks as if rows were meant (`validation.csv.gz`, `train-00000-of-00002.csv`,
`validation.xlsx`, a folder `validation`, a broken link) is refused by name: to pass over it would train on less than
is there, or hold out training rows although a validation split was given. Names that begin with "." or "_" are never
looked at, and files of other kinds (README.md, LICENSE, labels.yaml, train.py, train.csv.sha256) are nobody's rows. A
further split (test.csv, validation_mismatched.tsv) is there to be asked for by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from multitask.errors import UserError, shown
from multitask.readers import READERS

COMPRESSED = (
    *(".gz", ".gzip", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".lz4", ".br", ".z"),
    *(".zip", ".7z", ".rar", ".tar", ".tgz", ".tbz2", ".txz"),
)
BACKUPS = ("~", ".bak", ".orig", ".old", ".swp", ".save")
"""Endings of what programs leave beside a file; nobody's rows where that file is there."""
NO_ROWS = frozenset(
    [
        *(".md", ".rst", ".html", ".pdf", ".tex", ".bib", ".license", ".log", ".png", ".jpg", ".svg"),
        *(".py", ".pyc", ".sh", ".ipynb", ".r", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".xml"),
        *(".sha1", ".sha256", ".sha512", ".md5", ".crc", ".asc", ".sig", ".dvc", ".lock"),
    ]
)
"""Endings of notes, code, settings and checksums, which may have the name of a split."""

_EVALUATED = "val|valid|validate|validation|dev|devel|development|eval|evaluation|heldout|held[-_]out|holdout"
_SPLIT = re.compile(rf"(?:train|training|test|{_EVALUATED})(?:[-_. (]*[0-9].*)?")
_VALIDATION = re.compile(rf"(?:{_EVALUATED})(?![a-z])|(?:.*[^a-z])?(?:{_EVALUATED})$")
_SHARD = re.compile(r".*[0-9]+[-_]of[-_][0-9]+.*|part[-_][0-9]+.*|(?:train|validation)(?:[-_. (]*[0-9]|[-_ (]+copy).*")


def split_files(folder: Path) -> dict[str, Path]:
    """{split: its file}, in the order of their names.

    Raises:
        UserError: If the folder cannot be listed, has two files for one split, or something that is not read.
    """
    try:
        entries = sorted(e for e in folder.iterdir() if not e.name.startswith((".", "_")))
    except OSError as error:
        raise UserError(f"'{folder}' cannot be listed: {error.strerror or error}.") from error
    found: dict[str, Path] = {}
    for path in entries:
        if not _is_read(path):
            continue
        same = next((split for split in found if split.casefold() == path.stem.casefold()), None)
        if same is not None:
            raise UserError(
                f"'{folder}' has two files for split '{same}': {found[same].name} and {path.name}; remove one."
            )
        found[path.stem] = path
    unread = [(path.name, why) for path in entries if path not in found.values() and (why := _why_unread(path, found))]
    if unread:
        name, why = unread[0]
        others = f" (nor are {', '.join(shown(n, 60) for n, _ in unread[1:4])})" if unread[1:] else ""
        raise UserError(
            f"'{folder}' holds '{shown(name, 120)}', which is not read: {why}{others}. If no rows are meant, move it "
            f"or give it a name that begins with '_'."
        )
    return found


def like_validation(splits: Iterable[str]) -> str | None:
    """A split that was meant as the validation split, by its name; None if there is none.

    >>> like_validation(["train", "Validate"]), like_validation(["mood_val"]), like_validation(["train", "values"])
    ('Validate', 'mood_val', None)
    """
    import difflib

    names = {split: str(split).strip().casefold() for split in splits}
    for split, name in names.items():
        if _VALIDATION.match(name) or difflib.SequenceMatcher(None, name, "validation").ratio() > 0.8:
            return split
    return None


def like_folder(entries: Iterable[Path], name: str) -> str | None:
    """What was meant as the folder of this name, which is not there: a broken link, a file of rows, another case."""
    for path in entries:
        if not path.name.casefold().startswith(name.casefold()):
            continue
        rest = path.name[len(name) :].casefold()
        if rest.startswith(".") and rest.endswith((*READERS, *COMPRESSED)):
            return path.name
        if not rest and (os.path.isdir(path) or not os.path.exists(path)):
            return path.name
    return None


def _is_read(path: Path) -> bool:
    return path.suffix.lower() in READERS and not _SHARD.fullmatch(path.stem.casefold()) and _is_file(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # in a folder that may be listed and not entered
        return True  # reading it says what is wrong


def _why_unread(path: Path, found: Iterable[str]) -> str | None:
    """Why a file or folder that looks like rows is not read; None for what looks like something else."""
    name = path.name.casefold()
    ending = next((e for e in (*COMPRESSED, *READERS) if name.endswith(e)), path.suffix.casefold())
    stem = name.partition(".")[0]
    is_split = any(names.fullmatch(stem.strip()) for names in (_SPLIT, _SHARD))
    if os.path.isdir(path):
        is_whole = {"train", "validation"} <= {*found}  # then it is an older or a raw copy
        if is_split or ending in READERS or (_holds_splits(path) and not is_whole):
            return "it is a folder, and a split is one file SPLIT.EXT beside it"
        return None
    rows_inside = any(f"{e}." in name for e in READERS)
    if not (is_split or ending in READERS or rows_inside) or ending in NO_ROWS:
        return None
    if path.is_symlink() and not os.path.exists(path):
        return "it is a link to nothing"
    if ending in COMPRESSED:
        return "it is compressed; unpack it"
    if name.endswith(BACKUPS) and (not is_split or any(split.casefold() == stem for split in found)):
        return None
    if ending not in READERS:
        return f"its ending is none of {', '.join(READERS)}; write it as one of them"
    if not _is_file(path):
        return "it is no regular file"
    return "it looks like a part of a split; join the parts in one file SPLIT.EXT"


def _holds_splits(folder: Path) -> bool:
    try:
        names = [e.name.casefold() for e in folder.iterdir()]
    except OSError:
        return False
    return any(
        _SPLIT.fullmatch(stem) or _SHARD.fullmatch(stem)
        for stem, dot, rest in (name.partition(".") for name in names)
        if any(f"{dot}{rest}".startswith(e) for e in READERS)
    )
