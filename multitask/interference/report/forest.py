"""Every effect as a row that can be opened: its interval on the task's own axis, and behind it all that it rests on."""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

from markupsafe import Markup

from multitask.interference.results.learned import learned
from multitask.interference.results.lookup import (
    BUDGETS,
    effects_of,
    of_primary,
    primary,
    score_of,
    short,
    unit_of_metric,
)
from multitask.interference.results.ranges import bounds, inside, range_of
from multitask.interference.results.record import Changed, Effect, Score, StudyRecord
from multitask.interference.tables.cells import defined, measured_number, shown_score
from multitask.interference.tables.evidence import Evidence, evidence, sentence, sides
from multitask.pages import charts
from multitask.tables.numbers import MISSING, change, interval, percent, plain, signed

WIDTH = 380
"""Of a row's chart, in pixels."""
CHARACTERS = 200_000
"""About so many characters of texts of changed examples."""
MANY = 300
"""Effects in a study, above which examples are shown of gains and losses alone."""
EACH = 3
"""Changed examples of an effect and direction, at most."""


class Side(NamedTuple):
    """An answer to an example."""

    text: str
    right: bool


class ExampleView(NamedTuple):
    """A changed example."""

    worse: bool
    change: str
    measure: str
    id: str
    inputs: str
    target: str
    answers: list[tuple[str, Side, Side]]
    """Seeds that agree, the answer without the company and with it."""


class EffectView(NamedTuple):
    """One effect."""

    key: str
    claim: Evidence
    label: str
    sentence: str
    chart: Markup
    delta: str
    interval: str
    base: str
    score: str
    sides: tuple[str, str]
    points: Markup
    numbers: str
    shares: list[tuple[str, str]]
    """(task, what the model was given of it)"""
    examples: list[ExampleView]


class GroupView(NamedTuple):
    """Rows that belong together."""

    title: str
    """Empty for the group that is shown without a click."""
    rows: list[EffectView]
    ruler: Markup


class TaskView(NamedTuple):
    """A task with its effects, all on one axis."""

    name: str
    metric: str
    unit: str
    alone: str
    baseline: str
    learned: bool | None
    groups: list[GroupView]


def forest(record: StudyRecord, not_learned: frozenset[str], keys: dict[int, str]) -> list[TaskView]:
    """A task after the other, in the study's order."""
    rooms = _Texts(record)
    found = (_task(record, task, not_learned, keys, rooms) for task in primary(record))
    return [view for view in found if view is not None]


def _task(
    record: StudyRecord, task: str, not_learned: frozenset[str], keys: dict[int, str], rooms: _Texts
) -> TaskView | None:
    lead, *others = record["setting"]["match"]
    one = {task: primary(record)[task]}
    groups = [
        ("", [*effects_of(record, "company", lead, one), *effects_of(record, "pair", lead, one)]),
        ("Leaving one task out of all", effects_of(record, "without", lead, one)),
    ]
    for match in others:
        kinds = ("company", "pair", "without")
        effects = [e for kind in kinds for e in effects_of(record, kind, match, one)]
        groups.append((f"At {BUDGETS[match]}", effects))
    groups.append(("Dilution", effects_of(record, "dilution", None, one)))
    noise = [*(e for m in (lead, *others) for e in effects_of(record, "noise", m, one))]
    groups.append(("Noise control", [*noise, *effects_of(record, "content", None, one)]))
    treated = [e for kind, m in (("treatment", None), ("treated", lead)) for e in effects_of(record, kind, m, one)]
    groups.append(("Treatments", treated))
    swept = [e for kind in ("rate", "rate_change") for e in effects_of(record, kind, None, one)]
    groups.append(("Rates of a companion", swept))
    for kind, title in (("non_additivity", "Do its pairs add up to the whole?"), ("null", "Null control")):
        groups.append((title, [e for m in (lead, *others) for e in effects_of(record, kind, m, one)]))
    if not any(effects for _, effects in groups):
        return None
    of_task = range_of(record, task)

    def view(title: str, effects: list[Effect]) -> GroupView:
        ends = [v for e in effects for v in (*inside(e, of_task), e["delta"])]
        axis = charts.axis_of([0.0, *ends], 8, WIDTH - 8)
        rows = [_effect(record, e, axis, of_task, not_learned, keys[id(e)], rooms) for e in effects]
        return GroupView(title, rows, charts.ruler(axis))

    shown = [view(title, effects) for title, effects in groups if effects]
    about = next(t for t in record["tasks"] if t["name"] == task)
    digits, unit = unit_of_metric(one[task])
    return TaskView(
        task,
        one[task],
        unit,
        shown_score(score_of(record, task, "single", lead, one[task]), digits),
        plain(about["baseline"], digits),
        learned(record, task),
        shown,
    )


