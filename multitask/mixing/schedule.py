"""Rates that change over training, piecewise linear in the step, with exact sums.

Words
    step      steps are counted from 0; step k stands between k and k + 1 steps done
    knot      (step, value): between two knots the value is linear, before the first and after the last it is constant
    ramp      `Ramp`: one number over the steps, e.g. the examples of one task per step; exact, in fractions
    schedule  `RateSchedule`: the rates of all tasks over the steps, as they are written by hand
"""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from multitask.errors import UserError
from multitask.short_repr import Plain, short_repr

MAX_DENOMINATOR = 10**9


def exact(value: float | str | Fraction) -> Fraction:
    """The fraction that was meant by `value`: the nearest one with a denominator up to 10⁹.

    So 1/3 is a third although the float is not, and three steps of it give one example, not floor(0.999…) = 0. What
    is too small for such a denominator is kept as it is. Fractions and strings ("1/3", "0.25") are taken as they are.

    Raises:
        ValueError: If `value` is not a finite number.

    >>> exact(1 / 3), exact("0.5"), exact(16)
    (Fraction(1, 3), Fraction(1, 2), Fraction(16, 1))
    """
    try:
        number = Fraction(value)
    except (ValueError, OverflowError, ZeroDivisionError, TypeError):
        raise ValueError(f"expected a finite number or a fraction such as '1/3'. Got {value!r}.") from None
    if isinstance(value, (str, Fraction)):
        return number
    return number.limit_denominator(MAX_DENOMINATOR) or number


