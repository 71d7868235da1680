"""The tables of a study and of a run: what stands in them, and the same in every format."""

from __future__ import annotations

import copy
import csv
import html.parser
import io
import json
import math
import re
import runpy
from pathlib import Path

import markdown_it
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.interference.results.record import LIKELIHOOD
from multitask.interference.tables import FORMATS, preface, render, tables
from multitask.interference.tables.background import noise_table, tasks_table
from multitask.interference.tables.cells import effect_cells
from multitask.runs.render import render_run
from multitask.tables.cells import Cell, Column
from multitask.tables.markdown import markdown_text
from multitask.tables.numbers import count, number, probability
from multitask.tables.table import Table

HERE = Path(__file__).parents[2]
example_record = runpy.run_path(str(HERE / "study_example.py"))["example_record"]
MAKE = runpy.run_path(str(HERE / "golden" / "interference" / "make.py"))

SCORES = {"span": {"jaccard": 0.61, "rouge_l": None}, "sst2": {"accuracy": 0.8125, "log_likelihood": -0.5}}
BASELINES = {
    "span": {"answers": "the whole text", "jaccard": 0.5},
    "sst2": {"answers": "always 'a|b'", "accuracy": 0.75},
}

TEXT = ("table", "markdown", "latex", "html")
"""The formats for people."""


def plain(record, width=100):
    return render(record, "table", width=width, color=False)


def named(record, title):
    (found,) = [t for t in tables(record) if t.title.startswith(title)]
    return found


def column(table, name):
    at = [c.name for c in table.columns].index(name)
    return [row[at] for row in table.rows]


def nothing_defined(record):
    for e in record["effects"]:
        e.update(dict.fromkeys(("score", "base", "delta", "low", "high", "se", "p", "q", "verdict")))
    for s in record["scores"]:
        s.update(mean=None, sd=None)
    for s in record["summary"]:
        s.update(dict.fromkeys(("mean_delta", "low", "high", "delta_m", "split_half")))
    record["confusion"] = record["gaps"] = record["learning_rates"] = []
    record["advice"] = record["null"] = None
    return record


