"""The files in a task's folder that are its splits, and those that are there but not read, which is an error.

A split is one of
    SPLIT.EXT                      with or without the ending of a compression: train.csv, validation.jsonl.gz
    SPLIT-00000-of-00002.EXT …     all its parts, in the order of their numbers (from 0 or from 1)
    SPLIT-1.EXT SPLIT-2.EXT …      the same, of two or more; whether a last one is missing nobody can see
    SPLIT/                         a folder with files of rows and nothing else, in the order of their names' numbers

Whatever else looks as if rows were meant (`validation.zip`, `validation.xlsx`, a part of three, a broken link) is
refused by name: to pass over it would train on less than is there, or hold out training rows although a validation
split was given. Names that begin with "." or "_" are never looked at, and files of other kinds (README.md, LICENSE,
labels.yaml, train.py, train.csv.sha256) are nobody's rows. A further split (test.csv, validation_mismatched.tsv) is
there to be asked for by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from multitask.errors import UserError
from multitask.sources.readers import READERS, ending_of
from multitask.storage.compression import UNPACKERS, split_ending
from multitask.terminal.escaping import shown

COMPRESSED = (
    *(".gz", ".gzip", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".lz4", ".br", ".z"),
    *(".zip", ".7z", ".rar", ".tar", ".tgz", ".tbz2", ".txz"),
)
"""Endings of compressed files and archives, of which some are read (`compression.UNPACKERS`)."""
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
_PLAIN_SPLIT = re.compile(rf"train|training|test|{_EVALUATED}")
_PART = re.compile(
    r"(?P<split>.+?)[-_.](?:(?P<number>[0-9]{1,6})[-_]of[-_](?P<count>[0-9]{1,6})(?:-[0-9a-f]{8,64})?|(?P<plain>[0-9]{1,6}))"
    r"|(?P<k>[0-9]{1,6})[-_]of[-_](?P<n>[0-9]{1,6})"
)
_SPLIT = re.compile(rf"(?:{_PLAIN_SPLIT.pattern})(?:[-_. (]*[0-9].*)?")
_VALIDATION = re.compile(rf"(?:{_EVALUATED})(?![a-z])|(?:.*[^a-z])?(?:{_EVALUATED})$")
_SHARD = re.compile(r".*[0-9]+[-_]of[-_][0-9]+.*|part[-_][0-9]+.*|(?:train|validation)(?:[-_. (]*[0-9]|[-_ (]+copy).*")


def split_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """{split: its files, in order}, in the order of their names.

    Raises:
        UserError: If the folder cannot be listed, has two files for one split, lacks a part of one, or holds something
            that is not read.
    """
    entries = _entries(folder)
    whole: dict[str, tuple[Path, ...]] = {}
    parts: dict[str, list[Path]] = {}
    for path in entries:
        split = _stem(path)
        if os.path.isdir(path):
            if is_split_name(path.name):
                _add(whole, path.name, (path,), folder)
        elif ending_of(path) in READERS and _is_file(path):
            part = _part_of(path)
            if part is not None and part.split and (part.parts is not None or is_split_name(part.split)):
                parts.setdefault(part.split, []).append(path)
            elif not _SHARD.fullmatch(split.casefold()):
                _add(whole, split, (path,), folder)
    for split, paths in parts.items():
        part = _part_of(paths[0])
        if len(paths) > 1 or (part and part.parts is not None):  # a single train_1.csv may be anything
            _add(whole, split, in_order(paths, numbers_begin=True), folder)
    found = {
        split: folder_files(paths[0]) if os.path.isdir(paths[0]) else paths for split, paths in sorted(whole.items())
    }
    read = {path for paths in whole.values() for path in paths}
    unread = [(path.name, why) for path in entries if path not in read and (why := _why_unread(path, found))]
    if unread:
        name, why = unread[0]
        others = f" (nor are {', '.join(shown(n, 60) for n, _ in unread[1:4])})" if unread[1:] else ""
        raise UserError(
            f"'{folder}' holds '{shown(name, 120)}', which is not read: {why}{others}. If no rows are meant, move it "
            f"or give it a name that begins with '_'."
        )
    return found


def folder_files(folder: Path) -> tuple[Path, ...]:
    """The files of one split that is a folder of its own, in order.

    Raises:
        UserError: If it cannot be listed, has none, lacks a part, or holds something that is not read.
    """
    entries = [e for e in _entries(folder) if e.suffix.casefold() not in NO_ROWS and e.stem.casefold() != "readme"]
    for path in entries:
        if ending_of(path) not in READERS or not _is_file(path):
            kind = "is a folder" if os.path.isdir(path) else f"ends in none of {', '.join((*READERS, *UNPACKERS))}"
            kind = kind if os.path.isdir(path) or os.path.isfile(path) else "is no regular file"
            raise UserError(
                f"'{folder}' is the folder of a split and holds '{shown(path.name, 120)}', which {kind}, so it is not "
                f"read. If no rows are meant, move it or give it a name that begins with '_'."
            )
    if not entries:
        raise UserError(f"'{folder}' is the folder of a split and has no files of rows; fill it, or remove it.")
    return in_order(entries)


class SplitPart(NamedTuple):
    """A part of a split, as its file's name says."""

    split: str
    digits: str
    parts: int | None
    """Of how many parts, if it says."""

    @property
    def number(self) -> int:
        """Which part it is."""
        return int(self.digits)


