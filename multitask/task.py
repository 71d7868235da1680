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

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from multitask.errors import UserError
from multitask.field_docs import explain_fields
from multitask.given_sources import as_source
from multitask.metrics import Metric, resolve_metrics
from multitask.plugins import load_entry_points
from multitask.python_sources import home_of
from multitask.registry import Place, Registry, holder_of, place_of
from multitask.short_repr import Plain, short_repr
from multitask.table import Row as Row

if TYPE_CHECKING:
    from multitask.sources import Source

OutputKind = Literal["labels", "span", "number", "text"]

MAY_BE_EMPTY = ("span", "text")
"""Kinds of output of which "" can be the right one."""

LONGEST_NAME = 200
"""Characters of a task's name: `best@NAME-1000000.ckpt` must be a file's name, which most systems end at 255."""

UNLABELLED = "<unk>"
"""The target of a row whose label is unknown (-1 in GLUE's test splits), as in T5's `preprocessors.glue`."""


class NoStringError(TypeError):
    """The input or the target of an Example is no string."""

    def __init__(self, inputs: object, target: object) -> None:
        super().__init__(
            f"an Example is made of two strings. Got inputs of type {type(inputs).__name__} and "
            f"target of type {type(target).__name__}."
        )
        self.value = target if isinstance(inputs, str) else inputs
        """What is no string, of both the first."""


@explain_fields
@dataclass(frozen=True, slots=True)
class Example:
    """One input and target pair, as strings.

    >>> Example("a gorgeous , witty film .", "positive").references
    ('positive',)
    """

    inputs: str
    """What the model reads; of a formatter's examples without the task's prefix, which is put in front later."""
    target: str
    """What the model is to write."""
    id: str = ""
    """Stable across runs: the pairing of runs rests on it. Left empty, the source's split and row number are used."""
    references: tuple[str, ...] = ()
    """All gold answers, for metrics that take the best over several; by default the target alone."""
    context: str | None = None
    """The text that a `span` is cut from, character for character as in the row. It must stand in `inputs`, except
    that characters may be replaced one for one (the tweets' backticks), and the answer is returned from here."""
    group: str | None = None
    """Examples that are scored together (MultiRC's question)."""

    def __post_init__(self) -> None:
        if not type(self.inputs) is type(self.target) is type(self.id) is str:
            self._make_plain("inputs", "target", "id")
            if not isinstance(self.inputs, str) or not isinstance(self.target, str):
                raise NoStringError(self.inputs, self.target)
        if self.context is not None or self.group is not None:
            self._make_plain("context", "group")
        if not self.references:
            object.__setattr__(self, "references", (self.target,))
        elif type(self.references) is tuple and any(type(r) is not str for r in self.references):
            plain = tuple(str.__str__(r) if isinstance(r, str) else r for r in self.references)
            object.__setattr__(self, "references", plain)

    def __repr__(self) -> str:
        return short_repr(self, self.inputs, self.target, id=self.id or None)

    def _make_plain(self, *names: str) -> None:
        """Strings of a class of their own (a cell of a csv file, numpy's) become strings."""
        for name in names:
            text = getattr(self, name)
            if isinstance(text, str) and type(text) is not str:
                object.__setattr__(self, name, str.__str__(text))

    def renewed(self, inputs: str, id: str) -> Example:
        """A copy with another input and id; `dataclasses.replace` takes five times as long, which 100,000 rows feel."""
        if type(self) is not Example:
            return dataclasses.replace(self, inputs=inputs, id=id)
        return Example(inputs, self.target, id, self.references, self.context, self.group)


Formatter = Callable[..., "Example | Iterable[Example]"]
"""`row -> Example`, or `row -> several` (an empty list leaves the row out). A formatter that also takes `split=`
("train", "validation", …) is told which split it formats: WSC trains on true examples only, but is scored on all."""


@explain_fields
@dataclass(frozen=True, slots=True)
class Decoding:
    """How predictions are made; the same in every arm of a study."""

    max_new_tokens: int = 64
    """Tokens that free generation may spend on one answer."""
    num_beams: int = 1
    """1 is greedy."""
    length_penalty: float = 1.0
    """Exponent of the length that a beam's score is divided by; only with `num_beams` above 1."""
    span: Literal["best", "expected", "likelihood", "greedy", "generate"] = "best"
    """For spans. `best`: the most probable of all pieces of the source, given that the output is one; found exactly,
    without looking at all of them (tweets, sentences). `expected`: of the
    most probable pieces the one with the largest expected word overlap. `likelihood`: the piece with the largest summed
    log-likelihood; short pieces win when the model is unsure. `greedy`: token by token under the constraint
    (passages). `generate`: freely, then aligned with the source: it can also cut inside a token."""
    no_answer: bool | None = None
    """For spans and text: whether "" can be the answer (a question that has none, as in SQuAD 2.0). A span is then
    compared with it by probability, and an empty text is not invalid. `None`: yes if a training target is empty,
    which a run keeps; so a task without such targets is decoded as if there were no such thing."""


