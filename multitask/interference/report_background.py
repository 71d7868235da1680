"""The report's sections about where effects come from: budgets, formats, noise, rates, mixture, advice, settings."""

from __future__ import annotations

from multitask.interference.lookup import (
    BUDGETS,
    MISSING,
    SYMBOLS,
    confidence,
    effects_of,
    interval,
    measured,
    plain,
    primary,
    signed,
)
from multitask.interference.record import StudyRecord
from multitask.interference.report_effects import Section, effect_table, figure, how, verdict_cell
from multitask.interference.report_parts import (
    Cell,
    Column,
    Markup,
    Row,
    element,
    interval_cell,
    join,
    number_cell,
    share_cell,
    signed_cell,
    table,
)


def dilution(record: StudyRecord) -> Section | None:
    """Exposure, compute and their difference side by side."""
    metrics = primary(record)
    found = {
        "examples": {e["task"]: e for e in effects_of(record, "company", "examples", metrics)},
        "steps": {e["task"]: e for e in effects_of(record, "company", "steps", metrics)},
        "dilution": {e["task"]: e for e in effects_of(record, "dilution", None, metrics)},
    }
    if not measured(list(found["dilution"].values())):
        return None
    rows: list[Row] = []
    for task in metrics:
        cells: Row = [task, metrics[task]]
        for effects in found.values():
            e = effects.get(task)
            cells += [signed_cell(e["delta"]), interval_cell(e["low"], e["high"])] if e else [Cell(MISSING)] * 2
            cells.append(verdict_cell(e) if e else Cell(MISSING))
        rows.append(cells)
    columns = [Column("task", number=False), Column("metric", number=False)]
    for title in ("I, equal exposure", "C, equal compute", "D = C − I, dilution"):
        columns += [
            Column(title),
            Column(f"{title[0]}, {confidence(record)} interval"),
            Column(f"{title[0]}, verdict", number=False),
        ]
    line = how(
        "I: every arm sees the same examples of the task; only the company differs. C: every arm spends the same "
        "compute, the single one all on the task. D is the price of seeing fewer of one's own examples: a matter of "
        "mixing rates, not of interference."
    )
    return Section(
        "dilution",
        "Exposure, compute, dilution",
        join([line, table("Two budgets and their difference, points", columns, rows)]),
    )


def confusion(record: StudyRecord) -> Section | None:
    """How much of the effect is only another task's vocabulary."""
    if not record["confusion"]:
        return None
    normalised = any(
        c["normalised_single"] is not None or c["normalised_joint"] is not None for c in record["confusion"]
    )
    titles = ["ranked, single", "ranked, joint", "generated, single", "generated, joint"]
    titles += ["normalised, single", "normalised, joint"] * normalised
    columns = [Column("task", number=False), Column("budget", number=False), *map(Column, titles)]
    columns += map(Column, ("foreign, single", "foreign, joint", "format part"))
    rows: list[Row] = []
    for c in record["confusion"]:
        values = [c["ranked_single"], c["ranked_joint"], c["generated_single"], c["generated_joint"]]
        values += [c["normalised_single"], c["normalised_joint"]] * normalised
        shares = (share_cell(c["foreign_single"]), share_cell(c["foreign_joint"]))
        rows.append([c["task"], BUDGETS[c["match"]], *map(number_cell, values), *shares, signed_cell(c["format_part"])])
    line = how(
        "Ranked: the most likely of the task's labels. Generated: whatever the model writes, a foreign string being "
        "wrong. Format part: how much more generation loses than ranking when trained together; that much is only the "
        "wrong task's vocabulary."
    )
    return Section(
        "confusion", "Format confusion", join([line, table("Ranking against free generation, points", columns, rows)])
    )


