"""`--runs`: the tables of runs that are finished already; what cannot be compared is refused by name."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from multitask.config import OPERATIONAL, TrainConfig
from multitask.errors import UserError
from multitask.examples.bad_rows import BAD
from multitask.interference.design.arms import Arm, Design
from multitask.interference.design.config import StudyConfig
from multitask.interference.execution.runs import check_scores, resolve_settings
from multitask.interference.results.assemble import make_record
from multitask.interference.results.inputs import StudyInputs
from multitask.interference.study import Study, write_study_files
from multitask.mixing.halves import is_second_half, parts_of
from multitask.mixing.schedule import exact
from multitask.mixing.summary import generated_note
from multitask.runs.address import config_dict
from multitask.runs.definitions import DEFINITION, FORMATTER, changes, check_settings_file, said
from multitask.runs.finished import check_tasks, load_includes, renamed, run_config
from multitask.runs.reader import RunReader
from multitask.storage.folders import check_links, resume_command
from multitask.storage.paths import tilde
from multitask.task import TASKS

PER_RUN = frozenset(
    {"tasks", "seed", "per_step", "columns", "loss_weights", "data", "include", "twin", "shuffle_targets", *OPERATIONAL}
)
"""Settings that say what a run is in a study, or that are compared in another way."""


def tabulate(pattern: str, config: StudyConfig, *, out: Path | None = None) -> Study:
    """A study of the finished runs that `pattern` names.

    Args:
        pattern: With `*` and `?`, e.g. "runs/*"; several with commas.
        config: Margin, resamples and groups of the statistics.
        out: Where to write interference.json, the report and the figures; None to write nothing.

    Raises:
        UserError: If there are no such runs, or two of them cannot be compared: with both names and what differs.
    """
    if out is not None:
        check_links(out)
    folders = sorted({Path(p) for part in pattern.split(",") for p in glob.glob(part)})
    runs = [folder for folder in folders if (folder / "config.yaml").is_file()]
    if not runs:
        raise UserError(f"--runs '{pattern}' matches no run folder; quote the pattern, as in --runs 'runs/*'.")
    for folder in runs:
        if not check_scores(folder):
            raise UserError(
                f"{folder} is not a finished run: {resume_command(folder)} finishes it; or leave it out of --runs."
            )
    configs = {folder: run_config(folder) for folder in runs}
    for folder, its in configs.items():
        load_includes(folder, its, config.train.include)
    _check_comparable(configs)
    finished = {folder: RunReader(folder) for folder in runs}
    changed: list[str] = []
    for folder in runs:
        check_settings_file(folder, finished[folder].record, changed.append)
    _check_versions(finished, configs)
    arms = {folder: _arm(folder, finished[folder], configs[folder]) for folder in runs}
    design, cells = _design(arms, configs, finished)
    first = configs[runs[0]]
    tasks = {name: renamed(TASKS.get(name), first) for name in design.tasks}
    for name, task in tasks.items():  # all runs of it agree; its metrics are computed anew
        check_tasks(next(f for f, arm in arms.items() if name in arm.tasks), {name: task}, changed.append)
    resolved = resolve_settings(first)
    record = make_record(
        StudyInputs(
            design,
            tasks,
            cells,
            {
                "steps": int(resolved.trainer["max_steps"]),
                "model": resolved.model,
                "parameters": int(finished[runs[0]].record["parameters"]),
                "data": resolved.data or "each task's own source",
                "loss": resolved.loss,
                "optimizer": resolved.optimizer,
                "lr": {arm: float(resolved.lr or 0) for arm in design.arms},
                "lr_grid": [],
                "select": resolved.select,
                "command": f"multitask interference --runs '{pattern}'",
            },
            _facts(design, first, finished, configs, [line.removeprefix("WARNING: ") for line in changed]),
            margin=config.margin,
            intervals=config.intervals,
            resamples=config.resamples,
            groups=config.groups,
        )
    )
    if out is None:
        return Study(Path("."), record)
    out.mkdir(parents=True, exist_ok=True)
    return write_study_files(out, record)


def _check_comparable(configs: Mapping[Path, TrainConfig]) -> None:
    first, *others = configs
    reference = config_dict(resolve_settings(configs[first]))
    for folder in others:
        now = config_dict(resolve_settings(configs[folder]))
        for name in sorted(now.keys() - PER_RUN - {"trainer", "rate_base", "data_seed"}):
            if now[name] != reference[name]:
                raise UserError(
                    f"{first} and {folder} cannot be compared: {name} is {reference[name]!r} in the first and "
                    f"{now[name]!r} in the second."
                )
        for name in sorted((now["trainer"].keys() | reference["trainer"].keys()) - {"enable_progress_bar"}):
            one, other = (c["trainer"].get(name) for c in (reference, now))
            if one != other:
                raise UserError(
                    f"{first} and {folder} cannot be compared: trainer.{name} is {one!r} in the first and {other!r} in "
                    "the second."
                )


def _check_versions(runs: Mapping[Path, RunReader], configs: Mapping[Path, TrainConfig]) -> None:
    """The plan's format must be one; task versions and data the same wherever a task was trained or evaluated."""
    formats = {folder: run.record["plan"]["format"] for folder, run in runs.items()}
    first = next(iter(formats))
    for folder, made in formats.items():
        if made != formats[first]:
            raise UserError(
                f"{first} and {folder} cannot be compared: the mixing plan of the first is of format {formats[first]}, "
                f"of the second of format {made}, so their steps held other examples."
            )
    seen: dict[tuple[str, bool], tuple[Path, Mapping[str, Any]]] = {}
    for folder, run in runs.items():
        for name, about in run.record["tasks"].items():
            if is_second_half(name) or len(parts_of(name, run.record["tasks"])) > 1:
                continue
            key = name, name in configs[folder].shuffle_targets  # noise has other training rows, everywhere the same
            other, before = seen.setdefault(key, (folder, about))
            for part, what in (("version", "version"), ("train", "training rows"), ("validation", "validation rows")):
                if before[part] != about[part]:
                    raise UserError(
                        f"{other} and {folder} cannot be compared: the {what} of task '{name}' differ "
                        f"({_brief(before[part])} and {_brief(about[part])})."
                    )
            both = before.get(DEFINITION) and about.get(DEFINITION)
            found = changes(before[DEFINITION], about[DEFINITION], other / "run.json") if both else []
            found = [change for change in found if change.part != FORMATTER]  # it made the same rows
            if found:
                raise UserError(
                    f"{other} and {folder} cannot be compared: task '{name}' is another in the second: {said(found)}."
                )


