"""`multitask interference --estimate`: the pair matrix told from less than training every pair.

Words
    joint run   the cost of training all tasks together for all steps: n tasks' examples. The unit of every cost here
    trunk       a run that is stopped early, at a constant learning rate: of all tasks together, or of each task alone
    branch      a pair, or a task alone, trained on from a trunk for a few steps with a falling learning rate
    branches    from the trunk of all tasks: what company a task has is changed for the last stretch alone
    joined      from the trunks of single tasks: a pair begins with the changes that both have made, added up, so that
                it has what either knows, and the last stretch shows whether one model can hold both
    early       a pair, or a task alone, trained from the start for a part of the steps

Every model of a stage is an ordinary run of the study, in STUDY/estimate/: it is trained by the same workers, resumes,
and is reused. So the differences of branches are those of a study, with its pairing and its intervals over seeds.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from multitask.errors import UserError
from multitask.interference.conduct import alone_in, open_setup, study_inputs
from multitask.interference.design.arms import Arm, Design
from multitask.interference.design.runs import StudyRun
from multitask.interference.estimation import probes, refit
from multitask.interference.estimation.confirm import choose_pairs, suggested
from multitask.interference.estimation.confirm import refit as refit_pairs
from multitask.interference.estimation.matrix import EstimatedMatrix, Floats, stack
from multitask.interference.estimation.short import pair_effects
from multitask.interference.estimation.written import Confirmed, Estimated, write_estimate
from multitask.interference.execution.runs import is_finished, resolve_settings
from multitask.interference.request import StudyRequest
from multitask.interference.results.assemble import make_record
from multitask.interference.results.lookup import effects_of, primary
from multitask.interference.results.record import StudyRecord
from multitask.interference.setup import StudySetup, make_run
from multitask.interference.train import train_missing, write_plan
from multitask.runs.conflict_file import Conflict, read_conflict
from multitask.runs.finished import has_model
from multitask.terminal.output import say

if TYPE_CHECKING:
    from multitask.interference.estimation.weights import Probed

WHERE = "estimate"
"""The folder of a study that holds the models of its estimates."""
STARTS = "starts"
"""Its folder of the models that joined pairs begin with, deleted when they are trained."""
TRUNK = 0.5
"""Share of the steps that the trunk of all tasks is trained for."""
ALONE = 0.6
"""Share of the steps that the trunk of each task alone is trained for."""
BRANCHES = 0.9
"""Joint runs that all branches of a seed may cost."""
LONGEST = 0.15
"""Largest share of the steps that a branch is trained for."""
EARLY, EARLY_COST = 0.25, 1.5
"""Largest share of the steps of early pairs, and the joint runs that they may cost."""
OTHER_SEED = 10_000
"""Added to the seed of a branch, or it would see the examples again that the trunk began with."""


class Stage(NamedTuple):
    """A study whose estimate is under way."""

    setup: StudySetup
    facts: dict[str, Any]
    quiet: bool

    @property
    def tasks(self) -> tuple[str, ...]:
        """In the order of the matrix."""
        return tuple(self.setup.request.design.tasks)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the study."""
        return self.setup.request.design.seeds

    @property
    def steps(self) -> int:
        """Of a run of the study."""
        return int(self.setup.base.trainer["max_steps"])

    def pair_design(self, only: frozenset[frozenset[str]] | None = None) -> Design:
        """Each task alone and its pairs, or those of them in `only`."""
        return dataclasses.replace(self.setup.request.design, arms=("single", "pair"), only=only)

    def train(self, what: str, runs: Sequence[StudyRun], *, models: bool = False) -> None:
        """Train those of the runs that are not finished, and keep their weights if they are needed."""
        runs = [dataclasses.replace(run, keep_model=run.keep_model or models) for run in runs]
        missing = [r for r in runs if not is_finished(r.folder) or (r.keep_model and not has_model(r.folder))]
        if not self.quiet:
            many = "1 model" if len(runs) == 1 else f"{len(runs)} models"
            say(f"{what}: {many}, {len(runs) - len(missing)} finished")
        write_plan(self.setup, runs)
        train_missing(self.setup, missing, done=len(runs) - len(missing))

    def record(self, runs: Mapping[tuple[Arm, int], StudyRun], pairs: frozenset[frozenset[str]] | None) -> StudyRecord:
        """The record of singles and pairs as if they were a study of their own."""
        request = dataclasses.replace(self.setup.request, design=self.pair_design(pairs))
        setup = dataclasses.replace(self.setup, request=request)
        as_cells = [dataclasses.replace(run, arm=arm, seed=seed) for (arm, seed), run in runs.items()]
        return make_record(study_inputs(setup, as_cells, {**self.facts, "trials": []}))


