"""Every table of every command at 60, 80, 100 and 160 columns; and a table in its forms."""

from __future__ import annotations

import functools
import io
import math
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from multitask.checks.ceilings import RoundTrip
from multitask.checks.overlap import Overlap
from multitask.checks.report import CheckReport, Labels, Lengths, SplitReport, TaskReport
from multitask.checks.show import check_tables
from multitask.cli.cache_list import cache_table
from multitask.cli.metric_list import list_metrics, metrics_table
from multitask.cli.task_list import tasks_table
from multitask.interference.tables import tables as study_tables
from multitask.interference.tables.background import tasks_table as study_tasks_table
from multitask.interference.tables.company import exposure_table
from multitask.interference.tables.effects import all_effects_table
from multitask.interference.tables.planned import PlannedArm, planned_table
from multitask.mixing.plan import MixingPlan
from multitask.mixing.summary import mix_table
from multitask.tables.cells import Cell, Column
from multitask.tables.csv import csv_text
from multitask.tables.html import html_table
from multitask.tables.latex import latex_text
from multitask.tables.layout import arrange, lines_of
from multitask.tables.markdown import markdown_text
from multitask.tables.numbers import change, number
from multitask.tables.scores import score_table
from multitask.tables.table import Table
from multitask.tables.terminal import terminal_text
from multitask.task.table import TaskRow
from multitask.terminal.output import say
from multitask.terminal.width import print_notice, words_of, wrap_words
from multitask.tokenization.disk_cache import Entry

EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "study_example.py"))
example_record, mark_not_learned = EXAMPLE["example_record"], EXAMPLE["mark_not_learned"]
WIDTHS = (60, 80, 100, 160)
LONG = ("tweet_sentiment_", "movie_sentiment2", "question_classes", "sentence_pairs_x")


def scores() -> Table:
    values = {name: {"accuracy": 0.8125, "token_probability": 0.251, "log_likelihood": -10.5} for name in LONG}
    return score_table(
        values,
        {name: {"answers": "always 'neither of the two'", "accuracy": 0.5} for name in LONG},
        title="Scores on the validation split",
        errors={name: {"accuracy": 0.0134} for name in LONG},
        invalid=dict.fromkeys(LONG, 0.021),
        examples=dict.fromkeys(LONG, 27_480),
        generated=LONG[:1],
    )


def mixture() -> Table:
    data = SimpleNamespace(
        train=SimpleNamespace(source="google-research-datasets/disfl_qa at refs/convert/parquet"), validation=range(872)
    )
    plan = MixingPlan(dict.fromkeys(LONG, 67_349), dict.fromkeys(LONG, "16/3"), seed=0)
    mix = SimpleNamespace(plan=plan, steps=100_000, batch_size=64 / 3, tasks=LONG, data=dict.fromkeys(LONG, data))
    return mix_table(mix, dict.fromkeys(LONG, (31.5, 2.0)))  # type: ignore[arg-type]


def tasks() -> Table:
    row = TaskRow(
        "disfl_qa",
        "text",
        "token_probability",
        "google-research-datasets/disfl_qa at 1b7e4ac",
        True,
        "Whether the premise entails, contradicts or leaves open the hypothesis.",
    )
    return tasks_table([row, row._replace(name="cnn_dailymail", sample=False)])


def checked() -> list[Table]:
    lengths = Lengths(31, 1_045, 2_210, 12_345, 512, 1_200)
    split = SplitReport(67_349, "x", {"empty target": 12, "too long": 3}, 1_200, 31, 12, lengths, lengths, 77, 0.0123)
    labels = {
        "not_an_entailment": Labels({"train": 33_000, "validation": 444}, 5, False, ""),
        "entailment": Labels({"train": 34_349, "validation": 428}, 4, True, ""),
    }
    trip = RoundTrip(0.699, "sequence_accuracy", 1.0, {"generated": 0.9447, "aligned": 0.9947, "ranked": 1.0})
    task = TaskReport("labels", "accuracy", True, {"train": split, "validation": split}, labels, trip)
    overlap = Overlap(
        LONG[0], LONG[1], 872, 12, 31, 40, "validation:1", "train:7", "the film is a gorgeous , witty " * 3
    )
    return check_tables(CheckReport(dict.fromkeys(LONG, task), [overlap], []))


