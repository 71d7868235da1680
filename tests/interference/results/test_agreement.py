"""One study, one story: answer, terminal, report, notebook, JSON and CSV say the same of every effect."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from multitask.interference.results.answer import answer
from multitask.interference.results.learned import learned
from multitask.interference.results.lookup import unit_of_metric
from multitask.interference.results.record import LIKELIHOOD, Effect, StudyRecord
from multitask.interference.study import Study
from multitask.interference.tables import render, tables
from multitask.tables.cells import MARKS
from multitask.tables.numbers import interval, signed

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "study_example.py"))
example_record, mark_not_learned = EXAMPLE["example_record"], EXAMPLE["mark_not_learned"]


def drawn(seed: int) -> StudyRecord:
    """A study of any kind: few seeds, undefined effects and intervals, effects and arms missing, tasks not learned."""
    draw = random.Random(seed)
    names = ["span", "sst2", "stsb", "cola", "<b>&|", "a_task_with_a_name_that_is_long"]
    made: StudyRecord = example_record(tuple(draw.sample(names, draw.randint(2, 4))), draw.choice([1, 2, 5]))
    none = dict.fromkeys(("low", "high", "se", "df", "p", "q", "p_sign_flip", "verdict", "detectable"))
    for e in made["effects"]:
        kind = draw.random()
        if kind < 0.1:
            e.update(none, delta=None, score=None, base=None, unjudged="undefined")  # type: ignore[call-arg]
        elif kind < 0.2:
            e.update(none, unjudged=draw.choice(["undefined", "few rows"]))  # type: ignore[call-arg]
    made["effects"] = [e for e in made["effects"] if draw.random() < draw.choice([0.5, 0.9, 1.0])]
    for task in made["tasks"]:
        task["baseline"] = draw.choice([None, 20.0, 99.0])
        task["learned"] = None if task["baseline"] is None else True
        if task["baseline"] == 99.0:
            mark_not_learned(made, task["name"])
        task["metric"] = draw.choice([task["metric"]] * 4 + [LIKELIHOOD])
    made["setting"]["match"] = draw.choice([["examples", "steps"], ["steps", "examples"], ["examples"], ["steps"]])
    return made


def looks(record: StudyRecord, e: Effect) -> tuple[str, str, str]:
    """Value, interval and mark that an effect has to have everywhere."""
    digits, _ = unit_of_metric(e["metric"])
    if e["delta"] is None:
        return "–", "", ""
    mark = "" if learned(record, e["task"]) is False else MARKS.get(e["verdict"] or "", "")
    return signed(e["delta"], digits), interval(e["low"], e["high"], digits).replace("·", ""), mark


def lead(record: StudyRecord, *kinds: str) -> list[Effect]:
    main = {t["name"]: t["metric"] for t in record["tasks"]}
    at = record["setting"]["match"][0]
    return [e for e in record["effects"] if e["kind"] in kinds and e["match"] == at and e["metric"] == main[e["task"]]]


def cells_of(html: str) -> list[tuple[str, str, str]]:
    """(value, interval, mark) of the filled cells of the report's first matrix."""
    figure = html[html.index('id="first-matrix"') :]
    figure = figure[: figure.index("</figure>")]
    found = re.findall(r'<td class="(?!own|alone|missing)[a-z-]+">(.*?)</td>', figure, re.DOTALL)
    part = lambda cell, tag: "".join(re.findall(rf"<{tag}>(.*?)</{tag}>", cell)[:1])  # noqa: E731
    return [(part(cell, "b"), part(cell, "small"), part(cell, "i")) for cell in found]


@pytest.mark.parametrize("seed", range(12))
def test_every_form_of_a_study_says_the_same_of_every_effect(seed: int) -> None:
    record = drawn(seed)
    study = Study(Path("runs/x"), record)
    html = study.render("html")
    at = record["setting"]["match"][0]

    # JSON and CSV hold the record as it is.
    assert json.loads(render(record, "json"))["effects"] == record["effects"]
    rows = [row for row in csv.DictReader(io.StringIO(render(record, "csv"))) if row["kind"] != "score"]
    assert [row["verdict"] for row in rows] == [e["verdict"] or "" for e in record["effects"]]

    # The report's first matrix and the terminal's.
    kinds = ("pair", "company") if any(e["delta"] is not None for e in lead(record, "pair")) else ("company",)
    expected = sorted(looks(record, e) for e in lead(record, *kinds))
    if 'id="first-matrix"' in html and kinds[0] == "pair":
        assert sorted(cells_of(html)) == expected
        pairs = next(t for t in tables(record) if t.key.startswith(f"pair-{at}"))
        shown = sorted((c.text, c.mark) for row in pairs.rows for c in row if _is_effect(c.text))
        wanted = sorted((v, m) for v, _, m in (looks(record, e) for e in lead(record, "pair")))
        assert [pair for pair in wanted if pair not in shown] == []

    # Every effect's verdict in the table of all and in its own row.
    words = re.findall(r'<span class="verdict">(?:<span aria-hidden="true">.</span> )?(.*?)</span>', html)
    assert all(word in WORDS for word in words), set(words) - WORDS

    # The answer's counts are those of the effects that it may judge, and what is printed is the answer.
    told = answer(record)
    for verdict, noun in (("loss", "loss(?:es)?"), ("gain", "gains?")):
        judged = [e for e in _of_answer(record) if e["verdict"] == verdict and learned(record, e["task"]) is not False]
        for n in re.findall(rf"\b(\d+) {noun} (?:and|in)", told.sentences[0].text):
            assert int(n) == len(judged)
    assert not re.search(r"\b1 (losses|gains|effects|seeds|tasks|verdicts|models)\b", f"{study}{study!r}{html}")
    assert not re.search(r"(?<![\d,.])([2-9]|\d\d+) (loss|gain|effect|seed|task|verdict)\b", f"{study}{study!r}")
    assert str(study).split() == str(study.answer()).split()
    for sentence in told.sentences:
        if sentence.effect is not None:
            value, between, mark = looks(record, sentence.effect)
            assert value in sentence.text
            assert between in sentence.text
            assert mark == sentence.mark
            assert value in study._repr_html_()


WORDS = {"gain", "loss", "equal", "no evidence", "not learned", "undefined", "few rows", "none: 1 seed"}


def _is_effect(text: str) -> bool:
    return text == "–" or text[:1] in "+−" or text[:1].isdigit()


def _of_answer(record: StudyRecord) -> list[Effect]:
    """The effects that the first sentence counts: of two tasks, the pair is all."""
    found = lead(record, "pair", "company", "without")
    paired = any(e["kind"] == "pair" for e in found) and len(record["setting"]["tasks"]) == 2
    company: dict[str, Any] = {e["task"]: e for e in found if e["kind"] == "company"}
    same = paired and any(e["task"] in company for e in found if e["kind"] == "pair")
    return [e for e in found if e["kind"] != "company" or not same]
