"""The report's summary, company table and table of all effects, from the record alone."""

from __future__ import annotations

from multitask.interference.lookup import (
    BUDGETS,
    MISSING,
    SYMBOLS,
    confidence,
    effects_of,
    exposure_of,
    interval,
    measured,
    plain,
    primary,
    score_of,
    signed,
)
from multitask.interference.record import LIKELIHOOD, Effect, StudyRecord
from multitask.interference.report_effects import (
    COMPARISONS,
    Keys,
    Section,
    digits_of,
    how,
    seeds_cell,
    verdict_cell,
)
from multitask.interference.report_parts import (
    Cell,
    Column,
    Markup,
    Row,
    chance_cell,
    element,
    interval_cell,
    join,
    number_cell,
    signed_cell,
    table,
)


def companion_words(e: Effect) -> str:
    """Who was there besides."""
    return e["companion"] or {"company": "all", "null": "a copy of itself"}.get(e["kind"], "")


def summary(record: StudyRecord) -> Section:
    """What happened to whom, in words and in one line for each budget."""
    metrics, parts = primary(record), []
    for match in record["setting"]["match"]:
        effects = measured(effects_of(record, "company", match, metrics))
        parts.append(element("p", _sentence(effects, match, len(record["setting"]["seeds"]))))
    lead = next((s for s in record["summary"] if s["match"] == record["setting"]["match"][0]), None)
    if lead:
        tiles = [
            ("mean Δ, points", signed(lead["mean_delta"]), interval(lead["low"], lead["high"])),
            ("▼ losses", str(lead["losses"]), "of the joint run"),
            ("▲ gains", str(lead["gains"]), "of the joint run"),
            ("= equal", str(lead["equals"]), "within the margin"),
            ("no evidence", str(lead["no_evidence"]), "either way"),
            ("Δm", MISSING if lead["delta_m"] is None else f"{signed(lead['delta_m'], 1)} %", "relative mean"),
        ]
        made = (element("div", element("dt", a), element("dd", b, element("small", c))) for a, b, c in tiles)
        parts.append(element("dl", *made, class_="tiles"))
    if record["summary"]:
        rows: list[Row] = [
            [
                f"{BUDGETS[s['match']]} ({SYMBOLS[s['match']]})",
                signed_cell(s["mean_delta"]),
                interval_cell(s["low"], s["high"]),
                *(Cell(str(n), n) for n in (s["losses"], s["gains"], s["equals"], s["no_evidence"])),
                Cell(MISSING if s["delta_m"] is None else f"{signed(s['delta_m'], 1)} %", s["delta_m"]),
                ", ".join(s["delta_m_left_out"]) or "none",
                number_cell(s["split_half"]),
            ]
            for s in record["summary"]
        ]
        undefined = {task for s in record["summary"] for task in s["mean_left_out"]}
        if undefined:
            names = ", ".join(sorted(undefined))
            parts.append(element("p", f"The mean leaves out {names}: the score is undefined in one of the models."))
        titles = ("budget", "mean Δ", f"{confidence(record)} interval", "losses", "gains", "equal", "no evidence", "Δm")
        columns = [Column(t, number=i > 0) for i, t in enumerate(titles)]
        columns += [Column("Δm not defined for", number=False), Column("split-half reliability")]
        parts.append(table("The joint run against each task alone", columns, rows))
    parts.append(
        how(
            "Δ is the score with company minus the score without, in points of a task's own metric: below 0 is "
            "interference, above 0 transfer. A verdict needs evidence over seeds after correction for many "
            "comparisons (Benjamini–Hochberg); “no evidence” is not “no effect”: only “equal” claims that."
        )
    )
    return Section("summary", "Summary", join(parts))


def _sentence(effects: list[Effect], match: str, seeds: int) -> str:
    start = f"At {BUDGETS[match]}, trained together rather than alone: "
    if not effects:
        return start + "not measured."
    if seeds == 1:
        each = ", ".join(f"{e['task']} {signed(e['delta'])}" for e in effects)
        return f"{start}{each} points. One seed: evaluation noise only, no verdict about training."
    said: list[str] = []
    for verdict in ("loss", "gain", "equal"):
        named = [
            f"{e['task']} ({signed(e['delta'])} {interval(e['low'], e['high'])})"
            for e in effects
            if e["verdict"] == verdict
        ]
        if named:
            said.append(f"{verdict}: {', '.join(named)}")
    unknown = [e["task"] for e in effects if e["verdict"] == "no evidence"]
    if unknown:
        said.append(f"no evidence either way: {', '.join(unknown)}")
    return start + "; ".join(said) + "."


