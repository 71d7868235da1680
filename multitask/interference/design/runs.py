"""One run of a study: what is trained together, by which seed, and the settings that train it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig
from multitask.interference.design.arms import Arm, Design, label


@dataclass(frozen=True)
class StudyRun:
    """One model of the study."""

    arm: Arm
    family: str
    """single, joint, pair, without, null, noise, group, or the name of a treatment."""
    seed: int
    config: TrainConfig
    """All that trains it."""
    folder: Path
    keep_model: bool = False
    """Whether its weights are needed by another run: a merge."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{label(self.arm, self.family)} seed {self.seed}"

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return int(self.config.trainer["max_steps"])


def run_config(
    base: TrainConfig,
    design: Design,
    arm: Arm,
    seed: int,
    *,
    rate_base: Fraction,
    lr: float | None,
    vocab: Path | None,
    **changes: Any,
) -> TrainConfig:
    """The settings that train one run: `multitask train` with them gives the same model."""
    of_arm: dict[str, Any] = {
        name: {t: v for t, v in getattr(base, name).items() if t in arm.tasks} for name in ("columns", "loss_weights")
    }
    treatment = design.treatment_of(arm)
    own = {} if treatment is None else dict(treatment.settings)
    return dataclasses.replace(
        base,
        tasks=list(arm.tasks),
        per_step={t: float(b) for t, b in design.per_step_of(arm).items()},
        rate_base=float(rate_base),
        twin=arm.tasks[0] if arm.twin else None,
        shuffle_targets=list(arm.shuffled),
        seed=seed,
        lr=lr,
        vocab=str(vocab) if vocab else base.vocab,
        resume=False,
        overwrite=False,
        **{**of_arm, **own, **changes},
    )
