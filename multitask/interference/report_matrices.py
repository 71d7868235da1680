"""The report's heat maps: tables in the figures' colours, each cell a link to its row in the table of all effects."""

from __future__ import annotations

from multitask.interference.lookup import (
    BUDGETS,
    MATRICES,
    MISSING,
    SYMBOLS,
    confidence,
    effects_of,
    interval,
    likelihood,
    measured,
    plain,
    primary,
    scale_limit,
    score_of,
    signed,
)
from multitask.interference.palette import MARKS, diverging, ink_on
from multitask.interference.record import LIKELIHOOD, Effect, StudyRecord
from multitask.interference.report_effects import (
    Keys,
    Section,
    digits_of,
    effect_table,
    how,
    in_words,
    seeds_cell,
)
from multitask.interference.report_parts import (
    Markup,
    captioned,
    chance_cell,
    element,
    join,
)
from multitask.interference.report_tables import company

_READ = {
    "pair": (
        "Pairs",
        "Read along a row: what each companion does to this task. An effect has a direction and is never averaged with "
        "its mirror image.",
    ),
    "without": (
        "Leave one out",
        "Read along a row: the joint run minus the run without the column's task, so what that task does to this one "
        "in the company of all others.",
    ),
}


def matrix_section(record: StudyRecord, kind: str, keys: Keys) -> Section | None:
    """Heat map of pairs or of leaving one out, with what does not add up."""
    made = matrices(record, kind, primary(record), keys)
    if not made:
        return None
    title, line = _READ[kind]
    parts = [how(line, "Point at a cell or tap it for interval, q and the value of each seed."), made]
    matches: list[str | None] = [*record["setting"]["match"], None]
    extra = [e for m in matches for e in measured(effects_of(record, "non_additivity", m, primary(record)))]
    if kind == "pair" and extra:
        parts.append(element("h3", "Do pairs add up to the whole?"))
        parts.append(
            how("The effect of all companions together minus the sum of their pair effects; 0 if they add up.")
        )
        parts.append(effect_table("Non-additivity, points", extra, record))
    return Section(MATRICES[kind].replace("_", "-"), title, join(parts))


def twin(record: StudyRecord, keys: Keys) -> Section | None:
    """The same tables for the log-likelihood of the targets."""
    metrics = likelihood(record)
    made = join(
        [company(record, metrics), matrices(record, "pair", metrics, keys), matrices(record, "without", metrics, keys)]
    )
    if not made:
        return None
    summary_line = element("summary", "Tables in nats")
    line = how(
        "The mean log-likelihood of the targets moves before a score does and varies less between seeds: an effect "
        "here and none in the score is an early sign, not a result."
    )
    return Section(
        "twin", "The low-variance twin: log-likelihood", join([line, element("details", summary_line, made)])
    )


def matrices(record: StudyRecord, kind: str, metrics: dict[str, str], keys: Keys) -> Markup:
    """The heat map of one kind, once for each budget."""
    limit = scale_limit(record, metrics)
    made = [m for match in record["setting"]["match"] if (m := _matrix(record, kind, match, metrics, limit, keys))]
    if not made:
        return Markup()
    return join([element("div", *made, class_="budgets"), _legend(record, limit, LIKELIHOOD in metrics.values())])


