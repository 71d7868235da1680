"""The joint run against each task alone: effects, the two budgets, the summary, and what each arm was given."""

from __future__ import annotations

from collections.abc import Mapping

from multitask.interference.results.learned import unlearned_tasks
from multitask.interference.results.lookup import BUDGETS, confidence, effects_of, primary, unit_of_metric
from multitask.interference.results.record import (
    FEW_ROWS,
    LIKELIHOOD,
    UNDEFINED_SCORE,
    Exposure,
    Score,
    StudyRecord,
    Summary,
)
from multitask.interference.tables.cells import (
    UNDEFINED,
    budget_name,
    defined,
    effect_cells,
    effect_notes,
    key_of,
    unit_of,
    verdict_cell,
)
from multitask.interference.tables.effects import effects_table
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import MISSING, change, count, number, percent, probability, range_cell, spread, tally
from multitask.tables.table import Table


def company_table(record: StudyRecord, match: str, metrics: Mapping[str, str]) -> Table | None:
    """The joint-training effect on each task: Δ(t | M) = joint − single."""
    effects = effects_of(record, "company", match, dict(metrics))
    if not effects:
        return None
    if set(metrics.values()) == {LIKELIHOOD}:  # what an arm was given stands in the table of the metrics
        return effects_table(record, "company", match, metrics)
    _, unit, _ = unit_of(metrics)
    aside = unlearned_tasks(record)
    rows, notes = [], []
    for e in effects:
        digits, _ = unit_of_metric(e["metric"])
        single = single_score(record, e["task"], e["metric"], match, _joint_budget(record, e["task"]))
        alone, joint = _exposures(record, e["task"], match)
        invalid = None if alone is None or joint is None else 100 * (joint["invalid"] - alone["invalid"])
        seen = (joint["input_tokens"] + joint["target_tokens"]) if joint else None
        if alone and joint and abs(alone["examples"] - joint["examples"]) > 0.005 * joint["examples"]:
            notes.append(f"{e['task']} alone saw {alone['examples']:,.0f} examples, {alone['epochs']:,.1f} epochs.")
        rows.append(
            (
                Cell(e["task"]),
                Cell(e["metric"]),
                defined(spread(e["base"], single["sd"] if single else None, digits)),
                defined(number(e["score"], digits)),
                *effect_cells(e, aside),
                defined(probability(e["p"])),
                defined(probability(e["q"])),
                verdict_cell(e, aside),
                count(joint["examples"] if joint else None),
                number(joint["epochs"] if joint else None),
                count(seen),
                change(invalid, unit=" %"),
            )
        )
    columns = (
        Column("task", left=True),
        Column("metric", left=True, optional=3),
        Column("single"),
        Column("joint"),
        Column("Δ"),
        Column(f"{confidence(record)} interval"),
        Column("p", optional=9),
        Column("q", optional=1),
        Column("verdict", left=True, optional=2),
        Column("examples", short="ex.", optional=5),
        Column("epochs", short="ep.", optional=6),
        Column("tokens", short="tok.", optional=7),
        Column("invalid", short="inv.", optional=4),
    )
    explained = (
        "single: mean ± sd over seeds. examples, epochs, tokens (input + target): of the task in the joint run. "
        "invalid: change in the share of outputs that are not of the kind asked for, joint − single."
    )
    title = f"Company: joint − single, {unit}, {budget_name(match)}"
    notes = [explained, *notes, *effect_notes(effects, aside)]
    return Table(title, columns, tuple(rows), tuple(notes), key_of("company", match, metrics))


def _joint_budget(record: StudyRecord, task: str) -> float | None:
    return next((s["budget"] for s in record["scores"] if s["task"] == task and s["arm"] == "joint"), None)


def single_score(record: StudyRecord, task: str, metric: str, match: str, budget: float | None) -> Score | None:
    """The score of the single arm that an effect was measured against; at equal compute that of the same `budget`."""
    found = [
        s
        for s in record["scores"]
        if (s["task"], s["arm"], s["metric"]) == (task, "single", metric) and s["match"] in (match, None)
    ]
    exact = [s for s in found if budget is not None and abs(s["budget"] - budget) < 1e-6]
    # At equal compute a task may have several single arms: one as large as a pair, one as large as the joint run.
    return (exact or found)[0] if exact or len(found) == 1 else None


def _exposures(record: StudyRecord, task: str, match: str) -> tuple[Exposure | None, Exposure | None]:
    """The exposure of the single arm that matches the joint run under this budget, and of the joint run."""
    found = [x for x in record["exposure"] if x["task"] == task]
    joint = next((x for x in found if x["arm"] == "joint"), None)
    alone = [x for x in found if x["arm"] == "single" and x["match"] in (match, None)]
    if match == "steps" and joint is not None:
        alone = [x for x in alone if abs(x["budget"] - joint["budget"]) < 1e-6]
    return (alone[0] if alone else None), joint