def noise(record: StudyRecord) -> Section:
    """What the design can see."""
    columns = [Column("task", number=False), Column("metric", number=False)]
    columns += map(Column, ("noise floor (sd)", "detectable Δ", "evaluated", "training rows", "baseline"))
    columns += [Column(title, number=False) for title in ("baseline answers", "output", "rows come from", "version")]
    rows: list[Row] = [
        [
            t["name"],
            t["unit"],
            number_cell(t["noise_floor"]),
            number_cell(t["detectable"]),
            Cell(f"{t['validation']:,}", t["validation"]),
            Cell(f"{t['rows']:,}", t["rows"]),
            number_cell(t["baseline"]),
            t["baseline_name"],
            t["output"],
            t["source"] + (" (generated)" if t["generated"] and "generated" not in t["source"] else ""),
            str(t["version"]),
        ]
        for t in record["tasks"]
    ]
    line = how(
        "Noise floor: standard deviation of the single-task score over seeds. Detectable: the smallest Δ that this "
        "design finds with a probability of 80 %; smaller effects may be there and stay unseen."
    )
    parts = [line, table("Noise floor and what can be detected, points", columns, rows)]
    return Section("noise", "Noise floor and detectable effects", join(parts))


def null_control(record: StudyRecord) -> Section | None:
    """False alarms among comparisons without an effect."""
    null, metrics = record["null"], primary(record)
    if null is None:
        return None
    effects = [e for m in ("examples", "steps", None) for e in measured(effects_of(record, "null", m, metrics))]
    rate = null.get("rate")
    said = (
        f"Each task was trained with a disjoint copy of itself, which has no effect by construction: "
        f"{null.get('alarms', MISSING)} false alarms among {null.get('cells', MISSING)} cells"
        + (f" ({plain(100 * rate, 1)} %)." if rate is not None else ".")
    )
    made = effect_table("A task with a copy of itself − the task alone", effects, record) if effects else Markup()
    return Section("null", "Null control", join([element("p", said), made]))


def scores(record: StudyRecord, drawn: dict[str, str]) -> Section | None:
    """Every seed."""
    made = figure(drawn, "scores")
    return Section("scores", "Every seed", made) if made else None


def forest(record: StudyRecord, drawn: dict[str, str]) -> Section | None:
    """All intervals in one picture."""
    made = figure(drawn, "forest")
    return Section("forest", "All intervals at a glance", made) if made else None


def curves(record: StudyRecord, drawn: dict[str, str]) -> Section | None:
    """Learning curves."""
    made = figure(drawn, "curves")
    return Section("curves", "Learning curves", made) if made else None


def learning_rates(record: StudyRecord) -> Section | None:
    """The trials, and what a checkpoint for all costs."""
    parts = []
    if record["learning_rates"]:
        columns = [
            Column("arm", number=False),
            Column("learning rate"),
            Column("score on the selection split"),
            Column("", number=False),
        ]
        rows: list[Row] = [
            [t["arm"], Cell(f"{t['lr']:g}", t["lr"]), number_cell(t["score"]), "✓ chosen" if t["chosen"] else ""]
            for t in record["learning_rates"]
        ]
        parts += [
            how("Each arm type was tuned on the same grid with as many trials, and frozen before the seeds ran."),
            table("Learning-rate trials, points", columns, rows),
        ]
    if record["gaps"]:
        columns = [
            Column("task", number=False),
            *map(Column, ("one checkpoint for all", "its own best checkpoint", "gap")),
        ]
        rows = [
            [g["task"], number_cell(g["deployed"]), number_cell(g["per_task"]), signed_cell(g["gap"])]
            for g in record["gaps"]
        ]
        parts += [
            element("h3", "One checkpoint for all tasks"),
            table("Checkpoints of the joint run, points", columns, rows),
        ]
    if not parts:
        return None
    return Section("rates", "Learning rates and checkpoints", join(parts))


