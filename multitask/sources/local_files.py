"""Sources that are files: a folder of splits, one file, several that are parts of a split, or a pattern.

Use them through `multitask.sources.hugging_face`.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from multitask.errors import UserError
from multitask.short_repr import Plain, short_repr
from multitask.sources.readers import PLAIN, READERS, Form, ending_of, read_rows
from multitask.sources.split_files import folder_files, in_order, split_files
from multitask.sources.table import JoinedRows, Rows, check_split
from multitask.storage.paths import expanded
from multitask.terminal.escaping import shown

AnyPath = str | os.PathLike[str]


def files(
    path: AnyPath | Sequence[AnyPath] | Mapping[str, AnyPath | Sequence[AnyPath]],
    *,
    encoding: str = "utf-8",
    header: bool = True,
    delimiter: str | None = None,
    columns: Sequence[str] = (),
    format: str | None = None,
) -> PathSource | FileSource:
    """Files of rows: csv, tsv, json, jsonl, parquet or txt, each also compressed; see `multitask.sources.readers`.

    Args:
        path: A folder with train.EXT, validation.EXT and so on (see `split_files`); or a file, or a list of
            files, which are the split "train"; or {split: a file, a list of files, or a folder}. A name with `*`, `?`
            or `[` is a pattern: the files it finds are read in the order of their numbers. Files of a list are read in
            its order.
        encoding: Of the text: "utf-8", "latin-1", "cp1252", "utf-16" and what else Python knows.
        header: Whether the first line of csv and tsv files names their columns.
        delimiter: What stands between their fields, by default a comma in csv and a tab in tsv.
        columns: Their names, in order, where there is no header, or instead of it.
        format: "csv" and so on, for files whose names do not say it.

    Raises:
        UserError: If an option is of no use. That files are missing or damaged is said when rows are asked for.

    >>> files("data/reviews.csv", delimiter=";", encoding="latin-1").description
    'data/reviews.csv'
    """
    if isinstance(columns, str):
        raise UserError(f"files(columns={columns!r}): give a list of names, as in columns=[{columns!r}].")
    form = Form(encoding, header, delimiter, tuple(columns or ()), format).check()
    if isinstance(path, (str, os.PathLike)):
        path = _meant(path)
        if _is_pattern(path) or os.path.isfile(path) or (Path(path).suffix and not os.path.isdir(path)):
            return PathSource((("train", (Path(path),)),), form)
        return FileSource(Path(path), form)
    if not isinstance(path, Mapping):
        path = {"train": path}
    splits = []
    for split, several in path.items():
        named: list[AnyPath] = [several] if isinstance(several, (str, os.PathLike)) else list(several)
        if not named or not all(isinstance(name, (str, os.PathLike)) for name in named):
            raise UserError(f"files(…): split {split!r} needs a path or a list of paths. Got {shown(several, 60)}.")
        splits.append((str(split), tuple(map(_meant, named))))
    if not splits:
        raise UserError("files(…) was given no path.")
    return PathSource(tuple(splits), form)


def _meant(path: AnyPath) -> Path:
    """The path, with `~/` in its place.

    Raises:
        UserError: If it is empty, or an address of the net.
    """
    name = os.fspath(path)
    if not name:
        raise UserError("the path of a file or folder is empty; name one ('.' is the folder you are in).")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name):  # a Path has one slash left
        raise UserError(f"'{shown(name)}' is an address; files are read from this machine alone: download it first.")
    return Path(expanded(name))


def _is_pattern(path: AnyPath) -> bool:
    return any(mark in os.fspath(path) for mark in "*?[") and not os.path.exists(path)


@dataclass(frozen=True)
class FileSource:
    """A folder of splits; see `files`."""

    folder: Path
    form: Form = PLAIN

    def __repr__(self) -> str:
        return short_repr(self, Plain(self.description))

    @property
    def description(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def generated(self) -> bool:
        """False."""
        return False

    def splits(self) -> tuple[str, ...]:
        """The names of the files, without their endings and numbers."""
        return tuple(self._files())

    def file(self, split: str) -> str:
        """The name of the first file of a split that is there."""
        return self._files()[split][0].name

    def rows(self, split: str) -> Rows:
        """The rows of FOLDER/SPLIT.EXT, or of all parts of the split."""
        found = self._files()
        hint = f" (files are named {split}.EXT with EXT one of {', '.join(READERS)})"
        check_split(split, found, self.description, hint)
        return read_all(found[split], self.form)

    def size(self, split: str) -> int:
        """Bytes of a split's files."""
        return _size(self._files().get(split, ()))

    def _files(self) -> dict[str, tuple[Path, ...]]:
        if not os.path.isdir(self.folder):
            raise UserError(f"there is no folder '{self.folder}'{_where(self.folder)}; {_fix(self.folder)}.")
        return split_files(self.folder)


