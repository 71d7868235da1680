"""Rows that cannot become examples of a task: what is wrong with one, and leaving it out on request.

Words
    bad row     a row that its file holds whole, but of which the task cannot make an example: the formatter raises or
                returns something else, a column is missing, a label is none of the task's, a target is nothing that
                a metric of the task can score, a text is none
    left out    with `--on-bad-row skip`: not used, but counted, listed and part of the data's fingerprint

A malformed file is no bad row: where its reader lost its way the rows after that are not to be trusted either.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from multitask.errors import UserError
from multitask.metrics.regression import not_a_number
from multitask.sources.cells import AmbiguousCellError, two_readings
from multitask.sources.raw_values import ValueAsTextError, guarded, written_out
from multitask.sources.table import Row, Rows, rows_fingerprint
from multitask.task import Example, NoStringError, Task
from multitask.terminal.escaping import shown

OnBadRow = Literal["error", "skip"]
"""What is done about a bad row."""
BAD = "bad row"
"""Why rows' examples are missing, in `Examples.skipped`."""
MANY = 0.01
"""The share of bad rows above which a note is a warning."""


class BadRow(NamedTuple):
    """A row that was left out."""

    split: str
    """The source's."""
    row: int
    """Its position in the split, from 0."""
    line: int | None
    """Of its file, from 1; None for what has no lines."""
    origin: str
    """Its file, or what else it comes from."""
    reason: str
    content: str
    """SHA-256 of the row's values, in hex; empty for values that have none."""
    where: str
    """For people: its file and line, or its row there (in a split of several files that is not `row`)."""

    def listed(self, task: str) -> dict[str, Any]:
        """The line of `skipped_rows.jsonl` about it."""
        values = {"task": task, "split": self.split, "file": self.origin, "row": self.row, "line": self.line}
        return {**values, "reason": self.reason}


def bad_row(task: Task, rows: Rows, split: str, position: int, error: Exception) -> BadRow:
    """The row that `error` came of."""
    try:
        content = rows_fingerprint([rows[position]])
    except Exception:  # values of any type, from Python
        content = ""
    reason, where = _reason(task, error, rows[position]), rows.where(position)
    return BadRow(split, position, rows.line(position), rows.file(position), reason, content, where)


def divider_of(row: Iterable[object], column: str) -> str | None:
    """The mark by which the file's fields are divided, where all names of columns came as one; None if they did not.

    >>> divider_of(["sentence;label"], "sentence"), divider_of(["text", "label"], "sentence")
    (';', None)
    """
    names = list(map(str, row))
    mark = next((mark for mark in ";\t|," if mark in names[0]), None) if len(names) == 1 else None
    return mark if mark is not None and column in (name.strip(" \"'") for name in names[0].split(mark)) else None


def row_error(task: Task, rows: Rows, position: int, error: Exception) -> UserError:
    """The error of a bad row: what is wrong with it, where it stands, and what to do."""
    where = rows.where(position)
    if isinstance(error, MissingColumnError):
        column, there = shown(error.args[0], 60), shown(", ".join(map(str, rows[position])))
        mark = divider_of(rows[position], column)
        fix = f"rename it there, or say --columns.{task.name}.{column} ITS_NAME_THERE"
        if mark is not None:
            fix = f"its fields are divided by {mark!r}: multitask.files(…, delimiter={mark!r}) reads it"
        return UserError(f"task '{task.name}': {where} has no column '{column}', it has {there}; {fix}.")
    if isinstance(error, TargetError):
        return UserError(
            f"task '{task.name}': {where}: {error} Correct the row, or leave it out: --on-bad-row skip, or a formatter "
            f"that returns [] for it."
        )
    if isinstance(error, NoTextError):
        name = error.column(rows[position])
        at = "" if name is None else f", column {shown(repr(name), 60)}"
        return UserError(f"task '{task.name}': {where}{at}: {error}")
    if isinstance(error, ValueAsTextError):
        return UserError(f"task '{task.name}': {where}: {error}")
    if isinstance(error, AmbiguousCellError):
        return UserError(f"task '{task.name}': {where}, column {shown(repr(error.column), 60)}: {error}")
    return UserError(f"task '{task.name}' cannot format {where}: {_reason(task, error, rows[position])}")


def _reason(task: Task, error: Exception, row: Row) -> str:
    if isinstance(error, MissingColumnError):
        return f"there is no column '{shown(error.args[0], 60)}'"
    if isinstance(error, (NoTextError, ValueAsTextError, TargetError)):
        return str(error)
    if isinstance(error, AmbiguousCellError):
        return f"column {shown(repr(error.column), 60)}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    code = getattr(task.formatter, "__code__", None)
    inside = [f for f in frames if code is not None and f.filename == code.co_filename]
    at = f" ({inside[-1].filename}:{inside[-1].lineno})" if inside else ""
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    if isinstance(error, NoStringError):
        kind, at = "TypeError: ", _column_of(error, row) + at
    return f"{kind}{shown(error, 240)}{at}"


def _column_of(error: NoStringError, row: Row) -> str:
    """Where the value is that became no text, if it is one column's."""
    column = getattr(error.value, "column", "")
    columns = [column] if column else [name for name, value in row.items() if value is error.value]
    return f" It stands in column {shown(repr(columns[0]), 60)}." if len(columns) == 1 else ""


