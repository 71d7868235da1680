"""Resamples of examples: the scores of many models on the same 10,000 draws, without looking at a string twice.

Words
    arm       what is compared, e.g. `single` and `joint`: one `Outputs` a seed, all over the same examples
    unit      what is drawn: an example, or a whole group where the examples have groups (cluster bootstrap)
    counts    [R, N] how often each of the N examples stands in each of R draws
    points    metric × its scale, negated where lower is better

A draw has as many units as there are, drawn with replacement, and is the same for all arms and seeds: they are paired
by example. Draws depend on (seed, number of units) alone. So do the scores, to the last bit, whatever other arms are
there and however many threads multiply: the addends are split into two parts on a grid so coarse that no sum of them
is ever rounded (`_on_grid`), and a sum without rounding has no order.

Metrics without sums cost more: `Metric.resampler` says what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from multitask.metrics.metric import Metric
from multitask.metrics.outputs import Floats, Integers, Outputs

BLOCK = 1 << 20
"""Counts that are held at once: 8 MB, whatever the number of resamples and examples."""


def generator(*key: object) -> np.random.Generator:
    """A generator of one's own, seeded by what it is for."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16, person=b"multitask 1")
    return np.random.default_rng(int.from_bytes(digest.digest()))


def seed_draws(seeds: int, resamples: int, seed: int) -> Integers:
    """[R, S] draws of S of S seeds with replacement; one such array serves all tasks of a study, which pairs them."""
    return generator("seeds", seed, seeds).integers(0, seeds, size=(resamples, seeds))


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a task's examples that are drawn."""

    number: int
    of_example: Integers
    """[N] the unit of each example."""
    largest: int
    """Examples of the largest unit."""

    @classmethod
    def of(cls, outputs: Outputs) -> Units:
        """Each example by itself, or each group; an example without a group is one of its own.

        >>> Units.of(Outputs(["a"] * 4, ["a"] * 4, groups=["p", "q", "p", None])).of_example.tolist()
        [0, 1, 0, 2]
        """
        if not len(outputs.groups):
            return cls(len(outputs), np.arange(len(outputs)), 1)
        position: dict[object, int] = {}
        keys = ((i,) if group is None else group for i, group in enumerate(outputs.groups))
        of_example = np.array([position.setdefault(key, len(position)) for key in keys], dtype=np.int64)
        return cls(len(position), of_example, int(np.bincount(of_example).max(initial=1)))

    def counts(self, resamples: int, seed: int) -> Iterator[Floats]:
        """Blocks [≤ R, N] of counts, R rows in all."""
        draw = generator("examples", seed, self.number)
        rows = max(1, BLOCK // max(1, len(self.of_example)))
        for start in range(0, resamples, rows):
            block = min(rows, resamples - start)
            drawn = draw.integers(0, self.number, size=(block, self.number))
            drawn += np.arange(block)[:, None] * self.number
            counts = np.bincount(drawn.reshape(-1), minlength=block * self.number).reshape(block, self.number)
            if len(self.of_example) != self.number or self.largest > 1:
                counts = counts[:, self.of_example]
            yield counts.astype(np.float64)


def score_draws(
    metric: Metric, arms: Mapping[Hashable, Sequence[Outputs]], *, resamples: int, seed: int
) -> tuple[dict[Hashable, Floats], dict[Hashable, Floats], Units]:
    """Every model's score in points: as measured {arm: [S]}, and on every draw of examples {arm: [R, S]}.

    Raises:
        ValueError: If arms differ in their number of seeds or in their examples.
    """
    units = Units.of(_checked(metric, arms))
    runs = [(arm, s, one) for arm, outputs in arms.items() for s, one in enumerate(outputs)]
    sign = metric.scale if metric.higher_is_better else -metric.scale
    seeds = len(next(iter(arms.values())))
    scores: dict[Hashable, Floats] = {arm: np.empty(seeds) for arm in arms}
    draws: dict[Hashable, Floats] = {arm: np.empty((resamples, seeds)) for arm in arms}
    kind = _OneByOne if metric.sums is None or metric.of_sums is None else _Totals
    # infinities and NaNs among the values are answers here, not accidents: they are counted as undefined
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        values = kind(metric, [one for _, _, one in runs], units)
        for (arm, s, _), measured in zip(runs, values.measured, strict=True):
            scores[arm][s] = sign * measured
        start = 0
        for counts in units.counts(resamples, seed):
            stop = start + len(counts)
            for (arm, s, _), resampled in zip(runs, values(counts).T, strict=True):
                draws[arm][start:stop, s] = sign * resampled
            start = stop
    return scores, draws, units


def _checked(metric: Metric, arms: Mapping[Hashable, Sequence[Outputs]]) -> Outputs:
    """One of the arms' outputs, all of which are over the same examples."""
    if not arms or not all(len(outputs) for outputs in arms.values()):
        raise ValueError("an arm has one Outputs a seed; got an arm without any, or no arm.")
    first_arm, first = next((arm, outputs) for arm, outputs in arms.items())
    if not len(first[0]):
        raise ValueError(f"arm {first_arm!r} has no examples to draw from.")
    for arm, outputs in arms.items():
        if len(outputs) != len(first):
            raise ValueError(
                f"arms are paired by seed, but {first_arm!r} has {len(first)} and {arm!r} has {len(outputs)}."
            )
        for seed, one in enumerate(outputs):
            one.check(metric.name)
            same = list(one.targets) == list(first[0].targets) and list(one.groups) == list(first[0].groups)
            if not same:
                raise ValueError(
                    f"arms are paired by example, but seed number {seed} of {arm!r} has other targets or groups than "
                    f"{first_arm!r}, or has them in another order."
                )
    return first[0]


class _OneByOne:
    """Counts [R, N] to the values [R, runs], one run after the other."""

    def __init__(self, metric: Metric, runs: Sequence[Outputs], units: Units) -> None:
        self.measured = [metric.compute(outputs) for outputs in runs]
        self.resamplers = [metric.resampler(outputs) for outputs in runs]

    def __call__(self, counts: Floats) -> Floats:
        return np.stack([resampler(counts) for resampler in self.resamplers], axis=-1)


class _Totals:
    """Counts [R, N] to the values [R, runs] of a metric that has sums: one matrix product for all runs.

    Columns of addends that runs share (the 1 of a mean, what is about targets only) are in the matrix once.
    """

    def __init__(self, metric: Metric, runs: Sequence[Outputs], units: Units) -> None:
        assert metric.sums is not None
        assert metric.of_sums is not None
        self.of_sums = metric.of_sums
        self.measured: list[float] = []
        columns: dict[bytes, int] = {}
        parts: list[Floats] = []

        def place(column: Floats) -> int:
            key = column.tobytes()
            if key not in columns:
                columns[key] = len(parts)
                parts.append(column)
            return columns[key]

        nothing = place(np.zeros(len(units.of_example)))
        most = units.number * units.largest
        # {K: (runs, places of the coarse parts [runs, K], of the fine parts)}: without labels K may differ
        self.groups: dict[int, tuple[list[int], list[list[int]], list[list[int]]]] = {}
        for i, outputs in enumerate(runs):
            sums = metric.sums(outputs)
            self.measured.append(float(self.of_sums(sums.sum(axis=0))))  # as Metric.compute, without a second reading
            coarse, fine = zip(*(_on_grid(np.ascontiguousarray(column), most) for column in sums.T), strict=True)
            where, at_coarse, at_fine = self.groups.setdefault(sums.shape[1], ([], [], []))
            where.append(i)
            at_coarse.append([place(column) for column in coarse])
            at_fine.append([place(column) if column.any() else nothing for column in fine])
        self.matrix = np.stack(parts, axis=-1)  # [N, columns]
        self.runs = len(runs)

    def __call__(self, counts: Floats) -> Floats:
        totals = counts @ self.matrix
        values = np.empty((len(counts), self.runs))
        for where, at_coarse, at_fine in self.groups.values():
            values[:, where] = self.of_sums(totals[:, at_coarse] + totals[:, at_fine])
        return values


def _on_grid(column: Floats, most: int) -> tuple[Floats, Floats]:
    """`column` as coarse + fine, up to 2⁻⁷⁰ of its largest entry, so that sums over `most` entries are exact.

    The coarse part consists of multiples of a power of two q that is so large that any partial sum is below 2⁵³ q,
    and so is a float64 exactly; the fine part likewise, of what is left. Counts and other small integers are all
    coarse. A column with an infinity or NaN stays as it is.

    >>> coarse, fine = _on_grid(np.array([3.0, 0.1]), 1000)
    >>> (coarse + fine).tolist(), fine[0].item()
    ([3.0, 0.1], 0.0)
    """
    largest = float(np.abs(column).max(initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return column, np.zeros_like(column)
    room = int(most).bit_length() + 1
    exponent = int(np.frexp(largest)[1]) + room - 52
    coarse = np.ldexp(np.rint(np.ldexp(column, -exponent)), exponent)
    finer = exponent + room - 52
    return coarse, np.ldexp(np.rint(np.ldexp(column - coarse, -finer)), finer)