class Html(html.parser.HTMLParser):
    """What a reader of the page gets: the tags in their order, the text, and whether every tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def count(self, tag):
        return sum(t == tag for t, _ in self.tags)


# --------------------------------------------------------------------------------------------------------------- golden


@pytest.mark.parametrize("name", MAKE["FILES"])
def test_the_made_up_study_looks_as_it_did(name):
    made = MAKE["golden"](example_record)[name]
    assert made == (HERE / "golden" / "interference" / name).read_text(encoding="utf-8"), "see make.py beside the file"


# ---------------------------------------------------------------------------------------------------------------- cells


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "·"), (0.0, "<0.001"), (0.0004, "<0.001"), (0.0123, "0.012"), (0.0996, "0.10"), (0.5, "0.50"), (1, "1.00")],
)
def test_a_probability_has_the_digits_that_matter(value, text):
    assert probability(value).text == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "·"), (0, "0"), (9600, "9,600"), (99_949, "99,949"), (239_000, "239k"), (1_240_000, "1.2M"), (3e9, "3.0G")],
)
def test_a_large_number_is_short(value, text):
    assert count(value).text == text


def test_what_was_not_measured_is_a_dot_and_never_a_zero():
    assert number(None) == number(math.nan) == Cell("·")
    assert number(0.0) == Cell("0.0", 0.0)
    assert effect_cells(None) == (Cell("·"), Cell("·"))
    record = nothing_defined(example_record())
    for table in tables(record):
        if table.title.startswith(("Company", "Pairs", "Leave", "Exposure", "Non-add", "Null", "Summary")):
            names = [c.name for c in table.columns]
            given = {"task", "metric", "budget", "examples", "epochs", "tokens", "invalid"}
            texts = {c.text for row in table.rows for n, c in zip(names, row, strict=True) if n not in given}
            assert texts - {"0", "1"} <= {"–", "undefined"}, table.title  # measured, but without a value
    for format in TEXT:
        assert not re.search(r"nan|None|inf\b", render(record, format, width=160, color=False))


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"^table 'A' has 1 columns and a row of 2 cells\.$"):
        Table("A", (Column("x"),), ((Cell("1"), Cell("2")),))


# --------------------------------------------------------------------------------------------------------------- tables


def test_the_company_table_of_the_leading_budget_comes_first_with_the_legend():
    record = example_record()
    first, second, *_ = tables(record)
    assert first.title == "Company: joint − single, points, equal exposure (examples matched)"
    assert first.notes[0] == (
        "▲ gain, ▼ loss, = equal (the interval lies inside the margin), no mark: no evidence; · not measured."
    )
    assert second.title == "Company: joint − single, points, equal compute (steps matched)"
    record["setting"]["match"] = ["steps", "examples"]
    assert tables(record)[0].title == second.title


def test_the_company_table_says_what_was_found_and_what_it_cost():
    record = example_record()
    table = named(record, "Company: joint − single, points, equal exposure")
    effects = [e for e in record["effects"] if e["kind"] == "company" and e["match"] == "examples"]
    effects = [e for e in effects if e["metric"] != LIKELIHOOD]
    assert [c.text for c in column(table, "task")] == ["span", "sst2", "stsb"]
    assert [c.text for c in column(table, "metric")] == ["jaccard", "accuracy", "pearson"]
    assert [c.value for c in column(table, "Δ")] == [e["delta"] for e in effects]
    assert [c.verdict for c in column(table, "Δ")] == [e["verdict"] for e in effects]
    assert [c.text for c in column(table, "verdict")] == [e["verdict"] for e in effects]
    assert [c.value for c in column(table, "single")] == [e["base"] for e in effects]
    assert [c.value for c in column(table, "joint")] == [e["score"] for e in effects]
    assert all(re.fullmatch(r"\d+\.\d ± \d+\.\d", c.text) for c in column(table, "single"))
    assert {c.text for c in column(table, "examples")} == {"9,600"}
    assert {c.text for c in column(table, "epochs")} == {"4.8"}
    assert {c.value for c in column(table, "tokens")} == {239_000.0}
    assert {c.text for c in column(table, "invalid")} == {"+2.0 %"}


def test_the_sd_is_that_of_the_single_arm_of_the_same_budget():
    record = example_record()
    at_compute = [s for s in record["scores"] if (s["task"], s["arm"], s["match"]) == ("span", "single", "steps")]
    large = next(s for s in at_compute if s["metric"] == "jaccard")  # as large as the joint arm of three tasks
    large.update(budget=48.0, mean=70.0, sd=1.3)
    small = {**large, "budget": 32.0, "mean": 60.0, "sd": 9.8}
    record["scores"].append(small)
    company = named(record, "Company: joint − single, points, equal compute")
    assert column(company, "single")[0].text.endswith(" ± 1.3")
    pairs = "Pairs: Δ(task | {task, column}), points, equal compute"
    assert column(named(record, pairs), "span")[0] == Cell("60.0", 60.0, None, "± 9.8", "quiet")
    small["budget"] = 33.0  # now no single arm is as large as the pair
    assert column(named(record, pairs), "span")[0].text == "·"


def test_other_exposure_of_the_single_arm_is_said():
    record = example_record()
    for x in record["exposure"]:
        if x["arm"] == "single":
            x.update(match="steps", budget=48.0, examples=28_800.0, epochs=14.4)
    notes = named(record, "Company: joint − single, points, equal compute").notes
    assert "sst2 alone saw 28,800 examples, 14.4 epochs." in notes


@pytest.mark.parametrize(("kind", "title"), [("pair", "Pairs"), ("without", "Leave one out")])
def test_a_matrix_has_the_task_evaluated_in_the_row_and_the_other_in_the_column(kind, title):
    record = example_record()
    (table, *_) = [t for t in tables(record) if t.title.startswith(title)]
    assert [c.name for c in table.columns] == ["task", "span", "sst2", "stsb"]
    effects = {
        (e["task"], e["companion"]): e
        for e in record["effects"]
        if e["kind"] == kind and e["match"] == "examples" and e["metric"] != LIKELIHOOD
    }
    for i, task in enumerate(["span", "sst2", "stsb"]):
        for j, other in enumerate(["span", "sst2", "stsb"]):
            cell = table.rows[i][j + 1]
            if i == j:
                single = next(s for s in record["scores"] if s["task"] == task and s["arm"] == "single")
                assert (cell.value, cell.verdict) == (single["mean"], None)
                assert cell.detail.startswith("± ")
            else:
                assert (cell.value, cell.verdict) == (effects[task, other]["delta"], effects[task, other]["verdict"])
    undefined = [cell for row in table.rows for cell in row if cell.text == "–"]
    assert [cell.detail for cell in undefined] == ["undefined"] * (kind == "pair")  # one has no value


def test_exposure_compute_and_dilution_stand_side_by_side_only_if_both_were_measured():
    record = example_record()
    table = named(record, "Exposure, compute and dilution: points")
    assert [c.name for c in table.columns][1::2] == ["exposure I", "compute C", "dilution D"]
    dilution = next(e for e in record["effects"] if e["kind"] == "dilution")
    assert column(table, "dilution D")[0].value == dilution["delta"]
    record["setting"]["match"] = ["examples"]
    assert not [t for t in tables(record) if t.title.startswith("Exposure")]
    assert not [t for t in tables(record) if "compute" in t.title]


def test_the_log_likelihood_has_tables_of_its_own_in_nats_with_three_digits():
    twins = [t for t in tables(example_record()) if "log-likelihood of the targets" in t.title]
    assert len(twins) == 9
    assert all("nats" in t.title for t in twins)
    for table in twins:
        for cell in (c for row in table.rows for c in row if c.marked):
            assert re.fullmatch(r"[+−]?\d\.\d{3}", cell.text)


def test_every_part_of_the_record_has_a_table():
    titles = " ".join(t.title for t in tables(example_record()))
    for part in ("Company", "Summary", "Pairs", "Leave one out", "Non-additivity", "Advice: at most 2 models"):
        assert part in titles
    for part in ("Null control", "What this design can see", "Format confusion", "One checkpoint", "Learning rates"):
        assert part in titles


def test_the_tables_say_which_tasks_delta_m_leaves_out_and_the_false_alarms_of_the_null_control():
    text = plain(example_record(), 160)
    assert "Δm at equal exposure leaves out stsb: the single score is not above 0." in text
    assert "0 of 3 effects say gain or loss: a false-alarm rate of 0.0 %." in text
    assert example_record()["advice"]["sentence"] in text


# ---------------------------------------------------------------------------------------------- what stands above


def placed(text, words):
    assert words in text, words
    return text.index(words)


@pytest.mark.parametrize("format", TEXT)
def test_the_budget_and_every_warning_and_note_stand_above_every_table(format):
    record = example_record(seeds=1)
    record["warnings"] += ["The released checkpoint was trained on these tasks."]
    text = " ".join(render(record, format, width=160, color=False).split())
    first = placed(text, "Company: joint")
    order = [placed(text, record["budget"])]
    order += [placed(text, w.replace("'", "&#x27;") if format == "html" else w) for w in record["warnings"]]
    order.append(placed(text, "One learning rate for all arms, not tuned."))
    assert order == sorted(order)
    assert order[-1] < first


@pytest.mark.parametrize("format", TEXT)
def test_one_seed_gives_no_verdict_and_says_so(format):
    record = example_record(seeds=1)
    record["warnings"] = []
    assert preface(record).warnings == ["1 seed: evaluation noise only."]
    text = render(record, format, width=160, color=False)
    assert placed(text, "1 seed: evaluation noise only.") < placed(text, "Company: joint")
    assert not re.search(r"▲|▼|↑|uparrow|downarrow", text)
    for table in tables(record):
        if "verdict" in [c.name for c in table.columns]:
            assert {c.text for c in column(table, "verdict")} <= {"none: 1 seed", "undefined"}


def test_the_sentence_about_one_seed_is_not_said_twice():
    assert sum("evaluation noise only" in w for w in preface(example_record(seeds=1)).warnings) == 1
    assert not any("evaluation noise only" in w for w in preface(example_record()).warnings)


# ------------------------------------------------------------------------------------------------------------- terminal

LONG = ("tweet_sentiment_", "movie_sentiment2", "question_classes", "sentence_pairs_x")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
@pytest.mark.parametrize("tasks", [("span", "sst2"), LONG, tuple(f"a_rather_long_task_{i}" for i in range(9))])
def test_no_line_is_wider_than_the_terminal(width, tasks):
    text = plain(example_record(tasks), width)
    assert max(map(len, text.splitlines())) <= width
    assert not re.search(r" $", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (160, ["task", "metric", "single", "joint", "Δ", "95 % interval", "p", "q", "verdict", "examples"]),
        (100, ["task", "metric", "single", "joint", "Δ", "95 % interval", "q", "verdict"]),
        (80, ["task", "single", "joint", "Δ", "95 % interval", "q", "verdict"]),
        (60, ["task", "single", "joint", "Δ", "95 % interval"]),
    ],
)
def test_the_company_table_is_in_one_piece_at_any_width_and_says_which_columns_it_leaves_out(width, heads):
    text = plain(example_record(LONG), width).splitlines()
    at = next(i for i, line in enumerate(text) if line.startswith("───"))
    assert re.split(r"\s{2,}", text[at - 1])[: len(heads)] == heads
    assert [line.split()[0] for line in text[at + 1 : at + 5]] == list(LONG)
    assert ("Left out at this width: " in " ".join(text[at : at + 12])) == (width < 160)


def test_every_part_begins_with_the_key():
    lines = plain(example_record(LONG), 80).splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("──")]
    keys = {lines[i - 1].split("  ")[0].strip() for i in rules}
    assert keys == {"task", "budget", "group", "arm"}


def test_a_verdict_is_a_mark_and_not_only_a_colour():
    record = example_record()
    record["effects"][0].update(delta=2.1, verdict="gain")
    marks = {"gain": "+2.1 ▲", "loss": "+2.1 ▼", "equal": "+2.1 =", "no evidence": "+2.1"}
    for verdict, text in marks.items():
        record["effects"][0]["verdict"] = verdict
        row = next(line for line in plain(record).splitlines() if line.startswith("span"))
        assert re.search(rf" {re.escape(text)} {{2,5}}\[", row)


def test_colour_only_where_it_is_wanted(monkeypatch):
    record = example_record()
    colour = render(record, "table", width=120, color=True)
    assert "\x1b[" in colour
    # The same words with and without: colour adds, and is never the only carrier.
    without = re.sub(r"\x1b\[[0-9;]*m", "", colour)
    assert [line.rstrip() for line in without.splitlines()] == plain(record, 120).splitlines()
    assert "\x1b" not in render(record, "table")  # a pipe
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" in render(record, "table", width=120)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in render(record, "table", width=120)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_is_160_wide_and_a_terminal_as_wide_as_it_is(monkeypatch):
    record = example_record()
    assert render(record, "table") == plain(record, 160)
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "90")
    assert render(record, "table", color=False) == plain(record, 90)


def test_names_with_markup_of_rich_are_shown_as_they_are():
    assert "[bold]x[/bold]" in plain(example_record(("[bold]x[/bold]", "b:smile:")), 160)
    assert "b:smile:" in plain(example_record(("[bold]x[/bold]", "b:smile:")), 160)


# ------------------------------------------------------------------------------------------------------------- Markdown

HOSTILE = ("a|b", "<script>alert(1)</script>", "_x_ *y* `z`", "[l](http://e.org) & $m$")


def markdown_tables(text):
    """The tables as GitHub would show them: [[the texts of a row's cells, …], …] for each."""
    found = []
    for token in markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and token.level == 4 and found:
            kinds = [(c.type, c.content) for c in token.children]
            assert {k for k, content in kinds if content != "<br>"} <= {"text", "text_special"}, kinds
            found[-1][-1].append("".join("\n" if content == "<br>" else content for _, content in kinds))
    return found


@pytest.mark.parametrize("tasks", [("span", "sst2", "stsb"), HOSTILE])
def test_markdown_shows_every_cell_as_it_is(tasks):
    record = example_record(tasks)
    found = markdown_tables(render(record, "markdown"))
    expected = tables(record)
    assert len(found) == len(expected)
    marks = {"gain": " ▲", "loss": " ▼", "equal": " =", "no evidence": ""}
    for rows, table in zip(found, expected, strict=True):
        assert rows[0] == [c.name for c in table.columns]
        for shown, row in zip(rows[1:], table.rows, strict=True):
            for text, cell in zip(shown, row, strict=True):
                mark = marks[cell.verdict] if cell.marked else ""
                assert text == cell.text + mark + (f"\n{cell.detail}" if cell.detail else "")


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12))
def test_markdown_shows_any_name_as_it_is(name):
    table = Table("T", (Column("task", left=True), Column("x")), ((Cell(name), Cell("1")),))
    (rows,) = markdown_tables(markdown_text([table], None))
    assert rows[1] == [name, "1"]


