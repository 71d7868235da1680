"""What is written for people: no formula in CSV, no command for a terminal, nothing that a record could smuggle in."""

from __future__ import annotations

import csv
import io
import json
import runpy
from pathlib import Path

import pytest

from multitask.errors import UserError
from multitask.interference.results.record_file import read_record
from multitask.interference.tables import render
from multitask.runs.render import render_run
from multitask.storage.json_files import write_json
from multitask.tables.table import print_table
from multitask.terminal.output import say

example_record = runpy.run_path(str(Path(__file__).parents[1] / "study_example.py"))["example_record"]
FORMULAS = ("=HYPERLINK(0)", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1")
ESCAPE = "\x1b]8;;http://evil\x07span\x1b[2J\x9b31m\u202e"


def test_no_text_in_csv_is_a_formula_and_every_number_stays_one():
    record = example_record(FORMULAS[:4])
    rows = list(csv.DictReader(io.StringIO(render(record, "csv"))))
    assert {row["task"] for row in rows} == {f"'{name}" for name in FORMULAS[:4]}
    negative = [row["delta"] for row in rows if row["delta"].startswith("-")]
    assert negative
    assert all(float(value) < 0 for value in negative)
    for name in FORMULAS:
        table = render_run({name: {"accuracy": 0.5}}, {name: {"answers": name, "accuracy": 0.9}}, "csv")
        fields = [f for line in list(csv.reader(io.StringIO(table)))[1:] for f in line]
        assert not [f for f in fields if f.lstrip(" ")[:1] in ("=", "+", "@", "\t", "\r")]
        assert "-0.4" in fields  # a difference is a number still


@pytest.mark.parametrize("format", ["table", "markdown", "csv", "latex", "html", "json"])
def test_a_study_tells_the_terminal_nothing(format):
    record = example_record(("span", ESCAPE))
    record["warnings"].append(ESCAPE)
    made = render(record, format, color=False)
    assert not [c for c in made if c in "\x07\x1b\x9b\u202e"]
    if format == "json":
        assert json.loads(made)["warnings"][-1] == ESCAPE


def test_tables_lines_and_errors_tell_the_terminal_nothing(capsys, refused):
    print_table("[link=http://evil]x[/link]" + ESCAPE, (ESCAPE, "n"), [("[bold]" + ESCAPE, "1")])
    say(ESCAPE)
    out = capsys.readouterr().out
    assert not [c for c in out if c in "\x07\x1b\x9b\u202e"]
    assert "[link=http://evil]x[/link]" in out
    assert "'\\x1b[31mspam'" in refused("mix", "--tasks", "\x1b[31mspam")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["effects"][0].update(delta="<script>"), r"'effects\[0\]\.delta' must be a number, not text\."),
        (lambda r: r.pop("scores"), r"has no 'scores'\."),
        (lambda r: r["setting"].update(tasks=5), r"'setting\.tasks' must be a list, not a whole number\."),
    ],
)
def test_a_record_of_another_form_is_refused(tmp_path, change, message):
    record = example_record(("a", "b"))
    change(record)
    write_json(tmp_path / "interference.json", record)
    with pytest.raises(UserError, match=message):
        read_record(tmp_path / "interference.json")


def test_a_record_as_it_is_written_is_read(tmp_path):
    write_json(tmp_path / "interference.json", example_record(("a", "b", "c")))
    assert read_record(tmp_path / "interference.json")["setting"]["tasks"] == ["a", "b", "c"]