def _effect(
    record: StudyRecord,
    e: Effect,
    axis: charts.Axis,
    of_task: tuple[float, float],
    not_learned: frozenset[str],
    key: str,
    rooms: _Texts,
) -> EffectView:
    claim = evidence(e, not_learned)
    arms = arms_of(record, e)
    digits, _ = unit_of_metric(e["metric"])
    return EffectView(
        key=key,
        claim=claim,
        label=_label(e),
        sentence=sentence(record, e, not_learned, of_task),
        chart=charts.interval(
            axis, e["delta"], e["low"], e["high"], look=claim.look, margin=e["margin"], bounds=bounds(e, of_task)
        ),
        delta=defined(change(e["delta"], digits)).text,
        interval=interval(e["low"], e["high"], digits) if e["low"] is not None else _no_interval(e),
        base=measured_number(e["base"], digits).text,
        score=measured_number(e["score"], digits).text,
        sides=sides(e),
        points=_points(record, e, arms, of_task),
        numbers=_numbers(e),
        shares=_shares(record, e),
        examples=rooms.of(e),
    )


def _no_interval(e: Effect) -> str:
    """Why an effect has no interval."""
    return "" if e["delta"] is None else "interval undefined"


def _chance(value: float | None) -> str:
    return MISSING if value is None else "below 0.001" if value < 0.001 else plain(value, 3)


def _label(e: Effect) -> str:
    companion = e["companion"] or ""
    return {
        "company": "with all",
        "pair": f"with {companion}",
        "without": f"{companion}, among all",
        "null": "with a copy of itself",
        "noise": "with all, targets shuffled",
        "content": "with all − targets shuffled",
        "treatment": f"{companion} − plain sum",
        "treated": f"{companion} − alone",
        "rate": f"{companion} − without",
        "rate_change": f"{companion} − × 1",
        "dilution": "equal compute − equal exposure",
        "non_additivity": "with all − sum of pairs",
    }.get(e["kind"], e["kind"])


def arms_of(record: StudyRecord, e: Effect) -> tuple[Score | None, Score | None]:
    """Scores of the arms that an effect compares, without the company and with it."""
    every = [s for s in record["scores"] if (s["task"], s["metric"]) == (e["task"], e["metric"])]
    others = {t for t in record["setting"]["tasks"] if t != e["task"]}

    def find(arm: str, companions: set[str] | None, value: float | None) -> Score | None:
        found = [s for s in every if s["arm"] == arm and (companions is None or set(s["companions"]) == companions)]
        # A task may have several single arms: the effect knows the mean of its own.
        near = [s for s in found if s["mean"] is not None and value is not None and abs(s["mean"] - value) < 1e-9]
        exact = [s for s in found if s["match"] in (e["match"], None)]
        return next(iter(near or exact), None)

    companion = e["companion"] or ""
    ways = {
        "company": (("single", set()), ("joint", None)),
        "pair": (("single", set()), ("pair", {companion})),
        "without": (("without" if len(others) > 2 else "pair", others - {companion}), ("joint", None)),
        "noise": (("single", set()), ("noise", None)),
        "content": (("noise", None), ("joint", None)),
        "treatment": (("joint", None), (companion, None)),
        "treated": (("single", set()), (companion, None)),
        "rate_change": (("joint", None), (companion, None)),
    }
    if e["kind"] not in ways:
        return None, None
    (base, alone), (arm, company) = ways[e["kind"]]
    first = find(base, alone, e["base"]) or find("without", alone, e["base"])
    return first, find(arm, company, e["score"])


def _points(
    record: StudyRecord, e: Effect, arms: tuple[Score | None, Score | None], of_task: tuple[float, float]
) -> Markup:
    """Each seed's score in both arms; a line joins the two of one seed."""
    without, company = arms
    if without is None or company is None:
        return Markup()
    about = next(t for t in record["tasks"] if t["name"] == e["task"])
    values = [*without["per_seed"], *company["per_seed"], about["baseline"]]
    names = [short(name, 22) for name in sides(e)]
    left = 8 + 6.2 * max(map(len, names))
    axis = charts.axis_of(values, left, left + 250, least=2.0)
    axis = axis._replace(low=max(axis.low, of_task[0]), high=min(axis.high, of_task[1]))
    rows = [(names[0], "single", without["per_seed"]), (names[1], "joint", company["per_seed"])]
    label = f"Score of each seed {sides(e)[0]} and {sides(e)[1]}"
    return charts.points(axis, rows, baseline=about["baseline"], joined=True, label=label)