def company(
    record: StudyRecord, metrics: dict[str, str], title: str = "Joint training against each task alone"
) -> Markup:
    """The company table, once for each budget."""
    made = []
    for match in record["setting"]["match"]:
        effects = effects_of(record, "company", match, metrics)
        if not measured(effects):
            continue
        rows: list[Row] = []
        for e in effects:
            digits = digits_of(e)
            joint = score_of(record, e["task"], "joint", match, e["metric"])
            single = score_of(record, e["task"], "single", match, e["metric"])
            given, alone = (exposure_of(record, e["task"], arm, match) for arm in ("joint", "single"))
            change = None if given is None or alone is None else given["invalid"] - alone["invalid"]
            rows.append(
                [
                    e["task"],
                    e["metric"],
                    _with_sd(e["base"], single["sd"] if single else None, digits),
                    _with_sd(e["score"], joint["sd"] if joint else None, digits),
                    signed_cell(e["delta"], digits),
                    interval_cell(e["low"], e["high"], digits),
                    chance_cell(e["q"]),
                    verdict_cell(e),
                    number_cell(e["detectable"], digits),
                    number_cell(given["examples"] if given else None, 0),
                    number_cell(given["epochs"] if given else None, 2),
                    number_cell(given["input_tokens"] if given else None, 0),
                    number_cell(given["target_tokens"] if given else None, 0),
                    Cell(MISSING if change is None else f"{signed(100 * change, 1)} %", change),
                    seeds_cell(e),
                ]
            )
        titles = ("single ± sd", "joint ± sd", "Δ", f"{confidence(record)} interval", "q")
        after = ("detectable Δ", "examples", "epochs", "input tokens", "target tokens", "invalid outputs")
        columns = [Column("task", number=False), Column("metric", number=False), *map(Column, titles)]
        columns += [Column("verdict", number=False), *map(Column, after), Column("Δ of each seed", number=False)]
        made.append(table(f"{title}, {BUDGETS[match]} ({SYMBOLS[match]})", columns, rows))
    return join(made)


def _with_sd(mean: float | None, sd: float | None, digits: int) -> Cell:
    return Cell(plain(mean, digits) + (f" ± {plain(sd, digits)}" if sd is not None else ""), mean)


def all_effects(record: StudyRecord, keys: Keys) -> Section | None:
    """Every comparison of the study in one table, to sort and to filter."""
    if not record["effects"]:
        return None
    names = ("task", "comparison", "companion", "budget", "metric")
    columns = [Column(name, number=False, filtered=True) for name in names]
    columns += [Column("verdict", number=False, filtered=True)]
    columns += map(
        Column, ("without", "with", "Δ", "low", "high", "p", "q", "sign flip p", "margin", "detectable", "examples")
    )
    columns += [Column("Δ of each seed", number=False), Column("changed", number=False)]
    rows: list[Row] = []
    attributes = []
    for e in record["effects"]:
        digits, group = digits_of(e), keys.examples_of(e)
        rows.append(
            [
                e["task"],
                COMPARISONS[e["kind"]],
                companion_words(e),
                BUDGETS.get(e["match"] or "", ""),
                e["metric"],
                verdict_cell(e),
                number_cell(e["base"], digits),
                number_cell(e["score"], digits),
                signed_cell(e["delta"], digits),
                number_cell(e["low"], digits),
                number_cell(e["high"], digits),
                chance_cell(e["p"]),
                chance_cell(e["q"]),
                chance_cell(e["p_sign_flip"]),
                number_cell(e["margin"]),
                number_cell(e["detectable"], digits),
                Cell(f"{e['examples']:,}", e["examples"]),
                seeds_cell(e),
                Markup() if group is None or e["metric"] == LIKELIHOOD else element("a", "examples", href=f"#{group}"),
            ]
        )
        attributes.append({"id": keys.effects[id(e)]})
    content = join(
        [
            how(
                f"{len(rows):,} comparisons. Points for metrics, nats for {LIKELIHOOD}. q is corrected over the cells "
                "of a table (comparison, budget, metric)."
            ),
            element(
                "div",
                hidden=True,
                class_="filters",
                data_table="effects-table",
                role="group",
                aria_label="Filter the effects",
            ),
            table("All effects", columns, rows, attributes=attributes, key="effects-table"),
        ]
    )
    return Section("effects", "All effects", content)