def cached() -> Table:
    about = {"task": LONG[0], "split": "validation", "rows": 67_349, "tokens": 12_345_678}
    return cache_table(
        [Entry(Path("x"), "tokens", about, 123_456_789, 0.0), Entry(Path("y"), "damaged", {}, 12, 9.9e5)], 1e6
    )


def planned() -> Table:
    arms = [PlannedArm("joint", LONG, 64, 5, 0), PlannedArm(f"single {LONG[0]} (twin)", LONG[:1], 16, 5, 3)]
    return planned_table(arms, 100_000)


def study() -> list[Table]:
    record = example_record(LONG)
    return [*study_tables(record), study_tasks_table(record), exposure_table(record), all_effects_table(record)]


def one_seed() -> list[Table]:
    record = example_record(LONG, seeds=1)
    record["advice"] = None
    return study_tables(record)


EVERY = {
    "scores": scores,
    "mixture": mixture,
    "tasks": tasks,
    "checked": checked,
    "cached": cached,
    "planned": planned,
    "metrics": lambda: metrics_table(list_metrics()),
    "study": study,
    "one seed": one_seed,
}


@functools.cache
def made(name: str) -> list[Table]:
    found = EVERY[name]()
    return [t for t in ([found] if isinstance(found, Table) else found) if t.rows]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", EVERY)
def test_no_line_is_too_wide_no_word_is_broken_and_the_key_is_always_there(name: str, width: int) -> None:
    for table in made(name):
        text = terminal_text([table], width=width, color=False)
        assert max(map(cell_len, text.splitlines())) <= width, text
        words, layout = set(text.split()), arrange(table, width)
        assert all(set(range(table.keys)) <= set(part) for part in layout.parts)
        shown = {i for part in layout.parts for i in part}
        assert shown | set(layout.left_out) == set(range(len(table.columns)))
        for i in shown:
            for row in range(len(table.rows)):
                for line in lines_of(table, row, i):
                    assert set(line.split()) <= words, (table.title, line)
            heads = (table.columns[i].name, table.columns[i].short)
            assert any(set(head.split()) <= words for head in heads), (table.title, heads)
        said = " ".join(text.split())
        for i in layout.left_out:
            assert table.columns[i].optional
            assert table.columns[i].name in said[said.index("Left out at this width: ") :]


def test_at_160_columns_nothing_of_a_run_is_left_out() -> None:
    for name in ("scores", "mixture", "checked", "cached", "planned"):
        for table in made(name):
            assert arrange(table, 160).left_out == []
            assert len(arrange(table, 160).parts) == 1


def test_optional_columns_go_first_those_of_the_largest_number_before() -> None:
    columns = (Column("key", left=True), Column("a", optional=1), Column("b", optional=3), Column("c", optional=2))
    table = Table("T", columns, ((Cell("k"), *(Cell("1234567890"),) * 3),))
    gone = [[columns[i].name for i in arrange(table, width).left_out] for width in (39, 38, 26, 14)]
    assert gone == [[], ["b"], ["b", "c"], ["a", "b", "c"]]


def test_heads_and_texts_are_wrapped_before_anything_is_left_out() -> None:
    columns = (Column("task", left=True), Column("examples a step", optional=1), Column("what", left=True, wrap=True))
    table = Table("T", columns, ((Cell("a"), Cell("9"), Cell("one two three four five six seven eight nine ten")),))
    assert terminal_text([table], width=44, color=False).splitlines() == [
        "T",
        "      examples a",
        "task        step  what",
        "────────────────────────────────────────────",
        "a              9  one two three four five",
        "                  six seven eight nine ten",
    ]