def in_order(paths: Sequence[Path], *, numbers_begin: bool = False) -> tuple[Path, ...]:
    """The files of one split by the numbers in their names.

    Args:
        paths: In any order.
        numbers_begin: Whether numbers that do not say of how many (train-7.csv) must begin with 0 or 1; else those that
            begin higher are taken for names, as years are.

    Raises:
        UserError: If one is missing or there twice.
    """
    parts = {path: part for path in paths if (part := _part_of(path)) is not None}
    groups: dict[str, dict[Path, SplitPart]] = {}
    for path, part in parts.items():
        groups.setdefault(part.split, {})[path] = part
    for split, group in groups.items():
        counted = any(part.parts is not None for part in group.values())
        if counted or numbers_begin or min(part.number for part in group.values()) <= 1 < len(group):
            _check_parts(split, group)
    return tuple(sorted(paths, key=_natural))


def _check_parts(split: str, group: Mapping[Path, SplitPart]) -> None:
    at = str(next(iter(group)).parent)
    counts = {part.parts for part in group.values()}
    if len(counts) > 1:
        one, other = (next(p.name for p, part in group.items() if part.parts == c) for c in sorted(counts, key=str)[:2])
        raise UserError(
            f"'{at}' has parts of split '{split}' of two divisions, {shown(one, 80)} and {shown(other, 80)}; remove "
            f"those of one."
        )
    (count,) = counts
    numbers = sorted(part.number for part in group.values())
    twice = next((n for n, m in pairwise(numbers) if n == m), None)
    if twice is not None:
        one, other = [p.name for p, part in group.items() if part.number == twice][:2]
        raise UserError(
            f"'{at}' has part {twice} of split '{split}' twice, {shown(one, 80)} and {shown(other, 80)}; remove one."
        )
    padded = count is not None and any(len(part.digits) > len(str(count)) for part in group.values())
    first = 0 if 0 in numbers or (padded and count not in numbers) else 1
    last = (count - 1 + first) if count is not None else numbers[-1]
    missing = sorted({*range(first, min(last, first + 10**6) + 1)} - {*numbers})
    if missing:
        named = ", ".join(map(str, missing[:5])) + (f" and {len(missing) - 5:,} more" if len(missing) > 5 else "")
        of = f" of {count:,}" if count is not None else ""
        raise UserError(
            f"'{at}': split '{split}' lacks part{'s'[: len(missing) != 1]} {named}{of} (there is "
            f"{shown(min(p.name for p in group), 80)}); put every part there."
        )
    over = [n for n in numbers if n > last]
    if over:
        raise UserError(f"'{at}': split '{split}' has a part {over[0]} of {count:,}; correct the name.")


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(e for e in folder.iterdir() if not e.name.startswith((".", "_")))
    except OSError as error:
        raise UserError(f"'{folder}' cannot be listed: {error.strerror or error}.") from error


def _add(found: dict[str, tuple[Path, ...]], split: str, paths: tuple[Path, ...], folder: Path) -> None:
    same = next((known for known in found if known.casefold() == split.casefold()), None)
    if same is not None:
        one, other = found[same][0], paths[0]
        raise UserError(f"'{folder}' has two files for split '{same}': {one.name} and {other.name}; remove one.")
    found[split] = paths


def _stem(path: Path) -> str:
    """The name without its endings."""
    return Path(split_ending(path.name)[0]).stem


def _part_of(path: Path) -> SplitPart | None:
    found = _PART.fullmatch(_stem(path))
    if found is None:
        return None
    digits, count = found["number"] or found["plain"] or found["k"], found["count"] or found["n"]
    return SplitPart(found["split"] or "", digits, int(count) if count else None)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Names in the order of the numbers in them: part-2 before part-10."""
    pieces = re.split(r"([0-9]+)", path.name)
    return [(int(piece), "") if i % 2 else (-1, piece) for i, piece in enumerate(pieces)], str(path)


def is_split_name(name: str) -> bool:
    """Whether it is the usual name of a split.

    >>> is_split_name("dev"), is_split_name("data.csv")
    (True, False)
    """
    return bool(_PLAIN_SPLIT.fullmatch(name.casefold()))


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
    """Find what was meant as the folder of this name, which is not there: a broken link, a file, another case."""
    for path in entries:
        if not path.name.casefold().startswith(name.casefold()):
            continue
        rest = path.name[len(name) :].casefold()
        if rest.startswith(".") and rest.endswith((*READERS, *COMPRESSED)):
            return path.name
        if not rest and (os.path.isdir(path) or not os.path.exists(path)):
            return path.name
    return None


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
            return "it is a folder, and a split is SPLIT.EXT or a folder SPLIT with its parts beside the others"
        return None
    rows_inside = any(f"{e}." in name for e in READERS)
    if not (is_split or ending in READERS or rows_inside) or ending in NO_ROWS:
        return None
    if path.is_symlink() and not os.path.exists(path):
        return "it is a link to nothing"
    if ending in COMPRESSED and ending not in UNPACKERS:
        return f"it is packed in a way that is not read (those that are: {', '.join(UNPACKERS)}); unpack it"
    if name.endswith(BACKUPS) and (not is_split or any(split.casefold() == stem for split in found)):
        return None
    if ending in UNPACKERS:
        ending = ending_of(path)
    if ending not in READERS:
        return f"its ending is none of {', '.join(READERS)}; write it as one of them"
    if not _is_file(path):
        return "it is no regular file"
    return (
        "it looks like a part of a split; name its parts SPLIT-00000-of-00002.EXT and so on, all of them, and what is "
        "whole SPLIT.EXT"
    )


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
