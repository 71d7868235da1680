"""An estimated pair matrix: what each companion is expected to do to each task, with an interval, and never a verdict.

Legend: S seeds, n tasks; row: the task evaluated, column: its companion; above 0 the companion helps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped]

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class EstimatedMatrix:
    """What one estimator says of every ordered pair of tasks.

    Args:
        tasks: Names, in the order of rows and columns.
        method: The estimator's name.
        unit: Of the values.
        per_seed: [S, n, n], NaN on the diagonal and where nothing can be said.
        spread: [S, n, n] the standard error of each value within its seed: over probes or over held-out examples;
            NaN where none is known.
    """

    tasks: tuple[str, ...]
    method: str
    unit: str
    per_seed: Floats
    spread: Floats

    @property
    def seeds(self) -> int:
        """How many."""
        return len(self.per_seed)

    @property
    def mean(self) -> Floats:
        """[n, n] over the seeds."""
        return np.asarray(self.per_seed.mean(0))

    def interval(self, confidence: float = 0.95) -> tuple[Floats, Floats]:
        """[n, n] twice: Student's t over the seeds; of one seed, over its probes or examples alone.

        With two seeds and more the spread between them has that within each in it; where it is the smaller of the two
        by chance, the other is taken, so that two seeds that happen to agree are not called sure.
        """
        within = np.sqrt((self.spread**2).sum(0)) / self.seeds
        if self.seeds < 2:
            half = stats.norm.ppf(0.5 + confidence / 2) * within
        else:
            between = self.per_seed.std(0, ddof=1) / np.sqrt(self.seeds)
            half = np.fmax(
                stats.t.ppf(0.5 + confidence / 2, self.seeds - 1) * between,
                stats.norm.ppf(0.5 + confidence / 2) * within,
            )
        return self.mean - half, self.mean + half


def stack(tasks: Sequence[str], method: str, unit: str, found: Sequence[tuple[Floats, Floats]]) -> EstimatedMatrix:
    """The matrix of (values, standard errors) [n, n] of each seed."""
    values = np.stack([v for v, _ in found]).astype(np.float64)
    spread = np.stack([s for _, s in found]).astype(np.float64)
    for array in (values, spread):
        array[:, np.arange(len(tasks)), np.arange(len(tasks))] = np.nan
    return EstimatedMatrix(tuple(tasks), method, unit, values, spread)


def as_pairs(tasks: Sequence[str], matrix: Floats) -> dict[tuple[str, str], float]:
    """{(task evaluated, companion): value} of a matrix [n, n]."""
    n = len(tasks)
    return {(tasks[i], tasks[j]): float(matrix[i, j]) for i in range(n) for j in range(n) if i != j}