def _numbers(e: Effect) -> str:
    """All else that is known of an effect, in small print."""
    digits, _ = unit_of_metric(e["metric"])
    parts = [
        f"p {_chance(e['p'])}, q {_chance(e['q'])} after correction for the table" if e["p"] is not None else "",
        f"sign flip over seeds p {_chance(e['p_sign_flip'])}" if e["p_sign_flip"] is not None else "",
        f"equal within ±{plain(e['margin'], digits + 1)}" if e["margin"] is not None else "",
        f"{e['examples']:,} examples" + (f", of which {n:,} differ" if (n := e["differing"]) is not None else ""),
        f"Δ of each seed {', '.join(signed(v, digits) for v in e['per_seed'])}" if e["per_seed"] else "",
    ]
    return "; ".join(filter(None, parts)) + "."


def _shares(record: StudyRecord, e: Effect) -> list[tuple[str, str]]:
    """The shares of this task and, in a pair, of its companion in the training of the joint model."""
    arm = {"company": "joint", "without": "joint", "pair": "pair"}.get(e["kind"])
    tasks = [e["task"]] + ([e["companion"]] if arm == "pair" and e["companion"] else [])
    found = []
    for task in tasks:
        others = [t for t in tasks if t != task]
        for x in record["exposure"]:
            if (x["task"], x["arm"]) == (task, arm) and (not others or x["companions"] == others):
                examples, loss = (percent(x[name]).text for name in ("realised_share", "loss_share"))
                found.append((task, f"{x['examples']:,.0f} examples: {examples} of the examples, {loss} of the loss"))
                break
    return found


class _Texts:
    """Changed examples: the same number for each effect and direction, cut so that the page stays small.

    In a study of many effects, only those of a gain or loss.
    """

    def __init__(self, record: StudyRecord) -> None:
        self.seeds = record["setting"]["seeds"]
        told = None
        if len(record["effects"]) > MANY:
            own = of_primary(record, record["effects"])
            told = {(e["kind"], e["task"], e["companion"], e["match"]) for e in own if e["verdict"] in ("gain", "loss")}
        self.groups: dict[tuple[str, str, str | None, str | None], list[Changed]] = {}
        for c in record["changed"]:
            if told is not None and (c["kind"], c["task"], c["companion"], c["match"]) not in told:
                continue
            self.groups.setdefault((c["kind"], c["task"], c["companion"], c["match"]), []).append(c)
        self.metrics = primary(record)
        self.each, self.limit = 1, 60
        ways = ((EACH, 2000), (EACH, 1000), (EACH, 500), (2, 500), (2, 250), (1, 250), (1, 120))
        for each, limit in ways:
            lengths = (min(n, limit) for g in self.groups for c in self._first(g, each) for n in _lengths(c))
            if sum(lengths) <= CHARACTERS:
                self.each, self.limit = each, limit
                break

    def _first(self, group: tuple[str, str, str | None, str | None], each: int) -> list[Changed]:
        found = self.groups.get(group, [])
        return [c for d in ("worse", "better") for c in [c for c in found if c["direction"] == d][:each]]

    def of(self, e: Effect) -> list[ExampleView]:
        """Those of an effect on the primary metric."""
        if e["metric"] != self.metrics.get(e["task"]):
            return []
        group = (e["kind"], e["task"], e["companion"], e["match"])
        return [self._view(c) for c in self._first(group, self.each)]

    def _view(self, c: Changed) -> ExampleView:
        agreeing: dict[tuple[str, str], list[str]] = {}
        for seed, a, b in zip_longest(map(str, self.seeds), c["base"], c["with_company"], fillvalue=MISSING):
            agreeing.setdefault((a, b), []).append(seed)
        nats = c["measure"] == "log_likelihood"
        return ExampleView(
            worse=c["direction"] == "worse",
            change=plain(abs(c["change"]), 2),
            measure="log-likelihood, nats" if nats else "score, 0 to 1",
            id=c["id"],
            inputs=cut(c["inputs"], self.limit),
            target=cut(c["target"], self.limit),
            answers=[(", ".join(who), self._side(a, c), self._side(b, c)) for (a, b), who in agreeing.items()],
        )

    def _side(self, answer: str, c: Changed) -> Side:
        return Side(cut(answer, self.limit), answer.strip() == c["target"].strip())


def _lengths(c: Changed) -> list[int]:
    return [len(s) for s in (c["inputs"], c["target"], *c["base"], *c["with_company"])]


def cut(value: str, limit: int) -> str:
    """A text, or its beginning and how much of it is not shown.

    >>> cut("so happy", 20), cut("so happy", 2)
    ('so happy', 'so… (6 more characters)')
    """
    return value if len(value) <= limit else f"{value[:limit]}… ({len(value) - limit:,} more characters)"