def _brief(value: Any) -> str:
    return f"{value['examples']:,} with {value['fingerprint'][:8]}" if isinstance(value, dict) else str(value)


def _arm(folder: Path, run: RunReader, config: TrainConfig) -> Arm:
    plan = run.record["plan"]["tasks"]
    for entry in plan.values():
        if not isinstance(entry["per_step"], str):
            raise UserError(f"{folder} has rates that change over training, so no arm of a study is like it.")
    budget = sum((exact(entry["per_step"]) for entry in plan.values()), Fraction(0))
    twin = config.twin is not None
    names = tuple(sorted(n for n in plan if not is_second_half(n)))
    own = [name for name in names if name not in config.shuffle_targets]
    if config.shuffle_targets and len(own) != 1:
        raise UserError(
            f"{folder} has shuffled targets in {', '.join(config.shuffle_targets)}: no arm of a study does."
        )
    return Arm(names, budget, twin, own[0] if config.shuffle_targets else None)


def _design(
    arms: Mapping[Path, Arm], configs: Mapping[Path, TrainConfig], finished: Mapping[Path, RunReader]
) -> tuple[Design, dict[tuple[Arm, int], RunReader]]:
    """Which study the runs make up.

    Raises:
        UserError: If they make up none, or a model of it is missing or there twice.
    """
    every = sorted({t for arm in arms.values() for t in arm.tasks})
    whole = [folder for folder, arm in arms.items() if list(arm.tasks) == every]
    per_step: dict[str, Fraction] = {}
    source: dict[str, Path] = {}
    candidates = whole or sorted(arms, key=lambda f: -len(arms[f].tasks))
    for folder in candidates:  # the joint run says how many examples a step each task has
        for name, entry in finished[folder].record["plan"]["tasks"].items():
            if not is_second_half(name) and name not in per_step:
                per_step[name], source[name] = exact(entry["per_step"]), folder
    seeds = tuple(sorted({c.seed for c in configs.values()}))
    has, matches, null, noise = set(), set(), set(), set()
    for folder, arm in arms.items():
        if arm.twin:
            null.add(arm.tasks[0])
            continue
        if arm.control is not None:
            noise.add(arm.control)
            continue
        own = sum((per_step[t] for t in arm.tasks), Fraction(0))
        for name, entry in finished[folder].record["plan"]["tasks"].items():
            expected = per_step[name] * arm.budget / own
            if exact(entry["per_step"]) != expected:
                raise UserError(
                    f"{source[name]} and {folder} cannot be compared: '{name}' has {per_step[name]} examples a step in "
                    f"the first and {entry['per_step']} in the second; train arms with --per-step."
                )
        if len(arm.tasks) == len(every):
            has.add("joint")
        elif len(arm.tasks) == 1:
            has.add("single")
        else:
            has.add("pair" if len(arm.tasks) == 2 else "without")
        if len(arm.tasks) == 1:
            matches.add("examples" if arm.budget == own else "steps")
    left_out = {a.tasks for a in arms.values() if len(a.tasks) == len(every) - 1}
    if len(every) > 2 and left_out and "joint" in has:  # of three tasks these are pairs too
        (has.add if len(left_out) == len(every) else has.discard)("without")
    if len(every) == 2 and "joint" in has:
        has.add("pair")
    design = Design(
        tuple(every),
        per_step,
        arms=tuple(a for a in ("single", "joint", "pair", "without") if a in has),
        match=tuple(m for m in ("examples", "steps") if m in matches) or ("examples",),
        seeds=seeds,
        null=tuple(sorted(null)),
        noise=noise == set(every),
    )
    cells: dict[tuple[Arm, int], RunReader] = {}
    for folder, arm in arms.items():
        key = (arm, configs[folder].seed)
        if key in cells:
            raise UserError(
                f"{cells[key].folder} and {folder} are the same arm with the same seed ({configs[folder].seed}): "
                "leave one out of --runs."
            )
        cells[key] = finished[folder]
    missing = [(arm, seed) for arm in design.needed() for seed in seeds if (arm, seed) not in cells]
    if missing:
        shown = "; ".join(f"{'+'.join(a.tasks)} with {float(a.budget):g} a step, seed {s}" for a, s in missing[:3])
        raise UserError(
            f"--runs: {len(missing)} of the {len(design.needed()) * len(seeds)} models of this comparison are missing: "
            f"{shown}{', …' if len(missing) > 3 else ''}. Train them, or leave out what has no counterpart."
        )
    return design, cells