@explain_fields
@dataclass(frozen=True)
class Task:
    """A task: everything between a row of its source and its score.

    A `Task` is callable on a row, works without being registered, and pickles by name when it is registered (a
    spawned worker looks it up; the decorator replaced the function that pickle would have looked for).
    """

    name: str
    """What `--tasks` says, and the name of its files in a run folder: letters, digits, `_` and `-`."""
    formatter: Formatter
    """`row -> Example`, without the prefix."""
    prefix: str = ""
    """Put in front of every input. Two tasks with one prefix are refused: the model could not tell them apart."""
    source: Source | None = None
    """Where rows come from when `--data` does not say otherwise; what `register_task` takes becomes a source."""
    labels: tuple[str, ...] = ()
    """The possible targets of a classification task. They are scored, not generated."""
    metrics: tuple[Metric, ...] = ()
    """The first is the primary one: it stands in tables and chooses checkpoints."""
    output: OutputKind = "text"
    """Which kind of string comes out; it chooses the decoder and the baseline."""
    postprocess: Callable[[str, Example], str] | None = None
    """From the decoded string to what is scored, given the example too."""
    folder: str = ""
    """The folder under `--data` that holds its files, if it is not the task's name (two tasks on the same rows)."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Renamed columns, {the name the formatter uses: the name in the file}."""
    max_input_tokens: int = 512
    """Longer inputs are cut at the end, and counted."""
    max_target_tokens: int = 128
    """Longer targets are cut in training, and counted. Scores are always against the whole target."""
    decoding: Decoding = field(default_factory=Decoding)
    """How predictions are made."""
    version: int = 1
    """Raised when a change makes scores incomparable; part of a run's address."""
    description: str = ""
    """One line for `multitask tasks`."""

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in "_-" for c in self.name) or not self.name.isascii():
            raise UserError(f"task name {self.name!r} must be made of ASCII letters, digits, '_' and '-'.")
        if len(self.name) > LONGEST_NAME:
            raise UserError(
                f"task name '{self.name[:30]}…' has {len(self.name)} characters; it names files, and may have "
                f"{LONGEST_NAME} at most."
            )
        if not self.folder:
            object.__setattr__(self, "folder", self.name)
        if self.output == "labels" and len(self.labels) < 2:
            raise UserError(f"task '{self.name}' scores labels, so it needs two or more. Got {list(self.labels)}.")
        if len(set(self.labels)) != len(self.labels):
            raise UserError(f"task '{self.name}' has a label twice: {list(self.labels)}.")
        if not self.metrics:
            raise UserError(f"task '{self.name}' has no metric; give metrics=[\"accuracy\"] or another.")
        if self.source is not None:
            object.__setattr__(self, "source", as_source(self.source, self.name, home_of(self.formatter)))
        if not isinstance(self.decoding, Decoding):
            raise TypeError(f"decoding must be a Decoding. Got {type(self.decoding).__name__}.")
        if self.decoding.no_answer is not None and self.output not in MAY_BE_EMPTY:
            raise UserError(
                f"task '{self.name}' has output {self.output!r} and sets no_answer, which is for spans and text alone."
            )

    def __repr__(self) -> str:
        metrics = Plain(", ".join(metric.name for metric in self.metrics))
        kind = {"labels": list(self.labels)} if self.labels else {"output": self.output}
        return short_repr(self, self.name, prefix=self.prefix, **kind, metrics=metrics)

    def _repr_html_(self) -> str:
        from multitask.task_list import task_table

        return task_table(self)._repr_html_()

    @property
    def primary(self) -> Metric:
        """The metric that tables and checkpoint choice use."""
        return self.metrics[0]

    def examples(self, row: Row, split: str = "validation") -> list[Example]:
        """What the row becomes, prefix in front: usually one example, for some tasks none or several."""
        return [one.renewed(self.prefix + one.inputs, one.id) for one in self.formatted(row, split)]

    def formatted(self, row: Row, split: str = "validation") -> list[Example]:
        """The same without the prefix."""
        extra = {"split": split} if takes_split(self.formatter) else {}
        made = self.formatter(_Renamed(row, self.columns) if self.columns else row, **extra)
        if isinstance(made, Example):
            made = [made]
        elif not isinstance(made, (list, tuple, Iterator, Generator)):
            raise TypeError(
                f"the formatter of task '{self.name}' must return an Example or a list of them. "
                f"Got {type(made).__name__}."
            )
        out = []
        for one in made:
            if not isinstance(one, Example):
                raise TypeError(
                    f"the formatter of task '{self.name}' must return Examples. Got a list with {type(one).__name__}."
                )
            if self.labels and one.target not in self.labels and one.target != UNLABELLED:
                raise ValueError(
                    f"target {one.target!r} is not one of the labels of task '{self.name}': {list(self.labels)}."
                )
            out.append(one)
        return out

    def __call__(self, row: Row, split: str = "validation") -> Example:
        """The one example that `row` becomes.

        Raises:
            ValueError: If the row becomes none or several; `examples` gives those.
        """
        made = self.examples(row, split)
        if len(made) != 1:
            raise ValueError(
                f"this row becomes {len(made)} examples of task '{self.name}'; call task.examples(row) for them."
            )
        return made[0]

    def with_no_answer(self, targets: Iterable[str]) -> Task:
        """The task with `decoding.no_answer` settled: as set, else whether one of the training `targets` is empty."""
        if self.output not in MAY_BE_EMPTY or self.decoding.no_answer is not None:
            return self
        empty = any(not target.strip() for target in targets)
        return dataclasses.replace(self, decoding=dataclasses.replace(self.decoding, no_answer=empty))

    def replace(self, **changes: Any) -> Task:
        """A copy with some fields changed, e.g. `task.replace(columns={"sentence": "text"})`."""
        if "metrics" in changes:
            changes["metrics"] = resolve_metrics(changes["metrics"])
        return dataclasses.replace(self, **changes)

    def __reduce__(self) -> tuple[Any, ...]:
        # By name where the name leads back to this object; a changed or unregistered task goes field by field, and
        # then its formatter must be importable as any pickled function.
        if TASKS.registered().get(self.name) is self:
            return _task_by_name, (self.name,)
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        origin = next((t.name for t in TASKS.registered().values() if t.formatter is self.formatter), None)
        if origin is not None:  # a changed copy: the formatter's own name leads to the Task that the decorator made
            fields["formatter"] = None
        return _task_by_fields, (fields, origin)