def test_a_name_is_shortened_in_its_middle_only_if_there_is_no_other_way() -> None:
    name = "a_task_with_a_name_that_is_longer_than_forty_characters"
    table = Table(
        "T", (Column("task", left=True), Column("score"), Column("sd")), ((Cell(name), number(1), number(2)),)
    )
    assert name in terminal_text([table], width=62, color=False)
    narrow = terminal_text([table], width=40, color=False)
    assert max(map(len, narrow.splitlines())) <= 40
    assert "a_task_with_a_na…forty_characters" in narrow
    assert {"1.0", "2.0"} <= set(narrow.split())


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=60), min_size=1, max_size=4))
def test_whatever_the_names_are_no_line_is_too_wide_and_every_number_is_whole(names: list[str]) -> None:
    columns = (Column("task", left=True), *(Column(n, left=False) for n in names))
    rows = tuple((Cell(n), *(change(-1234.5) for _ in names)) for n in names)
    text = terminal_text([Table("", columns, rows)], width=60, color=False)
    assert max(map(cell_len, text.splitlines())) <= 60
    assert text.count("−1,234.5") >= len(names) ** 2


@pytest.mark.parametrize("width", [1, 5, 12, 20, 40])
def test_a_terminal_that_is_too_narrow_for_anything_still_gets_all_rows(width: int) -> None:
    for table in made("scores"):
        assert len(terminal_text([table], width=width, color=False).splitlines()) > len(table.rows)


def test_rows_of_one_key_show_it_once() -> None:
    lines = terminal_text([scores()], width=160, color=False).splitlines()
    assert [line.split("  ")[0] for line in lines[3:6]] == [LONG[0], "", ""]


# ---------------------------------------------------------------------------------------------------------------- prose


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_wrap_at_words_on_a_terminal_and_stay_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    line = "WARNING: " + "the model of sst2 never says negative " * 4 + "/a/path/" + "x" * 40
    say(line)
    assert capsys.readouterr().out == line + "\n"
    monkeypatch.setenv("COLUMNS", "60")
    for stream, write in (("stdout", say), ("stderr", print_notice)):
        terminal = Terminal()
        monkeypatch.setattr(f"sys.{stream}", terminal)
        write(line)
        assert len(terminal.getvalue().splitlines()) > 3
        assert max(map(len, terminal.getvalue().splitlines())) <= 60
        assert terminal.getvalue().split() == line.split()