# ------------------------------------------------------------------------------------------------------------ CSV, JSON


def test_csv_reads_back_with_numbers_as_numbers_and_empty_fields_for_what_was_not_measured():
    record = example_record()
    frame = pd.read_csv(io.StringIO(render(record, "csv")))
    assert len(frame) == len(record["effects"]) + len(record["scores"])
    numbers = ["score", "base", "delta", "low", "high", "se", "df", "p", "q", "p_sign_flip", "margin", "detectable"]
    numbers += ["seeds", "examples", "budget", "sd", *(f"seed_{s}" for s in range(5))]
    for name in numbers:
        assert pd.api.types.is_numeric_dtype(frame[name]), name
    assert not frame["kind"].isna().any()
    assert set(frame["kind"]) == {
        *("company", "pair", "without", "null_control", "dilution", "non_additivity", "score")
    }
    for (_, row), effect in zip(frame.iterrows(), record["effects"], strict=False):
        for name in ("delta", "low", "high", "p", "q", "score", "base", "se"):
            assert row[name] == effect[name] if effect[name] is not None else math.isnan(row[name])
        assert (row["task"], row["metric"]) == (effect["task"], effect["metric"])
        assert [None if pd.isna(v := row[f"seed_{s}"]) else v for s in range(5)] == effect["per_seed"]
        assert row["verdict"] == effect["verdict"] if effect["verdict"] else pd.isna(row["verdict"])
    scores = frame[frame["kind"] == "score"]
    assert list(scores["score"]) == [s["mean"] for s in record["scores"]]
    assert list(scores["arm"]) == [s["arm"] for s in record["scores"]]
    assert set(scores[scores["arm"] == "joint"]["companion"]) == {"sst2+stsb", "span+stsb", "span+sst2"}