def _facts(
    design: Design,
    first: TrainConfig,
    finished: Mapping[Path, RunReader],
    configs: Mapping[Path, TrainConfig],
    changed: Sequence[str],
) -> dict[str, Any]:
    from multitask.model.contamination import contamination

    warnings = tilde(list(changed))
    generated = sorted({n for r in finished.values() for n, about in r.record["tasks"].items() if about["generated"]})
    if generated:
        warnings.append(generated_note(generated))
    found = contamination(first.model, design.tasks)
    if found:
        warnings.append(f"CONTAMINATED: {found}")
    bases = {(c.rate_base or sum(_numbers(c.per_step))) for c in configs.values()}
    if first.loss == "task" and len(bases) > 1:
        warnings.append(
            "LOSS WEIGHTS: the runs were trained with different rate bases, so a task's term of the loss has another "
            "factor in each arm; with Adam or Adafactor only clipping sees it. --rate-base makes them the same."
        )
    notes = ["Tabulated from finished runs; whether evaluation texts stand in other tasks' training was not checked."]
    left_out = {
        (name, split): skipped[BAD]
        for run in finished.values()
        for name, about in run.record["tasks"].items()
        for split, skipped in about["skipped"].items()
        if BAD in skipped
    }
    notes += [f"{name}: {count:,} bad {split} rows are left out." for (name, split), count in sorted(left_out.items())]
    return {"warnings": warnings, "notes": notes}


def _numbers(per_step: Any) -> Sequence[float]:
    return list(per_step.values()) if isinstance(per_step, dict) else [float(per_step or 0)]
