"""Inputs without targets, from a terminal, a file or Python, as Examples of a task.

Words
    placeholder a value that is put where a row lacks a column, to learn whether its input depends on that column
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from multitask.errors import UserError
from multitask.examples.bad_rows import MissingColumnError, check_example, divider_of, formatted_row
from multitask.sources.readers import READERS, ending_of, read_rows
from multitask.sources.split_files import COMPRESSED
from multitask.sources.table import Rows
from multitask.storage.compression import UNPACKERS
from multitask.storage.strict_json import JsonError, parse_json
from multitask.task import UNLABELLED, Example, Task
from multitask.terminal.escaping import shown


class FormatterNeededError(UserError):
    """A row of a task of which only the words are known, and not how it makes an input of a row."""


def new_examples(task: Task, inputs: Iterable[str | Mapping[str, Any]], first: int = 1) -> list[Example]:
    """Strings and rows as Examples without targets, prefix in front.

    Args:
        task: The task.
        inputs: Strings (what comes after the prefix) and rows.
        first: The number of the first one, for ids and errors.

    Raises:
        UserError: If a row lacks a column that its input is made of, or does not fit the task.
    """
    made = []
    for number, one in enumerate(inputs, first):
        where = inputs.where(number - first) if isinstance(inputs, Rows) else f"row {number}"
        example = text_example(task, one, number) if isinstance(one, str) else row_example(task, one, number, where)
        try:
            check_example(example)
        except (TypeError, ValueError) as error:
            raise UserError(f"{where} does not fit task '{task.name}': {error}") from error
        made.append(example)
    return made


def text_example(task: Task, line: str, number: int) -> Example:
    """Make an Example of a text that comes after the prefix."""
    text, context = line.removeprefix(task.prefix), None
    if task.output == "span":
        # T5's field marker, as in "positive text: so happy today"; without one, the text is all there is.
        head, marker, rest = text.partition(" text: ")
        context = rest if marker else text
        text = (head + marker if marker else "") + context.replace("`", "'")
    return Example(task.prefix + text, UNLABELLED, id=str(number), context=context)


STAND_INS: tuple[Any, ...] = (
    *("a b c d e f g h", "i j k l m n o p"),  # long enough for a text of which denoising masks a part
    *(-1, 0, 1, 1000),  # labels, of which -1 is "unknown" in GLUE's test splits, and a position far off
    *({"text": ["a"]}, {"text": ["b"]}, ["a"], ["b"]),  # answers, as in SQuAD and in ReCoRD
    UNLABELLED,
)
"""Values of all kinds that columns have."""


def row_example(task: Task, row: Mapping[str, Any], number: int, where: str | None = None) -> Example:
    """A row as an Example; columns that only the target is made of may be missing.

    Args:
        task: The task.
        row: {column: value}.
        number: Of the row, from 1.
        where: Names the row in errors, "rows.tsv, line 3"; by default "row" and its number.

    Raises:
        UserError: If a column that the input is made of is missing, or the row does not fit the task.
    """
    where = where or f"row {number}"
    try:
        made, complete = _formatted(task, dict(row))
    except MissingColumnError as error:
        mark = divider_of(row, str(error.args[0]))
        fix = "" if mark is None else f": its fields are divided by {mark!r}; write commas, or tabs in a .tsv"
        raise UserError(
            f"{where} has no column '{error.args[0]}', which the input of task '{task.name}' is made of; "
            f"it has {shown(', '.join(map(str, row))) or 'no columns'}{fix}."
        ) from error
    except FormatterNeededError:
        raise
    except Exception as error:  # the formatter is the user's, so anything may come
        kind = "" if isinstance(error, (UserError, ValueError)) else f"{type(error).__name__}: "
        raise UserError(f"{where} does not fit task '{task.name}': {kind}{shown(error, 240)}") from error
    if len(made) != 1:
        raise UserError(f"{where} becomes {len(made)} examples of task '{task.name}'; give one at a time.")
    return made[0] if complete else dataclasses.replace(made[0], target=UNLABELLED, references=(UNLABELLED,))


def _formatted(task: Task, row: dict[str, Any]) -> tuple[list[Example], bool]:
    """The row's examples, and whether it had all columns.

    A missing column is the target's if all placeholders that the formatter takes, two or more, make one input. That
    is asked for every row anew: what leaves no trace in one input (which of one pronoun is meant) may decide another.
    """
    try:
        made = formatted_row(task, row, "test")
        return [one.renewed(task.prefix + one.inputs, one.id) for one in made], True
    except MissingColumnError as error:
        missing = error
    several = []
    other: MissingColumnError | None = None
    for value in (*STAND_INS, *task.labels[:2]):
        try:
            examples, _ = _formatted(task, {**row, missing.args[0]: value})
        except MissingColumnError as error:
            other = error
            continue
        except Exception:  # noqa: S112  # the formatter takes no such value here: that is what is being asked
            continue
        if examples:
            several.append(examples)
    if not several and other is not None:  # whatever stands here, another column is missing, and the input's
        raise other
    inputs = [[(e.inputs, e.context) for e in examples] for examples in several]
    if len(several) < 2 or any(one != inputs[0] for one in inputs):
        raise missing
    return several[0], False


def read_input_file(path: Path) -> Rows | None:
    """The rows of a file of rows, by the ending of its name; None for a file of lines: .txt, or any other ending.

    Each may be compressed; of a file of lines `compression.unpacked` gives what is in it.

    Raises:
        UserError: If it is an archive, cannot be read, or is malformed.
    """
    ending = ending_of(path)
    if path.suffix.lower() in COMPRESSED and path.suffix.lower() not in UNPACKERS:
        raise UserError(
            f"--input {path} is packed in a way that is not read (those that are: {', '.join(UNPACKERS)}); unpack it."
        )
    return read_rows(path) if ending in READERS and ending != ".txt" else None


def check_no_header(task: Task, lines: Sequence[str], *, name: str) -> None:
    """Refuse lines of which the first names the task's columns: those of a table, that would be answered as a text.

    Raises:
        UserError: If it does.
    """
    first = lines[0].rstrip("\r") if lines else ""
    try:
        formatted_row(task, {}, "test")
    except MissingColumnError as error:
        column = str(error.args[0])
    except Exception:  # a formatter that asks for no column by its name
        return
    else:
        return
    for separator in ("\t", ",", ";", "|"):
        names = [one.strip("\"'") for one in first.split(separator)]  # with spaces around it is a word of a sentence
        if column in names and (len(names) > 1 or any(line.strip() for line in lines[1:])):
            raise UserError(
                f"{name}: the first line, {shown(first, 60)!r}, has the name of the column '{shown(column, 60)}', so "
                f"these are rows of a table; give them as --input FILE with an ending that says of which kind: "
                f"{', '.join(e for e in READERS if e != '.txt')}."
            )


def read_inputs(lines: Iterable[str], *, name: str, first: int = 1) -> list[str | dict[str, Any]]:
    """Lines as inputs: plain text, or JSON objects as rows. Empty lines are left out.

    Args:
        lines: With or without their ends.
        name: Where they come from, for errors.
        first: The number of the first line.

    Raises:
        UserError: If a line that begins as a JSON object is not one; if all lines together are a JSON list.
    """
    lines = list(lines)
    text = "\n".join(lines).strip()
    if text.startswith("[") and text.endswith("]") and _is_json(text):
        raise UserError(f"{name}: this is a JSON list; write one object a line, or give it as --input FILE.json.")
    inputs: list[str | dict[str, Any]] = []
    for number, line in enumerate(lines, first):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        if text.lstrip().startswith("{"):
            try:
                row = parse_json(text)
            except JsonError as error:
                raise UserError(f"{name}, line {number}: begins as a JSON object: {error.reason}.") from error
            inputs.append(row)
        else:
            inputs.append(text)
    return inputs


def _is_json(text: str) -> bool:
    try:
        parse_json(text)
    except JsonError:
        return False
    return True