@dataclass(frozen=True)
class Ramp:
    """A number that is 0 or more at every step, linear between knots, and whose sum over steps is exact.

    A jump is written as two knots at neighbouring steps.

    >>> ramp = Ramp(((0, Fraction(0)), (4, Fraction(8))))
    >>> [int(ramp.at(k)) for k in range(6)]
    [0, 2, 4, 6, 8, 8]
    >>> int(ramp.total(6))  # 0 + 2 + 4 + 6 + 8 + 8
    28
    """

    knots: tuple[tuple[int, Fraction], ...]
    """In the order of their steps."""

    def __repr__(self) -> str:
        return short_repr(self, Plain(", ".join(f"{value} at step {step}" for step, value in self.knots)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "knots", tuple((int(step), exact(value)) for step, value in self.knots))
        _check_steps([step for step, _ in self.knots])
        for step, value in self.knots:
            if value < 0:
                raise ValueError(f"values must be 0 or more. Got {value} at step {step}.")

    def at(self, step: int) -> Fraction:
        """The value at `step`."""
        start, _, first, slope = self._pieces[self._piece(step)]
        return first + slope * (step - start)

    def total(self, steps: int) -> Fraction:
        """The sum of the values at steps 0 … steps−1, in closed form."""
        return Fraction(*self._sum(steps))

    def whole(self, steps: int, phase: int = 0) -> int:
        """The largest integer not above `total(steps)` + `phase` / 2^64."""
        numerator, denominator = self._sum(steps)
        return (numerator + (phase * denominator >> 64)) // denominator

    @functools.cached_property
    def _pieces(self) -> list[tuple[int, Fraction, Fraction, Fraction]]:
        """(first step, sum before it, value at it, slope) of each stretch between knots."""
        pieces = [(0, Fraction(0), self.knots[0][1], Fraction(0))]
        for i, (step, value) in enumerate(self.knots):
            start, before, first, slope = pieces[-1]
            length = step - start
            total = before + length * first + slope * (length * (length - 1) // 2)
            after = self.knots[i + 1] if i + 1 < len(self.knots) else (step + 1, value)  # constant after the last
            pieces.append((step, total, value, (after[1] - value) / (after[0] - step)))
        return pieces

    @functools.cached_property
    def _integers(self) -> list[tuple[int, int, int, int, int]]:
        """The pieces over a common denominator: integers are ten times as fast as fractions."""
        out = []
        for start, *values in self._pieces:
            common = math.lcm(*(v.denominator for v in values))
            before, first, slope = (int(v * common) for v in values)
            out.append((start, before, first, slope, common))
        return out

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [start for start, *_ in self._pieces]

    def _piece(self, step: int) -> int:
        if step < 0:
            raise ValueError(f"steps are counted from 0. Got {step}.")
        return bisect_right(self._starts, step) - 1

    def _sum(self, steps: int) -> tuple[int, int]:
        start, before, first, slope, common = self._integers[self._piece(steps)]
        m = int(steps) - start  # a numpy integer would overflow in silence
        return before + m * first + slope * (m * (m - 1) // 2), common


@dataclass(frozen=True)
class RateSchedule:
    """Rates of all tasks at knots, linear between them. Rates are relative: they are normalised at each knot.

    >>> schedule = RateSchedule(((0, {"span": 1.0, "sst2": 0.0}), (100, {"span": 0.5, "sst2": 0.5})))
    >>> schedule.at(50)
    {'span': 0.75, 'sst2': 0.25}
    """

    knots: tuple[tuple[int, Mapping[str, float]], ...]
    """(step, {task: rate}), in the order of their steps; one knot means constant rates."""

    def __repr__(self) -> str:
        return short_repr(self, Plain(", ".join(self.knots[0][1])), knots=len(self.knots))

    def __post_init__(self) -> None:
        knots = tuple((int(step), _normalised(rates, step)) for step, rates in self.knots)
        object.__setattr__(self, "knots", knots)
        _check_steps([step for step, _ in knots])
        for step, rates in knots[1:]:
            if rates.keys() != knots[0][1].keys():
                raise UserError(
                    f"every knot of a schedule needs a rate for the same tasks: step {knots[0][0]} has "
                    f"{', '.join(sorted(knots[0][1]))}, step {step} has {', '.join(sorted(rates))}; write 0 for none."
                )

    @classmethod
    def over(cls, steps: int, points: Iterable[tuple[float, Mapping[str, float]]]) -> RateSchedule:
        """Knots at fractions (0 … 1) of a training of `steps` steps.

        >>> RateSchedule.over(1000, [(0.0, {"span": 1.0}), (0.5, {"span": 1.0})]).knots[1][0]
        500
        """
        points = list(points)
        for fraction, _ in points:
            if not 0 <= fraction <= 1:
                raise UserError(f"a schedule's points are fractions of the training, from 0 to 1. Got {fraction}.")
        return cls(tuple((round(fraction * steps), rates) for fraction, rates in points))

    @classmethod
    def sampled(cls, steps: int, rates: Callable[[float], Mapping[str, float]], pieces: int = 16) -> RateSchedule:
        """A curved schedule, e.g. of a temperature: `rates(fraction of training)` at the ends of `pieces` pieces.

        Exact at the knots, linear between them (with fewer steps than pieces, a knot for every step).
        """
        if steps < 1 or pieces < 1:
            raise ValueError(f"a schedule needs one or more steps and pieces. Got {steps} and {pieces}.")
        at = sorted({round(steps * i / pieces) for i in range(pieces + 1)})
        return cls(tuple((step, rates(step / steps)) for step in at))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names, in the order of the first knot."""
        return tuple(self.knots[0][1])

    def at(self, step: int) -> dict[str, float]:
        """The rates at `step`; they sum to 1."""
        return {task: float(self.ramp(task).at(step)) for task in self.tasks}

    def ramp(self, task: str, factor: int = 1) -> Ramp:
        """`factor` times the rate of one task over the steps, e.g. its examples per step with the batch size."""
        return Ramp(tuple((step, exact(factor * rates[task])) for step, rates in self.knots))


def _normalised(rates: Mapping[str, float], step: int) -> dict[str, Fraction]:
    if not rates:
        raise UserError(f"a schedule needs one or more tasks. Got none at step {step}.")
    for task, rate in rates.items():
        if not (math.isfinite(rate) and rate >= 0):
            raise UserError(f"the rate of '{task}' at step {step} must be a number, 0 or more. Got {rate}.")
    total = sum(Fraction(rate) for rate in rates.values())
    if total == 0:
        raise UserError(f"the rates at step {step} are all 0; give one task or more a rate above 0.")
    return {task: exact(float(Fraction(rate) / total)) for task, rate in rates.items()}


def _check_steps(steps: list[int]) -> None:
    if not steps:
        raise ValueError("a schedule needs one or more knots. Got none.")
    if steps[0] < 0 or any(b <= a for a, b in itertools.pairwise(steps)):
        raise UserError(f"the steps of a schedule's knots must rise from 0 or more. Got {steps}.")
