"""Ways of training together that a study sets side by side: named changes of the joint arm.

Words
    treatment   a name, and the settings of training that differ from those of the joint arm; the tasks, seeds, steps
                and (unless its rates are changed) the examples of every step are those of the joint arm
    simple      a treatment that takes no method at all: other weights, other rates, more regularisation. Critics found
                that these match the specialised methods (Kurin et al. 2022, "In defense of the unitary scalarization
                for deep multi-task learning"; Xin et al. 2022, "Do current multi-task optimization methods in deep
                learning even help?"), so they stand in the same table unless they are left out
    sweep       the joint arm with one task at other rates, to tell weak interference from strong (Jiang et al. 2023,
                "ForkMerge: mitigating negative transfer in auxiliary-task learning")
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from multitask.config import TrainConfig
from multitask.config_checks import check_config
from multitask.errors import UserError
from multitask.mixing.rates import mixing_rates
from multitask.mixing.schedule import exact
from multitask.registry import did_you_mean
from multitask.storage.schema import problem_of
from multitask.storage.yaml_files import load_yaml

Kind = Literal["train", "merge", "groups"]

BALANCES = ("uw", "famo", "imtl", "pcgrad", "gradvac", "cagrad", "upgrad", "mgda", "fairgrad")
MERGES = ("average", "arithmetic", "ties")
PRESETS: Mapping[str, Mapping[str, Any]] = {
    **{name: {"balance": name} for name in BALANCES},
    "lora": {"peft": "lora"},
    "lora-task": {"peft": "lora", "adapters": "task"},
    "temperature": {"mixing": "temperature", "temperature": 2.0},
    "equal": {"mixing": "equal"},
    "dropout": {"dropout": 0.2},
    "decay": {"weight_decay": 0.1},
}
"""{name: the settings that it changes}."""
UPWEIGHT = 3.0
"""How much more one task's loss weighs than each other's in the sweep of static weights."""
SIMPLE = ("weights", "temperature", "dropout", "decay")
"""The treatments that are trained beside any others unless they are left out; `weights` is one a task."""
MIXING = ("mixing", "temperature", "cap", "scale", "max_epochs")
"""Settings that make rates."""
CHANGEABLE = (
    *("loss", "loss_weights", "balance", "balance_scale", "optimizer", "lr", "weight_decay", "schedule"),
    *("warmup_steps", "clip", "dropout", "ema", "peft", "adapters", "lora_rank"),
)
"""Settings of training that a treatment may change, besides those that make rates."""
FACTORS = (Fraction(1, 4), Fraction(1, 2), Fraction(2))
"""Of a sweep, besides 1, which is the joint arm."""
RESERVED = ("single", "joint", "pair", "without", "null", "noise", "group", "sweep", "sum")


class Treatment(NamedTuple):
    """One way of training together."""

    name: str
    kind: Kind
    settings: Mapping[str, Any]
    """What differs from the joint arm, by the names of `TrainConfig`; of a merge its method."""
    rates: Mapping[str, Any]
    """What makes other rates: the mixing settings, or relative ones under `rates`; empty for those of the joint arm."""
    simple: bool = False

    @property
    def says(self) -> str:
        """The change in words, as `--treatments` takes it.

        >>> Treatment("t2", "train", {}, {"mixing": "temperature", "temperature": 2.0}).says
        'mixing=temperature temperature=2'
        """
        parts: list[str] = []
        for name, value in {**self.settings, **self.rates}.items():
            if isinstance(value, Mapping):
                parts += [f"{name}.{task}={_plain(one)}" for task, one in value.items()]
            else:
                parts.append(f"{name}={_plain(value)}")
        return " ".join(parts)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class Sweep(NamedTuple):
    """The joint arm with one task at another rate."""

    companion: str
    factor: Fraction

    @property
    def name(self) -> str:
        """For people.

        >>> Sweep("sst2", Fraction(1, 4)).name
        'sst2 × 0.25'
        """
        return f"{self.companion} × {float(self.factor):g}"


def parse_treatments(
    entries: Sequence[str], tasks: Sequence[str], *, simple: bool, train: TrainConfig
) -> list[Treatment]:
    """The treatments that `--treatments` names, and the simple ones after them.

    Args:
        entries: Each a name of `PRESETS`, `weights`, `merge`, `groups`, or `NAME: setting=value …`.
        tasks: Of the study.
        simple: Add `SIMPLE`.
        train: The settings of the joint arm, which a treatment's must go with.

    Raises:
        UserError: For a name or a setting that there is not, or that cannot work.
    """
    if not entries:
        return []
    found: dict[str, Treatment] = {}
    for entry in entries:
        for one in _parse(entry, tasks):
            if one.name in found:
                raise UserError(f"--treatments names '{one.name}' twice.")
            found[one.name] = one
    given = [(dict(t.settings), dict(t.rates)) for t in found.values()]
    for name in SIMPLE if simple else ():
        for one in _parse(name, tasks):
            if one.name not in found and (dict(one.settings), dict(one.rates)) not in given:
                found[one.name] = one._replace(simple=True)
    for one in found.values():
        _check(one, tasks, train)
    return list(found.values())


def _parse(entry: str, tasks: Sequence[str]) -> list[Treatment]:
    name, colon, rest = entry.partition(":")
    name = name.strip()
    if colon:
        if not name or name in (*RESERVED, *tasks) or any(c in name for c in "+=/×") or name != name.strip():
            raise UserError(f"--treatments {entry!r}: '{name}' cannot be the name of a treatment.")
        settings, rates = _settings(name, rest.split())
        return [Treatment(name, "train", settings, rates)]
    if name == "merge":
        return [Treatment(f"merge-{method}", "merge", {"merge": method}, {}) for method in MERGES]
    if name.removeprefix("merge-") in MERGES and name.startswith("merge-"):
        return [Treatment(name, "merge", {"merge": name.removeprefix("merge-")}, {})]
    if name == "groups":
        return [Treatment(name, "groups", {}, {})]
    if name == "weights":
        whole = UPWEIGHT + len(tasks) - 1
        weights = {t: {u: round(len(tasks) * (UPWEIGHT if u == t else 1.0) / whole, 6) for u in tasks} for t in tasks}
        return [Treatment(f"weight-{t}", "train", {"loss_weights": weights[t]}, {}) for t in tasks]
    if name in PRESETS:
        values = PRESETS[name]
        rates = {n: v for n, v in values.items() if n in MIXING}
        return [Treatment(name, "train", {n: v for n, v in values.items() if n not in MIXING}, rates)]
    known = [*PRESETS, "weights", "merge", *(f"merge-{m}" for m in MERGES), "groups"]
    raise UserError(
        f'--treatments {name}: {did_you_mean(name, known)} For one of your own: --treatments "NAME: setting=value".'
    )


def _settings(name: str, words: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings and what makes rates of `setting=value` words."""
    if not words:
        raise UserError(f'--treatments "{name}:" changes nothing: give setting=value, e.g. "{name}: dropout=0.2".')
    settings: dict[str, Any] = {}
    rates: dict[str, Any] = {}
    hints = typing.get_type_hints(TrainConfig)
    for word in words:
        key, equals, text = word.partition("=")
        key = key.replace("-", "_")
        part, dot, task = key.partition(".")
        if not equals or not text:
            raise UserError(f"--treatments {name}: '{word}' is no setting=value.")
        value = load_yaml(text)
        if part == "rates" and dot:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise UserError(f"--treatments {name}: rates.{task} is a number, 0 or more. Got {text}.")
            rates.setdefault("rates", {})[task] = float(value)
            continue
        if part not in (*CHANGEABLE, *MIXING):
            known = [*CHANGEABLE, *MIXING, "rates.TASK"]
            raise UserError(f"--treatments {name}: {part}: {did_you_mean(part, known)}")
        target = rates if part in MIXING else settings
        if isinstance(value, int) and not isinstance(value, bool) and "float" in str(hints[part]):
            value = float(value)
        if dot:
            target.setdefault(part, {})[task] = value
            value = target[part]
        problem = problem_of(value, hints[part])
        if problem is not None:
            raise UserError(f"--treatments {name}: {part} {problem}.")
        target[part] = value
    return settings, rates


