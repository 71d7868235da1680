"""The claims that an effect supports, in words: one place for tables, figures and report, so that they cannot differ.

Words
    look    the class of a cell or a mark: `gain`, `loss`, `equal`; `none` for no evidence; `unlearned`, `one-seed`,
            `few-rows`, `undefined` and `missing` for effects that may claim nothing. Only gain and loss have a colour.
"""

from __future__ import annotations

from typing import NamedTuple

from multitask.interference.results.lookup import confidence, unit_of_metric
from multitask.interference.results.ranges import Range, blind
from multitask.interference.results.record import FEW_ROWS, LIKELIHOOD, NOT_LEARNED, ONE_SEED, Effect, StudyRecord
from multitask.interference.tables.cells import undefined_seeds, verdict_cell
from multitask.tables.cells import MARKS
from multitask.tables.numbers import interval, plain, signed


class Evidence(NamedTuple):
    """The claim that an effect supports."""

    look: str
    mark: str
    word: str


MISSING_EVIDENCE = Evidence("missing", "", "not measured")


def evidence(effect: Effect | None, not_learned: frozenset[str] = frozenset()) -> Evidence:
    """Say which claim an effect supports; None is one that was not measured.

    Args:
        effect: Of a record.
        not_learned: From `learned.unlearned_tasks`.
    """
    if effect is None:
        return MISSING_EVIDENCE
    word = verdict_cell(effect, not_learned).text
    if effect["delta"] is None:
        return Evidence("undefined", "", word)
    if word == NOT_LEARNED:
        return Evidence("unlearned", "", word)
    if effect["verdict"] is None:
        look = {ONE_SEED: "one-seed", FEW_ROWS: "few-rows"}.get(effect["unjudged"] or "", "undefined")
        return Evidence(look, "", word)
    look = effect["verdict"] if effect["verdict"] in ("gain", "loss", "equal") else "none"
    return Evidence(look, MARKS.get(effect["verdict"], ""), word)


def compared(effect: Effect) -> str:
    """Whose score, in which company.

    >>> compared({"kind": "pair", "task": "sst2", "companion": "span"})
    'sst2 with span'
    """
    task, companion = effect["task"], effect["companion"]
    return {
        "company": f"{task} with all",
        "pair": f"{task} with {companion}",
        "without": f"{companion} among all, for {task}",
        "null": f"{task} with a copy of itself",
        "noise": f"{task} with all, their targets shuffled",
        "content": f"{task} with all, beyond their targets shuffled",
        "treatment": f"{task} with all, by {companion} instead of the plain sum",
        "treated": f"{task} with all, by {companion}",
        "rate": f"{companion} among all, for {task}",
        "rate_change": f"{companion} among all instead of × 1, for {task}",
        "dilution": f"{task}, dilution",
        "non_additivity": f"{task} with all, beyond the sum of its pairs",
    }.get(effect["kind"], task)


def sides(effect: Effect) -> tuple[str, str]:
    """Names of the two arms: without the company, and with it."""
    companion = effect["companion"] or ""
    return {
        "company": ("alone", "with all"),
        "pair": ("alone", f"with {companion}"),
        "without": (f"without {companion}", "with all"),
        "null": ("alone", "with a copy"),
        "noise": ("alone", "with noise"),
        "content": ("with noise", "with all"),
        "treatment": ("plain sum", companion),
        "treated": ("alone", companion),
        "rate": (f"without {companion.partition(' × ')[0]}", companion),
        "rate_change": ("× 1", companion),
        "dilution": ("alone, equal exposure", "alone, equal compute"),
    }.get(effect["kind"], ("without", "with"))


def sentence(record: StudyRecord, effect: Effect, not_learned: frozenset[str], of_task: Range) -> str:
    """An effect in one sentence: who, how much, and what may be concluded; `of_task` is the range of its metric."""
    digits, unit = unit_of_metric(effect["metric"])
    if effect["metric"] != LIKELIHOOD:
        unit += f" of {effect['metric']}"
    claim = evidence(effect, not_learned)
    who = compared(effect)
    if effect["delta"] is None:
        return f"{who}: undefined, for a score is undefined in {undefined_seeds(effect)}."
    size = f"{signed(effect['delta'], digits)} {unit}"
    if effect["low"] is not None and effect["high"] is not None:
        size += f", {confidence(record)} interval {interval(effect['low'], effect['high'], digits)}"
    ends = {
        "gain": "gain",
        "loss": "loss",
        "equal": f"equal: within ±{plain(effect['margin'], digits)}",
        "unlearned": "not judged, for alone the task is not above its baseline",
        "one-seed": "no verdict, for 1 seed shows evaluation noise only",
        "few-rows": f"cannot be judged with {effect['examples']:,} rows, of which {_differ(effect['differing'] or 0)}",
        "undefined": "no verdict, for the score is undefined in too many resamples",
    }
    end = ends.get(claim.look, "no evidence either way")
    if claim.look == "none" and effect["detectable"] is not None:
        if blind(effect, of_task):
            end += "; no change that this score can have would be seen"
        else:
            end += f"; {plain(effect['detectable'], digits)} or more would get its verdict four times in five"
            if effect["seeds_to_halve"] is not None:
                end += f"; {effect['seeds_to_halve']:,} seeds would halve that"
    return f"{who}: {size}: {end}."


def _differ(count: int) -> str:
    return {0: "none differs between the two", 1: "1 differs between the two"}.get(
        count, f"{count} differ between the two"
    )
