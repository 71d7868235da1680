"""An effect as cells, and what the tables of a study have in common.

Words
    undefined     measured, but without a value: a score has none in one of the models, or one seed has no spread
    not measured  no model was trained for it
    set aside     a verdict on a task that was not learned: nothing can have hurt or helped it
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from multitask.interference.results.lookup import BUDGETS, unit_of_metric, units_of
from multitask.interference.results.record import (
    FEW_ROWS,
    LIKELIHOOD,
    NOT_LEARNED,
    ONE_SEED,
    UNDEFINED_SCORE,
    Effect,
    Score,
)
from multitask.tables.cells import Cell
from multitask.tables.numbers import MISSING, change, number, range_cell

UNDEFINED = "–"
"""A number that has no value; never 0 and not what was not measured."""
WITHOUT_VERDICT = {ONE_SEED: "none: 1 seed"}
"""{why an effect has none: how a cell says it, where it is not that word}"""

NO_CHANGE = "none"
"""The smallest change found where a score cannot change by so much."""
NO_CHANGE_NOTE = f"{NO_CHANGE}: no change that the score can have would be found."


def effect_cells(effect: Effect | None, aside: Collection[str] = ()) -> tuple[Cell, Cell]:
    """The effect with its mark, and its interval or why it has none; `aside` are the tasks without verdicts."""
    if effect is None:
        return Cell(MISSING), Cell(MISSING)
    if effect["delta"] is None:
        return Cell(UNDEFINED), Cell("undefined", emphasis="quiet")
    digits, _ = unit_of_metric(effect["metric"])
    verdict = None if effect["task"] in aside else effect["verdict"]
    why = FEW_ROWS if effect["unjudged"] == FEW_ROWS else "undefined"
    bounds = range_cell(effect["low"], effect["high"], digits, undefined=why)
    return change(effect["delta"], digits, verdict=verdict), bounds


def verdict_cell(effect: Effect | None, aside: Collection[str] = ()) -> Cell:
    """The verdict in words: gain, loss, equal, no evidence, or why there is none."""
    if effect is None:
        return Cell(MISSING)
    if effect["delta"] is None:
        return Cell("undefined", emphasis="quiet")
    if effect["task"] in aside:
        return Cell(NOT_LEARNED, emphasis="quiet")
    if effect["verdict"] is not None:
        return Cell(effect["verdict"], None, effect["verdict"])
    why = effect["unjudged"] or UNDEFINED_SCORE
    return Cell(WITHOUT_VERDICT.get(why, why), emphasis="quiet")


def undefined_seeds(effect: Effect) -> str:
    """In how many of its seeds an effect has no value.

    >>> undefined_seeds({"per_seed": [1.0, None, None]})
    '2 of 3 seeds'
    """
    values = effect["per_seed"]
    none = sum(v is None or not math.isfinite(v) for v in values)
    return f"{none} of {len(values)} seeds" if len(values) != 1 else "its only seed"


def defined(cell: Cell) -> Cell:
    """The cell of something that was measured: what has no value is undefined, not "not measured"."""
    return Cell(UNDEFINED) if cell.text == MISSING else cell


def measured_number(value: float | None, digits: int = 1, *, unit: str = "") -> Cell:
    """A number that was measured, be it defined or not."""
    return defined(number(value, digits, unit=unit))


def shown_score(score: Score | None, digits: int = 1) -> str:
    """The mean of an arm's score; what was measured and has none is undefined."""
    return MISSING if score is None else measured_number(score["mean"], digits).text


def detectable_cell(value: float | None, blind: bool, digits: int = 1) -> Cell:
    """The smallest change that the design finds; in words where only changes beyond the metric's range would be."""
    found = measured_number(value, digits)
    return found._replace(text=NO_CHANGE) if blind and found.value is not None else found


def effect_notes(effects: Iterable[Effect], aside: Collection[str]) -> list[str]:
    """A sentence on the tasks whose effects are undefined, and one on those whose verdicts are set aside."""
    effects = list(effects)
    undefined: dict[str, dict[str, None]] = {}
    for e in effects:
        if e["delta"] is None:
            undefined.setdefault(e["task"], {})[undefined_seeds(e)] = None
    few = [e for e in effects if e["unjudged"] == FEW_ROWS]
    wide = dict.fromkeys(e["task"] for e in effects if e["delta"] is not None and e["unjudged"] == UNDEFINED_SCORE)
    gone = dict.fromkeys(e["task"] for e in effects if e["task"] in aside)
    notes = []
    if undefined:
        where = ", ".join(f"{task} in {' or '.join(seeds)}" for task, seeds in undefined.items())
        notes.append(f"{UNDEFINED} undefined: no score of {where}.")
    if wide:
        notes.append(f"{', '.join(wide)}: the interval is undefined, so there is no verdict.")
    if few:
        rows = ", ".join(f"{t} with {n:,} rows" for t, n in dict.fromkeys((e["task"], e["examples"]) for e in few))
        notes.append(f"few rows: {rows} cannot be judged, for too few of them differ between the two.")
    if gone:
        notes.append(f"not learned: {', '.join(gone)}, alone not above the baseline; nothing can be said of it.")
    return notes


def unit_of(metrics: Mapping[str, str]) -> tuple[int, str, str]:
    """Decimals, unit, and what a title adds: the log-likelihood is in nats."""
    nats = set(metrics.values()) == {LIKELIHOOD}
    return (3, "nats", "log-likelihood of the targets, ") if nats else (1, units_of(metrics), "")


def budget_name(match: str | None) -> str:
    """A budget as a title has it."""
    return f"{BUDGETS[match]} ({match} matched)" if match in BUDGETS else ""


def key_of(kind: str, match: str | None, metrics: Mapping[str, str]) -> str:
    """A table's key.

    >>> key_of("pair", "steps", {"sst2": "accuracy"})
    'pair-steps'
    """
    nats = "likelihood" if set(metrics.values()) == {LIKELIHOOD} else ""
    return "-".join(filter(None, (kind.replace("_", "-"), match, nats)))
