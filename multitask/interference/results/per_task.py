"""What a record says of one task: scores, effects with intervals, exposure, format confusion, changed examples."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from multitask.interference.design.arms import Arm, Contrast, Design
from multitask.interference.results.pairing import aligned, outputs_of_frame
from multitask.interference.results.record import (
    LIKELIHOOD,
    Changed,
    Confusion,
    Curve,
    Effect,
    Exposure,
    Gap,
    Score,
    TaskRecord,
)
from multitask.interference.statistics.verdicts import Estimate, TaskBootstrap, margin_of, noise_floor
from multitask.metrics.metric import METRICS, Metric
from multitask.mixing.prepare import TWIN
from multitask.runs.reading import Finished, bucketed
from multitask.task import Task

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 3
"""Changed examples of each effect and direction."""


@dataclass(frozen=True, eq=False)
class Material:
    """All that a record is made of."""

    design: Design
    tasks: Mapping[str, Task]
    cells: Mapping[tuple[Arm, int], Finished]
    setting: Mapping[str, Any]
    """What `Setting` says that the design does not."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """`warnings`, `notes`, `trials`."""
    margin: float = 0.5
    resamples: int = 10_000
    groups: int = 3

    def runs(self, arm: Arm) -> list[Finished]:
        """An arm's finished cells, a seed each."""
        return [self.cells[arm, seed] for seed in self.design.seeds]


