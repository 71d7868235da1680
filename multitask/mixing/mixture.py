"""Mixtures: which tasks are trained together, by name, and in which proportions.

Words
    mixture   named members with a strategy (`multitask.mixing.rates`) or with explicit rates
    member    a task or another mixture
    flatten   a nested mixture becomes its tasks: rates multiply along the way, as in seqio, and a task that is
              reached by several ways gets the sum
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

from multitask.errors import UserError
from multitask.field_docs import explain_fields
from multitask.mixing.rates import (
    MixingSettings,
    Strategy,
    check_sizes,
    effective_sizes,
    mixing_rates,
    temperature_schedule,
)
from multitask.registry import Registry, did_you_mean, place_of
from multitask.short_repr import Plain, short_repr
from multitask.tables.table import text_table

__all__ = [
    "MIXTURES",
    "MixingSettings",
    "Mixture",
    "Strategy",
    "mixing_rates",
    "parse_tasks",
    "register_mixture",
    "resolve",
    "temperature_schedule",
]


@explain_fields
@dataclass(frozen=True)
class Mixture:
    """Members, tasks or other mixtures, and how their rates are found.

    >>> mixture = Mixture("two", (("span", 3.0), ("sst2", 1.0)))
    >>> mixture.rates({"span": 10, "sst2": 10_000})
    {'span': 0.75, 'sst2': 0.25}
    """

    name: str
    """As in `--tasks`."""
    members: tuple[tuple[str, float | None], ...]
    """(task or mixture, relative rate); None for all of them if a strategy decides."""
    settings: MixingSettings = field(default_factory=lambda: MixingSettings(), hash=False)
    """The mixture's own strategy; empty for proportional mixing, or for what `rates` is told."""

    def __post_init__(self) -> None:
        if not self.members:
            raise UserError(f"mixture '{self.name}' needs one or more members. Got none.")
        seen: set[str] = set()
        for member, _ in self.members:
            if member in seen:
                raise UserError(f"'{member}' is named twice in mixture '{self.name}'; name it once.")
            seen.add(member)
        without = [member for member, rate in self.members if rate is None]
        if without and len(without) < len(self.members):
            raise UserError(
                f"give each member of mixture '{self.name}' a rate, or none of them: "
                f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} none."
            )
        if not without and self.settings:
            raise UserError(
                f"mixture '{self.name}' has explicit rates, so {', '.join(self.settings)} would be ignored; "
                "leave out one or the other."
            )
        self._member_rates(dict.fromkeys(seen, 1.0), {})  # a wrong setting is found here, not when it is first used

    def __repr__(self) -> str:
        members = ", ".join(m if rate is None else f"{m}={rate:g}" for m, rate in self.members)
        settings = {name: value for name, value in self.settings.items() if value is not None}
        return short_repr(self, self.name, Plain(members), **settings)

    def _repr_html_(self) -> str:
        rows = [
            (name, "by size" if rate is None and not self.settings else "·" if rate is None else f"{rate:g}")
            for name, rate in self.members
        ]
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items() if value is not None)
        title = f"Mixture {self.name}" + (f": {settings}" if settings else "")
        return text_table(title, ("member", "relative rate"), rows)._repr_html_()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the members come down to, each once, in the order in which they are reached."""
        return tuple(dict.fromkeys(_flatten(self, ())))

    def rates(self, sizes: Mapping[str, int], **settings: Unpack[MixingSettings]) -> dict[str, float]:
        """The rates of the tasks, summing to 1, in the order of `tasks`.

        Args:
            sizes: {task: training examples}, for all of `tasks`; others are left aside.
            settings: As for `mixing_rates`, in place of the mixture's own. They are about its members: a nested
                mixture counts there as one member, with the sum of its tasks' sizes after its own scale and cap,
                and inside it its own strategy decides (proportional, if it has none).

        Raises:
            UserError: If a setting does not fit, or a mixture contains itself.
            ValueError: If a task's size is missing.
        """
        tasks = self.tasks
        for task in tasks:
            if task not in sizes:
                raise ValueError(f"sizes must have an entry for each of {', '.join(tasks)}. '{task}' is missing.")
        rates = dict.fromkeys(tasks, 0.0)
        self._add_rates(rates, 1.0, sizes, settings)
        return rates

    def _add_rates(
        self, rates: dict[str, float], share: float, sizes: Mapping[str, int], settings: MixingSettings
    ) -> None:
        totals = {member: _total(member, sizes) for member, _ in self.members}
        for member, rate in self._member_rates(totals, settings).items():
            nested = resolve(member)
            if nested is None:
                rates[member] += share * rate
            else:
                nested._add_rates(rates, share * rate, sizes, {})

    def _member_rates(self, sizes: Mapping[str, float], settings: MixingSettings) -> dict[str, float]:
        # What changes nothing is not held against the caller: a config may spell its defaults out.
        given: dict[str, Any] = {
            k: v for k, v in settings.items() if v is not None and v != {} and (k, v) != ("temperature", 1)
        }
        explicit = {member: rate for member, rate in self.members if rate is not None}
        if not explicit:
            return mixing_rates(sizes, **(given or dict(self.settings)))
        if given and given != {"strategy": "weights"}:
            raise UserError(
                f"'{self.name}' has explicit rates, so {', '.join(given)} would be ignored; leave out one or the other."
            )
        return mixing_rates(sizes, weights=explicit)


def _total(member: str, sizes: Mapping[str, int]) -> float:
    """The size that a member counts with in the mixture around it."""
    nested = resolve(member)
    if nested is None:
        return sizes[member]
    totals = {inner: _total(inner, sizes) for inner, _ in nested.members}
    check_sizes(totals)
    return math.fsum(effective_sizes(totals, nested.settings.get("scale"), nested.settings.get("cap")).values())


def _flatten(mixture: Mixture, path: tuple[str, ...]) -> list[str]:
    if mixture.name in path:
        way = " → ".join((*path[path.index(mixture.name) :], mixture.name))
        raise UserError(f"mixture '{mixture.name}' contains itself: {way}; take one of these members out.")
    out: list[str] = []
    for member, _ in mixture.members:
        nested = resolve(member)
        out += [member] if nested is None else _flatten(nested, (*path, mixture.name))
    return out


def _load_builtin_mixtures() -> None:
    from multitask.task import TASKS

    TASKS.load()  # the modules that register the built-in tasks register their mixtures too


MIXTURES: Registry[Mixture] = Registry("mixture", load=_load_builtin_mixtures)
"""All registered mixtures."""


def resolve(name: str) -> Mixture | None:
    """The mixture of that name, or None if it is a task's.

    Raises:
        UserError: If the name is neither's, with the nearest names, or both's.
    """
    from multitask.task import TASKS

    if name in TASKS and name in MIXTURES:
        raise UserError(
            f"'{name}' is both a task ({TASKS.holder(name)}) and a mixture ({MIXTURES.holder(name)}); rename one."
        )
    if name in TASKS:
        return None
    if name in MIXTURES:
        return MIXTURES.get(name)
    raise UserError(f"unknown task or mixture '{name}': {did_you_mean(name, [*TASKS, *MIXTURES])}")


def register_mixture(
    name: str,
    tasks: Sequence[str] | Mapping[str, float],
    *,
    holder: str = "a call of register_mixture",
    replace: bool = False,
    **settings: Unpack[MixingSettings],
) -> Mixture:
    """Register a mixture, for `--tasks` and for other mixtures.

    Args:
        name: No task may have it.
        tasks: Names of tasks or mixtures, which need not be registered yet; or {name: relative rate}.
        holder: Who registers it, for the error of the next who tries.
        replace: Take the name from the mixture that has it. A cell of a notebook that is run again may do so in any
            case.
        settings: The mixture's own strategy, as for `mixing_rates`; proportional by default.

    Raises:
        UserError: If the name is taken or a setting does not fit.

    >>> register_mixture("sentiment", ["sst2", "tweet_sentiment"], strategy="equal").members
    (('sst2', None), ('tweet_sentiment', None))
    >>> MIXTURES.discard("sentiment")
    """
    from multitask.task import TASKS

    if not name or not name.isascii() or not all(c.isalnum() or c in "_-" for c in name):
        raise UserError(f"mixture name {name!r} must be made of ASCII letters, digits, '_' and '-'.")
    MIXTURES.load()  # so that it is the newcomer that is refused, not the built-in one that holds the name
    if name in TASKS.registered():
        raise UserError(f"'{name}' is a task ({TASKS.holder(name)}); give the mixture another name.")
    mixture = Mixture(name, _members(tasks, f"mixture '{name}'"), settings)
    return MIXTURES.add(name, mixture, holder, place=place_of(), replace=replace)


def parse_tasks(spec: str | Sequence[str]) -> Mixture:
    """The mixture that `--tasks` asks for: `"span,sst2"`, `"span=2,sst2=1"`, or a list of such words.

    One name of a registered mixture gives that mixture itself, with its own settings. Otherwise the mixture has no
    settings; rates stand with all members or with none.

    Raises:
        UserError: If a name is unknown, doubled or both a task's and a mixture's, or a rate is not a number.
    """
    members = _members(spec, "--tasks")
    known = [resolve(member) for member, _ in members]
    if len(known) == 1 and known[0] is not None and members[0][1] is None:
        mixture = known[0]
    else:
        mixture = Mixture(",".join(m if r is None else f"{m}={r:g}" for m, r in members), members)
    mixture.tasks  # noqa: B018  (finds unknown names and cycles in nested mixtures now, before data is read)
    return mixture


def _members(spec: str | Sequence[str] | Mapping[str, float], where: str) -> tuple[tuple[str, float | None], ...]:
    if isinstance(spec, Mapping):
        return tuple((name, float(rate)) for name, rate in spec.items())
    words = [word.strip() for part in ([spec] if isinstance(spec, str) else spec) for word in part.split(",")]
    members: list[tuple[str, float | None]] = []
    for word in filter(None, words):
        name, equals, rate = (piece.strip() for piece in word.partition("="))
        try:
            members.append((name, float(rate) if equals else None))
        except ValueError:
            raise UserError(
                f"the rate of '{name}' in {where} must be a number, as in {name}=2. Got {rate!r}."
            ) from None
    if not members:
        raise UserError(f"{where} names no task; give one or more, separated by commas.")
    return tuple(members)
