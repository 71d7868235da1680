"""A study with its data loaded: what its runs share, the runs that its design needs, and which are missing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from multitask.config import TrainConfig
from multitask.config_checks import no_sum_over_tasks
from multitask.errors import UserError
from multitask.interference.design.arms import Arm, Design, label
from multitask.interference.design.folder import study_dict
from multitask.interference.design.runs import StudyRun, run_config
from multitask.interference.design.treatments import treated_rates
from multitask.interference.execution.runs import address_of_run, is_finished, mix_of_run, resolve_settings
from multitask.interference.request import StudyRequest
from multitask.interference.undefined import check_selection
from multitask.mixing.prepare import PlannedMixture, prepare_mixture
from multitask.model.pretrained import check_pretrained
from multitask.runs.definitions import FORMATTER, changes, definitions_in, said
from multitask.runs.finished import has_model
from multitask.storage.folders import safe_name
from multitask.storage.json_files import read_json
from multitask.terminal.output import say

PROBING = 0.045
"""What conflict probes may cost of the joint arm's steps by arithmetic; many small passes take up to twice as long."""
MEASUREMENTS = 10
"""Of a run's gradients, task by task: each costs as much as a step for each task."""


@dataclass(frozen=True, eq=False)
class StudySetup:
    """A study that is ready to train."""

    request: StudyRequest
    out: Path
    """The study's folder."""
    threads: int
    """Of each run. Their number changes the last bits: a study that is continued keeps its own, whatever its jobs."""
    rate_base: Fraction
    """The reference batch size: examples a step of the study's first set of tasks."""
    vocab: Path | None
    """From scratch: the folder of the vocabulary that is trained for the study."""
    vocabulary: list[str]
    """The tasks that it is trained on."""
    base: TrainConfig
    """The settings of the joint run."""
    mix: PlannedMixture
    """Of all tasks."""
    lr: dict[str, float]
    """{kind of arm: learning rate}"""

    @property
    def has_vocabulary(self) -> bool:
        """Whether the vocabulary of the runs is there, so that they have addresses."""
        return self.vocab is None or (self.vocab / "spiece.model").is_file()