def _matrix(record: StudyRecord, kind: str, match: str, metrics: dict[str, str], limit: float, keys: Keys) -> Markup:
    effects = {(e["task"], e["companion"]): e for e in effects_of(record, kind, match, metrics)}
    shown = measured(list(effects.values()))
    if not shown:
        return Markup()
    twin = shown[0]["metric"] == LIKELIHOOD
    digits = 3 if twin else 1
    rows = []
    for task, metric in metrics.items():
        cells = [element("th", task, element("small", metric), scope="row")]
        for companion in metrics:
            if companion == task:
                single = score_of(record, task, "single", match, metric)
                mean, sd = (single["mean"], single["sd"]) if single else (None, None)
                under = Markup() if sd is None else element("small", f"± {plain(sd, digits)}")
                cells.append(element("td", plain(mean, digits), under, class_="self"))
            else:
                cells.append(_matrix_cell(effects.get((task, companion)), limit, digits, keys, confidence(record)))
        rows.append(element("tr", *cells))
    corner = element("td", "evaluated ↓  with →" if kind == "pair" else "evaluated ↓  left out →")
    head = element("thead", element("tr", corner, *(element("th", _breakable(name), scope="col") for name in metrics)))
    what = "Pairs" if kind == "pair" else "Leave one out"
    title = f"{what}: Δ at {BUDGETS[match]} ({SYMBOLS[match]}), {'nats' if twin else 'points'}"
    return element("div", captioned(title, head, element("tbody", *rows), class_="heat"))


def _breakable(name: str) -> Markup:
    """A long name may go on in the next line after a `_`."""
    return join(name.split("_"), Markup("_<wbr>"))


def _matrix_cell(e: Effect | None, limit: float, digits: int, keys: Keys, level: str) -> Markup:
    if e is None or e["delta"] is None:
        return element(
            "td",
            element("span", "not measured", class_="sr"),
            element("span", MISSING, aria_hidden="true"),
            class_="none",
        )
    mark = MARKS.get(e["verdict"] or "", "")
    said = (
        [element("span", f" {mark}", aria_hidden="true"), element("span", f" {e['verdict']}", class_="sr")]
        if mark
        else []
    )
    link = element(
        "a",
        element("b", signed(e["delta"], digits), *said),
        element("small", interval(e["low"], e["high"], digits)),
        href=f"#{keys.effects[id(e)]}",
        title=details(e, level),
        data_examples=keys.examples_of(e),
    )
    return element("td", link, class_="h", style=_colours(e["delta"], limit))


def details(e: Effect, level: str) -> str:
    """All of an effect, a line for each part."""
    digits = digits_of(e)
    unit = "nats" if e["metric"] == LIKELIHOOD else "points"
    chances = [chance_cell(v).shown for v in (e["p"], e["q"], e["p_sign_flip"])]
    margin, detectable = plain(e["margin"], digits), plain(e["detectable"], digits)
    lines = [
        f"{in_words(e['kind'], e['task'], e['companion'])}; {e['metric']}",
        f"Δ {signed(e['delta'], digits)} {unit}, {level} interval {interval(e['low'], e['high'], digits)}",
        f"{plain(e['base'], digits)} → {plain(e['score'], digits)}; {e['examples']:,} examples",
        "p {}, q {}, sign flip p {}".format(*chances),
        f"verdict: {e['verdict'] or 'none (1 seed)'}; equal within ±{margin}; detectable {detectable}",
        f"each seed: {seeds_cell(e).shown}",
    ]
    return "\n".join(lines)


def _colours(value: float, limit: float) -> str:
    light, dark = diverging(value, limit), diverging(value, limit, dark=True)
    return f"--l:{light};--k:{ink_on(light)};--d:{dark};--e:{ink_on(dark)}"


def _legend(record: StudyRecord, limit: float, twin: bool) -> Markup:
    one_seed = len(record["setting"]["seeds"]) == 1
    digits = 3 if twin else 1
    swatches = [
        element("span", signed(v * limit, digits), class_="swatch", style=_colours(v * limit, limit))
        for v in (-1.0, -0.5, 0.0, 0.5, 1.0)
    ]
    words = (
        "▲ gain",
        "▼ loss",
        "= equal",
        "1 seed: no verdict" if one_seed else "no mark: no evidence",
        f"{MISSING} not measured",
        "grey: alone ± sd over seeds",
    )
    marks = (element("span", word) for word in words)
    return element("div", element("span", *swatches, class_="scale"), *marks, class_="legend")