def estimate_pairs(request: StudyRequest, out: Path, *, quiet: bool = False, overwrite: bool = False) -> Estimated:
    """Estimate the pair matrix of a study, and write estimate.json and estimate.csv.

    Args:
        request: From `prepare_request`, with `estimate` and `confirm`.
        out: The study's folder; the tables of a measured study there are left alone, and its finished models are used.
        quiet: Print nothing but progress.
        overwrite: Begin anew.

    Raises:
        UserError: For what a user can fix.
        KeyboardInterrupt: If it was interrupted; the same call goes on.
    """
    config = request.config
    assert config.estimate is not None
    n = len(request.design.tasks)
    if n < 3:
        raise UserError("--estimate spares the training of pairs, and two tasks have one alone: leave it out.")
    if config.confirm > math.comb(n, 2):
        raise UserError(f"--confirm {config.confirm}: {n} tasks have {math.comb(n, 2)} pairs; leave --estimate out.")
    with alone_in(out, overwrite=overwrite):
        setup, facts = open_setup(request, out, quiet=quiet, overwrite=overwrite)
        if not quiet:
            say(*(f"WARNING: {line}" for line in facts["warnings"]))
        stage = Stage(setup, facts, quiet)
        matrix, cost = ESTIMATORS[config.estimate](stage)
        found = _confirmed(stage, matrix, config.confirm, config.groups) if config.confirm else None
        estimated = Estimated.of(matrix, cost, setup.request.design, found, config.groups, list(facts["warnings"]))
        write_estimate(out, estimated)
        return estimated


# ---- estimators ------------------------------------------------------------------------------------------------------


def branch_share(tasks: int) -> float:
    """The share of the steps that branches are trained for: with their singles they cost n times that."""
    return min(LONGEST, BRANCHES / tasks)


def _branches(stage: Stage) -> tuple[EstimatedMatrix, float]:
    steps = max(1, round(TRUNK * stage.steps))
    joint = stage.setup.request.design.joint
    trunks = {seed: _shortened(stage.setup, joint, seed, steps, schedule="constant") for seed in stage.seeds}
    stage.train("trunks", list(trunks.values()), models=True)
    runs = {
        (arm, seed): _branch(stage, arm, seed, trunks[seed].folder / "model")
        for seed in stage.seeds
        for arm in stage.pair_design().needed()
    }
    stage.train("branches", list(runs.values()))
    return pair_effects(stage.record(runs, None), twin=True, method="branches"), _cost(stage, steps)


def _joined(stage: Stage) -> tuple[EstimatedMatrix, float]:
    from multitask.interference.estimation.weights import write_sum

    setup, steps = stage.setup, max(1, round(ALONE * stage.steps))
    trunks = {
        (task, seed): _shortened(setup, setup.request.design.arm([task]), seed, steps, schedule="constant")
        for seed in stage.seeds
        for task in stage.tasks
    }
    stage.train("trunks", list(trunks.values()), models=True)
    runs, starts = {}, setup.out / WHERE / STARTS
    for seed in stage.seeds:  # one after another: the starts of all pairs of one seed are what the disk has to hold
        for arm in stage.pair_design().needed():
            own = [trunks[task, seed] for task in arm.tasks]
            start = own[0].folder / "model"
            if len(own) > 1:
                start = write_sum(resolve_settings(own[0].config), [trunk.folder for trunk in own], starts)
            runs[arm, seed] = _branch(stage, arm, seed, start)
        stage.train(f"branches of seed {seed}", [run for (_, of), run in runs.items() if of == seed])
        shutil.rmtree(starts)
    return pair_effects(stage.record(runs, None), twin=True, method="joined"), _cost(stage, steps)


def _branch(stage: Stage, arm: Arm, seed: int, model: Path) -> StudyRun:
    """Trained on from a trunk; by the study's optimiser, which of a model in a folder would by default be another."""
    own, steps = resolve_settings(stage.setup.base), _branch_steps(stage)
    return _shortened(
        *(stage.setup, arm, seed + OTHER_SEED, steps),
        schedule="linear",
        warmup_steps=steps // 10,
        model=str(model),
        revision=None,
        optimizer=own.optimizer,
        dropout=own.dropout,
    )


def _branch_steps(stage: Stage) -> int:
    return max(1, round(branch_share(len(stage.tasks)) * stage.steps))


def _cost(stage: Stage, trunk_steps: int) -> float:
    """Joint runs: the trunks and, with n - 1 pairs and itself alone, n branches of each task."""
    return (trunk_steps + len(stage.tasks) * _branch_steps(stage)) / stage.steps


def _early(stage: Stage) -> tuple[EstimatedMatrix, float]:
    setup, n = stage.setup, len(stage.tasks)
    steps = max(1, round(min(EARLY, EARLY_COST / n) * stage.steps))
    arms = stage.pair_design().needed()
    runs = {(arm, seed): _shortened(setup, arm, seed, steps) for seed in stage.seeds for arm in arms}
    stage.train("early pairs", list(runs.values()))
    return pair_effects(stage.record(runs, None), twin=True, method="early"), n * steps / stage.steps


