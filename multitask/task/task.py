"""`Task`: a formatter with all that is fixed about it, and the registry of tasks."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from multitask.errors import UserError
from multitask.field_docs import explain_fields
from multitask.metrics.metric import Metric
from multitask.metrics.naming import resolve_metrics
from multitask.registry import Registry
from multitask.short_repr import Plain, short_repr
from multitask.sources.given import as_source
from multitask.sources.in_memory import home_of
from multitask.sources.table import Row
from multitask.task.example import LONGEST_NAME, MAY_BE_EMPTY, UNLABELLED, Example, Formatter, OutputKind

if TYPE_CHECKING:
    from multitask.sources.protocol import Source


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
        object.__setattr__(self, "metrics", resolve_metrics(self.metrics))
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
        from multitask.task.table import task_table

        return task_table(self)._repr_html_()

    @property
    def primary(self) -> Metric:
        """The metric that tables and checkpoint choice use."""
        return self.metrics[0]

    def examples(self, row: Row, split: str = "validation") -> list[Example]:
        """Make the examples of a row, prefix in front: usually one, for some tasks none or several."""
        return [one.renewed(self.prefix + one.inputs, one.id) for one in self.formatted(row, split)]

    def formatted(self, row: Row, split: str = "validation") -> list[Example]:
        """Make the examples of a row without the prefix."""
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


TASKS: Registry[Task] = Registry("task")
"""All registered tasks."""
