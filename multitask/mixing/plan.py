"""The mixing plan: step k → the rows of each task, as a pure function.

Words
    step      one optimizer step; steps are counted from 0, so step k is the one after k steps
    b         examples of a task per step, on average: a fraction, or a ramp over the steps
    phase     φ in [0, 1) of a task, from (seed, task) alone: where in its own beat it begins
    count     a task's examples after k steps: floor(k·b + φ); with a schedule, of the sum of its b over steps 0 … k−1
    stream    the endless sequence of a task's rows (`permutation`), depending on (seed, task, size) only
    restrict  the plan of some of its tasks, each exactly as before

Step k holds the positions count(k) … count(k + 1) − 1 of each task's stream. So a task's share is exact to within one
example at every step; it sees the same rows at the same steps whatever its company; resuming is asking for another k;
and workers or processes cannot change anything, for there is no state. In a plain run b = batch size × rate; a study
fixes b for each task, so that adding a task leaves the others' examples where they were.

Why phases: with floor(k·b) tasks of equal b take their turns in the same steps. 29 equal tasks at batch size 64 gave
steps of 58 and of 87 examples and nothing between, 256 tasks at 64 gave 256 examples every fourth step and none in the
others. With independent phases a step of n tasks has B = Σ b examples with a standard deviation of √(Σ f(1−f)), where f
is the fractional part of b, and is empty with a probability of Π(1−b) ≤ e^−B if all b are below 1, else never. Where b
is whole, φ changes nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from multitask.errors import UserError
from multitask.field_docs import explain_fields
from multitask.mixing.permutation import MAX_ROWS, stream_rows
from multitask.mixing.schedule import Ramp, RateSchedule, exact
from multitask.registry import did_you_mean
from multitask.short_repr import Plain, short_repr
from multitask.tables.table import text_table

FORMAT = 2
"""Raised when a stored plan, or what a plan means, changes: a study's cells are only comparable within one format.
1: count = floor(k·b), and a task's loss weighted by b / B. 2: floor(k·b + φ), and by its examples in the step / B."""
PHASE_BITS = 64
"""A phase is an integer below 2^64, over 2^64."""


@functools.lru_cache(maxsize=4096)
def phase(seed: int, task: str) -> int:
    """φ · 2^64 of a task: an integer in 0 … 2^64−1, uniform over tasks and seeds, from (seed, task) alone.

    A hash of its own, so that it says nothing of the order of the task's rows.
    """
    name = f"{int(seed)}/{task}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=PHASE_BITS // 8, person=b"multitask phase").digest(), "big")


