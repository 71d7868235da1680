"""Inputs without targets, from a terminal, a file or Python, as Examples of a task.

Words
    stand-in    a value that is put where a row lacks a column, to learn whether its input depends on that column
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from multitask.errors import UserError
from multitask.task import UNLABELLED, Example, Task


def new_examples(task: Task, inputs: Iterable[str | Mapping[str, Any]]) -> list[Example]:
    """Strings and rows as Examples without targets, prefix in front.

    Raises:
        UserError: If a row lacks a column that its input is made of, or does not fit the task.
    """
    stand_ins: dict[str, Any] = {}
    return [
        text_example(task, one, number) if isinstance(one, str) else row_example(task, one, number, stand_ins)
        for number, one in enumerate(inputs, 1)
    ]


def text_example(task: Task, line: str, number: int) -> Example:
    """What comes after the prefix, as an Example."""
    text, context = line.removeprefix(task.prefix), None
    if task.output == "span":
        # T5's field marker, as in "positive text: so happy today"; without one, the text is all there is.
        head, marker, rest = text.partition(" text: ")
        context = rest if marker else text
        text = (head + marker if marker else "") + context.replace("`", "'")
    return Example(task.prefix + text, UNLABELLED, id=str(number), context=context)


class _MissingColumnError(KeyError):
    """Told from a KeyError of the formatter's own dictionaries."""


class _Row(dict[str, Any]):
    def __missing__(self, column: str) -> Any:
        raise _MissingColumnError(column)


def row_example(task: Task, row: Mapping[str, Any], number: int, stand_ins: dict[str, Any]) -> Example:
    """A row as an Example; columns that only the target is made of may be missing.

    Args:
        task: The task.
        row: {column: value}.
        number: Of the row, from 1, for errors.
        stand_ins: What was learnt from the rows before, {target column: a value that the formatter takes}.

    Raises:
        UserError: If a column that the input is made of is missing, or the row does not fit the task.
    """
    try:
        made = _formatted(task, {**stand_ins, **row}, stand_ins)
    except _MissingColumnError as error:
        raise UserError(
            f"row {number} has no column '{error.args[0]}', which the input of task '{task.name}' is made of; "
            f"it has {', '.join(map(str, row)) or 'no columns'}."
        ) from error
    except Exception as error:  # the formatter is the user's, so anything may come
        kind = "" if isinstance(error, (UserError, ValueError)) else f"{type(error).__name__}: "
        raise UserError(f"row {number} does not fit task '{task.name}': {kind}{error}") from error
    if len(made) != 1:
        raise UserError(f"row {number} becomes {len(made)} examples of task '{task.name}'; give one at a time.")
    if stand_ins.keys() - row.keys():  # the target is made of a stand-in
        return dataclasses.replace(made[0], target=UNLABELLED, references=(UNLABELLED,))
    return made[0]


def _formatted(task: Task, row: dict[str, Any], stand_ins: dict[str, Any]) -> list[Example]:
    """The row's examples. A missing column is the target's if two different stand-ins make the same input of it."""
    try:
        return task.examples(_Row(row), split="test")
    except _MissingColumnError as error:
        missing = error
    column = missing.args[0]
    labels = task.labels[:2] or (UNLABELLED, "")
    for one, other in (
        ("a b c d e f g h", "i j k l m n o p"),  # long enough for a text of which denoising masks a part
        *((-1, 0), (0, 1), (0.0, 1.0)),  # a number; -1 is "unknown" in GLUE's test splits
        *(labels, (None, "")),
        *(({"text": ["a"]}, {"text": ["b"]}), (["a"], ["b"])),  # answers, as in SQuAD and in ReCoRD
    ):
        learnt: dict[str, Any] = {}
        try:
            first, second = (_formatted(task, {**row, column: value}, learnt) for value in (one, other))
        except _MissingColumnError:
            raise  # of another column, which the input is made of
        except Exception:  # the formatter takes no such value here
            continue
        inputs = [[(e.inputs, e.context) for e in examples] for examples in (first, second)]
        if inputs[0] and inputs[0] == inputs[1]:
            stand_ins.update({**learnt, column: one})
            return first
        if inputs[0] and inputs[1]:
            break
    raise missing


def read_inputs(lines: Iterable[str], *, name: str) -> list[str | dict[str, Any]]:
    """Lines as inputs: plain text, or JSON objects as rows. Empty lines are left out.

    Raises:
        UserError: If a line that begins as a JSON object is not one.
    """
    inputs: list[str | dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        if text.lstrip().startswith("{"):
            try:
                row = json.loads(text)
            except ValueError as error:
                raise UserError(f"{name}, line {number}: begins as a JSON object but is none: {error}.") from error
            inputs.append(row)
        else:
            inputs.append(text)
    return inputs
