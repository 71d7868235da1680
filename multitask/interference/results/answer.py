"""A study's answer in plain sentences, at most eight lines of 80 columns: what a reader must know before any table.

In this order: how many losses and gains at which budget, the surest of them one by one, what is undecided and what
this design could have seen, which tasks were not learned, the other budget, controls, what to train together, where
the report is. Every gain and loss of a pair, of company, of a task among all and of the null control is told by one
sentence or counted by one; effects on a task that was not learned have no verdict.

Words
    finding   an effect with the verdict gain or loss, of a task that was learned
    topic     of a sentence: setting, finding, more, mean, rest, not learned, learned, budget, control, treatments,
              advice, report
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from multitask.interference.results.learned import learned, unlearned_tasks
from multitask.interference.results.lookup import BUDGETS, confidence, effects_of, measured, of_primary, primary
from multitask.interference.results.ranges import blind_effects
from multitask.interference.results.record import FEW_ROWS, LIKELIHOOD, Effect, StudyRecord
from multitask.interference.results.treatment_words import treatments_sentence
from multitask.tables.cells import MARKS
from multitask.tables.numbers import interval, plain, signed
from multitask.terminal.escaping import visible

LINES, WIDTH = 8, 80
KINDS = ("pair", "company", "without")
"""Of the effects that the answer speaks of."""
CLAIMS = ("gain", "loss")
"""Verdicts that are findings."""
SEEDS = 3
"""Fewest that can support a split; see `advice`."""


class Sentence(NamedTuple):
    """One sentence of the answer."""

    topic: str
    text: str
    effect: Effect | None = None
    """Of a finding: who, with whom, the verdict and the numbers."""
    counted: tuple[Effect, ...] = ()
    """The gains and losses that the sentence tells or counts."""

    @property
    def mark(self) -> str:
        """▲ or ▼ before a finding, nothing before the others."""
        return MARKS.get(self.verdict or "", "")

    @property
    def task(self) -> str | None:
        """Of a finding: the task evaluated."""
        return self.effect["task"] if self.effect else None

    @property
    def companion(self) -> str | None:
        """Of a finding: the companion; None where it is all the others."""
        return self.effect["companion"] if self.effect else None

    @property
    def verdict(self) -> str | None:
        """Of a finding: gain or loss."""
        return self.effect["verdict"] if self.effect else None


@dataclass(frozen=True)
class Answer:
    """The sentences of an answer, in the order of reading."""

    sentences: tuple[Sentence, ...]

    def lines(self, width: int = WIDTH) -> list[tuple[str, Sentence]]:
        """The lines as they are printed, each with the sentence it is of."""
        return [(line, s) for s in self.sentences for line in _lines(s, width)]

    def render(self, width: int = WIDTH, *, color: bool = False) -> str:
        """The lines as one text that ends in a newline; with colour, findings have that of their verdict."""
        if not color:
            return "".join(f"{line}\n" for line, _ in self.lines(width))
        from rich.text import Text

        from multitask.tables.terminal import STYLES, coloured

        looks = [(line, "strong" if of.topic == "setting" else of.verdict) for line, of in self.lines(width)]
        return coloured([Text(line, style=STYLES.get(look or "", "")) for line, look in looks])

    def __str__(self) -> str:
        return self.render().rstrip("\n")

    def __repr__(self) -> str:
        return f"Answer({len(self.sentences)} sentences)"


def answer(
    record: StudyRecord,
    folder: str | Path | None = None,
    *,
    lines: int = LINES,
    width: int = WIDTH,
    commands: bool = False,
) -> Answer:
    """The study's answer, in at most `lines` lines of `width` columns.

    Args:
        record: The content of interference.json.
        folder: The study's folder, for the sentence that says where the report is; None leaves it out.
        lines: At most so many; longer ones give up names first, then findings, which are then counted.
        width: Columns.
        commands: Say beside the report's place which command prints the tables, where there is room.
    """
    facts = _Facts.of(record)
    setting, others = _setting(record, facts), [*_others(record, facts), _report(folder, commands)]
    shown = min(len(facts.findings), lines)
    roomy = [(n, 2, True) for n in range(shown, min(shown, 3) - 1, -1)]
    tight = [(n, 1, True) for n in range(shown, 0, -1)]
    for findings, rows, rest in (*roomy, *tight, (min(shown, 1), 1, False), (0, 1, False)):
        told, left = facts.findings[:findings], facts.findings[findings:]
        drafts = [setting, *(_finding(record, facts, e) for e in told), _more(facts, left) if rest else None, *others]
        sentences = [d.fit(rows if d.topic == "advice" else 1, width) for d in drafts if d is not None]
        if _height(sentences, width) <= lines:
            break
    for more in (_mean(record, facts), _all_learned(record, facts)):  # where there is room
        if more is not None and _height([*sentences, more], width) <= lines:
            after = max(i for i, s in enumerate(sentences) if s.topic in ("setting", "finding", "more", "mean"))
            later = ("budget", "control", "treatments", "advice", "report")
            at = after + 1 if more.topic == "mean" else _before(sentences, later)
            sentences = [*sentences[:at], more, *sentences[at:]]
    return Answer(tuple(sentences))


# ---- what there is to say --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Facts:
    """The effects sorted into those that are claimed, and those that are not."""

    lead: str
    effects: tuple[Effect, ...]
    """At the leading budget, of tasks that may be judged."""
    same: dict[int, Effect]
    """{id of a pair's effect: the joint-training effect of the same two models}, in a study of two tasks."""
    findings: tuple[Effect, ...]
    """The surest first."""
    unlearned: tuple[str, ...]

    @classmethod
    def of(cls, record: StudyRecord) -> _Facts:
        lead = record["setting"]["match"][0]
        below = unlearned_tasks(record)
        unlearned = tuple(t for t in primary(record) if t in below)
        effects = [e for e in _effects(record, lead) if e["task"] not in unlearned]
        same: dict[int, Effect] = {}
        if len(record["setting"]["tasks"]) == 2:  # the pair is all tasks: one finding, not two
            company = {e["task"]: e for e in effects if e["kind"] == "company"}
            same = {id(e): company[e["task"]] for e in effects if e["kind"] == "pair" and e["task"] in company}
            effects = [e for e in effects if e["kind"] != "company" or not same]
        found = sorted(filter(_found, effects), key=_surest)
        return cls(lead, tuple(effects), same, tuple(found), unlearned)

    def counted(self, effects: Iterable[Effect]) -> tuple[Effect, ...]:
        """With the effects that say the same."""
        return tuple(e for f in effects for e in (f, self.same.get(id(f))) if e is not None and _found(e))


def _effects(record: StudyRecord, match: str) -> list[Effect]:
    return [e for kind in KINDS for e in effects_of(record, kind, match, primary(record))]


def _found(effect: Effect) -> bool:
    return effect["verdict"] in CLAIMS


def _surest(effect: Effect) -> tuple[bool, float, float]:
    """By q, then by size; what a task does among all comes after the pairs and the whole."""
    q = 1.0 if effect["q"] is None else effect["q"]
    return effect["kind"] == "without", q, -abs(effect["delta"] or 0.0)


def _others(record: StudyRecord, facts: _Facts) -> list[_Draft | None]:
    """All that comes after the findings and does not depend on how many of them are told."""
    return [
        _rest(record, facts),
        _not_learned(record, facts),
        *(_budget(record, facts, match) for match in record["setting"]["match"][1:]),
        _control(record),
        _Draft("treatments", words) if (words := treatments_sentence(record)) else None,
        _advice(record, facts),
    ]


class _Draft(NamedTuple):
    """A sentence in several lengths, the longest first."""

    topic: str
    variants: tuple[str, ...]
    effect: Effect | None = None
    counted: tuple[Effect, ...] = ()

    def fit(self, rows: int, width: int) -> Sentence:
        """The longest that fits into `rows` rows, else the shortest."""
        made = [Sentence(self.topic, visible(text), self.effect, self.counted) for text in self.variants]
        return next((s for s in made if _height([s], width) <= rows and _width(s) <= rows * width), made[-1])


# ---- the sentences ---------------------------------------------------------------------------------------------------


def _setting(record: StudyRecord, facts: _Facts) -> _Draft:
    seeds = len(record["setting"]["seeds"])
    budget = f"At {BUDGETS.get(facts.lead, facts.lead)}, {_count(seeds, 'seed')}"
    effects = measured(list(facts.effects))
    if not any(e for match in record["setting"]["match"] for e in _effects(record, match)):
        arms = record["setting"]["arms"]
        has = f"the arms {', '.join(arms)}" if len(arms) > 1 else f"the arm {arms[0]} alone"
        return _Draft("setting", (f"Nothing was compared: this study has {has}.",))
    if not effects:
        why = "no task was learned" if facts.unlearned else "no score is defined"
        return _Draft("setting", (f"{budget}: {why}, so nothing can be judged.",))
    if seeds == 1:
        budget = BUDGETS.get(facts.lead, facts.lead)
        return _Draft("setting", (f"1 seed: evaluation noise only, so no verdicts; at {budget}.",))
    losses, gains = (sum(e["verdict"] == v for e in effects) for v in ("loss", "gain"))
    counts = f"{_count(losses, 'loss')} and {_count(gains, 'gain')} in {_count(len(effects), 'effect')}"
    if not losses and not gains:
        counts = f"no loss and no gain in {_count(len(effects), 'effect')}"
    texts = (f"{budget}, {confidence(record)} intervals: {counts}.", f"{budget}: {counts}.")
    return _Draft("setting", texts, None, facts.counted(facts.findings))


def _finding(record: StudyRecord, facts: _Facts, effect: Effect) -> _Draft:
    verb = "gains" if effect["verdict"] == "gain" else "loses"
    unit = f" of {effect['metric']}"
    variants = (
        f"{_who(record, effect, verb, None)}: {_size(effect, unit)}",
        f"{_who(record, effect, verb, None)}: {_size(effect)}",
        *(f"{_who(record, effect, verb, n)}: {_size(effect)}" for n in (20, 16, 12, 8)),
    )
    return _Draft("finding", variants, effect, facts.counted([effect]))


def _who(record: StudyRecord, effect: Effect, verb: str, length: int | None) -> str:
    task, companion = (_fit(name or "", length) for name in (effect["task"], effect["companion"]))
    if effect["kind"] == "pair":
        return f"{task} {verb} with {companion}"
    if effect["kind"] == "without":
        return f"{task} {verb} from {companion} among all"
    others = [t for t in record["setting"]["tasks"] if t != effect["task"]]
    company = {1: _fit(others[0], length), 2: "both others"}.get(len(others), f"all {len(others)} others")
    return f"{task} {verb} with {company}"


def _size(effect: Effect, unit: str = "") -> str:
    if effect["metric"] == LIKELIHOOD:
        return f"{signed(effect['delta'], 3)} nats {interval(effect['low'], effect['high'], 3)}"
    return f"{signed(effect['delta'], 1)} points{unit} {interval(effect['low'], effect['high'], 1)}"


def _more(facts: _Facts, left: Sequence[Effect]) -> _Draft | None:
    if not left:
        return None
    losses, gains = (sum(e["verdict"] == v for e in left) for v in ("loss", "gain"))
    counts = " and ".join(_count(n, name) for n, name in ((losses, "loss"), (gains, "gain")) if n)
    return _Draft("more", (f"  and {len(left):,} more: {counts}.",), None, facts.counted(left))


def _rest(record: StudyRecord, facts: _Facts) -> _Draft | None:
    effects = measured(list(facts.effects))
    if not effects:
        return None
    if len(record["setting"]["seeds"]) == 1:
        digits, _ = _unit(effects)
        least, most = (end(effects, key=lambda e: e["delta"] or 0.0) for end in (min, max))
        low, high = (signed(e["delta"], digits) for e in (least, most))
        shown = [
            f"from {low} ({_who(record, least, '', n)}) to {high} ({_who(record, most, '', n)})".replace("  ", " ")
            for n in (None, 12, 8)
        ]
        return _Draft("rest", tuple(f"Measured, not judged: {text}." for text in shown))
    equal = [e for e in effects if e["verdict"] == "equal"]
    undecided = [e for e in effects if e["verdict"] == "no evidence"]
    few = [e for e in facts.effects if e["unjudged"] == FEW_ROWS]
    undefined = [e for e in facts.effects if e["verdict"] is None and e["unjudged"] != FEW_ROWS]
    blind = {id(e) for e in blind_effects(record, undecided)}
    digits, unit = _unit(effects)
    margin = _range((e["margin"] for e in equal), digits)
    seen = _range((e["detectable"] for e in undecided if id(e) not in blind), digits)
    if len(equal) == len(facts.effects):
        who = "It lies" if len(equal) == 1 else "Both lie" if len(equal) == 2 else f"All {len(equal):,} lie"
        return _Draft("rest", (f"{who} within the margin of ±{margin} {unit}: no interference beyond it.",))
    parts = [f"{len(equal):,} equal (within ±{margin} {unit})"] if equal else []
    brief = [f"{len(equal):,} equal"] if equal else []
    if undefined:  # by name, or a task would vanish without a word
        names = _listed(list(dict.fromkeys(e["task"] for e in undefined)), 2)
        parts.append(f"{len(undefined):,} undefined ({names})")
        brief.append(f"{len(undefined):,} undefined")
    if few:
        names = _listed(list(dict.fromkeys(f"{e['task']} with {e['examples']:,} rows" for e in few)), 2)
        parts.append(f"{len(few):,} cannot be judged ({names})")
        brief.append(f"{len(few):,} with too few rows")
    if not undecided:
        return _Draft("rest", tuple(f"{'; '.join(p)}." for p in (parts, brief))) if parts else None
    heads = ["; ".join([*p, f"{len(undecided):,} undecided"]) for p in (parts, brief)]
    if len(blind) == len(undecided):
        ends = [": no change that a score can have would be seen: it takes more seeds.", ": too few seeds to see any."]
    elif not seen:
        ends = ["."]
    else:
        halve = _seeds_to_halve([e for e in undecided if id(e) not in blind])
        ends = [f": {seen} {unit} or more would be seen; {text}." for text in halve] if not blind else []
        ends.append(f": {seen} {unit} or more would be seen{f', in {len(blind):,} nothing' if blind else ''}.")
    return _Draft("rest", tuple(head + end for head in heads for end in ends))


def _seeds_to_halve(effects: Sequence[Effect]) -> tuple[str, ...]:
    """How many seeds would halve what is seen of half the effects; empty where for so many no number of seeds does."""
    needed = sorted(e["seeds_to_halve"] or math.inf for e in effects)
    middle = needed[len(needed) // 2] if needed else math.inf
    return () if math.isinf(middle) else (f"{middle:,.0f} seeds would halve that", f"half with {middle:,.0f} seeds")


def _not_learned(record: StudyRecord, facts: _Facts) -> _Draft | None:
    names = facts.unlearned
    if not names:
        return None
    head = "Not learned, so not judged"
    about = {t["name"]: t for t in record["tasks"]}
    single = {
        s["task"]: s["mean"]
        for s in reversed(of_primary(record, record["scores"]))
        if s["arm"] == "single" and s["match"] in (facts.lead, None)
    }
    scores = [f"{t} ({plain(single.get(t), 1)}, its baseline {plain(about[t]['baseline'], 1)})" for t in names]
    return _Draft(
        "not learned",
        (
            f"{head}: {', '.join(scores)}.",
            *(f"{head}: {_listed(names, n)} (not above the baseline)." for n in (4, 3, 2)),
            f"{head}: {len(names):,} of {len(about):,} tasks.",
        ),
    )


def _budget(record: StudyRecord, facts: _Facts, match: str) -> _Draft | None:
    every = [e for e in _effects(record, match) if e["task"] not in facts.unlearned]
    two = len(record["setting"]["tasks"]) == 2 and any(e["kind"] == "pair" for e in every)
    effects = [e for e in every if e["kind"] != "company" or not two]
    undefined = sum(e["verdict"] is None for e in effects)
    if not measured(effects) or len(record["setting"]["seeds"]) == 1:
        return None
    losses, gains, equal, undecided = (
        sum(e["verdict"] == v for e in effects) for v in ("loss", "gain", "equal", "no evidence")
    )
    text = (
        f"At {BUDGETS.get(match, match)}: {_count(losses, 'loss')}, {_count(gains, 'gain')}, "
        f"{equal:,} equal, {undecided:,} undecided{f', {undefined:,} undefined' if undefined else ''}."
    )
    return _Draft("budget", (text,), None, tuple(filter(_found, every)))


def _control(record: StudyRecord) -> _Draft | None:
    """The null control, and tasks that a mean leaves out."""
    null = [e for e in of_primary(record, record["effects"]) if e["kind"] == "null"]
    alarms = tuple(filter(_found, null))
    gone = list(dict.fromkeys(t for s in record["summary"] for t in s["mean_left_out"]))
    long, brief, shortest = [], [], []
    if gone:
        long.append(f"Left out of the mean over tasks, being undefined in a model: {', '.join(gone)}.")
        brief.append(f"Left out of the mean: {_listed(gone, 2)}.")
        shortest.append(f"Left out of the mean: {_count(len(gone), 'task')}.")
    if null and any(e["verdict"] for e in null):
        long.append(f"Null control, no effect by construction: {len(alarms):,} of {len(null):,} say gain or loss.")
        brief.append(f"Null control: {len(alarms):,} of {len(null):,} say gain or loss.")
        shortest.append(brief[-1])
    noise = [e["delta"] for e in of_primary(record, record["effects"]) if e["kind"] == "noise"]
    measured_noise = [delta for delta in noise if delta is not None]
    if measured_noise:
        mean = sum(measured_noise) / len(measured_noise)
        _, unit = _unit([e for e in of_primary(record, record["effects"]) if e["kind"] == "noise"])
        said = f"{signed(mean, 1)} {unit}"
        long.append(f"Noise control: beside shuffled targets {said} in the mean over {_count(len(noise), 'effect')}.")
        brief.append(f"Beside shuffled targets: {said} in the mean.")
        shortest.append(brief[-1])
    if not long:
        return None
    return _Draft("control", (" ".join(long), " ".join(brief), " ".join(shortest)), None, alarms)


def _advice(record: StudyRecord, facts: _Facts) -> _Draft | None:
    advice = record["advice"]
    if advice is None:
        if not record["effects"]:
            return None
        arms = record["setting"]["arms"]
        why = "not every pair was measured" if {"single", "pair"} <= set(arms) else "it takes the arms single and pair"
        return _Draft("advice", (f"No advice on what to train together: {why}.",))
    groups = [g["tasks"] for g in advice["groups"]]
    if any(t in facts.unlearned for g in groups for t in g):
        what = "tasks that were" if len(facts.unlearned) > 1 else "a task that was"
        return _Draft("advice", (f"No advice on what to train together: it would count {what} not learned.",))
    if advice["gain_over_joint"] is None or len(record["setting"]["seeds"]) < SEEDS:
        return _Draft("advice", (f"No split into several models is supported: that takes {SEEDS} seeds or more.",))
    if len(groups) == 1:
        return _Draft("advice", ("Train all in one model: no split into several is expected to do better.",))
    size = f"{signed(advice['gain_over_joint'], 1)} points {interval(advice['low'], advice['high'], 1)}"
    named = [" | ".join(" + ".join(_fit(t, n) for t in g) for g in groups) for n in (None, 16)]
    if advice["supported"]:
        texts = [f"Train {g} in {len(groups)} models: {size} over one joint model." for g in named]
        texts.append(f"Train {len(groups)} groups (see the report): {size} over one joint model.")
        texts.append(f"Train {len(groups)} groups (see the report): {size} over one model.")
    else:
        texts = [f"No split is supported: the best, {g}, is at {size} over one joint model." for g in named]
        texts.append(f"No split is supported: the best is at {size} over one model.")
        texts.append("No split into several models is supported.")
    return _Draft("advice", tuple(texts))


def _report(folder: str | Path | None, commands: bool) -> _Draft | None:
    if folder is None:
        return None
    place = f"Report: {Path(folder) / 'report.html'}"
    tables = f"{place}  (every table: multitask report {shlex.quote(str(folder))})"
    return _Draft("report", (tables, place) if commands else (place,))


def _mean(record: StudyRecord, facts: _Facts) -> Sentence | None:
    """The mean over tasks; not where a task in it was not learned."""
    summary = next((s for s in record["summary"] if s["match"] == facts.lead), None)
    seeds = len(record["setting"]["seeds"])
    if summary is None or summary["mean_delta"] is None or not facts.effects or facts.unlearned or seeds == 1:
        return None
    size = f"{signed(summary['mean_delta'], 1)} points {interval(summary['low'], summary['high'], 1)}"
    return Sentence("mean", f"All tasks together: {size} in the mean over tasks.")


def _all_learned(record: StudyRecord, facts: _Facts) -> Sentence | None:
    if facts.unlearned or not facts.effects or any(learned(record, t) is None for t in primary(record)):
        return None
    return Sentence("learned", "Every task was learned: alone, each is above its baseline.")


# ---- words and lines -------------------------------------------------------------------------------------------------


def _count(number: int, name: str) -> str:
    """A number and its noun.

    >>> _count(1, "loss"), _count(2, "loss"), _count(0, "gain")
    ('1 loss', '2 losses', '0 gains')
    """
    return f"{number:,} {name}{('es' if name.endswith('s') else 's') if number != 1 else ''}"


def _listed(names: Sequence[str], limit: int) -> str:
    """The first names, and how many more.

    >>> _listed(["a", "b", "c"], 2), _listed(["a"], 2)
    ('a, b and 1 more', 'a')
    """
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest:,} more" if rest > 0 else "")


def _unit(effects: Sequence[Effect]) -> tuple[int, str]:
    """Decimals and unit: nats where every task is scored by its log-likelihood."""
    return (3, "nats") if all(e["metric"] == LIKELIHOOD for e in effects) else (1, "points")


def _range(values: Iterable[float | None], digits: int = 1) -> str:
    """The smallest and the largest, as one number where they print alike; nothing if there are none.

    >>> _range([2.04, 3.5, None]), _range([0.5, 0.5]), _range([])
    ('2.0 to 3.5', '0.5', '')
    """
    known = [v for v in values if v is not None]
    ends = list(dict.fromkeys(plain(v, digits) for v in (min(known), max(known)))) if known else []
    return " to ".join(ends)


def _fit(name: str, length: int | None) -> str:
    """A name of at most so many characters."""
    from multitask.terminal.width import shorten

    return visible(name) if length is None else shorten(visible(name), length)


def _before(sentences: Sequence[Sentence], topics: Sequence[str]) -> int:
    return next((i for i, s in enumerate(sentences) if s.topic in topics), len(sentences))


def _height(sentences: Sequence[Sentence], width: int) -> int:
    return sum(len(_lines(s, width)) for s in sentences)


def _width(sentence: Sentence) -> int:
    from rich.cells import cell_len

    return cell_len(sentence.text)


def _lines(sentence: Sentence, width: int) -> list[str]:
    """A sentence over lines that are broken at spaces; the place of the report stays one, to be clicked on."""
    from multitask.terminal.width import wrap_words

    if sentence.topic == "report":
        return [sentence.text]
    return wrap_words(f"{sentence.mark} {sentence.text}" if sentence.mark else sentence.text, width, hanging="")
