"""Cells of csv and tsv files that are written as numbers: text as it stands, which also works where a number is meant.

Words
    cell       `FileCell`: a `str`, so that "1.00", "007" and "1e3" come out as they were written, whatever the other
               rows of its column hold
    number     what the cell is written as. It takes part where a text cannot: `row["label"] == 1`, `row["score"] > 3`,
               `row["score"] / 5`, `LABELS[row["label"]]`, `f"{row['score']:.1f}"`
    look-up    in a dict or a set. The keys say what is meant: a cell that is found is what it is found as, a text
               among texts ({"0": "neg"}) or a number among numbers ({0: "neg"})
    truth      of "0": a text that is not empty, a number that is nought. Where the cell itself is written if true,
               as in `row["more"] or "none"`, the question was whether it is empty, and it is text
    ambiguous  where a text and a number can both stand and differ: another truth of "0", "9" beside "10" (which is
               larger? what is their sum?), a look-up without a find. A cell is then text, and the formatter is asked a
               second time with the number: what is made is the same, or only one of the two can be, or the row is
               refused with the column, since nobody knows which was meant. See `two_readings`
"""

from __future__ import annotations

import contextvars
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

Made = TypeVar("Made")

LONGEST = 40
"""Characters of a number; int64 has 20, a float 24. What is longer is text alone."""

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_reading: contextvars.ContextVar[_Reading | None] = contextvars.ContextVar("reading of a row", default=None)


def as_cell(text: str) -> str:
    """The text as a `FileCell` if it is written as a number (spaces around it do not count), else as it is.

    >>> as_cell("1.00"), as_cell("1.00") == 1, as_cell("N/A") == 1, ("no", "yes")[as_cell("1")]
    ('1.00', True, False, 'yes')
    """
    if len(text) > LONGEST or not text or text[0] not in "0123456789-+. ":
        return text
    if not _NUMBER.fullmatch(text.strip(" ")) or math.isinf(float(text)):
        return text
    return FileCell(text)