def budgets_table(record: StudyRecord, metrics: Mapping[str, str]) -> Table | None:
    """Exposure, compute and dilution side by side, where both budgets were matched."""
    if not {"examples", "steps"} <= set(record["setting"]["match"]):
        return None
    _, unit, measure = unit_of(metrics)
    aside = unlearned_tasks(record)
    parts = [
        {e["task"]: e for e in effects_of(record, kind, match, dict(metrics))}
        for kind, match in (("company", "examples"), ("company", "steps"), ("dilution", None))
    ]
    names = [task for task in metrics if any(task in part for part in parts)]
    if not names:
        return None
    rows = tuple((Cell(t), *(c for part in parts for c in effect_cells(part.get(t), aside))) for t in names)
    heads = ("exposure I", "compute C", "dilution D")
    columns = (Column("task", left=True), *(Column(n) for h in heads for n in (h, f"{h[-1]} interval")))
    note = (
        "I: joint − single at equal examples. C: joint − single at equal steps. "
        "D = C − I: the price of seeing fewer of one's own examples, a matter of mixing rates."
    )
    notes = (note, *effect_notes([e for part in parts for e in part.values()], aside))
    title = f"Exposure, compute and dilution: {measure}{unit}"
    return Table(title, columns, rows, notes, key_of("budgets", None, metrics))


def summary_table(record: StudyRecord) -> Table | None:
    """Each budget's company table in one line; every task that is not in it is named."""
    if not record["summary"]:
        return None
    rows, notes = [], []
    one = len(record["setting"]["seeds"]) == 1
    aside = unlearned_tasks(record)
    for s in record["summary"]:
        counts = (s["gains"], s["losses"], s["equals"], s["no_evidence"])
        pairs = effects_of(record, "pair", s["match"], primary(record))
        rows.append(
            (
                Cell(BUDGETS.get(s["match"], s["match"])),
                defined(change(s["mean_delta"])),
                range_cell(s["low"], s["high"], undefined="undefined"),
                *(Cell(UNDEFINED) if one else tally(n) for n in counts),
                defined(change(s["delta_m"], unit=" %")),
                defined(number(s["split_half"], 2)) if pairs else Cell(MISSING),
            )
        )
        notes += _left_out(record, s, aside, one)
    columns = (
        Column("budget", left=True),
        Column("mean Δ"),
        Column(f"{confidence(record)} interval"),
        *(Column(n) for n in ("gains", "losses", "equal", "no evidence")),
        Column("Δm", optional=1),
        Column("split-half", optional=2),
    )
    explained = "mean Δ: over tasks, in points. split-half: reliability of the pair matrix over seeds, at most 1."
    if one:
        explained += f" {UNDEFINED} undefined: 1 seed gives no verdicts and no spread over seeds."
    return Table(
        "Summary: joint training against each task alone", columns, tuple(rows), (explained, *notes), "summary"
    )


def _left_out(record: StudyRecord, s: Summary, aside: frozenset[str], one_seed: bool) -> list[str]:
    """Sentences that name the tasks that a number of the summary does not hold."""
    at = BUDGETS.get(s["match"], s["match"])
    effects = effects_of(record, "company", s["match"], primary(record))
    notes = []
    if s["delta_m_left_out"]:
        notes.append(f"Δm at {at} leaves out {', '.join(s['delta_m_left_out'])}: the single score is not above 0.")
    if s["mean_left_out"]:
        left = ", ".join(s["mean_left_out"])
        notes.append(f"mean Δ and the counts at {at} leave out {left}: the score is undefined in a model.")
    whys = {FEW_ROWS: "too few rows differ", UNDEFINED_SCORE: "the interval is undefined"}
    for why, words in whys.items():
        none = [e["task"] for e in effects if e["unjudged"] == why and e["task"] not in s["mean_left_out"]]
        if none and not one_seed:
            notes.append(f"The counts at {at} leave out {', '.join(none)}: {words}.")
    gone = [e["task"] for e in effects if e["task"] in aside]
    if gone:
        notes.append(f"mean Δ at {at} holds {', '.join(gone)} too, though not learned; the counts do not.")
    return notes


def exposure_table(record: StudyRecord) -> Table | None:
    """The examples and tokens that each arm's model was given of each task, mean over seeds."""
    if not record["exposure"]:
        return None
    rows = tuple(
        (
            Cell(x["task"]),
            Cell(x["arm"]),
            Cell(", ".join(x["companions"])),
            Cell(BUDGETS.get(x["match"] or "", "both")),
            number(x["budget"]),
            count(x["examples"]),
            number(x["epochs"], 2),
            count(x["input_tokens"]),
            count(x["target_tokens"]),
            *map(percent, (x["planned_share"], x["realised_share"], x["loss_share"], x["cut_inputs"], x["invalid"])),
        )
        for x in record["exposure"]
    )
    columns = (
        *(Column("task", left=True), Column("arm", left=True), Column("companions", left=True, wrap=True)),
        Column("budget", left=True, optional=1),
        Column("examples a step", optional=2),
        *(Column("examples"), Column("epochs")),
        *(Column(name, optional=3) for name in ("input tokens", "target tokens", "planned", "realised", "of the loss")),
        *(Column(name, optional=4) for name in ("cut inputs", "invalid outputs")),
    )
    note = "planned, realised: the task's share of the examples. cut inputs: longer than the limit."
    title = "What each arm was given of each task, mean over seeds"
    return Table(title, columns, rows, (note,), "exposure", grouped=True, keys=2)
