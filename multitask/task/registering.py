"""Registering tasks: by a decorator, by hand, from the built-in collection and from plug-ins."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError
from multitask.metrics.metric import Metric
from multitask.metrics.naming import resolve_metrics
from multitask.plugins import load_entry_points
from multitask.registry import Place, holder_of, place_of

if TYPE_CHECKING:
    from multitask.sources.protocol import Source
from multitask.task.example import Example, Formatter, OutputKind
from multitask.task.task import TASKS, Decoding, Task

BUILT_IN = "multitask.tasks"
"""The package of the built-in tasks, which is loaded like a plug-in: its modules register them."""


def _load_builtin_tasks() -> None:
    """The built-in collection and the entry points of installed packages, on the first look-up."""
    importlib.import_module(BUILT_IN)
    load_entry_points(_add_plugin)


TASKS.fill_with(_load_builtin_tasks)


def _add_plugin(loaded: object, holder: str) -> None:
    tasks = [loaded] if isinstance(loaded, Task) else loaded
    if not isinstance(tasks, Iterable) or isinstance(tasks, str):
        raise UserError(f"it must be a module, a Task or a list of Tasks, and is a {type(loaded).__name__}.")
    for task in tasks:
        if not isinstance(task, Task):
            raise UserError(f"it must be a module, a Task or a list of Tasks, and holds a {type(task).__name__}.")
        if TASKS.registered().get(task.name) is not task:  # made by the decorator: it is there already
            add_task(task, holder)


def register_task(
    name: str | None = None,
    *,
    prefix: str | None = None,
    source: Source | Any | None = None,
    labels: Sequence[str] = (),
    metrics: Sequence[str | Metric] = (),
    output: OutputKind | None = None,
    postprocess: Callable[[str, Example], str] | None = None,
    folder: str = "",
    columns: Mapping[str, str] | None = None,
    max_input_tokens: int = 512,
    max_target_tokens: int = 128,
    decoding: Decoding | None = None,
    version: int = 1,
    description: str = "",
    replace: bool = False,
) -> Callable[[Formatter], Task]:
    """Register the decorated formatter as a task; the function's name is the task's, unless `name` says otherwise.

    A cell of a notebook can be run again, and a module reloaded: what it registered is replaced. From anywhere else a
    name that is taken is refused, unless `replace` is true.

    Args:
        name: The task's name.
        prefix: Put in front of every input, `"NAME: "` by default.
        source: Where rows come from without `--data`: rows (a list, a pandas frame, a `datasets.Dataset`),
            {split: rows}, a function of the split's name that returns or yields rows, a path (a file, a folder, a
            pattern), `multitask.files(…)` for files of another form, or `multitask.hub(…)`.
        labels: The possible targets of a classification task, in the order of their ids.
        metrics: Names or `Metric`s, the primary one first. By default what fits the output: accuracy for labels,
            jaccard for spans, pearson for numbers, rouge_l for text.
        output: `"labels"`, `"span"`, `"number"` or `"text"`; by default labels if there are labels, else text.
        postprocess: `(decoded string, example) -> string to score`.
        folder: The folder under `--data`, if it is not the name.
        columns: {the name the formatter uses: the name in the file}.
        max_input_tokens: Longer inputs are cut, and counted.
        max_target_tokens: Longer training targets are cut, and counted.
        decoding: Beams, length and kind of search.
        version: Raise it when a change makes old scores incomparable.
        description: One line; by default the first line of the function's or its module's docstring.
        replace: Take the name from the task that has it.

    Raises:
        UserError: If the name or the prefix is taken, a metric is unknown, or it is not called.

    >>> from multitask import Example, register_task
    >>> @register_task(prefix="route ticket: ", labels=("billing", "technical"), metrics=["accuracy"])
    ... def ticket(row):
    ...     return Example(row["body"], row["queue"])
    >>> ticket({"body": "My card was charged twice", "queue": "billing"}).inputs
    'route ticket: My card was charged twice'
    >>> from multitask.task import TASKS
    >>> TASKS.discard("ticket")
    """
    if name is not None and not isinstance(name, str):
        raise UserError("register_task is called with or without a name: write @register_task() above the function.")

    def register(formatter: Formatter) -> Task:
        kind: OutputKind = output or ("labels" if labels else "text")
        task = Task(
            name=name or formatter.__name__,
            formatter=formatter,
            prefix=f"{name or formatter.__name__}: " if prefix is None else prefix,
            source=source,
            labels=tuple(labels),
            metrics=resolve_metrics(metrics or [DEFAULT_METRIC[kind]]),
            output=kind,
            postprocess=postprocess,
            folder=folder,
            columns=dict(columns or {}),
            max_input_tokens=max_input_tokens,
            max_target_tokens=max_target_tokens,
            decoding=decoding or Decoding(),
            version=version,
            description=description or _first_line(formatter),
        )
        return _add_task(task, holder_of(formatter), place_of(formatter), replace)

    return register


def add_task(task: Task, holder: str = "a call of add_task", *, replace: bool = False) -> Task:
    """Register a task that was made by hand; refuses a prefix that another task has.

    Args:
        task: The task.
        holder: Who registers it, for the error of the next who takes the name.
        replace: Take the name from the task that has it. A cell of a notebook that is run again may do so in any case.

    Raises:
        UserError: If the name or the prefix is taken.
    """
    return _add_task(task, holder, place_of(task.formatter), replace)


def _add_task(task: Task, holder: str, place: Place, replace: bool) -> Task:
    TASKS.load()  # so that it is the newcomer that is refused, not the built-in task that holds the name
    for other in TASKS.registered().values():
        if other.prefix == task.prefix and other.name != task.name:
            raise UserError(
                f"task '{task.name}' has the prefix {task.prefix!r} of task '{other.name}' "
                f"({TASKS.holder(other.name)}): the model could not tell them apart. Give it another prefix."
            )
    return TASKS.add(task.name, task, holder, place=place, replace=replace)


DEFAULT_METRIC: dict[str, str] = {"labels": "accuracy", "span": "jaccard", "number": "pearson", "text": "rouge_l"}
"""The primary metric of a task that names none."""


def _first_line(formatter: Formatter) -> str:
    module = inspect.getmodule(formatter)
    text = inspect.getdoc(formatter) or (inspect.getdoc(module) if module else "") or ""
    return text.strip().splitlines()[0] if text.strip() else ""