class FileCell(str):
    """Text that is written as a number; see the module."""

    __slots__ = ()

    @property
    def number(self) -> int | float:
        """An int if it is written without a point and an exponent."""
        text = self.strip(" ")
        return int(text) if text.lstrip("+-").isdigit() else float(text)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            same = str.__eq__(self, other)
            if not isinstance(other, FileCell):
                if same:
                    _found(self)
            elif not same and self.number == other.number:
                _note(self, other)
            return same
        return bool(self.number == other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        _looked_up(self)
        return str.__hash__(self)

    def __bool__(self) -> bool:
        if not self.number:
            _note(self, way=TRUTH)
        return True

    def __format__(self, spec: str) -> str:
        try:
            text = str.__format__(self, spec)
        except ValueError:  # ".1f" is of numbers alone
            return format(self.number, spec)
        if spec:  # "03" fills a text on its right and a number on its left
            _note(self)
        return text

    def __int__(self) -> int:
        return int(str(self))

    def __float__(self) -> float:
        return float(str(self))

    def __index__(self) -> int:
        return operator.index(self.number)  # type: ignore[arg-type]  # "1.0" is no position: a TypeError

    def __round__(self, digits: int | None = None) -> int | float:
        return round(self.number, digits)

    def __abs__(self) -> int | float:
        return abs(self.number)

    def __neg__(self) -> int | float:
        return -self.number

    def __pos__(self) -> int | float:
        return self.number


LOOK_UP, TRUTH, OTHER = "look-up", "truth", "other"


class _Reading:
    """How one call of a formatter uses cells."""

    def __init__(self) -> None:
        self.noted: list[tuple[FileCell, str]] = []
        """Cells used in an ambiguous way, and in which: a `LOOK_UP` that has found nothing, the `TRUTH` of nought."""
        self.as_number = False
        """Whether a number that was put in a cell's place was looked up and found."""
        self.last: Any = None
        """What was looked up last, until it is compared with anything else."""


def _note(*cells: FileCell, way: str = OTHER) -> None:
    reading = _reading.get()
    if reading is not None:
        reading.noted += [(cell, way) for cell in cells]
        reading.last = None


def _looked_up(value: FileCell | _Int | _Float) -> None:
    reading = _reading.get()
    if reading is not None:
        reading.last = value
        if isinstance(value, FileCell):
            reading.noted.append((value, LOOK_UP))


def _found(value: FileCell | _Int | _Float) -> None:
    """A container compares its key with what is looked up, right after its hash."""
    reading = _reading.get()
    if reading is not None and reading.last is value:
        reading.last = None
        if isinstance(value, FileCell):
            reading.noted.pop()
        else:
            reading.as_number = True


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _compared(name: str) -> Callable[[FileCell, Any], Any]:
    of_text, of_numbers = getattr(str, name), getattr(operator, name)

    def compare(self: FileCell, other: Any) -> Any:
        if isinstance(other, str):
            if isinstance(other, FileCell):
                _note(self, other)
            return of_text(self, other)
        return of_numbers(self.number, other)

    return compare


def _computed(name: str) -> tuple[Callable[[FileCell, Any], Any], Callable[[FileCell, Any], Any]]:
    of_numbers = getattr(operator, name)

    def compute(self: FileCell, other: Any) -> Any:
        if _is_number(other):
            return of_numbers(self.number, other)
        if isinstance(other, FileCell) and name != "__add__":  # of two texts no other operation is there
            return of_numbers(self.number, other.number)
        if isinstance(other, str) and name == "__add__":
            if isinstance(other, FileCell):
                _note(self, other)
            return str.__add__(self, other)
        return str.__mod__(self, other) if name == "__mod__" else NotImplemented

    def computed_from(self: FileCell, other: Any) -> Any:
        return of_numbers(other, self.number) if _is_number(other) else NotImplemented

    return compute, computed_from


for _name in ("__lt__", "__le__", "__gt__", "__ge__"):
    setattr(FileCell, _name, _compared(_name))
for _name in ("__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__", "__pow__"):
    _compute, _computed_from = _computed(_name)
    setattr(FileCell, _name, _compute)
    setattr(FileCell, _name.replace("__", "__r", 1), _computed_from)


# ------------------------------------------------------------------------------------------------- the second reading


class AmbiguousCellError(ValueError):
    """A cell that makes one example as text and another as a number."""

    def __init__(self, column: str, cell: FileCell) -> None:
        super().__init__(
            f"the formatter makes one thing of {str(cell)!r} as text and another of it as a number. A cell of a csv or "
            f"tsv file is text as it is written; say int(row[{column!r}]) or float(…) where a number is meant, "
            f'str(…) where text is, and == "" to ask for an empty cell.'
        )
        self.column = column


def two_readings(make: Callable[[Mapping[str, Any]], Made], row: Mapping[str, Any]) -> Made:
    """Format the row twice; where it uses a cell in an ambiguous way, whatever the cell is taken for.

    Raises:
        AmbiguousCellError: If it makes one thing of a cell as text and another of it as a number.
        Exception: What `make` raises of the cells as text, unless it takes one of them as a number.
    """
    made, failed, reading = _read(make, row)
    while reading.noted:
        for column, ways in _columns(reading.noted, row):
            as_number = {**row, column: _number_as_written(row[column])}
            other, other_failed, second = _read(make, as_number)
            meant = ways == {LOOK_UP} and second.as_number
            if failed is not None and (meant or other_failed is None):
                break
            if failed is None and other_failed is None and other != made:
                if meant:
                    break
                if ways == {TRUTH} and _is_written(row[column], made, other):
                    continue
                raise AmbiguousCellError(column, row[column])
        else:
            break
        row, made, failed, reading = as_number, other, other_failed, second
    if failed is not None:
        raise failed
    return cast(Made, made)


def _read(
    make: Callable[[Mapping[str, Any]], Made], row: Mapping[str, Any]
) -> tuple[Made | None, Exception | None, _Reading]:
    """Give what is made or raised, and how."""
    reading = _Reading()
    token = _reading.set(reading)
    try:
        return make(row), None, reading
    except Exception as error:
        return None, error, reading
    finally:
        _reading.reset(token)


def _is_written(cell: FileCell, as_text: object, as_number: object) -> bool:
    """Whether the cell itself is written where it counts as true: its truth then asks whether it is empty."""
    return repr(as_text).count(str(cell)) > repr(as_number).count(str(cell))


def _columns(noted: Sequence[tuple[FileCell, str]], row: Mapping[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """The columns of the noted cells, or of cells of their text (of a copied row), and the ways of their use."""
    uses: dict[int, set[str]] = {}
    texts: dict[str, set[str]] = {}
    for cell, way in noted:
        uses.setdefault(id(cell), set()).add(way)
        texts.setdefault(str(cell), set()).add(way)
    cells = {column: value for column, value in row.items() if isinstance(value, FileCell)}
    there = {id(cell) for cell in cells.values()}
    copies = {str(cell) for cell, _ in noted if id(cell) not in there}
    for column, cell in cells.items():
        if id(cell) in uses:
            yield column, uses[id(cell)]
        elif str(cell) in copies:
            yield column, texts[str(cell)]


class _AsWritten:
    """A number that is printed as its cell is written: what differs from the text is then its use, not its digits."""

    written: FileCell

    def __eq__(self, other: object) -> bool:
        return _same_number(cast("_Int | _Float", self), super().__eq__(other), other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        _looked_up(cast("_Int | _Float", self))
        return super().__hash__()

    def __str__(self) -> str:
        return str(self.written)

    def __repr__(self) -> str:
        return repr(self.written)

    def __format__(self, spec: str) -> str:
        return super().__format__(spec) if spec else str(self)


class _Int(_AsWritten, int):
    pass


class _Float(_AsWritten, float):
    pass


def _same_number(number: _Int | _Float, same: bool, other: object) -> bool:
    """`same`, with what is found noted; Python's numbers do not know all others (an int knows no float)."""
    if same is NotImplemented:
        same = bool(other == (int(number) if isinstance(number, int) else float(number)))
    if same and _is_number(other):
        _found(number)
    return same


def _number_as_written(cell: FileCell) -> int | float:
    number = cell.number
    made = _Int(number) if isinstance(number, int) else _Float(number)
    made.written = cell
    return made