def mixture(record: StudyRecord, drawn: dict[str, str]) -> Section | None:
    """Planned and realised shares, and what each arm was given."""
    if not record["exposure"]:
        return None
    columns = [Column(t, number=False, filtered=False) for t in ("task", "arm", "companions", "budget")]
    titles = (
        "examples a step",
        "examples",
        "epochs",
        "input tokens",
        "target tokens",
        "planned",
        "realised",
        "of the loss",
        "cut inputs",
        "invalid outputs",
    )
    columns += map(Column, titles)
    rows: list[Row] = [
        [
            x["task"],
            x["arm"],
            ", ".join(x["companions"]),
            BUDGETS.get(x["match"] or "", ""),
            number_cell(x["budget"], 1),
            number_cell(x["examples"], 0),
            number_cell(x["epochs"], 2),
            number_cell(x["input_tokens"], 0),
            number_cell(x["target_tokens"], 0),
            *map(share_cell, (x["planned_share"], x["realised_share"], x["loss_share"], x["cut_inputs"], x["invalid"])),
        ]
        for x in record["exposure"]
    ]
    made = table("What each arm was given of each task, mean over seeds", columns, rows)
    return Section("mixture", "Mixture and exposure", join([figure(drawn, "mix"), made]))


def advice(record: StudyRecord) -> Section | None:
    """Which tasks to train together."""
    a = record["advice"]
    if a is None:
        return None
    rows: list[Row] = [
        [
            ", ".join(g["tasks"]),
            signed_cell(g["total"]),
            interval_cell(g["low"], g["high"]),
            Cell(f"{g['runs']:,}", g["runs"]),
        ]
        for g in a["groups"]
    ]
    columns = [Column("trained together", number=False)]
    columns += map(
        Column, ("expected Δ against alone, summed", f"{confidence(record)} interval", "trained models it rests on")
    )
    line = f"At most {a['limit']} model{'s'[: a['limit'] != 1]}."
    if a["gain_over_joint"] is not None:
        word = "supported by the evidence" if a["supported"] else "not supported by the evidence"
        gain = f"{signed(a['gain_over_joint'])} points {interval(a['low'], a['high'])}"
        line += f" The best grouping found is at {gain} against one joint model: {word}."
    parts: list[str] = [element("p", element("strong", a["sentence"])), how(line)]
    if rows:
        parts.append(table("The best grouping found, points", columns, rows))
    return Section("advice", "Advice", join(parts))


def settings(record: StudyRecord) -> Section:
    """All that is needed to repeat the study."""
    s = record["setting"]
    same = len(set(s["lr"].values())) == 1
    rates = (
        f"{next(iter(s['lr'].values())):g} for all arms"
        if same
        else ", ".join(f"{a} {v:g}" for a, v in s["lr"].items())
    )
    shown = {
        "tasks": ", ".join(s["tasks"]),
        "arms": ", ".join(s["arms"]),
        "budgets": ", ".join(f"{BUDGETS[m]} ({SYMBOLS[m]}, --match {m})" for m in s["match"]),
        "seeds": ", ".join(map(str, s["seeds"])),
        "trained models": f"{s['cells']:,}",
        "optimizer steps": f"{s['steps']:,}",
        "examples a step": ", ".join(f"{t} {n:g}" for t, n in s["per_step"].items()),
        "model": f"{s['model']}, {s['parameters']:,} parameters",
        "data": s["data"],
        "loss": s["loss"],
        "optimizer": s["optimizer"],
        "learning rate": rates,
        "tuned on": ", ".join(f"{v:g}" for v in s["lr_grid"]) or "nothing: one rate, not tuned",
        "checkpoint": {"last": "the last step", "mean": "best mean over tasks", "per-task": "best of each task"}.get(
            s["select"], s["select"]
        ),
        "intervals": f"{confidence(record)}, {s['resamples']:,} bootstrap resamples over seeds and examples",
        "false discovery rate": f"{s['fdr']:g} (Benjamini–Hochberg, within a table)",
        "equal means within": f"±{s['margin']:g} points or the task's noise floor, whichever is larger",
    }
    pairs = [part for k, v in shown.items() for part in (element("dt", k), element("dd", v))]
    command = element("pre", element("code", s["command"]), tabindex="0")
    return Section("settings", "To repeat it", join([command, element("dl", *pairs, class_="settings")]))