def prepare_setup(
    request: StudyRequest, out: Path, stored: Mapping[str, Any] | None, *, quiet: bool = False
) -> StudySetup:
    """Load the data of a study, and settle what its runs share.

    Args:
        request: From `prepare_request`.
        out: The study's folder.
        stored: What study.yaml says; None for a new study.
        quiet: Print nothing.

    Raises:
        UserError: If the data cannot be used, or nothing could be chosen on it.
    """
    config, design, train = request.config, request.design, request.config.train
    rate_base = Fraction(stored["rate_base"]) if stored else design.budget(design.tasks)
    vocab = (out / "vocab") if request.from_scratch and not train.vocab else None
    vocabulary = sorted(request.tasks)
    if stored and vocab and (vocab / "spiece.model").is_file():
        vocabulary = list(map(str, stored.get("vocabulary") or stored["tasks"]))
    steps = int(train.trainer["max_steps"])
    log_every = train.log_every
    if log_every == TrainConfig.log_every:
        log_every = max(1, min(log_every, steps // 60))
    base = dataclasses.replace(
        train,
        tasks=list(design.tasks),
        per_step={t: float(b) for t, b in design.per_step.items()},
        rate_base=float(rate_base),
        seed=design.seeds[0],
        trainer={"enable_progress_bar": False, **train.trainer},
        log_every=log_every,
        gradients_every=train.gradients_every or log_every * max(1, steps // MEASUREMENTS // log_every),
        conflict_every=train.conflict_every or probe_interval(design, train),
        vocab=str(vocab) if vocab else train.vocab,
    )
    lr = resolve_settings(base).lr
    assert lr is not None
    rates = {family: _own_rate(base, design, arm, lr) for arm in design.needed() for family in [design.family(arm)]}
    rates = {f: v for f, v in sorted(rates.items()) if f in _rated(design)}
    if stored and stored["lr_grid"] and stored["lr"]:
        rates.update({f: v for f, v in stored["lr"].items() if f in rates})
    if not request.from_scratch:
        check_pretrained(train.model)
    if not quiet:
        say(f"loading the data of {', '.join(design.tasks)} …")
    mix = prepare_mixture(dataclasses.replace(resolve_settings(base), vocab=None))
    check_selection(config, request.tasks, mix)
    sizes = {name: len(d.train) for name, d in mix.data.items()}
    treated = {t.name: treated_rates(t, design.per_step, sizes, steps) for t in design.treatments if t.rates}
    # Of tasks of one size temperature mixing is the joint arm: a model of its own would only be it once more.
    same = {t.name for t in design.treatments if t.simple and not t.settings and treated.get(t.name) == design.per_step}
    kept = tuple(t for t in design.treatments if t.name not in same)
    design = dataclasses.replace(design, treatments=kept, rates={n: v for n, v in treated.items() if n not in same})
    request = dataclasses.replace(request, design=design)
    threads = config.threads or (stored or {}).get("threads") or request.threads
    return StudySetup(request, out, threads, rate_base, vocab, vocabulary, base, mix, rates)


def probe_interval(design: Design, train: TrainConfig) -> int:
    """Steps between the probes of the joint arm such that they cost `PROBING` of its training; 0 where none can be.

    What a probe costs, in steps: the halves of the step once more; held-out losses before, after and after a step on
    each task alone, and a gradient of each. A forward pass is a third of a pass with its gradient.
    """
    from multitask.training.conflict import HELD_ROWS

    devices = train.trainer.get("devices", 1)
    if devices not in (1, "1", "auto") or train.trainer.get("strategy", "auto") != "auto" or len(design.tasks) < 2:
        return 0
    if no_sum_over_tasks(train):
        return 0
    n, examples = len(design.tasks), float(design.budget(design.tasks))
    cost = 1 + HELD_ROWS * n * (n + 5) / (3 * examples)
    return max(1, math.ceil(cost / PROBING))


def _rated(design: Design) -> set[str]:
    """The kinds of arm that have a learning rate of their own."""
    merges = {t.name for t in design.treatments if t.kind == "merge"}
    sweeps = {s.name for s in design.sweeps}
    return {design.family(a) for a in design.needed() if a.control is None} - merges - sweeps - {"group"}


def _own_rate(base: TrainConfig, design: Design, arm: Arm, lr: float) -> float:
    """The learning rate of an arm that is not tuned: the study's, unless a treatment has one, or another optimizer."""
    treatment = design.treatment_of(arm)
    settings = {} if treatment is None else dict(treatment.settings)
    if not {"lr", "optimizer", "peft"} & set(settings):
        return lr
    own = resolve_settings(dataclasses.replace(base, **{"lr": None, "optimizer": None, **settings})).lr
    assert own is not None
    return own


def study_values(setup: StudySetup, *, lr: dict[str, float] | None = None) -> dict[str, Any]:
    """Give what study.yaml says of a study; `lr` in place of its learning rates."""
    config = dataclasses.replace(setup.request.config, threads=setup.threads)
    rates = setup.lr if lr is None else lr
    return study_dict(config, setup.request.design, setup.rate_base, rates, setup.vocabulary)


# ---- the runs --------------------------------------------------------------------------------------------------------


def make_run(
    setup: StudySetup, arm: Arm, seed: int, *, where: str = "cells", lr: float | None = None, **changed: Any
) -> StudyRun:
    """One run of a study, in a folder that is named after its address.

    Args:
        setup: The study.
        arm: What is trained together.
        seed: Of the run.
        where: The folder of the study that holds its folder.
        lr: In place of the learning rate of its kind of arm.
        changed: Settings of training that differ from the study's.
    """
    design = setup.request.design
    family = design.family(arm)
    # The null control's two arms share a rate, or the rate would be their difference; noise has that of all together.
    rated = {"null": "single", "noise": "joint", "group": "pair"}.get(family, family)
    own = setup.lr.get(rated, setup.lr.get("joint", next(iter(setup.lr.values()))))
    treatment = design.treatment_of(arm)
    if treatment is not None and treatment.kind == "merge":
        singles = [make_run(setup, design.arm([t]), seed, where=where).folder for t in arm.tasks]
        changed = {"merge_runs": [str(folder) for folder in singles], **changed}
    if treatment is not None and {"peft", "optimizer"} & set(treatment.settings):
        changed = {"optimizer": treatment.settings.get("optimizer"), **changed}
    if arm != design.joint or where != "cells":
        changed = {"conflict_every": 0, **changed}
    config = run_config(
        setup.base,
        design,
        arm,
        seed,
        rate_base=setup.rate_base,
        lr=own if lr is None else lr,
        vocab=setup.vocab,
        **changed,
    )
    name = f"{safe_name(label(arm, family))}-seed{seed}-{address_of_run(config, setup.mix)[:10]}"
    merges = any(t.kind == "merge" for t in design.treatments)
    keep = where == "cells" and merges and arm in [design.arm([t]) for t in design.tasks]
    return StudyRun(arm, family, seed, config, setup.out / where / name, keep_model=keep)


def needed_runs(setup: StudySetup) -> list[StudyRun]:
    """Every run that the design needs; without an address, and so unfinished, as long as there is no vocabulary."""
    design = setup.request.design
    wanted = [(arm, seed) for seed in design.seeds for arm in design.needed()]
    if setup.has_vocabulary:
        return [make_run(setup, arm, seed) for arm, seed in wanted]
    return [StudyRun(arm, design.family(arm), seed, setup.base, setup.out / "cells" / "-") for arm, seed in wanted]


class Missing(NamedTuple):
    """Which runs of a study have to be trained."""

    runs: list[StudyRun]
    changed: list[str]
    """Tasks whose formatter's code is another than when finished runs were trained, with repetitions."""


def find_missing(setup: StudySetup, runs: Sequence[StudyRun]) -> Missing:
    """The runs that are not finished.

    Raises:
        UserError: If one was trained, or begun, on another task of that name.
    """
    changed = [task for run in runs for task in _changed_tasks(setup, run)]
    missing = [run for run in runs if not is_finished(run.folder)]
    merging = {run.seed for run in missing if run.config.merge}
    lacking = [r for r in runs if r.keep_model and r.seed in merging and not has_model(r.folder)]
    return Missing([run for run in runs if run in missing or run in lacking], changed)


def _changed_tasks(setup: StudySetup, run: StudyRun) -> list[str]:
    path = run.folder / "run.json"
    try:
        before = definitions_in(read_json(path, dict[str, Any]), path) if path.is_file() else {}
    except UserError:  # it is damaged, and trained again
        return []
    changed = []
    for task in run.arm.tasks:
        found = changes(before.get(task), setup.request.definitions[task], path)
        other = [change for change in found if change.part != FORMATTER]
        if other:
            raise UserError(
                f"task '{task}' changed since {run.folder} was trained: {said(other)}; all models of a table need "
                f"one task: restore it, give another --out, or --overwrite to begin anew."
            )
        if found:  # the folder's name has the address, and so says that the rows are the same
            changed.append(task)
    return changed


def count_evaluated_rows(run: StudyRun, mix: PlannedMixture) -> int:
    """How many rows a run is evaluated on."""
    own = mix_of_run(run.config, mix)
    on = run.config.evaluate_on
    return sum(
        len((own.data[t].selection or ()) if on == "selection" else own.data[t].validation) for t in own.evaluated
    )