class _Renamed(Mapping[str, Any]):
    """A row seen under the formatter's column names."""

    def __init__(self, row: Row, columns: Mapping[str, str]) -> None:
        self._row, self._columns = row, columns

    def __getitem__(self, name: str) -> Any:
        return self._row[self._columns.get(name, name)]

    def __iter__(self) -> Any:
        back = {v: k for k, v in self._columns.items()}
        return (back.get(name, name) for name in self._row)

    def __len__(self) -> int:
        return len(self._row)


@functools.cache  # asked for every row; reading a signature takes longer than formatting one
def takes_split(formatter: Formatter) -> bool:
    """Whether a formatter has a parameter `split`."""
    try:
        return "split" in inspect.signature(formatter).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False


def _task_by_name(name: str) -> Task:
    return TASKS.get(name)


def _task_by_fields(fields: dict[str, Any], origin: str | None) -> Task:
    if origin is not None:
        fields = {**fields, "formatter": TASKS.get(origin).formatter}
    return Task(**fields)


BUILT_IN = "multitask.tasks"
"""The package of the built-in tasks, which is loaded like a plug-in: its modules register them."""


def _load_builtin_tasks() -> None:
    """The built-in collection and the entry points of installed packages, on the first look-up."""
    importlib.import_module(BUILT_IN)
    load_entry_points(_add_plugin)


def _add_plugin(loaded: object, holder: str) -> None:
    tasks = [loaded] if isinstance(loaded, Task) else loaded
    if not isinstance(tasks, Iterable) or isinstance(tasks, str):
        raise UserError(f"it must be a module, a Task or a list of Tasks, and is a {type(loaded).__name__}.")
    for task in tasks:
        if not isinstance(task, Task):
            raise UserError(f"it must be a module, a Task or a list of Tasks, and holds a {type(task).__name__}.")
        if TASKS.registered().get(task.name) is not task:  # made by the decorator: it is there already
            add_task(task, holder)


TASKS: Registry[Task] = Registry("task", load=_load_builtin_tasks)
"""All registered tasks."""


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
