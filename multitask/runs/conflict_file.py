"""conflict.safetensors: what the probes of a run showed of each task's part of a step, and what follows from it.

Legend: K probes, n tasks, 2n halves of tasks, B blocks of the model; see `training.conflict` for the words.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multitask.errors import UserError
from multitask.storage.atomic import atomic

Floats = npt.NDArray[np.float64]
CONFLICT = "conflict.safetensors"
PARTS_OF_NO_TASK = 3
"""momentum, decay and rest."""


@dataclasses.dataclass(frozen=True, eq=False)
class Conflict:
    """The probes of a run. Losses are nats an example, on held-out rows."""

    tasks: tuple[str, ...]
    blocks: tuple[str, ...]
    every: int
    steps: Floats  # [K]
    gramians: Floats  # [K, B, 2n, 2n]
    parts: Floats  # [K, n + 3, n] A(i→j); then of momentum, decay, rest
    own_steps: Floats  # [K, 2n, n]
    before: Floats  # [K, n]
    after: Floats  # [K, n]
    look_ahead: Floats  # [K, n, n]

    def gramian(self, block: int | None = None) -> Floats:
        """[K, 2n, 2n] inner products of the halves' gradients, over all weights or those of a block."""
        return self.gramians.sum(1) if block is None else self.gramians[:, block]

    def cosines(self, block: int | None = None) -> Floats:
        """[K, n, n] of the tasks' gradients in each probed step; NaN where one has none, 1 on the diagonal."""
        whole = _over_halves(self.gramian(block))
        lengths = np.sqrt(np.einsum("kii->ki", whole))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(whole / (lengths[:, :, None] * lengths[:, None, :]))

    def noise(self, block: int | None = None) -> Floats:
        """[K, n] the cosine between the two halves of each task: 1 without noise, about 0 where noise is all."""
        found = self.gramian(block)
        first, second = found[:, ::2, ::2], found[:, 1::2, 1::2]
        across = np.einsum("kii->ki", found[:, ::2, 1::2])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(across / np.sqrt(np.einsum("kii->ki", first) * np.einsum("kii->ki", second)))

    def ratios(self, block: int | None = None) -> Floats:
        """[K, n, n] how many times longer task i's gradient (row) is than task j's."""
        lengths = np.sqrt(np.einsum("kii->ki", _over_halves(self.gramian(block))))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(lengths[:, :, None] / lengths[:, None, :])

    def mean_cosines(self) -> Floats:
        """[n, n] over the probes, freed of the halves' noise: mean inner products over mean lengths of the signal.

        A gradient from few examples is signal and noise, and noise makes every cosine small. The inner product of two
        halves has none on average, so 4 g₁·g₂ estimates the squared length of the signal. NaN where that is not above
        0: there is nothing but noise. May be beyond ±1, by chance.
        """
        found = self.gramian()
        whole = _over_halves(found).mean(0)
        signal = 4 * np.einsum("kii->ki", found[:, ::2, 1::2]).mean(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            lengths = np.sqrt(np.where(signal > 0, signal, np.nan))
            cosines = whole / (lengths[:, None] * lengths[None, :])
        np.fill_diagonal(cosines, 1.0)
        return np.asarray(cosines)

    @property
    def attribution(self) -> Floats:
        """[K, n, n] A(i→j) of each probed step: row i's part of the change of column j's held-out loss."""
        return self.parts[:, : len(self.tasks)]

    def residual(self) -> Floats:
        """[n] the self-test: Σ over all parts − the measured change of the loss, as a share of what was moved.

        Over all probes; the denominator is the sum of the absolute changes. Third order in the size of a step.
        """
        change = self.after - self.before
        moved = np.abs(change).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.abs(self.parts.sum(1).sum(0) - change.sum(0)) / moved)


def _over_halves(found: Floats) -> Floats:
    """[K, n, n] of [K, 2n, 2n]: a task's gradient is the sum of its halves'."""
    k, n = len(found), found.shape[1] // 2
    return np.asarray(found.reshape(k, n, 2, n, 2).sum((2, 4)))


def over_probes(values: Floats) -> tuple[Floats, Floats]:
    """Mean over the first axis and its standard error; probes without a value are left out, and without any it is NaN.

    Of one probe the error is not known: NaN.
    """
    count = np.isfinite(values).sum(0)
    filled = np.where(np.isfinite(values), values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, filled.sum(0) / count, np.nan)
        squares = np.where(np.isfinite(values), (values - mean) ** 2, 0.0).sum(0)
        error = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1)), np.nan)
    return mean, error


def write_conflict(path: Path, probes: Any) -> None:
    """Write what `training.conflict.ConflictProbes` has found; nothing if there was no probe."""
    from safetensors.numpy import save_file

    if not probes.probes:
        return
    names = ("gramians", "parts", "own_steps", "before", "after", "look_ahead")
    arrays = {n: np.stack([np.asarray(getattr(p, n), np.float64) for p in probes.probes]) for n in names}
    arrays["steps"] = np.array([p.step for p in probes.probes], np.float64)
    # One entry: several would stand in the file in another order each time.
    about = json.dumps({"tasks": probes.tasks, "blocks": probes.blocks, "every": probes.every})
    with atomic(path) as temporary:
        save_file(arrays, temporary, metadata={"about": about})


def read_conflict(folder: Path) -> Conflict | None:
    """The probes of a finished run; None if it has none.

    Raises:
        UserError: If the file is not as it was written.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / CONFLICT
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["about"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        found = Conflict(
            tuple(map(str, about["tasks"])), tuple(map(str, about["blocks"])), int(about["every"]), **arrays
        )
        k, n, b = len(found.steps), len(found.tasks), len(found.blocks)
        shapes = {
            "gramians": (k, b, 2 * n, 2 * n),
            "parts": (k, n + PARTS_OF_NO_TASK, n),
            "own_steps": (k, 2 * n, n),
            "before": (k, n),
            "after": (k, n),
            "look_ahead": (k, n, n),
        }
        wrong = [name for name, shape in shapes.items() if getattr(found, name).shape != shape]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not as it was written: {' '.join(str(error).split())[:200]}.") from error
    if wrong:
        raise UserError(
            f"{path} is not as it was written: '{wrong[0]}' has the shape {getattr(found, wrong[0]).shape}."
        )
    return found