def test_csv_has_every_field_of_an_effect_and_no_typographic_minus():
    text = render(example_record(), "csv")
    head = next(csv.reader(io.StringIO(text)))
    assert set(example_record()["effects"][0]) - {"per_seed"} <= set(head)
    assert "−" not in text
    record = example_record(('with "quotes", a comma', "b"))
    assert 'with "quotes", a comma' in set(pd.read_csv(io.StringIO(render(record, "csv")))["task"])


def test_an_undefined_number_is_an_empty_field_in_csv_and_null_in_json():
    record = example_record()
    record["effects"][0]["delta"] = math.nan
    assert render(record, "csv").splitlines()[1].split(",")[7] == ""
    assert json.loads(render(record, "json"))["effects"][0]["delta"] is None


def test_json_is_the_record_itself():
    record = example_record()
    before = copy.deepcopy(record)
    assert json.loads(render(record, "json")) == record
    for format in FORMATS:
        render(record, format)
    assert record == before


# ---------------------------------------------------------------------------------------------------------- LaTeX, HTML


@pytest.mark.parametrize("tasks", [("span", "sst2", "stsb"), (*HOSTILE, "50 % & #1 {x} ~ ^ \\ $5", "[a]")])
def test_latex_is_well_formed(tasks):
    record = example_record(tasks)
    text = render(record, "latex")
    assert text.startswith("% \\usepackage{booktabs}\n")
    assert text.isascii()  # of these names: what LaTeX's default fonts lack is a command
    body = text.split("\n", 1)[1]
    bare = re.sub(r"\\[\\{}$&%#_]", "", body)  # what is left of these characters has a meaning
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[%#_~^]", bare.replace("[htbp]", ""))
    assert not re.search(r"\\\\\s*[\[*]", body)
    found = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", body, re.DOTALL)
    expected = tables(record)
    assert len(found) == len(expected) == body.count(r"\begin{table}") == body.count(r"\end{table}")
    for (layout, inner), table in zip(found, expected, strict=True):
        assert layout == "".join("l" if c.left else "r" for c in table.columns)
        lines = inner.split("\n")
        assert (lines[0], lines[2], lines[-2]) == (r"\toprule", r"\midrule", r"\bottomrule")
        rows = [lines[1], *lines[3:-2]]
        assert len(rows) == len(table.rows) + 1
        for row in rows:
            assert row.endswith(r" \\")
            assert len(re.findall(r"(?<!\\)&", row)) == len(layout) - 1


def test_latex_escapes_what_it_would_read_otherwise():
    record = example_record(("50_% & #1 {x} ~ ^ \\ $5", "b"))
    escaped = r"50\_\% \& \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$5"
    assert render(record, "latex").count(escaped) >= 10


@pytest.mark.parametrize("tasks", [("span", "sst2", "stsb"), HOSTILE])
def test_html_is_a_closed_fragment_with_everything_escaped(tasks):
    record = example_record(tasks)
    page = Html(render(record, "html"))
    assert page.open == []
    allowed = {"section", "p", "strong", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "br", "small"}
    assert {tag for tag, _ in page.tags} <= allowed
    assert page.count("table") == len(tables(record)) == page.count("caption")
    assert all(task in page.texts for task in tasks)
    assert "Rows <b>held out</b> & counted." in page.texts


def test_html_has_values_to_sort_by_and_verdicts_as_words():
    record = example_record()
    page = Html(render(record, "html"))
    effects = [e for e in record["effects"] if e["kind"] == "company" and e["metric"] != LIKELIHOOD]
    cells = [attributes for tag, attributes in page.tags if tag == "td"]
    for e in effects:
        wanted = {"data-key": repr(e["delta"]), "class": f"n {e['verdict'].replace(' ', '-')}"}
        assert wanted in cells
    labels = {attributes["aria-label"] for tag, attributes in page.tags if tag == "span"}
    assert labels == {"gain", "loss", "equal", "no evidence"}


# ------------------------------------------------------------------------------------------------------------- the rest


def test_an_unknown_format_is_refused():
    message = "format must be one of table, markdown, csv, json, latex, html. Got 'pdf'."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        render(example_record(), "pdf")


@pytest.mark.parametrize("format", FORMATS)
def test_a_study_that_measured_little_is_rendered_too(format):
    record = nothing_defined(example_record())
    record.update(
        effects=[],
        scores=[],
        exposure=[],
        updates=[],
        summary=[],
        tasks=[],
        curves=[],
        changed=[],
        warnings=[],
        notes=[],
    )
    text = render(record, format, width=100, color=False)
    assert text.endswith("\n")
    assert tables(record) == []


def test_the_tables_of_a_run_are_a_row_a_task_and_metric():
    text = render_run(SCORES, BASELINES, "table", width=100, color=False)
    assert [re.split(r"\s{2,}", line) for line in text.splitlines() if not line.startswith("─")] == [
        ["Scores"],
        ["task", "metric", "score", "baseline", "difference", "baseline answers"],
        ["span", "jaccard", "0.610", "0.500", "+0.110", "the whole text"],
        ["", "rouge_l", "·", "·", "·", "·"],
        ["sst2", "accuracy", "0.812", "0.750", "+0.062", "always 'a|b'"],
        ["", "log_likelihood", "−0.500", "·", "·", "·"],
    ]


def test_a_run_in_the_other_formats():
    frame = pd.read_csv(io.StringIO(render_run(SCORES, BASELINES, "csv")))
    assert list(frame["score"].fillna(-1)) == [0.61, -1.0, 0.8125, -0.5]
    assert list(frame.columns) == ["task", "metric", "score", "baseline", "difference", "baseline_answers"]
    assert json.loads(render_run(SCORES, BASELINES, "json")) == {"scores": SCORES, "baselines": BASELINES}
    assert markdown_tables(render_run(SCORES, BASELINES, "markdown"))[0][3] == [
        *("sst2", "accuracy", "0.812", "0.750", "+0.062", "always 'a|b'")
    ]
    assert r"sst2 & accuracy & 0.812 & 0.750 & +0.062 & always 'a$|$b' \\" in render_run(SCORES, BASELINES, "latex")
    assert Html(render_run(SCORES, None, "html")).count("tr") == 5


def test_a_smallest_change_beyond_the_metrics_range_is_none() -> None:
    made = example_record()
    made["tasks"][1]["detectable"] = 164.0
    for e in made["effects"]:
        if e["task"] == "sst2" and e["kind"] == "company" and e["metric"] == "accuracy":
            e["detectable"] = 164.0
    noise = noise_table(made)
    assert noise is not None
    names = [column.name for column in noise.columns]
    assert [row[names.index("detectable")].text for row in noise.rows] == ["2.1", "none", "2.1"]
    assert any("no change that the score can have" in note for note in noise.notes)


def test_one_seed_has_no_false_alarm_rate_and_every_task_says_whether_it_was_learned() -> None:
    made = example_record(seeds=1)
    shown = render(made, "table", width=120)
    assert "false-alarm rate of" not in shown
    assert "Without verdicts there is no false-alarm rate." in shown
    made["tasks"][0]["learned"], made["tasks"][1]["learned"], made["tasks"][2]["learned"] = True, False, None
    about = tasks_table(made)
    assert about is not None
    at = [column.name for column in about.columns].index("learned")
    assert [row[at].text for row in about.rows] == ["yes", "no", "cannot be said"]