class OfTask:
    """What a record says of one task."""

    def __init__(self, material: Material, name: str, wanted: Sequence[Contrast], draws: Any) -> None:
        self.material, self.name = material, name
        self.design = material.design
        self.task = material.tasks[name]
        arms = dict.fromkeys(arm for arm in self.design.needed() if name in arm.tasks)
        self.arms: list[Arm] = list(arms)
        self.frames = aligned(name, {arm: material.runs(arm) for arm in self.arms})
        self.boots: dict[str, TaskBootstrap] = {}
        self.estimates: dict[tuple[str, Contrast], Estimate] = {}
        self.scores: list[Score] = []
        self.effects: list[Effect] = []
        outputs = {a: [outputs_of_frame(self.task, f) for f in self.frames[a]] for a in self.arms}
        for metric in self.metrics:
            boot = TaskBootstrap(
                metric,
                outputs,
                resamples=material.resamples,
                seed=_stable_seed(name),
                seed_draws=draws,
            )
            self.boots[metric.name] = boot
            self.scores += [self._score(arm, metric, boot) for arm in self.arms]
            self.effects += [self._effect(contrast, metric, boot) for contrast in wanted]
        self.exposure = [self._exposure(arm) for arm in self.arms]
        self.confusion = [c for match in self.design.match if (c := self._confusion(match)) is not None]
        self.curves = self._curves()
        self.changed = self._changed(wanted)
        self.gaps = self._gaps()
        self.task_record = self._record()

    @property
    def alone(self) -> Arm | None:
        """The task's single arm: at its own examples if there is one, else at the budget that was matched."""
        singles = [arm for arm in self.arms if len(arm.tasks) == 1 and not arm.twin]
        return min(singles, key=lambda arm: arm.budget, default=None)

    @property
    def metrics(self) -> list[Metric]:
        """The primary one and its low-variance twin."""
        primary = self.task.primary
        return [primary] if primary.name == LIKELIHOOD else [primary, METRICS.get(LIKELIHOOD)]

    def _match(self, arm: Arm) -> str | None:
        """Which budget an arm that is compared against has been given."""
        if arm.twin or self.design.family(arm) in ("joint", "pair"):
            return None
        own = self.design.budget(arm.tasks)
        return "examples" if arm.budget == own else "steps"

    def _named(self, arm: Arm) -> dict[str, Any]:
        return {
            "task": self.name,
            "arm": self.design.family(arm),
            "companions": [t for t in arm.tasks if t != self.name],
            "match": self._match(arm),
            "budget": float(arm.budget),
        }

    def _score(self, arm: Arm, metric: Metric, boot: TaskBootstrap) -> Score:
        values = [float(v) for v in boot.scores[arm]]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        more = {"metric": metric.name, "mean": float(np.mean(values)), "sd": sd, "per_seed": values}
        return cast(Score, {**self._named(arm), **more})

    def noise_floor(self, metric: str) -> float | None:
        """Standard deviation over seeds of the task's score alone."""
        return None if self.alone is None else noise_floor(self.boots[metric].scores[self.alone])

    def _effect(self, contrast: Contrast, metric: Metric, boot: TaskBootstrap) -> Effect:
        found = boot.contrast(dict(contrast.terms))
        self.estimates[metric.name, contrast] = found
        two = len(contrast.terms) == 2 and contrast.kind != "dilution"
        noise = self.noise_floor(metric.name)
        # In nats a margin of half a point means nothing: there the noise alone decides.
        least = self.material.margin if metric.name != LIKELIHOOD else 0.0
        return {
            "kind": contrast.kind,
            "task": self.name,
            "companion": contrast.companion,
            "match": contrast.match,
            "metric": metric.name,
            "score": float(np.mean(boot.scores[contrast.terms[0][0]])) if two else None,
            "base": float(np.mean(boot.scores[contrast.terms[1][0]])) if two else None,
            "delta": found.delta,
            "low": found.low,
            "high": found.high,
            "se": found.se,
            "df": found.df,
            "p": found.p,
            "q": None,
            "p_sign_flip": found.p_sign_flip,
            "verdict": None,
            "margin": margin_of(noise, least),
            "detectable": found.detectable,
            "seeds": found.seeds,
            "examples": found.examples,
            "per_seed": [float(v) for v in found.per_seed],
        }

    def _exposure(self, arm: Arm) -> Exposure:
        seen = [run.exposure(self.name) for run in self.material.runs(arm)]
        means = {name: float(np.mean([s[name] for s in seen])) for name in seen[0]}
        return cast(Exposure, {**self._named(arm), **means})

    def _confusion(self, match: str) -> Confusion | None:
        alone, joint = self.design.single(self.name, match, self.design.tasks), self.design.joint
        if self.task.output != "labels" or alone not in self.frames or joint not in self.frames:
            return None
        if any("generated" not in frame for arm in (alone, joint) for frame in self.frames[arm]):
            return None
        metric, labels = self.task.primary, set(self.task.labels)

        def points(arm: Arm, column: str) -> float:
            values = [metric.compute(outputs_of_frame(self.task, f, column)) for f in self.frames[arm]]
            return metric.points(float(np.mean(values)))

        def foreign(arm: Arm) -> float:
            return float(np.mean([~f["generated"].isin(labels) for f in self.frames[arm]]))

        ranked, written = ([points(arm, c) for arm in (alone, joint)] for c in ("prediction", "generated"))
        per_token = [points(arm, "normalised") for arm in (alone, joint)]
        return {
            "task": self.name,
            "match": match,
            "ranked_single": ranked[0],
            "ranked_joint": ranked[1],
            "generated_single": written[0],
            "generated_joint": written[1],
            "normalised_single": per_token[0],
            "normalised_joint": per_token[1],
            "foreign_single": foreign(alone),
            "foreign_joint": foreign(joint),
            "format_part": (written[1] - ranked[1]) - (written[0] - ranked[0]),
        }

    def _curves(self) -> list[Curve]:
        steps = int(self.material.setting["steps"])
        made: list[Curve] = []
        for arm in (self.alone, self.design.joint):
            if arm is None or arm not in self.frames:
                continue
            logs = [run.logged for run in self.material.runs(arm)]
            loss = _band([bucketed(log.get(f"train/loss/{self.name}", {}), steps) for log in logs])
            score = _band([log.get(f"val/{self.name}", {}) for log in logs])
            made.append(
                {
                    "task": self.name,
                    "arm": self.design.family(arm),
                    "steps": loss[0],
                    "loss": loss[1],
                    "loss_low": loss[2],
                    "loss_high": loss[3],
                    "score_steps": score[0],
                    "score": score[1],
                    "score_low": score[2],
                    "score_high": score[3],
                }
            )
        return made

    def _changed(self, wanted: Sequence[Contrast]) -> list[Changed]:
        found: list[Changed] = []
        for contrast in wanted:
            if contrast.kind in ("company", "pair", "without") and contrast.match == self.design.match[0]:
                found += self._changed_by(contrast)
        return found

    def _changed_by(self, contrast: Contrast) -> list[Changed]:
        company, alone = (self.frames[arm] for arm in contrast.arms)
        likelihood = _mean_difference(company, alone, "log_likelihood")
        score = _mean_difference(company, alone, "score")
        measured = np.isfinite(score).all()
        # Ties of a right-or-wrong score are broken by what the model thinks of the target.
        order = np.lexsort((likelihood, score)) if measured else np.argsort(likelihood, kind="stable")
        change = score if measured else likelihood
        found: list[Changed] = []
        for direction, sign, rows in (("worse", -1, order[:SHOWN]), ("better", 1, order[::-1][:SHOWN])):
            found += [
                {
                    "kind": contrast.kind,
                    "task": self.name,
                    "companion": contrast.companion,
                    "match": contrast.match,
                    "direction": direction,
                    "id": str(alone[0]["id"][row]),
                    "inputs": str(alone[0]["inputs"][row]),
                    "target": str(alone[0]["target"][row]),
                    "base": [str(f["prediction"][row]) for f in alone],
                    "with_company": [str(f["prediction"][row]) for f in company],
                    "change": float(change[row]),
                    "measure": "score" if measured else "log_likelihood",
                }
                for row in rows
                if sign * change[row] > 0
            ]
        return found

    def _gaps(self) -> list[Gap]:
        joint = self.design.joint
        runs = self.material.runs(joint) if joint in self.frames else []
        if not runs or any(run.deployed is None for run in runs):
            return []
        metric = self.task.primary

        def mean(which: Callable[[Finished], Mapping[str, Mapping[str, float | None]] | None]) -> float:
            values = [(which(run) or {})[self.name][metric.name] for run in runs]
            return metric.points(float(np.mean([math.nan if v is None else v for v in values])))

        deployed, per_task = mean(lambda run: run.deployed), mean(lambda run: run.metrics)
        return [{"task": self.name, "deployed": deployed, "per_task": per_task, "gap": per_task - deployed}]

    def _record(self) -> TaskRecord:
        run = self.material.runs(self.arms[0])[0]
        about, base = run.run["tasks"][self.name], run.baselines.get(self.name, {})
        metric = self.task.primary
        baseline = base.get(metric.name)
        company = next(
            (e for e in self.effects if e["kind"] in ("company", "pair") and e["metric"] == metric.name), None
        )
        unit = metric.name + (f" × {metric.scale:g}" if metric.scale != 1 else "")
        low, high = _range(metric)
        halves = [run.run["tasks"][n] for n in (self.name, self.name + TWIN) if n in run.run["tasks"]]
        rows = sum(half["train"]["examples"] for half in halves)
        return {
            "name": self.name,
            "output": self.task.output,
            "metric": metric.name,
            "unit": unit if metric.higher_is_better else f"−{unit}, so that higher is better",
            "rows": rows,
            "validation": len(self.frames[self.arms[0]][0]),
            "generated": bool(about["generated"]),
            "source": str(about["source"]),
            "version": int(about["version"]),
            "noise_floor": self.noise_floor(metric.name),
            "detectable": company["detectable"] if company else None,
            "baseline": None if baseline is None else metric.points(float(baseline)),
            "baseline_name": str(base.get("answers", "")),
            "low": low,
            "high": high,
        }


