"""Cells of csv and tsv files that are written as numbers: text as it stands, which also works where a number is meant.

Words
    cell       `Cell`: a `str`, so that "1.00", "007" and "1e3" come out as they were written. What the other rows of
               its column hold changes nothing of it
    number     what the cell is written as. It takes part where a text cannot: `row["label"] == 1`, `row["score"] > 3`,
               `row["score"] / 5`, `LABELS[row["label"]]`, `f"{row['score']:.1f}"`
    ambiguous  where a text and a number can both stand and differ: a look-up in a dict or a set, the truth of "0",
               "9" beside "10" (which is larger? what is their sum?). A cell is then text, and the formatter is asked
               a second time with the number: what is made is the same, or only one of the two can be, or the row is
               refused with the column, since nobody knows which was meant. See `two_readings`
"""

from __future__ import annotations

import contextvars
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Made = TypeVar("Made")

LONGEST = 40
"""Characters of a number; int64 has 20, a float 24. What is longer is text alone."""

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_noted: contextvars.ContextVar[list[Cell] | None] = contextvars.ContextVar("ambiguous cells", default=None)


def as_cell(text: str) -> str:
    """The text as a `Cell` if it is written as a number (spaces around it do not count), else as it is.

    >>> as_cell("1.00"), as_cell("1.00") == 1, as_cell("N/A") == 1, ("no", "yes")[as_cell("1")]
    ('1.00', True, False, 'yes')
    """
    if len(text) > LONGEST or not text or text[0] not in "0123456789-+. ":
        return text
    if not _NUMBER.fullmatch(text.strip(" ")) or math.isinf(float(text)):
        return text
    return Cell(text)


class Cell(str):
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
            if not same and isinstance(other, Cell) and self.number == other.number:
                _note(self, other)
            return same
        return bool(self.number == other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        _note(self)
        return str.__hash__(self)

    def __bool__(self) -> bool:
        if not self.number:
            _note(self)
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


def _note(*cells: Cell) -> None:
    noted = _noted.get()
    if noted is not None:
        noted += cells


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _compared(name: str) -> Callable[[Cell, Any], Any]:
    of_text, of_numbers = getattr(str, name), getattr(operator, name)

    def compare(self: Cell, other: Any) -> Any:
        if isinstance(other, str):
            if isinstance(other, Cell):
                _note(self, other)
            return of_text(self, other)
        return of_numbers(self.number, other)

    return compare


def _computed(name: str) -> tuple[Callable[[Cell, Any], Any], Callable[[Cell, Any], Any]]:
    of_numbers = getattr(operator, name)

    def compute(self: Cell, other: Any) -> Any:
        if _is_number(other):
            return of_numbers(self.number, other)
        if isinstance(other, Cell) and name != "__add__":  # of two texts no other operation is there
            return of_numbers(self.number, other.number)
        if isinstance(other, str) and name == "__add__":
            if isinstance(other, Cell):
                _note(self, other)
            return str.__add__(self, other)
        return str.__mod__(self, other) if name == "__mod__" else NotImplemented

    def computed_from(self: Cell, other: Any) -> Any:
        return of_numbers(other, self.number) if _is_number(other) else NotImplemented

    return compute, computed_from


for _name in ("__lt__", "__le__", "__gt__", "__ge__"):
    setattr(Cell, _name, _compared(_name))
for _name in ("__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__", "__pow__"):
    _compute, _computed_from = _computed(_name)
    setattr(Cell, _name, _compute)
    setattr(Cell, _name.replace("__", "__r", 1), _computed_from)


# ------------------------------------------------------------------------------------------------- the second reading


class AmbiguousCellError(ValueError):
    """A cell that makes one example as text and another as a number."""

    def __init__(self, column: str, cell: Cell) -> None:
        super().__init__(
            f"the formatter makes one thing of {str(cell)!r} as text and another of it as a number. A cell of a csv or "
            f"tsv file is text as it is written; say int(row[{column!r}]) or float(…) where a number is meant, "
            f'str(…) where text is, and == "" to ask for an empty cell.'
        )
        self.column = column


def two_readings(make: Callable[[Mapping[str, Any]], Made], row: Mapping[str, Any]) -> Made:
    """What `make` makes of the row; where it uses a cell in an ambiguous way, whatever the cell is taken for.

    Raises:
        AmbiguousCellError: If it makes one thing of a cell as text and another of it as a number.
        Exception: What `make` raises of the cells as text, unless it takes one of them as a number.
    """
    noted: list[Cell] = []
    token = _noted.set(noted)
    failed: Exception | None = None
    try:
        made = make(row)
    except Exception as error:
        failed = error
    finally:
        _noted.reset(token)
    if noted:
        ambiguous = {id(cell) for cell in noted}
        for column, cell in row.items():
            if id(cell) not in ambiguous:
                continue
            try:
                other = make({**row, column: _number_as_written(cell)})
            except Exception:  # noqa: S112  # a formatter that takes no number here means the text
                continue
            if failed is not None:
                return other
            if other != made:
                raise AmbiguousCellError(column, cell)
    if failed is not None:
        raise failed
    return made


class _Int(int):
    """A number that is printed as its cell is written: what differs from the text is then its use, not its digits."""

    written: Cell

    def __str__(self) -> str:
        return str(self.written)

    def __repr__(self) -> str:
        return repr(self.written)

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec else str(self)


class _Float(float):
    """As `_Int`."""

    written: Cell

    def __str__(self) -> str:
        return str(self.written)

    def __repr__(self) -> str:
        return repr(self.written)

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else str(self)


def _number_as_written(cell: Cell) -> int | float:
    number = cell.number
    made = _Int(number) if isinstance(number, int) else _Float(number)
    made.written = cell
    return made
