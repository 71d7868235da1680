"""The design of a study: which models have to be trained, all of them restrictions of one plan.

Words
    study       tasks, arms, seeds and one set of training settings
    run         one model: an arm's tasks, its examples per step, a seed
    family      arms with the same definition: `single`, `joint`, `pair`, `without`, the null control's two, `noise`,
                `group` (of the suggested grouping), and each treatment and each sweep under its own name
    treatment   a change of the joint arm; see `design.treatments`
    noise       the noise control of a task: the joint plan, in which all others have shuffled targets
    budget      examples per step, over all tasks of a run; the steps are the same everywhere
    rate base   the reference batch size, which a task's examples per step are divided by to weight its loss: the budget
                of the study's first set of tasks, in every run, so that a task's term of the loss is the same in any
                company, and stays so when a task is added later

Under `examples` a run is the joint plan with the other tasks' examples taken out. Under `steps` the run that is
compared *against* has the budget of the one with company, all of it on its own tasks.

Two definitions may be one run (of three tasks, `without u` is a pair; of two, the joint run is): it is trained once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from multitask.errors import UserError
from multitask.interference.design.treatments import Sweep, Treatment
from multitask.registry import did_you_mean

ARMS = ("single", "joint", "pair", "without")
MATCHES = ("examples", "steps")


class Arm(NamedTuple):
    """Tasks that are trained together, with their budget; with a seed it is a run."""

    tasks: tuple[str, ...]
    """By name."""
    budget: Fraction
    """Examples a step, over all tasks."""
    twin: bool = False
    """The task twice, as disjoint halves of its rows."""
    control: str | None = None
    """The task whose noise control this is: the only one with targets of its own."""

    treatment: str = ""
    """The treatment or sweep of the joint arm that this is, by name."""

    @property
    def scored(self) -> tuple[str, ...]:
        """The tasks whose scores the arm is for."""
        return self.tasks if self.control is None else (self.control,)

    @property
    def shuffled(self) -> tuple[str, ...]:
        """The tasks that have shuffled targets."""
        return () if self.control is None else tuple(t for t in self.tasks if t != self.control)


class Contrast(NamedTuple):
    """An effect to be estimated: a sum of arms' scores of one task, with coefficients."""

    kind: str
    """See `record`."""
    task: str
    companion: str | None
    match: str | None
    terms: tuple[tuple[Arm, int], ...]

    @property
    def arms(self) -> list[Arm]:
        """Those that it needs."""
        return [arm for arm, _ in self.terms]