@explain_fields
@dataclass(frozen=True, eq=True)
class MixingPlan:
    """Which rows of which task are in which step; see the module.

    Tasks are kept in the order of their names, so that a plan does not depend on the order in which they were given.

    >>> plan = MixingPlan({"span": 900, "sst2": 100}, {"span": 3, "sst2": "1/2"}, seed=0)
    >>> [plan.count("sst2", k) for k in range(5)]
    [0, 1, 1, 2, 2]
    >>> [{task: len(rows) for task, rows in plan.step(k).items()} for k in range(2)]
    [{'span': 3, 'sst2': 1}, {'span': 3}]
    >>> plan.restrict(["sst2"]).step(0)["sst2"] == plan.step(0)["sst2"]
    array([ True])
    """

    sizes: Mapping[str, int]
    """{task: rows}."""
    per_step: Mapping[str, Fraction | Ramp]
    """{task: b}, 0 or more. Numbers and strings such as "1/3" are taken too; see `multitask.mixing.schedule.exact`."""
    seed: int = 0
    """Any integer: the order of every stream."""

    def __post_init__(self) -> None:
        if not self.sizes:
            raise UserError("a plan needs one or more tasks. Got none.")
        if self.sizes.keys() != self.per_step.keys():
            odd = sorted(self.sizes.keys() ^ self.per_step.keys())
            raise ValueError(f"sizes and per_step must name the same tasks. Only one of them has {', '.join(odd)}.")
        for task, size in self.sizes.items():
            if size < 1:
                raise UserError(f"Task '{task}' has {size} training examples; a mixture needs one or more.")
            if size > MAX_ROWS:
                raise ValueError(f"task '{task}' has {size} rows; a plan can address 2^62.")
        # Through the back door of a frozen class, once: the mappings are copied, and what is equal looks equal.
        object.__setattr__(self, "sizes", {task: int(self.sizes[task]) for task in sorted(self.sizes)})
        object.__setattr__(
            self, "per_step", {task: _per_step(task, self.per_step[task]) for task in sorted(self.sizes)}
        )
        object.__setattr__(self, "seed", int(self.seed))

    def __repr__(self) -> str:
        b = (f"{task}={'a ramp' if isinstance(b, Ramp) else b}" for task, b in self.per_step.items())
        return short_repr(self, Plain(", ".join(b)), rows=sum(self.sizes.values()), seed=self.seed)

    def _repr_html_(self) -> str:
        b = ((task, "a ramp" if isinstance(b, Ramp) else f"{float(b):g}") for task, b in self.per_step.items())
        rows = [(task, f"{self.sizes[task]:,}", said) for task, said in b]
        return text_table(f"Mixing plan, seed {self.seed}", ("task", "rows", "examples a step"), rows)._repr_html_()

    @classmethod
    def from_rates(
        cls,
        sizes: Mapping[str, int],
        rates: Mapping[str, float] | RateSchedule,
        batch_size: int,
        seed: int = 0,
    ) -> MixingPlan:
        """The plan of a plain run: b = batch size × rate.

        Args:
            sizes: {task: rows}.
            rates: Relative rates of the same tasks, constant or over the steps.
            batch_size: Examples per step over all tasks, on average: a single step may have a few more or fewer.
            seed: The order of every stream.

        >>> plan = MixingPlan.from_rates({"span": 900, "sst2": 100}, {"span": 0.9, "sst2": 0.1}, batch_size=32)
        >>> plan.per_step["sst2"]
        Fraction(16, 5)
        """
        if batch_size < 1:
            raise UserError(f"the batch size must be 1 or more. Got {batch_size}.")
        schedule = rates if isinstance(rates, RateSchedule) else RateSchedule(((0, rates),))
        return cls(sizes, {task: schedule.ramp(task, batch_size) for task in schedule.tasks}, seed)

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(self.sizes)

    def count(self, task: str, steps: int) -> int:
        """Examples of `task` given after `steps` steps: floor(steps × b + φ), or the floor of the sum of its ramp + φ.

        Less than one from steps × b, in both directions.
        """
        b = self._known(task)
        if isinstance(b, Ramp):
            return b.whole(steps, self.phase(task))
        if steps < 0:
            raise ValueError(f"steps are counted from 0. Got {steps}.")
        numerator, denominator, offset = self._turns[task]
        return (int(steps) * numerator + offset) // denominator

    def phase(self, task: str) -> int:
        """φ · 2^64 of `task`; see `phase`."""
        return phase(self.seed, task)

    @functools.cached_property
    def _turns(self) -> dict[str, tuple[int, int, int]]:
        """{task: (p, q, floor(φ·q))} of constant b = p/q: floor(k·p/q + φ) = (k·p + floor(φ·q)) // q, in integers."""
        return {
            task: (b.numerator, b.denominator, self.phase(task) * b.denominator >> PHASE_BITS)
            for task, b in self.per_step.items()
            if not isinstance(b, Ramp)
        }

    def per_step_at(self, task: str, step: int) -> Fraction:
        """Examples of `task` per step, on average, at `step`: its b, which is constant unless there is a schedule."""
        b = self._known(task)
        return b.at(step) if isinstance(b, Ramp) else b

    def step(self, k: int) -> dict[str, NDArray[np.int64]]:
        """The rows of each task in step k, in the order of the stream; a task without examples in it is left out.

        A step of few tasks, all with b below 1, may be empty.
        """
        if k < 0:
            raise ValueError(f"steps are counted from 0. Got {k}.")
        k, found = int(k), {}
        for task, b in self.per_step.items():  # `count` twice, without its checks: with 256 tasks they cost more
            if isinstance(b, Ramp):
                start, stop = b.whole(k, self.phase(task)), b.whole(k + 1, self.phase(task))
            else:
                numerator, denominator, offset = self._turns[task]
                before = k * numerator + offset
                start, stop = before // denominator, (before + numerator) // denominator
            if stop > start:
                found[task] = stream_rows(self.seed, task, self.sizes[task], start, stop)
        return found

    def rows(self, task: str, start: int, stop: int) -> NDArray[np.int64]:
        """The rows [stop − start] at positions start … stop−1 of the task's stream."""
        self._known(task)
        return stream_rows(self.seed, task, self.sizes[task], start, stop)

    def epochs(self, task: str, steps: int) -> float:
        """How often `task` was read, on average over its rows, after `steps` steps."""
        return self.count(task, steps) / self.sizes[task]

    def restrict(self, tasks: Iterable[str]) -> MixingPlan:
        """Take the other tasks' examples out of the plan: an arm of a study at equal exposure."""
        per_step = {task: self._known(task) for task in tasks}
        return MixingPlan({task: self.sizes[task] for task in per_step}, per_step, self.seed)

    def to_dict(self) -> dict[str, Any]:
        """The plan in numbers and strings, for JSON or YAML; `from_dict` gives an equal one."""
        tasks = {task: {"size": size, "per_step": _written(self.per_step[task])} for task, size in self.sizes.items()}
        return {"format": FORMAT, "seed": self.seed, "tasks": tasks}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> MixingPlan:
        """The plan that `to_dict` wrote.

        Raises:
            UserError: If it was written by a version whose plans meant something else, or is not a plan.
        """
        if stored.get("format") != FORMAT:
            raise UserError(
                f"this plan has format {stored.get('format')!r}, this version reads {FORMAT}, which gives other "
                "examples at a step; continue the run with the version that began it."
            )
        try:
            tasks: Mapping[str, Any] = stored["tasks"]
            sizes = {task: int(entry["size"]) for task, entry in tasks.items()}
            return cls(sizes, {task: _read(entry["per_step"]) for task, entry in tasks.items()}, int(stored["seed"]))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(f"this stored plan is damaged ({error}); write it again with `to_dict`.") from error

    def fingerprint(self) -> str:
        """SHA-256, in hex, of all that determines the plan: equal plans have equal fingerprints."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def _known(self, task: str) -> Fraction | Ramp:
        if task not in self.per_step:
            raise ValueError(f"task '{task}' is not in the plan: {did_you_mean(task, self.tasks)}")
        return self.per_step[task]


class PlannedTask(NamedTuple):
    """A row of the table of `multitask mix`."""

    task: str
    size: int
    """Rows of the task."""
    rate: float
    """Its part of the examples: exact, over the steps asked for, not of the whole examples given."""
    examples: int
    """Examples given."""
    epochs: float
    """examples / size."""


def planned(plan: MixingPlan, steps: int) -> list[PlannedTask]:
    """Count what a training of `steps` steps reads of each task.

    >>> plan = MixingPlan({"span": 100, "sst2": 20}, {"span": 3, "sst2": 1})
    >>> for row in planned(plan, 50):
    ...     print(*row)
    span 100 0.75 150 1.5
    sst2 20 0.25 50 2.5
    """
    if steps < 1:
        raise UserError(f"the number of steps must be 1 or more. Got {steps}.")
    given = {task: b.total(steps) if isinstance(b, Ramp) else b * steps for task, b in plan.per_step.items()}
    total = sum(given.values())
    return [
        PlannedTask(
            task=task,
            size=size,
            rate=float(given[task] / total) if total else math.nan,
            examples=plan.count(task, steps),
            epochs=plan.epochs(task, steps),
        )
        for task, size in plan.sizes.items()
    ]


def _per_step(task: str, b: Fraction | Ramp | float | str) -> Fraction | Ramp:
    if isinstance(b, Ramp):
        # A ramp that never changes is a number: plans that give the same steps are equal.
        return b.knots[0][1] if len({value for _, value in b.knots}) == 1 else b
    try:
        value = exact(b)
    except ValueError as error:
        raise UserError(f"the examples per step of '{task}' must be a number or a fraction. Got {b!r}.") from error
    if value < 0:
        raise UserError(f"the examples per step of '{task}' must be 0 or more. Got {b}.")
    return value


def _written(b: Fraction | Ramp) -> str | list[list[int | str]]:
    return [[step, str(value)] for step, value in b.knots] if isinstance(b, Ramp) else str(b)


def _read(b: str | list[list[int | str]]) -> Fraction | Ramp:
    if isinstance(b, str):
        return exact(b)
    return Ramp(tuple((int(step), exact(str(value))) for step, value in b))