def _shortened(setup: StudySetup, arm: Arm, seed: int, steps: int, **changed: Any) -> StudyRun:
    trainer = {**setup.base.trainer, "max_steps": steps}
    every = max(1, min(setup.base.log_every, steps // 10))
    return make_run(setup, arm, seed, where=WHERE, trainer=trainer, gradients_every=0, log_every=every, **changed)


def _joints(stage: Stage, *, models: bool = False) -> dict[int, StudyRun]:
    runs = {seed: make_run(stage.setup, stage.setup.request.design.joint, seed) for seed in stage.seeds}
    stage.train("joint runs", list(runs.values()), models=models)
    return runs


def _in_order(stage: Stage, tasks: Sequence[str], found: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Values and errors [n, n] in the order of the matrix."""
    order = [list(tasks).index(task) for task in stage.tasks]
    values, errors = found
    return values[np.ix_(order, order)], errors[np.ix_(order, order)]


def _of_probes(
    name: str, unit: str, estimate: Callable[[Conflict], tuple[Floats, Floats]]
) -> Callable[[Stage], tuple[EstimatedMatrix, float]]:
    def estimator(stage: Stage) -> tuple[EstimatedMatrix, float]:
        found = []
        for run in _joints(stage).values():
            conflict = read_conflict(run.folder)
            if conflict is None:
                raise UserError(
                    f"--estimate {name} needs conflict probes, and {run.folder} has none: delete that folder, and give "
                    "--conflict-every with fewer steps."
                )
            found.append(_in_order(stage, conflict.tasks, estimate(conflict)))
        return stack(stage.tasks, name, unit, found), 1.0

    return estimator


def _merged(stage: Stage) -> tuple[EstimatedMatrix, float]:
    design = stage.setup.request.design
    runs = {(t, s): make_run(stage.setup, design.arm([t]), s) for s in stage.seeds for t in stage.tasks}
    stage.train("single models", list(runs.values()), models=True)
    found = [
        _in_order(stage, probed.tasks, probed.merged_singles([runs[t, seed].folder for t in probed.tasks]))
        for seed, probed in _probed(stage)
    ]
    return stack(stage.tasks, "merged", "nats an example", found), 1.0


def _refit(stage: Stage) -> tuple[EstimatedMatrix, float]:
    runs = _joints(stage, models=True)
    found = [
        _in_order(stage, probed.tasks, refit.refitted(probed.features(runs[seed].folder)))
        for seed, probed in _probed(stage)
    ]
    return stack(stage.tasks, "refit", "nats an example", found), 1.0


def _probed(stage: Stage) -> Iterator[tuple[int, Probed]]:
    """(seed, the model and data of its joint run)."""
    from multitask.interference.estimation.weights import Probed
    from multitask.interference.execution.worker import StudyExamples

    examples = StudyExamples(stage.setup.base)
    for seed in stage.seeds:
        config = make_run(stage.setup, stage.setup.request.design.joint, seed).config
        yield seed, Probed(resolve_settings(config), examples.prepared(config))


ESTIMATORS: Mapping[str, Callable[[Stage], tuple[EstimatedMatrix, float]]] = {
    "joined": _joined,
    "branches": _branches,
    "early": _early,
    "merged": _merged,
    "refit": _refit,
    "attribution": _of_probes("attribution", "nats an example", probes.attribution),
    "look-ahead": _of_probes("look-ahead", "share of the loss", probes.look_ahead),
    "cosine": _of_probes("cosine", "cosine", probes.cosine),
}
"""{name: what trains its models and gives the matrix, with its cost in joint runs}."""


# ---- confirming ------------------------------------------------------------------------------------------------------


def _confirmed(stage: Stage, matrix: EstimatedMatrix, count: int, groups: int) -> Confirmed:
    """Train the pairs that matter most as a study would, and correct the others by them."""
    n = len(stage.tasks)
    pairs = choose_pairs(matrix, count, groups)
    names = frozenset(frozenset((stage.tasks[i], stage.tasks[j])) for i, j in pairs)
    arms = stage.pair_design(names).needed()
    runs = {(arm, seed): make_run(stage.setup, arm, seed) for seed in stage.seeds for arm in arms}
    stage.train("confirmed pairs and single models", list(runs.values()))
    record = stage.record(runs, names)
    measured, low, high = np.full((3, n, n), np.nan)
    for e in effects_of(record, "pair", "examples", primary(record)):
        at = stage.tasks.index(e["task"]), stage.tasks.index(str(e["companion"]))
        measured[at], low[at], high[at] = (np.nan if v is None else v for v in (e["delta"], e["low"], e["high"]))
    return Confirmed(
        [(stage.tasks[i], stage.tasks[j]) for i, j in pairs],
        refit_pairs(matrix, measured, low, high),
        suggested(stage.tasks, matrix.mean, groups),
        1.0 + 2 * len(pairs) / n,
    )
