"""What all sections of the report need: how an effect is named, linked to and shown in a row.

Words
    section    a heading and what stands under it
    key        the id that links point to: `e12` is effect 12 of the record, `x3` the third group of changed examples
"""

from __future__ import annotations

from typing import NamedTuple

from multitask.interference.lookup import (
    MISSING,
    confidence,
    signed,
)
from multitask.interference.palette import MARKS
from multitask.interference.record import LIKELIHOOD, Effect, StudyRecord
from multitask.interference.report_parts import (
    Cell,
    Column,
    Markup,
    Row,
    chance_cell,
    element,
    inline_figure,
    interval_cell,
    join,
    scroll,
    signed_cell,
    table,
    text,
)

COMPARISONS = {
    "company": "joint − single",
    "pair": "pair − single",
    "without": "joint − without",
    "null": "copy − single (null)",
    "dilution": "dilution C − I",
    "non_additivity": "joint − sum of pairs",
}
"""{kind of effect: what is subtracted from what}"""


LABELS = {
    "forest": "Forest plot: effects of company and pairs with intervals; the numbers are in the table of all effects",
    "scores": "Score of every seed, alone and in the joint run",
    "curves": "Learning curves of each task, alone and in the joint run",
    "mix": "Planned and realised shares of the joint run",
}
"""{figure: what it shows, for those who cannot see it}"""


class Section(NamedTuple):
    """A heading, its key and its content."""

    key: str
    title: str
    content: Markup


class Keys(NamedTuple):
    """What can be linked to."""

    examples: dict[tuple[str, str, str | None, str | None], str]
    """{(kind, task, companion, match): key of the group of changed examples}"""
    effects: dict[int, str]
    """{id() of an effect of the record: its key}"""

    def examples_of(self, e: Effect) -> str | None:
        """The group that shows how this effect came about."""
        return self.examples.get((e["kind"], e["task"], e["companion"], e["match"]))


def keys_of(record: StudyRecord) -> Keys:
    """Keys in the order of the record."""
    groups = dict.fromkeys((c["kind"], c["task"], c["companion"], c["match"]) for c in record["changed"])
    return Keys(
        {group: f"x{i}" for i, group in enumerate(groups)}, {id(e): f"e{i}" for i, e in enumerate(record["effects"])}
    )


def how(*sentences: str) -> Markup:
    """A line of explanation."""
    return element("p", join(sentences, " "), class_="how")


def figure(drawn: dict[str, str], name: str) -> Markup:
    """A figure that fits the page, or nothing if there is none."""
    if name not in drawn:
        return Markup()
    made = inline_figure(drawn[name], name, LABELS[name])
    return element("figure", scroll(made, LABELS[name]))


def digits_of(e: Effect) -> int:
    """Nats are small numbers."""
    return 4 if e["metric"] == LIKELIHOOD else 2


def in_words(kind: str, task: str, companion: str | None) -> str:
    """What is compared with what.

    >>> in_words("pair", "sst2", "span"), in_words("without", "sst2", "span")
    ('sst2 with span, against alone', 'sst2 with all, against without span')
    """
    return {
        "company": f"{task} with all, against alone",
        "pair": f"{task} with {companion}, against alone",
        "without": f"{task} with all, against without {companion}",
        "null": f"{task} with a copy of itself, against alone",
    }.get(kind, f"{task}: {COMPARISONS.get(kind, kind)}")


_SUMS = {"gain": "more than the sum", "loss": "less than the sum", "equal": "adds up"}


def verdict_cell(e: Effect) -> Cell:
    """Mark and word; with one seed no verdict."""
    if e["verdict"] is None:
        return Cell(MISSING if e["delta"] is None else "1 seed: none", classes="quiet")
    mark = MARKS[e["verdict"]]
    word = _SUMS.get(e["verdict"], e["verdict"]) if e["kind"] == "non_additivity" else e["verdict"]
    shown = join([element("span", mark, aria_hidden="true"), f" {word}"]) if mark else text(word)
    return Cell(shown, classes=e["verdict"] if e["verdict"] in ("gain", "loss") else "quiet")


def seeds_cell(e: Effect) -> Cell:
    """Δ of each seed."""
    return Cell(", ".join(signed(v, digits_of(e)) for v in e["per_seed"]) or MISSING, classes="quiet")


def effect_table(title: str, effects: list[Effect], record: StudyRecord) -> Markup:
    """A short table of effects of one kind."""
    titles = ("Δ", f"{confidence(record)} interval", "p", "q")
    columns = [Column("task", number=False), Column("metric", number=False), *map(Column, titles)]
    columns += [Column("verdict", number=False), Column("Δ of each seed", number=False)]
    rows: list[Row] = [
        [
            e["task"],
            e["metric"],
            signed_cell(e["delta"], digits_of(e)),
            interval_cell(e["low"], e["high"], digits_of(e)),
            chance_cell(e["p"]),
            chance_cell(e["q"]),
            verdict_cell(e),
            seeds_cell(e),
        ]
        for e in effects
    ]
    return table(title, columns, rows)