def _where(path: Path) -> str:
    return "" if path.is_absolute() else f" in {Path.cwd()}"


def _fix(folder: Path) -> str:
    fix = "make it, with train.EXT in it, or correct the path"
    if len(folder.parts) == 2 and not folder.is_absolute() and not os.path.exists(folder.parent):
        return f"{fix}; a data set of the Hub is written multitask.hub({str(folder)!r}, revision=…)"
    return fix


@dataclass(frozen=True)
class PathSource:
    """Files that are named one by one or by a pattern; see `files`."""

    named: tuple[tuple[str, tuple[Path, ...]], ...]
    """(split, its files, folders or patterns)."""
    form: Form = PLAIN

    def __repr__(self) -> str:
        return short_repr(self, Plain(self.description))

    @property
    def description(self) -> str:
        """The paths as they were given."""
        first = [f"{paths[0]}{f' and {len(paths) - 1} more' if paths[1:] else ''}" for _, paths in self.named]
        return ", ".join(first)

    @property
    def generated(self) -> bool:
        """False."""
        return False

    def splits(self) -> tuple[str, ...]:
        """The splits that were named."""
        return tuple(split for split, _ in self.named)

    def rows(self, split: str) -> Rows:
        """The rows of a split's files."""
        check_split(split, self.splits(), self.description)
        found = self._paths(split)
        twice = next((path for path, count in Counter(found).items() if count > 1), None)
        if twice is not None:
            raise UserError(f"split '{split}' names the file '{twice}' twice; leave one out.")
        return read_all(found, self.form)

    def size(self, split: str) -> int:
        """Bytes of a split's files."""
        return _size(self._paths(split))

    def _paths(self, split: str) -> list[Path]:
        return [path for named in dict(self.named).get(split, ()) for path in _expanded(named)]


def _size(paths: Sequence[Path]) -> int:
    return sum(os.path.getsize(path) for path in paths if os.path.exists(path))


def _expanded(path: Path) -> Sequence[Path]:
    """The files that a path or pattern means."""
    if _is_pattern(path):
        found = [Path(name) for name in glob.glob(str(path), recursive=True) if not os.path.isdir(name)]
        if not found:
            raise UserError(f"no file is named like '{path}' (in {Path.cwd()}); correct the pattern.")
        return in_order(found)
    if os.path.isdir(path):
        return folder_files(path)
    if not os.path.exists(path):
        if os.path.islink(path):
            raise UserError(f"'{path}'{_where(path)} is a link to '{os.readlink(path)}', where nothing is; mend it.")
        raise UserError(f"there is no file or folder '{path}'{_where(path)}; correct the path.")
    if not os.path.isfile(path):  # reading a pipe would wait for ever, and give its rows once
        raise UserError(f"'{path}' is no regular file, so its rows cannot be read twice; write them to a file.")
    return [path]


def read_all(paths: Sequence[Path], form: Form = PLAIN) -> Rows:
    """The rows of the files of one split, one after the other.

    Raises:
        UserError: If one cannot be read, or has other columns than the first.
    """
    parts = [read_rows(path, form) for path in paths]
    if len(parts) == 1:
        return parts[0]
    first, *others = parts
    # Objects of JSON may each have other keys; a table has its columns.
    is_json = any((form.format or ending_of(path)[1:]) in ("json", "jsonl") for path in paths)
    kinds = {name: (kind, first) for name, kind in first.kinds.items()}
    for part in others:
        if {*part.columns} != {*first.columns} and not is_json:
            raise UserError(
                f"the parts of a split must have the same columns: {first.origin} has "
                f"{shown(', '.join(first.columns))}, {part.origin} has {shown(', '.join(part.columns))}."
            )
        for name, kind in part.kinds.items():
            before, where = kinds.setdefault(name, (kind, part))
            if kind != before:
                raise UserError(
                    f"the parts of a split must hold the same kind of values: column {shown(repr(name), 60)} is "
                    f"{before} in {where.origin} and {kind} in {part.origin}."
                )
    return JoinedRows(parts, origin=f"{first.origin} … {paths[-1].name} ({len(parts)} files)")
