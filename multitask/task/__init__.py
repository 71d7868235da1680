"""What a task is: how a row becomes a pair of strings, and how a generated string becomes a score.

Words
    row       a mapping from column names to values, as the source gives it
    example   `Example`: the input and target *strings*, plus what evaluation needs (several gold answers, the
              source text of a span, the group of a question)
    prefix    the string that tells the model which task this is; a field of the task, put in front in one place
              (`Task.examples`), so that training, evaluation and prediction cannot differ in it
    output    the kind of string that comes out: one of a few `labels`, a `span` of the source, a `number`, free `text`
"""

from __future__ import annotations

from multitask.sources.table import Row
from multitask.task.example import MAY_BE_EMPTY, UNLABELLED, Example, NoStringError, OutputKind
from multitask.task.registering import DEFAULT_METRIC, add_task, register_task
from multitask.task.task import TASKS, Decoding, Task, takes_split

__all__ = [
    "DEFAULT_METRIC",
    "MAY_BE_EMPTY",
    "TASKS",
    "UNLABELLED",
    "Decoding",
    "Example",
    "NoStringError",
    "OutputKind",
    "Row",
    "Task",
    "add_task",
    "register_task",
    "takes_split",
]
