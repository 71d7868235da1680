"""The examples that changed most, so that a reader sees how a task was hurt or helped.

Words
    group    the changed examples of one effect: its comparison, task, companion and budget
    cut      long texts are, so that the page stays small; interference.json has them whole
"""

from __future__ import annotations

from itertools import groupby, zip_longest

from multitask.interference.lookup import BUDGETS, MISSING, signed
from multitask.interference.record import Changed, StudyRecord
from multitask.interference.report_effects import COMPARISONS, Keys, Section, how, in_words
from multitask.interference.report_parts import Markup, element, join, text

EXAMPLES = 900
"""At most so many on the page, the same number for each effect and direction."""
CHARACTERS = 600_000
"""About so many characters of their texts."""

_WITHOUT = {"company": "alone", "pair": "alone", "null": "alone", "without": "without {}"}
_WITH = {"company": "with all", "pair": "with {}", "null": "with a copy", "without": "with all, {} too"}


def changed(record: StudyRecord, keys: Keys) -> Section | None:
    """Groups that unfold, with controls to choose among them."""
    if not record["changed"]:
        return None
    groups = {key: [c for c in record["changed"] if _key(c) == key] for key in keys.examples}
    each = max(1, EXAMPLES // (2 * len(groups)))
    kept = {
        key: [c for direction in ("worse", "better") for c in _first(group, direction, each)]
        for key, group in groups.items()
    }
    limit = _limit([c for group in kept.values() for c in group])
    seeds = record["setting"]["seeds"]
    made = [
        _group(keys.examples[key], examples, seeds, limit, first=i == 0)
        for i, (key, examples) in enumerate(kept.items())
    ]
    left_out = len(record["changed"]) - sum(map(len, kept.values()))
    lines = [
        "The examples whose score changed most between the two arms of an effect, and what each seed's model answered.",
        "✓ marks an answer that is the target.",
    ]
    if left_out:
        lines.append(f"{left_out:,} more are in interference.json.")
    controls = element(
        "div", hidden=True, class_="filters", data_examples=True, role="group", aria_label="Filter the examples"
    )
    return Section("examples", "Changed examples", join([how(*lines), controls, *made]))


def _key(c: Changed) -> tuple[str, str, str | None, str | None]:
    return (c["kind"], c["task"], c["companion"], c["match"])


def _first(group: list[Changed], direction: str, count: int) -> list[Changed]:
    return [c for c in group if c["direction"] == direction][:count]


def _limit(examples: list[Changed]) -> int:
    """The longest text that is shown whole, so that all of them fit."""
    lengths = [len(s) for c in examples for s in (c["inputs"], c["target"], *c["base"], *c["with_company"])]
    fitting = (n for n in (2000, 1000, 500, 250, 120) if sum(min(n, length) for length in lengths) <= CHARACTERS)
    return next(fitting, 60)


def _group(key: str, examples: list[Changed], seeds: list[int], limit: int, *, first: bool) -> Markup:
    c = examples[0]
    who = in_words(c["kind"], c["task"], c["companion"])
    budget = BUDGETS.get(c["match"] or "", "")
    tally = ", ".join(
        f"{len(list(found))} {direction}" for direction, found in groupby(c["direction"] for c in examples)
    )
    title = element("summary", who, " ", element("span", f"{budget}{', ' if budget else ''}{tally}", class_="tally"))
    return element(
        "details",
        title,
        *(_example(c, seeds, limit) for c in examples),
        id=key,
        class_="group",
        open=first,
        data_kind=COMPARISONS.get(c["kind"], c["kind"]),
        data_task=c["task"],
        data_companion=c["companion"] or "all",
        data_match=budget,
    )


def _example(c: Changed, seeds: list[int], limit: int) -> Markup:
    worse = c["direction"] == "worse"
    what = "log-likelihood, nats" if c["measure"] == "log_likelihood" else "score, 0 to 1"
    head = element(
        "h4",
        element(
            "span",
            element("span", "▼" if worse else "▲", aria_hidden="true"),
            f" {c['direction']}",
            class_="loss" if worse else "gain",
        ),
        f" {signed(c['change'])} ({what}) ",
        element("span", c["id"], class_="id"),
    )
    words = [side.get(c["kind"], "").format(c["companion"] or "") for side in (_WITHOUT, _WITH)]
    titles = element(
        "tr", *(element("th", t, scope="col") for t in ("seed", words[0] or "without", words[1] or "with"))
    )
    answers: dict[tuple[str, str], list[str]] = {}
    for seed, a, b in zip_longest(map(str, seeds), c["base"], c["with_company"], fillvalue=MISSING):
        answers.setdefault((a, b), []).append(seed)
    rows = [
        element("tr", element("th", ", ".join(who), scope="row"), *(_answer(s, c["target"], limit) for s in pair))
        for pair, who in answers.items()
    ]
    return element(
        "article",
        head,
        element("p", element("b", "input "), element("span", cut(c["inputs"], limit), dir="auto")),
        element("p", element("b", "target "), element("span", cut(c["target"], limit), dir="auto")),
        element("table", element("thead", titles), element("tbody", *rows)),
        class_=c["direction"],
        data_direction=c["direction"],
    )


def _answer(answer: str, target: str, limit: int) -> Markup:
    shown = element("span", cut(answer, limit), dir="auto") if answer.strip() else element("i", "(empty)")
    right = answer.strip() == target.strip()
    tick = [element("span", " ✓", aria_hidden="true"), element("span", " the target", class_="sr")] if right else []
    return element("td", shown, *tick)


def cut(value: str, limit: int) -> Markup:
    """A text, or its beginning and how much of it is not shown.

    >>> cut("so happy", 20), cut("so happy", 2)
    ('so happy', 'so… (6 more characters)')
    """
    return text(value if len(value) <= limit else f"{value[:limit]}… ({len(value) - limit:,} more characters)")