def _range(metric: Metric) -> tuple[float | None, float | None]:
    """The ends of a metric's range, in points; a fraction whose range is not known is taken to be 0 to 1."""
    fraction = metric.scale == 100
    low = metric.low if metric.low is not None else 0.0 if fraction else -math.inf
    high = metric.high if metric.high is not None else 1.0 if fraction else math.inf
    least, most = (v + 0.0 if math.isfinite(v) else None for v in sorted(map(metric.points, (low, high))))
    return least, most


def _stable_seed(task: str) -> int:
    """Draws of examples depend on the task alone: another task in the study changes none of them."""
    return int.from_bytes(hashlib.blake2b(task.encode(), digest_size=4).digest(), "big")


def _mean_difference(company: Sequence[pd.DataFrame], alone: Sequence[pd.DataFrame], column: str) -> Any:
    per_seed = [a[column].to_numpy(float) - b[column].to_numpy(float) for a, b in zip(company, alone, strict=True)]
    return np.mean(per_seed, axis=0)


def _band(logs: Sequence[Mapping[int, float]]) -> tuple[list[int], list[float | None], list[float | None], list[Any]]:
    """Steps that all seeds have, and mean, lowest and highest over seeds at each."""
    steps = sorted(set(logs[0]).intersection(*logs[1:]))
    columns = [[log[step] for log in logs] for step in steps]
    return (
        steps,
        [float(np.mean(c)) for c in columns],
        [float(np.min(c)) for c in columns],
        [float(np.max(c)) for c in columns],
    )