@dataclass(frozen=True)
class Design:
    """The runs and effects of a study.

    Args:
        tasks: The study's tasks; arms hold them by name.
        per_step: Examples of each task in a step.
        arms: Of `ARMS`.
        match: Of `MATCHES`; both may be asked for.
        seeds: Of weights, streams and dropout.
        null: The tasks that get a null control.
        noise: Whether each task gets a noise control.
        treatments: Ways of training together that are compared with the joint arm.
        sweeps: The joint arm with one task at another rate.
    """

    tasks: tuple[str, ...]
    per_step: Mapping[str, Fraction]
    arms: tuple[str, ...] = ARMS
    match: tuple[str, ...] = ("examples",)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    null: tuple[str, ...] = ()
    noise: bool = False
    treatments: tuple[Treatment, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    rates: Mapping[str, Mapping[str, Fraction]] = field(default_factory=dict)
    """{treatment: examples of each task in a step}, of those whose rates differ; known when the data is."""
    only: frozenset[frozenset[str]] | None = None
    """The pairs to train, where not every one is; see `estimation`."""
    grouping: tuple[tuple[str, ...], ...] = ()
    """The suggested groups, which the treatment `groups` trains; known when the pairs are."""

    def __post_init__(self) -> None:
        for name, given, known in (("arms", self.arms, ARMS), ("match", self.match, MATCHES)):
            if not given:
                raise UserError(f"--{name} names none; give some of {', '.join(known)}.")
            for one in given:
                if one not in known:
                    raise UserError(f"--{name} {one}: {did_you_mean(one, list(known))}")
            if len(set(given)) < len(given):
                raise UserError(f"--{name} names one twice: {', '.join(given)}.")
        if len(self.tasks) < 2 and not self.null:
            raise UserError(
                f"a study compares tasks in company, so --tasks must name two or more. Got {', '.join(self.tasks)}."
            )
        if "single" not in self.arms and not {"joint", "without"} <= set(self.arms):
            raise UserError(
                f"--arms {','.join(self.arms)} leaves nothing to compare with: add single (or joint and without)."
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"--seeds must be one or more different seeds. Got {', '.join(map(str, self.seeds))}.")
        if self.noise and (len(self.tasks) < 2 or not {"single", "joint"} <= set(self.arms)):
            raise UserError(
                "--control noise stands between a task alone and all together: --arms needs single and joint."
            )
        self._check_treatments()
        for task in self.null:
            if task not in self.tasks:
                raise UserError(f"--null {task}: {did_you_mean(task, list(self.tasks))}")

    def _check_treatments(self) -> None:
        has = set(self.arms)
        what = "--treatments" if self.treatments else "--rates-sweep"
        if (self.treatments or self.sweeps) and (len(self.tasks) < 2 or "joint" not in has):
            raise UserError(f"{what} changes the joint arm of two tasks or more: --arms needs joint.")
        if any(t.kind == "merge" for t in self.treatments) and "single" not in has:
            raise UserError("--treatments merge merges the single models: --arms needs single.")
        if any(t.kind == "groups" for t in self.treatments) and not {"single", "pair"} <= has:
            raise UserError(
                "--treatments groups trains the grouping that the pairs suggest: --arms needs single and pair."
            )
        if self.sweeps and "single" not in has and len(self.tasks) == 2:
            raise UserError("--rates-sweep of two tasks compares with each alone: --arms needs single.")

    # ---- arms ----------------------------------------------------------------------------------------------------

    def budget(self, tasks: Iterable[str]) -> Fraction:
        """Examples a step of these tasks in the joint plan."""
        return sum((self.per_step[t] for t in tasks), Fraction(0))

    def arm(self, tasks: Iterable[str], budget: Fraction | None = None) -> Arm:
        """The arm of these tasks, at their part of the joint plan or stretched to another budget."""
        names = tuple(sorted(tasks))
        return Arm(names, self.budget(names) if budget is None else budget)

    @property
    def joint(self) -> Arm:
        """All tasks."""
        return self.arm(self.tasks)

    def single(self, task: str, match: str, company: Iterable[str]) -> Arm:
        """The arm of a task alone that is compared with `company`, which holds it."""
        return self.arm([task], self.budget(company) if match == "steps" else None)

    def without(self, left_out: str, match: str) -> Arm:
        """All tasks but one."""
        rest = [t for t in self.tasks if t != left_out]
        return self.arm(rest, self.joint.budget if match == "steps" else None)

    def twins(self, task: str) -> tuple[Arm, Arm]:
        """The null control's arms: the task with a disjoint copy of itself, and alone, both with the same budget.

        Both see twice the task's examples in a step, of the same rows: in the first, each half of the rows has a
        stream of its own. Whatever a table says of their difference is a false alarm.
        """
        double = 2 * self.per_step[task]
        return Arm((task,), double, twin=True), Arm((task,), double)

    def noise_of(self, task: str) -> Arm:
        """The noise control: the joint plan with the other tasks' targets shuffled.

        Same texts, lengths, steps and weights, and nothing to learn: what is left of company is that it is there.
        """
        return self.joint._replace(control=task)

    def treated(self, treatment: Treatment, task: str) -> Arm | None:
        """The arm whose score is a task's under a treatment; None for `groups` before there are any."""
        if treatment.kind != "groups":
            return self.joint._replace(treatment=treatment.name)
        group = next((g for g in self.grouping if task in g), None)
        return None if group is None else self.arm(group)

    def swept(self, sweep: Sweep) -> Arm:
        """The joint arm with one task at another rate; the others' examples stay what they are."""
        more = (sweep.factor - 1) * self.per_step[sweep.companion]
        return self.joint._replace(treatment=sweep.name, budget=self.joint.budget + more)

    def treatment_of(self, arm: Arm) -> Treatment | None:
        """The treatment that an arm is; None for one that is none, and for a sweep."""
        return next((t for t in self.treatments if t.name == arm.treatment), None)

    # ---- effects -------------------------------------------------------------------------------------------------

    def contrasts(self) -> list[Contrast]:
        """Every effect that the arms allow, in the order of the tables."""
        return [c for task in self.tasks for c in self._of_task(task)]

    def _of_task(self, task: str) -> list[Contrast]:
        found: list[Contrast] = []
        others = [t for t in self.tasks if t != task]
        has = set(self.arms)
        for match in self.match:
            company = ((self.joint, 1), (self.single(task, match, self.tasks), -1))
            partners = [u for u in others if "pair" in has and (self.only is None or frozenset((task, u)) in self.only)]
            pairs = [((self.arm([task, u]), 1), (self.single(task, match, [task, u]), -1)) for u in partners]
            if others and {"single", "joint"} <= has:
                found.append(Contrast("company", task, None, match, company))
            if {"single", "pair"} <= has:
                found += [Contrast("pair", task, u, match, terms) for u, terms in zip(partners, pairs, strict=True)]
            if {"joint", "without"} <= has and len(others) > 1:
                found += [
                    Contrast("without", task, u, match, ((self.joint, 1), (self.without(u, match), -1))) for u in others
                ]
            if {"single", "joint", "pair"} <= has and len(others) > 1 and self.only is None:
                # company − Σ pairs, the same arms gathered: the single runs may all be one
                gathered: dict[Arm, int] = {}
                for arm, sign in (*company, *((a, -s) for terms in pairs for a, s in terms)):
                    gathered[arm] = gathered.get(arm, 0) + sign
                terms = tuple((arm, n) for arm, n in gathered.items() if n)
                found.append(Contrast("non_additivity", task, None, match, terms))
        if set(self.match) == set(MATCHES) and others and {"single", "joint"} <= has:
            alone = [self.single(task, match, self.tasks) for match in MATCHES]
            found.append(Contrast("dilution", task, None, None, ((alone[0], 1), (alone[1], -1))))
        if self.noise:
            noise = self.noise_of(task)
            for match in self.match:
                terms = ((noise, 1), (self.single(task, match, self.tasks), -1))
                found.append(Contrast("noise", task, None, match, terms))
            found.append(Contrast("content", task, None, None, ((self.joint, 1), (noise, -1))))
        found += self._of_treatments(task)
        if task in self.null:
            copied, alone_twice = self.twins(task)
            found.append(Contrast("null", task, None, "steps", ((copied, 1), (alone_twice, -1))))
        return found

    def _of_treatments(self, task: str) -> list[Contrast]:
        found = []
        for treatment in self.treatments:
            arm = self.treated(treatment, task)
            if arm is None:
                continue
            if arm != self.joint:  # of one group the suggested grouping is the joint arm itself
                found.append(Contrast("treatment", task, treatment.name, None, ((arm, 1), (self.joint, -1))))
            for match in self.match if "single" in self.arms else ():
                single = self.single(task, match, self.tasks)
                if arm != single:
                    found.append(Contrast("treated", task, treatment.name, match, ((arm, 1), (single, -1))))
        for sweep in self.sweeps:
            if sweep.companion != task:
                arm = self.swept(sweep)
                base = self.without(sweep.companion, "examples")
                found.append(Contrast("rate", task, sweep.name, None, ((arm, 1), (base, -1))))
                found.append(Contrast("rate_change", task, sweep.name, None, ((arm, 1), (self.joint, -1))))
        for companion in dict.fromkeys(s.companion for s in self.sweeps if s.companion != task):
            base = self.without(companion, "examples")
            name = Sweep(companion, Fraction(1)).name
            found.append(Contrast("rate", task, name, None, ((self.joint, 1), (base, -1))))
        return found

    def needed(self) -> list[Arm]:
        """The arms to train, each once: the joint one first, then by number of tasks."""
        found: dict[Arm, None] = {}
        if "joint" in self.arms:
            found[self.joint] = None
        for contrast in self.contrasts():
            for arm in contrast.arms:
                found[arm] = None
        if "single" in self.arms:
            alone = {arm.tasks[0] for arm in found if len(arm.tasks) == 1 and not arm.twin}
            for task in self.tasks:
                if task not in alone:  # nothing to compare it with, but its score was asked for
                    found[self.arm([task])] = None
        return sorted(found, key=_order(self.joint))

    def family(self, arm: Arm) -> str:
        """Its kind in the record: single, joint, pair, without, null, noise, group, or the name of a treatment."""
        if arm.treatment:
            return arm.treatment
        if arm.twin:
            return "null"
        if arm.control is not None:
            return "noise"
        if len(arm.tasks) == 1:
            return "single"
        if arm.tasks == self.joint.tasks:
            return "joint"
        if len(arm.tasks) == 2 and "pair" in self.arms:
            return "pair"
        # A group of the suggested grouping may be an arm of the study too.
        return "without" if len(arm.tasks) == len(self.tasks) - 1 else "group"

    def per_step_of(self, arm: Arm) -> dict[str, Fraction]:
        """Examples a step of each of the arm's tasks; of a twin, of each half."""
        if arm.twin:
            return {arm.tasks[0]: arm.budget / 2}
        if arm.treatment in self.rates:
            return dict(self.rates[arm.treatment])
        sweep = next((s for s in self.sweeps if s.name == arm.treatment), None)
        if sweep is not None:
            return {t: self.per_step[t] * (sweep.factor if t == sweep.companion else 1) for t in arm.tasks}
        own = self.budget(arm.tasks)
        return {t: self.per_step[t] * arm.budget / own for t in arm.tasks}


def _order(joint: Arm) -> Callable[[Arm], tuple[Any, ...]]:
    return lambda a: (a != joint, len(a.tasks), a.twin, a.control or "", a.treatment, a.budget, a.tasks)


def label(arm: Arm, family: str) -> str:
    """The name of an arm for people and for a run's folder, e.g. "pair-span-sst2".

    >>> label(Arm(("span", "sst2"), Fraction(32)), "pair")
    'pair-span-sst2'
    """
    return "joint" if family == "joint" else arm.treatment or "-".join((family, *arm.scored))


def parse_seeds(text: str | int | Sequence[int], first: int = 0) -> tuple[int, ...]:
    """`5` for five seeds from `first` on, `0,3,7` for these (`3,` for the one).

    Raises:
        UserError: If it is neither.

    >>> parse_seeds("3"), parse_seeds("0,3,7")
    ((0, 1, 2), (0, 3, 7))
    """
    if isinstance(text, int):
        count = text
    elif isinstance(text, str):
        try:
            parts = [int(p) for p in text.split(",") if p.strip()]
            count = parts[0]
        except (ValueError, IndexError) as error:
            raise UserError(f"--seeds is a number of seeds, or seeds with commas. Got {text!r}.") from error
        if "," in text:
            return tuple(parts)
    else:
        return tuple(text)
    if count < 1:
        raise UserError(f"--seeds must be at least 1. Got {count}.")
    return tuple(range(first, first + count))