def _check(treatment: Treatment, tasks: Sequence[str], train: TrainConfig) -> None:
    """Refuse settings that cannot work, or name a task that there is not.

    Raises:
        UserError: Names the treatment.
    """
    named = [*treatment.settings.get("loss_weights", {}), *treatment.rates.get("rates", {})]
    named += treatment.rates.get("scale", {})
    try:
        for task in named:
            if task not in tasks:
                raise UserError(f"{task}: {did_you_mean(task, list(tasks))}")
        if treatment.kind == "train":
            check_config(dataclasses.replace(train, **treatment.settings))
    except UserError as error:
        raise UserError(f"treatment '{treatment.name}': {error}") from error


def treated_rates(
    treatment: Treatment, per_step: Mapping[str, Fraction], sizes: Mapping[str, int], steps: int
) -> dict[str, Fraction]:
    """Examples a step of each task under a treatment: as many in all as the joint arm has.

    Args:
        treatment: With `rates`.
        per_step: Of the joint arm.
        sizes: Training examples of each task.
        steps: Optimizer steps, for UniMax's budget.
    """
    whole = sum(per_step.values(), Fraction(0))
    given = dict(treatment.rates)
    try:
        if "rates" in given:
            weights = {t: given["rates"].get(t, 1.0) for t in per_step}
            rates = mixing_rates(sizes, strategy="weights", weights=weights)
        else:
            strategy = given.pop("mixing", None)
            budget = float(whole) * steps if strategy == "unimax" else None
            rates = mixing_rates(sizes, strategy=strategy, budget=budget, **given)
    except UserError as error:
        raise UserError(f"treatment '{treatment.name}': {error}") from error
    return {t: exact(round(float(whole) * rates[t], 6)) for t in per_step}


def parse_sweeps(entries: Sequence[str], tasks: Sequence[str]) -> list[Sweep]:
    """The sweeps that `--rates-sweep` names: a task, or `task=0.25/0.5/2` with factors of its examples a step.

    Raises:
        UserError: For a task that is not in the study, or fewer than two factors besides 1.

    >>> [s.name for s in parse_sweeps(["sst2=0.5/4"], ["span", "sst2"])]
    ['sst2 × 0.5', 'sst2 × 4']
    """
    found: list[Sweep] = []
    for entry in entries:
        name, equals, text = entry.partition("=")
        if name not in tasks:
            raise UserError(f"--rates-sweep {name}: {did_you_mean(name, list(tasks))}")
        factors = list(FACTORS)
        if equals:
            try:
                factors = [exact(part) for part in text.split("/")]
            except (UserError, ValueError) as error:
                raise UserError(
                    f"--rates-sweep {entry}: factors are numbers with / between, as in 0.25/0.5/2."
                ) from error
        factors = sorted({f for f in factors if f != 1})
        if any(f <= 0 for f in factors) or len(factors) < 2:
            raise UserError(
                f"--rates-sweep {entry}: give two or more factors above 0 besides 1, which is the joint arm."
            )
        found += [Sweep(name, f) for f in factors if Sweep(name, f) not in found]
    return found