@given(st.text(st.characters(codec="ascii", exclude_categories=("C",)), max_size=200), st.integers(20, 90))
def test_wrapping_keeps_every_word(text: str, width: int) -> None:
    lines = wrap_words(text, width)
    assert " ".join(lines).split() == text.split()
    longest = max(map(len, words_of(text)), default=0)
    assert all(len(line) <= width or longest + width // 2 + 2 > width for line in lines)


# ---------------------------------------------------------------------------------------------------------------- forms

HOSTILE = "<script>alert(1)</script>&\"'"


def hostile() -> Table:
    columns = (Column(HOSTILE, left=True), Column("Δ"), Column("note", left=True))
    row = (Cell(HOSTILE, verdict="gain"), change(-1.25, verdict="loss")._replace(detail=HOSTILE), Cell("=1+1"))
    return Table(HOSTILE, columns, (row,), (HOSTILE,), key="x")


def test_a_template_with_autoescape_takes_a_table_and_everything_in_it_is_escaped() -> None:
    template = jinja2.Environment(autoescape=True).from_string("{{ table }}|{{ alone }}")
    alone = html_table(hostile(), id=f'"x{HOSTILE}', links={(0, 1): "#x3"})
    page = template.render(table=hostile(), alone=alone)
    assert "<script" not in page
    assert page.count("<table") == page.count("</table>") == 2
    assert page.count('<p class="note">') == 1  # of `table`; `alone` has no notes
    assert '<table id="&#34;x&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;" class="sortable">' in page
    assert re.search(
        r'<td class="n loss" data-key="-1.25"><a href="#x3">−1.2 <span[^>]*title="loss">▼</span></a>', page
    )


def test_columns_of_numbers_are_marked_in_html() -> None:
    page = html_table(hostile())
    assert '<th scope="col" class="n">Δ</th>' in page
    assert '<th scope="col">note</th>' in page


def test_a_table_without_rows_is_its_title_and_its_notes() -> None:
    table = Table("Advice", (Column("group"),), (), ("No advice: there is one task.",))
    assert terminal_text([table], width=60, color=False) == "Advice\nNo advice: there is one task.\n"
    assert markdown_text([table]) == "### Advice\n\nNo advice: there is one task.\n"
    assert r"\begin{tabular}" not in latex_text([table])
    assert "<table" not in html_table(table)


def test_csv_has_values_in_full_and_no_formula() -> None:
    assert csv_text(hostile()).splitlines()[1].endswith(",-1.25,'=1+1")


def test_numbers_that_are_none_are_dots_and_a_table_is_one_short_line() -> None:
    assert [number(v).text for v in (None, math.nan, math.inf, 0.0)] == ["·", "·", "·", "0.0"]
    assert repr(scores()) == "<Table 'Scores on the validation split': 12 × 9>"


# ------------------------------------------------------------------------------------------------- words of a study


def cells(table: Table, name: str) -> list[str]:
    return [c.text for c in table.column(name)]


def of(record, key: str) -> Table:
    return next(t for t in study_tables(record) if t.key == key)


def test_a_task_that_was_not_learned_has_no_verdict_and_no_mark() -> None:
    record = example_record(("span", "sst2", "stsb"))
    mark_not_learned(record, "span")
    company, pairs = of(record, "company-examples"), of(record, "pair-examples")
    assert cells(company, "verdict")[0] == "not learned"
    assert not any(c.mark for c in (*company.rows[0], *pairs.rows[0]))
    assert any(note.startswith("not learned: span, ") for note in (*company.notes, *pairs.notes))
    assert "holds span too, though not learned; the counts do not." in " ".join(of(record, "summary").notes)


def test_an_undefined_interval_says_why() -> None:
    record = example_record(("a", "b", "c"), seeds=1)
    for s in record["summary"]:
        s.update(low=None, high=None)
    assert set(cells(of(record, "summary"), "95 % interval")) == {"undefined"}
    assert set(cells(of(record, "company-examples"), "verdict")) <= {"none: 1 seed", "undefined"}
    record = example_record(("a", "b", "c"))
    effect = next(e for e in record["effects"] if e["kind"] == "company" and e["match"] == "examples")
    effect.update(low=None, high=None, verdict=None, q=None, p=None, unjudged="undefined")
    company = of(record, "company-examples")
    assert (cells(company, "95 % interval")[0], cells(company, "verdict")[0]) == ("undefined", "undefined")
    assert "The counts at equal exposure leave out a: the interval is undefined." in of(record, "summary").notes


def test_a_study_without_advice_says_why() -> None:
    record = example_record(("a", "b", "c"))
    record["advice"] = None
    record["effects"] = [e for e in record["effects"] if (e["kind"], e["companion"]) != ("pair", "b")]
    assert of(record, "advice").notes == (
        "No advice: it takes the effect of every task on every other, and 2 of 6 were not measured "
        "(--arms single,joint,pair measures them).",
    )


def test_what_does_not_add_up_is_a_gain_or_a_loss_as_everywhere() -> None:
    verdicts = set(cells(of(example_record(LONG), "non-additivity-examples"), "verdict"))
    assert verdicts <= {"gain", "loss", "equal", "no evidence"}


def test_a_narrow_list_of_metrics_keeps_their_direction():
    lines = terminal_text([metrics_table(list_metrics())], width=60, color=False).splitlines()
    assert lines[1].split() == ["metric", "better", "what"]


def test_each_task_of_a_study_says_whether_it_was_learned():
    record = example_record(("span", "sst2", "stsb"))
    for task, learned in zip(record["tasks"], (False, True, None), strict=True):
        task["learned"] = learned
    assert cells(study_tasks_table(record), "learned") == ["no", "yes", "cannot be said"]