def formatted_row(task: Task, row: Row, split: str) -> list[Example]:
    """Format a row from anywhere, without the prefix.

    Raises:
        MissingColumnError: If the formatter asks for a column that is not there.
        ValueAsTextError: If it would write out bytes, a list, a mapping, a date, null or NaN as a text.
        AmbiguousCellError: If it makes one thing of a csv file's cell as text and another of it as a number.
        Exception: Whatever else the formatter raises.
    """
    values = CheckedRow(row)
    for name, value in row.items():
        if type(value) is not str:
            values[name] = guarded(value, name)

    def make(one: Row) -> list[Example]:
        return task.formatted(one if one is values else CheckedRow(one), split)

    made = two_readings(make, values)
    texts = [text for e in made for text in (e.inputs, e.target, *e.references)]
    for name, missing in written_out(values, texts):
        if repr(missing) in task.labels:
            continue
        try:
            make({**values, name: missing})
        except ValueAsTextError:
            raise
        except Exception:  # noqa: S112  # another use of a missing value is the formatter's own
            continue
    return made


class MissingColumnError(KeyError):
    """Told from a KeyError of the formatter's own dictionaries."""


class CheckedRow(dict[str, Any]):
    """A row that says which column it lacks."""

    def __missing__(self, column: str) -> Any:
        raise MissingColumnError(column)


class NoTextError(ValueError):
    """A text with half of a surrogate pair, which is no text: no encoding writes it and no tokenizer takes it."""

    def __init__(self, what: str, half: str) -> None:
        super().__init__(f"its {what} holds half of a surrogate pair ({shown(half)}), which no tokenizer takes.")
        self.half = half

    def column(self, row: Row) -> str | None:
        """The column that it stands in, if it is a column's text."""
        return next((name for name, v in row.items() if isinstance(v, str) and self.half in v), None)


class TargetError(ValueError):
    """A target that a metric of the task cannot score, found before anything is trained on it."""


def target_checks(task: Task) -> list[tuple[str, Callable[[str], str | None]]]:
    """(whose demand it is, why a target does not meet it or None) of all that a task asks of every single target."""
    checks = [(f"metric '{m.name}'", m.target_fault) for m in task.metrics if m.target_fault is not None]
    if task.output == "number" and not any(check is not_a_number for _, check in checks):
        checks.append(('output="number"', not_a_number))
    return checks


def check_target(target: str, checks: Sequence[tuple[str, Callable[[str], str | None]]]) -> None:
    """Refuse a target that cannot be scored.

    Raises:
        TargetError: Names the target and the metric.
    """
    for who, check in checks:
        fault = check(target)
        if fault is not None:
            raise TargetError(f"target {fault}, and {who} takes nothing else.")


def check_example(example: Example) -> None:
    """Refuse what a formatter may put into an Example and nothing later can use.

    Raises:
        TypeError: If references, context, group or id are of another type; a string as references would be taken
            apart into its characters.
        NoTextError: If a text is none.
    """
    if _is_plain(example):
        return
    references: Any = example.references
    if isinstance(references, str) or not all(isinstance(r, str) for r in references):
        raise TypeError(f"references must be a tuple of strings. Got {shown(repr(references), 60)}.")
    for name, value in (("context", example.context), ("group", example.group)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be a string or None. Got {type(value).__name__}.")
    given: Any = example.id
    if not isinstance(given, (str, int)) or isinstance(given, bool):
        raise TypeError(f"id must be a string. Got {type(given).__name__}.")
    for what, text in (("input", example.inputs), ("target", example.target), ("context", example.context)):
        _check_text(what, text)
    for text in (*references, example.group, given):
        _check_text("answers, group or id", text)


def _is_plain(example: Example) -> bool:
    """Whether nothing can be wrong, seen at a glance: one look at a time was a third of the time of loading."""
    references, context, group = example.references, example.context, example.group
    if type(references) is not tuple or type(example.id) is not str:
        return False
    optional = ("" if context is None else context, "" if group is None else group)
    try:
        "".join((example.inputs, example.target, example.id, *optional, *references)).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def _check_text(what: str, text: Any) -> None:
    if isinstance(text, str):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise NoTextError(what, text[error.start]) from error


def check_some_left(task: Task, split: str, bad: Sequence[BadRow], total: int) -> None:
    """Refuse to leave out a whole split.

    Args:
        task: For its name.
        split: The source's.
        bad: Of the rows that were looked at.
        total: How many those are.

    Raises:
        UserError: If all of them are bad.
    """
    if total and len(bad) == total:
        raise UserError(
            f"task '{task.name}': each of the {total:,} rows of split '{split}' is bad, so none is left to use. The "
            f"first, {bad[0].where}: {bad[0].reason}"
        )


def bad_row_notes(task: str, split: str, bad: Sequence[BadRow], total: int, *, scored: bool) -> list[str]:
    """A sentence on the rows that were left out, a warning if they are many; none if there are none.

    Args:
        task: Its name.
        split: The source's.
        bad: The rows.
        total: Rows of the split, with those.
        scored: Whether scores are reported on rows of this split.
    """
    if not bad:
        return []
    share = len(bad) / total
    warning = f"WARNING: more than {100 * MANY:g} % of the rows of a split are left out. " if share > MANY else ""
    fewer = (
        f", so scores are on {'part of ' if split == 'train' else ''}the other {total - len(bad):,}" if scored else ""
    )
    return [
        f"{warning}{task}: {len(bad):,} of {total:,} {split} rows ({100 * share:.2g} %) are bad and left out{fewer}. "
        f"The first, {bad[0].where}: {bad[0].reason}"
    ]
