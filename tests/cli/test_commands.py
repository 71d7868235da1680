"""The command line as a new user meets it: every command on toy data, and every mistake in one line."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from multitask.cli import main
from multitask.cli.flags import config_parser, parse_config
from multitask.config import TrainConfig
from multitask.plugins import INCLUDED
from multitask.runs.run import Run
from multitask.task import TASKS

MY_TASKS = """
from multitask import Example, register_task

@register_task(prefix="route ticket: ", labels=("billing", "technical"), metrics=["accuracy"])
def ticket(row):
    return Example(row["body"], row["queue"])
"""
TICKET = ("--include", "my_tasks.py", "--tasks", "ticket", "--data", "data")
TINY = (*TICKET, "--trainer.max_steps", "3", "--batch-size", "8")
LAYOUT = "train.EXT (EXT: csv, tsv, json, jsonl, parquet, txt)"


def tickets(count, seed):
    draw = random.Random(seed)
    texts = {"billing": "my invoice is wrong", "technical": "the app crashes"}
    queues = [draw.choice(sorted(texts)) for _ in range(count)]
    return "".join(json.dumps({"body": f"{texts[q]} {draw.randint(1, 99)}", "queue": q}) + "\n" for q in queues)


FILES = {
    "my_tasks.py": MY_TASKS,
    "data/ticket/train.jsonl": tickets(60, 1),
    "data/ticket/validation.jsonl": tickets(12, 2),
    "other_names/ticket/train.jsonl": tickets(60, 1).replace('"body"', '"text"'),
    "other_names/ticket/validation.jsonl": tickets(12, 2).replace('"body"', '"text"'),
    "without_columns/sst2/train.jsonl": '{"sentence": "a", "label": 1}\n{"text": "a", "label": 1}\n',
    "empty/sst2/train.jsonl": "",
    "empty_csv/sst2/train.csv": "sentence,label\n",
    "bad_json/sst2/train.jsonl": '{"sentence": "a", "label": 1}\n{"sentence": a}\n',
    "bad_csv/sst2/train.csv": "sentence,label\na,1\nb,2,3\n",
    "bad_label/sst2/train.csv": "sentence,label\na,7\n",
    "no_yaml.yaml": "tasks: [a\n",
    "no_mapping.yaml": "- sst2\n",
    "nothing.yaml": "",
    "unknown_key.yaml": "taskz: sst2\n",
    "steps.yaml": "steps: 5\n",
    "other_name.yaml": "learning_rate: 0.1\n",
    "wrong_type.yaml": "seed: one\n",
    "unknown_task.yaml": "tasks: ssst2\n",
    "unknown_trainer.yaml": "trainer:\n  max_stepz: 3\n",
    "fails.py": "x = 1\n1 / 0\n",
    "unclosed.py": "x = (\n",
    "no_run/config.yaml": "tasks: ticket\n",
    "a_study/study.yaml": "",
    "model_only/model/config.json": "{}",
    "lines.txt": 'my invoice\n{"body": "the app"}\n{"body"\n',
    "semicolons.csv": "body;queue\nmy invoice;billing\n",
    "latin.txt": b"caf\xe9\n",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A user's folder, with one finished run in it."""
    folder = tmp_path_factory.mktemp("shop")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    here = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["train", *TINY, "--out", "run"]) == 0
        shutil.copytree("run", "no_model", ignore=shutil.ignore_patterns("model", "checkpoints"))
        yield folder
    finally:
        os.chdir(here)


@pytest.fixture(autouse=True)
def _in_the_shop(shop, monkeypatch):
    monkeypatch.chdir(shop)


def said(capsys, *arguments, code=0):
    """Standard output of a command that ends with `code`."""
    capsys.readouterr()
    assert main(list(arguments)) == code
    return capsys.readouterr().out


def typed(monkeypatch, text):
    content = text if isinstance(text, bytes) else text.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def settings(*arguments):
    return parse_config(config_parser("train", ""), arguments)[0]


# ------------------------------------------------------------------------------------------------------- what it does


def test_the_shortest_task_trains_and_leaves_its_run_folder():
    assert {p.name for p in Path("run").iterdir()} >= {
        "config.yaml",
        "metrics.json",
        "mix.json",
        "predictions",
        "model",
    }
    assert list(json.loads(Path("run/metrics.json").read_text())) == ["ticket"]


def test_a_run_is_repeated_from_its_own_config(capsys):
    said(capsys, "train", "--config", "run/config.yaml", "--include", "my_tasks.py", "--out", "again")
    assert Path("again/metrics.json").read_text() == Path("run/metrics.json").read_text()


def test_train_evaluates_on_the_way_with_a_fixed_number_of_each_task(capsys):
    out = said(capsys, "train", *TINY, "--eval-every", "2", "--per-step", "4", "--out", "watched")
    assert "evaluation: ticket" in out
    assert "Mixture over 3 steps of 4 examples" in out
    assert re.search(r"task +metric +score +± se +baseline", out)
    assert "next:\n  multitask predict watched --task ticket --include my_tasks.py  # answers" in out


def test_standard_errors_stand_beside_the_scores(capsys):
    scores, errors = (json.loads(Path("run", f"{name}.json").read_text()) for name in ("metrics", "standard_errors"))
    assert {task: list(of) for task, of in errors.items()} == {task: list(of) for task, of in scores.items()}
    accuracy, rows = scores["ticket"]["accuracy"], len(Run(Path("run")).predictions("ticket"))
    expected = (accuracy * (1 - accuracy) / (rows - 1)) ** 0.5
    assert errors["ticket"]["accuracy"] == pytest.approx(expected)
    frame = Run(Path("run")).metrics
    assert frame["se"][0] == errors["ticket"]["accuracy"]
    assert f"{expected:.3f}" in said(capsys, "report", "run")
    assert json.loads(said(capsys, "report", "run", "--format", "json"))["standard_errors"] == errors


def test_a_run_in_a_file_has_neither_the_width_nor_the_colours_of_the_terminal(monkeypatch, capsys):
    expected = said(capsys, "report", "run")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["report", "run", "--output", "run.txt"]) == 0
    assert Path("run.txt").read_text(encoding="utf-8") == expected


def test_a_run_is_continued_by_its_folder_alone_and_for_longer(capsys):
    given = (*TICKET, "--batch-size", "8", "--schedule", "constant", "--warmup-steps", "1")
    said(capsys, "train", *given, "--steps", "2", "--out", "longer")
    continued = ("train", "--resume", "longer", "--include", "my_tasks.py")
    assert "is finished: there is nothing to continue; --steps N continues it for longer" in said(capsys, *continued)
    assert "continuing at step 2 of 3" in said(capsys, *continued, "--steps", "3")
    said(capsys, "train", *given, "--steps", "3", "--out", "as_long")
    assert Path("longer/metrics.json").read_text() == Path("as_long/metrics.json").read_text()
    assert json.loads(Path("longer/run.json").read_text())["steps"] == 3


def test_overwrite_replaces_a_run(capsys):
    said(capsys, "train", *TINY, "--out", "replaced")
    said(capsys, "train", *TINY, "--seed", "1", "--out", "replaced", "--overwrite")
    assert yaml.safe_load(Path("replaced/config.yaml").read_text())["seed"] == 1


def test_columns_are_renamed_on_the_command_line(capsys):
    arguments = ("mix", *TICKET[:4], "--data", "other_names", "--columns.ticket.body", "text", "--format", "json")
    assert json.loads(said(capsys, *arguments))["tasks"]["ticket"]["rows"] == 60


def test_eval_repeats_the_scores_of_training(capsys):
    scores = json.loads(said(capsys, "eval", "run", "--format", "json"))
    # The model is read back from its file and batches differ: equal up to rounding.
    for name, value in json.loads(Path("run/metrics.json").read_text())["ticket"].items():
        assert scores["ticket"][name] == pytest.approx(value, abs=1e-4)


def test_eval_writes_its_scores_where_it_is_told_to(capsys):
    out = said(capsys, "eval", "run", "--labels_by", "generate", "--out", "scores")
    assert "Scores on the validation split" in out
    assert {p.name for p in Path("scores").iterdir()} == {
        *("metrics.json", "baselines.json", "standard_errors.json", "predictions"),
    }


def test_predict_answers_lines_and_rows_in_order(capsys, monkeypatch):
    typed(
        monkeypatch,
        '\ufeffmy invoice\r\n\n{"body": "the \u2028 app"}\nroute ticket: x\n{"body": "y", "queue": "billing"}',
    )
    out = said(capsys, "predict", "run", "--task", "ticket")
    rows = [json.loads(line) for line in out.strip("\n").split("\n")]
    assert [row["input"] for row in rows] == ["my invoice", "the \u2028 app", "x", "y"]
    assert {row["prediction"] for row in rows} <= {"billing", "technical"}
    assert all(row["valid"] is True for row in rows)


def test_predict_reads_and_writes_files(capsys):
    Path("some.txt").write_text("my invoice\nthe app\n")
    assert said(capsys, "predict", "run", "--task", "ticket", "--input", "some.txt", "--output", "some.jsonl") == ""
    assert [json.loads(line)["input"] for line in Path("some.jsonl").read_text().splitlines()] == [
        "my invoice",
        "the app",
    ]


BODIES = ["my invoice", "42", "the app"]


def parquet_of(items):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(items), buffer := io.BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.tsv", "body\tmore\nmy invoice\t1\n42\t2\nthe app\t3\n"),
        ("rows.csv", '\ufeffbody,queue\nmy invoice,billing\n"42",\nthe app,technical\n'),
        ("rows.CSV", "body\r\nmy invoice\r\n42\r\nthe app\r\n"),
        ("rows.jsonl", "".join(json.dumps({"body": b}) + "\n" for b in BODIES)),
        ("rows.json", json.dumps([{"body": b} for b in BODIES], indent=1)),
        ("rows.parquet", parquet_of([{"body": b, "n": i} for i, b in enumerate(BODIES)])),
    ],
)
def test_predict_reads_the_rows_of_a_file_and_never_answers_for_its_header(capsys, monkeypatch, name, content):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setattr("multitask.cli.predict.read_file", None)
    if name == "rows.csv":
        message = "rows.csv, line 3 does not fit task 'ticket': target '' is not one of the labels"
        assert main(["predict", "run", "--task", "ticket", "--input", name]) == 2
        assert message in capsys.readouterr().err
        Path(name).write_text(content.replace('"42",', '"42",billing'), encoding="utf-8")
    out = said(capsys, "predict", "run", "--task", "ticket", "--input", name)
    assert [json.loads(line)["input"] for line in out.splitlines()] == BODIES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.tsv",
            "text\nmy invoice\n",
            "a.tsv, line 2 has no column 'body', which the input of task 'ticket' is made of",
        ),
        ("a.csv", "body,queue\nmy invoice\n", "a.csv, line 2: expected 2 fields (body, queue), found 1"),
        ("a.jsonl", "my invoice\n", "a.jsonl, line 1: not JSON: "),
        ("a.tsv.zip", "body\n", "--input a.tsv.zip is packed in a way that is not read (those that are: .gz, "),
        ("a.tsv.gz", "body\n", "'a.tsv.gz' is not a readable gz file: "),
        ("a.txt.gz", "body\n", "'a.txt.gz' is not a readable gz file: "),
        ("a.parquet", "body\n", "'a.parquet' is not a readable parquet file: "),
        (
            "a.txt",
            "body\tqueue\nx\ty\n",
            "a.txt: the first line, 'body queue', has the name of the column 'body', so these",
        ),
        ("a", '"queue","body"\nx,y\n', "a: the first line, '\"queue\",\"body\"', has the name of the column 'body'"),
        ("a.data", "body\nmy invoice\n", "a.data: the first line, 'body', has the name of the column 'body', so these"),
        (
            "a.txt",
            '[\n{"body": "x"}\n]\n',
            "a.txt: this is a JSON list; write one object a line, or give it as --input",
        ),
        ("a.csv", "", "'a.csv' is empty; its first line must name the columns."),
    ],
)
def test_predict_refuses_rows_that_it_does_not_read(capsys, monkeypatch, name, content, message):
    Path(name).write_text(content)
    assert main(["predict", "run", "--task", "ticket", "--input", name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"multitask: error: {message}"), captured.err
    assert captured.err.count("\n") == 1
    if name in ("a", "a.txt"):
        typed(monkeypatch, content)
        assert main(["predict", "run", "--task", "ticket"]) == 2
        assert "standard input: t" in capsys.readouterr().err


def test_predict_answers_a_text_that_is_a_columns_name_or_in_brackets(capsys, monkeypatch):
    for text in ("body", "one, body, two", "[1] or not", "one body, two queues\nthree"):
        typed(monkeypatch, text)
        out = said(capsys, "predict", "run", "--task", "ticket")
        assert "\n".join(json.loads(line)["input"] for line in out.splitlines()) == text


def test_predict_of_nothing_says_nothing(capsys, monkeypatch):
    typed(monkeypatch, "\n\n")
    assert said(capsys, "predict", "run", "--task", "ticket") == ""


class Heard(io.StringIO):
    """Standard output that says when a line was written."""

    def __init__(self):
        super().__init__()
        self.lines = queue.Queue()

    def write(self, text):
        if text.endswith("\n"):
            self.lines.put(text)
        return super().write(text)


def answered_one_by_one(monkeypatch, reader, say, lines, *arguments):
    """The answers to lines of which each is sent when the one before was answered."""
    heard = Heard()
    answers = []

    def converse():
        for line in lines:
            say(line)
            answers.append(json.loads(heard.lines.get(timeout=60)))
        say(None)

    monkeypatch.setattr(sys, "stdin", reader)
    monkeypatch.setattr(sys, "stdout", heard)
    thread = threading.Thread(target=converse)
    thread.start()
    try:
        assert main(["predict", "run", "--task", "ticket", *arguments]) == 0
    finally:
        thread.join(60)
    return answers


def test_predict_answers_each_line_of_a_slow_pipe_at_once(monkeypatch):
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader:

        def say(line):
            os.write(writing, line.encode()) if line else os.close(writing)

        lines = ["\ufeffmy invoice\n", "\n\nthe app\r\n", '{"body": "x"}\n']
        answers = answered_one_by_one(monkeypatch, reader, say, lines)
    assert [answer["input"] for answer in answers] == ["my invoice", "the app", "x"]


def test_predict_answers_who_types_and_goes_on_after_a_mistake(monkeypatch, capsys):
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave) as reader:

            def say(line):
                os.write(master, line.encode() if line else b"\x04")

            lines = ["my invoice\n", '{"body"\n{"text": "y"}\nthe app\n', '{"body": "x"}\n']
            answers = answered_one_by_one(monkeypatch, reader, say, lines, "--scores")
    finally:
        os.close(master)
    assert [answer["input"] for answer in answers] == ["my invoice", "the app", "x"]
    assert all(set(answer["probabilities"]) == {"billing", "technical"} for answer in answers)
    error = capsys.readouterr().err
    assert "one input a line; Ctrl-D ends" in error
    assert "multitask: error: standard input, line 2: begins as a JSON object: not JSON: " in error
    assert "multitask: error: row 3 has no column 'body', which the input of task 'ticket' is made of" in error


def test_predict_answers_lines_without_the_tasks_file_and_says_that_rows_need_it(capsys, monkeypatch, tmp_path, shop):
    typed(monkeypatch, "my invoice\nthe app\n")
    expected = said(capsys, "predict", "run", "--task", "ticket", "--scores")
    monkeypatch.delitem(TASKS._objects, "ticket")
    monkeypatch.chdir(tmp_path)
    typed(monkeypatch, "my invoice\nthe app\n")
    assert said(capsys, "predict", str(shop / "run"), "--task", "ticket", "--scores") == expected
    typed(monkeypatch, '{"body": "x"}\n')
    assert main(["predict", str(shop / "run"), "--task", "ticket"]) == 2
    assert capsys.readouterr().err == (
        f"multitask: error: rows of task 'ticket' become inputs by its formatter, which {shop}/run does not hold: give "
        "--include my_tasks.py with its path, if you trust that file; or give lines of text, which need none: what "
        "comes after 'route ticket: '.\n"
    )
    assert main(["predict", str(shop / "run"), "--task", "tickte"]) == 2
    assert capsys.readouterr().err == (
        "multitask: error: unknown task 'tickte': did you mean 'ticket'? If it is one of my_tasks.py, give --include "
        "with its path.\n"
    )


def test_predict_returns_a_piece_of_the_text_for_a_span(capsys, monkeypatch):
    """A task that the run was not trained on: the answer is no good, but an exact piece of the text."""
    typed(monkeypatch, 'positive text: so happy  today\n{"text": "so happy  today", "sentiment": "positive"}\n')
    rows = [json.loads(line) for line in said(capsys, "predict", "run", "--task", "span").splitlines()]
    assert [row["input"] for row in rows] == ["positive text: so happy  today"] * 2
    assert rows[0] == rows[1]
    assert rows[0]["prediction"] in "so happy  today"


def test_tasks_lists_and_describes(capsys):
    assert "\nsst2 " in said(capsys, "tasks")
    assert "'route ticket: '" in said(capsys, "tasks", "ticket", "--include", "my_tasks.py")


def test_tasks_check_reports_in_both_formats(capsys):
    assert "warning" in said(capsys, "tasks", "check", *TICKET)
    assert list(json.loads(said(capsys, "tasks", "check", *TICKET, "--format", "json"))["tasks"]) == ["ticket"]


def test_version_and_help(capsys):
    assert said(capsys, "--version").startswith("multitask ")
    assert "multitask train --tasks span,sst2" in said(capsys, "--help")
    assert "--per-step" in said(capsys, "train", "--help")


def test_settings_of_a_config_file_serve_every_command(capsys):
    Path("all.yaml").write_text("tasks: ticket\ndata: data\noptimizer: adamw\nmixing: equal\ntrainer: {max_steps: 7}\n")
    arguments = ("--config", "all.yaml", "--include", "my_tasks.py", "--format", "json")
    assert json.loads(said(capsys, "mix", *arguments))["steps"] == 7
    assert list(json.loads(said(capsys, "tasks", "check", *arguments))["tasks"]) == ["ticket"]


def test_print_config_prints_what_a_config_file_may_say(capsys):
    printed = yaml.safe_load(said(capsys, "train", "--config", "demo", "--seed", "3", "--print-config"))
    assert printed["seed"] == 3
    assert printed["tasks"] == "span,sst2"


# -------------------------------------------------------------------------------------------------------- the options


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--tasks", "a,b"], "tasks", "a,b"),
        (["--tasks=a=2,b=1"], "tasks", "a=2,b=1"),
        (["--batch-size", "8"], "batch_size", 8),
        (["--batch_size=8"], "batch_size", 8),
        (["--lr", "1e-3"], "lr", 0.001),
        (["--trainer.max_steps", "5"], "trainer", {"max_steps": 5}),
        (["--steps", "5"], "trainer", {"max_steps": 5}),
        (["--config", "demo", "--steps=5", "--trainer.max_steps", "5"], "trainer", {"max_steps": 5}),
        (["--trainer.max-steps=5", "--trainer.devices", "2"], "trainer", {"max_steps": 5, "devices": 2}),
        (["--trainer.limit_val_batches", "1e-3"], "trainer", {"limit_val_batches": 0.001}),
        (["--config", "demo", "--trainer.devices", "2"], "trainer", {"max_steps": 1300, "devices": 2}),
        (["--loss_weights.sst2", "2"], "loss_weights", {"sst2": 2.0}),
        (["--loss-weights.my-task=2", "--loss-weights.b", "3"], "loss_weights", {"my-task": 2.0, "b": 3.0}),
        (["--loss-weights", "{sst2: 2}"], "loss_weights", {"sst2": 2.0}),
        (["--columns.sst2.sentence", "text"], "columns", {"sst2": {"sentence": "text"}}),
        (["--per-step", "4"], "per_step", 4.0),
        (["--per-step.a", "4", "--per-step.b", "0.5"], "per_step", {"a": 4.0, "b": 0.5}),
        (["--include", "a.py", "--include=b.py,c.py"], "include", ["a.py", "b.py", "c.py"]),
        (["--resume"], "resume", True),
        (["--copy-head", "false"], "copy_head", False),
        (["--rate-schedule", "{0: {a: 1}, 1: {a: 3}}"], "rate_schedule", {0: {"a": 1.0}, 1: {"a": 3.0}}),
    ],
)
def test_options_are_understood_in_all_their_spellings(arguments, field, value):
    assert getattr(settings(*arguments), field) == value


def test_no_options_mean_the_defaults():
    assert settings() == TrainConfig()


def test_a_later_option_wins_over_the_config_file():
    Path("seed.yaml").write_text("seed: 1\nbatch_size: 8\n")
    got = settings("--config", "seed.yaml", "--seed", "2")
    assert (got.seed, got.batch_size) == (2, 8)


# ----------------------------------------------------------------------------------------------------------- mistakes

MISTAKES = [
    ("--steps 5", "--steps comes after a command, as in multitask train --steps 500."),
    ("TRIAN", "unknown command 'TRIAN': did you mean 'train'?"),
    ("train run", "unexpected argument 'run': --resume run continues that run."),
    ("train help", "unexpected argument 'help': multitask train --help shows the options."),
    (
        "predict run good",
        "unexpected argument 'good': options begin with --, and texts come from standard input or --input FILE.",
    ),
    ("tasks ticket --show 3", "--show is of the check: multitask tasks check --tasks ticket --show 3."),
    ("tasks --tasks ticket", "multitask tasks NAME describes a task; multitask tasks check --tasks NAMES checks data."),
    ("tasks check --show x", "--show must be a whole number. Got 'x'."),
    ("interference --margin x", "--margin must be a number. Got 'x'."),
    ("metrics evaluate:", "metric 'evaluate:' names none of evaluate's: write evaluate:NAME, as in evaluate:meteor."),
    ("trian", "unknown command 'trian': did you mean 'train'?"),
    ("train --tasks spam", "unknown task or mixture 'spam': did you mean 'span'?"),
    ("train --tasks sst2,sst2", "'sst2' is named twice in mixture 'sst2,sst2'; name it once."),
    ("train --tasks sst2=a", "the rate of 'sst2' in --tasks must be a number, as in sst2=2. Got 'a'."),
    ("train --tasks", "--tasks needs a value."),
    ("train --config", "--config needs a value."),
    ("train --include --seed 1", "--include needs a value."),
    ("train --temprature 3", "unknown option --temprature: did you mean '--temperature' or '--temperature-end'?"),
    ("train --zzz 3", "unknown option --zzz: multitask train --help shows them all."),
    ("train --max_steps 3", "unknown option --max-steps: --steps N is the number of steps."),
    (
        "train --epochs 3",
        "unknown option --epochs: --steps N says how long to train, for a mixture has no epoch of its own: E epochs of "
        "R rows are E × R / 64 steps at --batch-size 64, and multitask mix shows how many epochs of each task that is.",
    ),
    ("train --steps --seed 1", "--steps needs a value."),
    ("train --steps= --seed 1", "--steps needs a value."),
    (
        "train --steps 3 --trainer.max_steps 4",
        "--steps 3 and --trainer.max_steps 4 are one setting and say two things: give one of them.",
    ),
    (
        "mix --optimizer adamw",
        "--optimizer changes nothing here: multitask train and multitask interference use it, and multitask mix does "
        "not. Leave it out.",
    ),
    (
        "tasks check --tasks ticket --mixing equal",
        "--mixing changes nothing here: multitask train and multitask mix use it, and multitask tasks check does not. "
        "Leave it out.",
    ),
    ("tasks list", "multitask tasks lists them: leave 'list' out."),
    ("tasks show span", "multitask tasks span describes a task: leave 'show' out."),
    ("eval run --output-dir x", "unknown option --output-dir: --out DIR is the run folder."),
    ("predict run --task ticket --out x", "unknown option --out: did you mean '--output' or '--input'?"),
    ("eval run --foo", "unknown option --foo: did you mean '--format' or '--out'?"),
    (
        "train --tasks span sst2",
        "unexpected argument 'sst2': options begin with --, and tasks follow --tasks, separated by commas, as in "
        "--tasks span,sst2.",
    ),
    ("train --seed x", "--seed must be a whole number. Got 'x'."),
    ("train --batch-size 1.5", "--batch-size must be a whole number. Got '1.5'."),
    ("train --seed.x 3", "--seed takes one value, and no name after a dot. Got --seed.x."),
    ("train --lr abc", "--lr must be a number. Got 'abc'."),
    ("train --lr 0", "--lr must be above 0. Got 0.0."),
    ("train --overwrite=maybe", "--overwrite must be true or false. Got 'maybe'."),
    ("train --mixing foo", "--mixing must be one of proportional, equal, temperature, unimax. Got 'foo'."),
    ("train --loss foo", "--loss must be one of task, token, example. Got 'foo'."),
    ("mix --format xml", "--format must be one of table, json. Got 'xml'."),
    (
        "train --columns.sst2 text",
        "--columns must be names of columns, as in --columns.sst2.sentence text. Got 'text'.",
    ),
    (
        "train --loss_weights.sst2 abc",
        "--loss-weights must be a number for each task, as in --loss-weights.sst2 2. Got 'abc'.",
    ),
    ("train --per-step.sst2 x", "--per-step must be a number, or one for each task as in --per-step.sst2 2. Got 'x'."),
    ("train --trainer 3", "--trainer must be options of Lightning's Trainer, as in --trainer.max_steps 500. Got '3'."),
    (
        "train --trainer.max_steps x",
        "--steps (the Trainer's max_steps) is a number of optimizer steps, 1 or more. Got 'x'.",
    ),
    (
        "train --trainer.max_stepz 3",
        "unknown option --trainer.max_stepz: did you mean 'max_steps' or 'max_time' or 'min_steps'?",
    ),
    (
        "mix --trainer.max_stepz 3",
        "unknown option --trainer.max_stepz: did you mean 'max_steps' or 'max_time' or 'min_steps'?",
    ),
    (
        "train --precision fp16",
        "precision fp16 is refused: T5's activations overflow in fp16 and the loss becomes NaN. "
        "Use --precision bf16 or fp32.",
    ),
    (
        "train --trainer.precision 16-mixed",
        "precision 16-mixed is refused: T5's activations overflow in fp16 and the loss becomes NaN. "
        "Use --precision bf16 or fp32.",
    ),
    (
        "train --resume --overwrite",
        "--resume continues the run in --out and --overwrite replaces it: give one of them.",
    ),
    ("train --select mean", "--select mean chooses among evaluations during training: give --eval-every STEPS."),
    # data
    (
        "train --tasks sst2 --data nowhere",
        f"--data: there is no directory 'nowhere'; make it with DIR/sst2/{LAYOUT}, or correct the path.",
    ),
    (
        "train --tasks sst2 --data data",
        "task 'sst2' needs the folder 'data/sst2', which is not there; 'data' has the folders ticket.",
    ),
    (
        "train --include my_tasks.py --tasks ticket",
        f"task 'ticket' has no rows yet; use --data DIR with DIR/ticket/{LAYOUT}.",
    ),
    (
        "train --tasks sst2 --data without_columns",
        "task 'sst2': without_columns/sst2/train.jsonl, line 2 has no column 'sentence', it has text, label; "
        "rename it there, or say --columns.sst2.sentence ITS_NAME_THERE.",
    ),
    ("train --tasks sst2 --data empty", "'empty/sst2/train.jsonl' has no rows; remove the file or fill it."),
    ("train --tasks sst2 --data empty_csv", "'empty_csv/sst2/train.csv' has no rows; remove the file or fill it."),
    (
        "train --tasks sst2 --data bad_json",
        "bad_json/sst2/train.jsonl, line 2: not JSON: Expecting value at column 14.",
    ),
    (
        "train --tasks sst2 --data bad_csv",
        "bad_csv/sst2/train.csv, line 3: expected 2 fields (sentence, label), found 3; "
        "put a field that holds a comma in quotes.",
    ),
    # config files and included files
    ("train --config nopreset", "--config nopreset is neither a file nor a preset: known: "),
    ("train --config glu", "--config glu is neither a file nor a preset: did you mean 'glue'?"),
    (
        "train --config no_yaml.yaml",
        "--config no_yaml.yaml, line 2 is not YAML: expected ',' or ']', but got '<stream end>'.",
    ),
    (
        "train --config no_mapping.yaml",
        "--config no_mapping.yaml must hold settings, as in `tasks: span,sst2`. It holds a list.",
    ),
    (
        "train --config nothing.yaml",
        "--config nothing.yaml must hold settings, as in `tasks: span,sst2`. It holds nothing.",
    ),
    (
        "train --config unknown_key.yaml",
        "--config unknown_key.yaml has the unknown setting 'taskz': did you mean 'tasks'?",
    ),
    (
        "train --config steps.yaml",
        "--config steps.yaml has the unknown setting 'steps': the number of steps is `trainer: {max_steps: N}`.",
    ),
    (
        "train --config other_name.yaml",
        "--config other_name.yaml has the unknown setting 'learning_rate': on the command line --lr RATE is the "
        "learning rate.",
    ),
    ("train --config wrong_type.yaml", "--config wrong_type.yaml: --seed must be a whole number. Got 'one'."),
    ("train --config unknown_task.yaml", "unknown task or mixture 'ssst2': did you mean 'sst2'?"),
    (
        "train --config unknown_trainer.yaml",
        "unknown option --trainer.max_stepz: did you mean 'max_steps' or 'max_time' or 'min_steps'?",
    ),
    ("train --include fails.py", "--include 'fails.py', line 2: ZeroDivisionError: division by zero"),
    ("train --include unclosed.py", "--include 'unclosed.py', line 1: '(' was never closed."),
    (
        "train --include none.py",
        "--include 'none.py': there is no Python file of that name; give the path of a .py file.",
    ),
    # the run folder
    (
        "train TINY --out run",
        "there is a run in run already: --resume continues it, --overwrite replaces it, or give another --out "
        "(in Python resume=True, overwrite=True or out=…).",
    ),
    ("train TINY --out data", "--out data holds other files (ticket, …); give an empty or new folder."),
    ("train TINY --out my_tasks.py", "--out my_tasks.py is a file; give a folder for the run."),
    ("train TINY --out /dev/null/x", "--out /dev/null/x cannot be written: /dev/null is not a folder."),
    ("train TINY --out new --resume", "--resume: there is no run in new to continue; leave --resume out to begin one."),
    (
        "train TINY --out run --resume --seed 3",
        "--resume: the run in run has seed = 0, asked for is 3; a run is continued with its own settings.",
    ),
    ("train --resume= --seed 3", "--resume needs the folder of a run, or nothing after it for the run in --out."),
    ("train --resume my_tasks.py", "my_tasks.py is not a run folder: it is a file."),
    ("train --resume data", "data is not a run folder: it has no config.yaml."),
    (
        "eval a_study",
        "a_study is not a run folder but a study's: multitask report a_study shows it, and the multitask interference "
        "command that began it continues it.",
    ),
    (
        "predict no_model --task ticket",
        "no_model is finished and holds no model (the runs of a study keep none): multitask report no_model shows its "
        "scores; for a model train a run of its own.",
    ),
    (
        "report no_model --format html",
        "no_model holds no model (the runs of a study keep none), of which a run's page tells: leave --format html "
        "out, or give the study's folder.",
    ),
    ("train --resume nowhere", "nowhere is not a run folder: there is no such folder."),
    (
        "train --resume run",
        "run was trained with --include my_tasks.py: give --include with its path, if you trust that file. "
        "What a run folder names is not run by itself.",
    ),
    (
        "train --resume run --include my_tasks.py --seed 3",
        "--resume: the run in run has seed = 0, asked for is 3; a run is continued with its own settings.",
    ),
    ("train --resume run --include my_tasks.py --out new", "--resume run names the run's folder: leave --out out."),
    (
        "train --resume run --include my_tasks.py --steps 2",
        "--resume: the run in run has 3 steps, asked for are 2: what was trained is not taken back. Train a run of its "
        "own, with another --out.",
    ),
    (
        "train --resume=run --include my_tasks.py --steps 9",
        "--resume: the run in run cannot go on from 3 to 9 steps: its learning rate falls over all steps (--schedule "
        "linear), and does so in another way in a longer run. Train a run of 9 steps of its own, with another --out.",
    ),
    (
        "interference --resume run",
        "--resume run is of multitask train: the same multitask interference command continues a study by itself.",
    ),
    # the model
    (
        "train TINY --model tinny --out new",
        "--model tinny is neither a folder nor a size to start from scratch (tiny, mini, small), "
        "and it is not in the cache while HF_HUB_OFFLINE is set: did you mean 'tiny'?",
    ),
    (
        "train TINY --model no/such/id --out new",
        "--model no/such/id is neither a folder nor a size to start from scratch (tiny, mini, small), "
        "and no id on the Hub is written so.",
    ),
    (
        "train TINY --model data --out new",
        "--model data holds no model (no config.json): give one that save_pretrained wrote.",
    ),
    (
        "train TINY --model model_only --out new",
        "--model model_only holds no model (no config.json): give model_only/model.",
    ),
    # using a run
    ("eval", "RUN must be given; multitask eval --help shows how."),
    ("eval nowhere", "nowhere is not a run folder: there is no such folder."),
    (
        "eval no_run",
        "no_run has no model yet: the run is not finished; multitask train --resume no_run continues it.",
    ),
    (
        "eval run --split test",
        "data/ticket has no split 'test': its splits are train, validation "
        "(files are named test.EXT with EXT one of .csv, .tsv, .json, .jsonl, .parquet, .txt).",
    ),
    ("eval run --batch-tokens x", "--batch-tokens must be a whole number. Got 'x'."),
    ("eval run --batch-tokens 0", "--batch-tokens must be at least 1. Got 0."),
    ("eval run --out data", "--out data holds other files (ticket, …); give an empty or new folder."),
    ("predict run", "--task must be given: run has ticket."),
    ("predict nowhere", "nowhere is not a run folder: there is no such folder."),
    ("predict", "RUN must be given; multitask predict --help shows how."),
    ("predict nowhere --task ticket", "nowhere is not a run folder: there is no such folder."),
    ("predict run --task tickte", "unknown task 'tickte': did you mean 'ticket'?"),
    ("predict run --task ticket --scores=true", "--scores takes no value. Got 'true'."),
    (
        "predict run --task ticket --input lines.txt --output ./lines.txt",
        "--output lines.txt is the --input, which it would replace; give another file.",
    ),
    (
        "predict run --task ticket --input semicolons.csv --include my_tasks.py",
        "semicolons.csv, line 2 has no column 'body', which the input of task 'ticket' is made of; it has body;queue: "
        "its fields are divided by ';'; write commas, or tabs in a .tsv.",
    ),
    ("predict run --task zzz", "unknown task 'zzz': run was trained on ticket."),
    (
        "predict run --task ticket --input lines.txt",
        "lines.txt, line 3: begins as a JSON object: not JSON: Expecting ':' delimiter at column 8.",
    ),
    ("predict run --task ticket --input none.txt", "--input none.txt cannot be read: No such file or directory."),
    ("predict run --task ticket --input latin.txt", "--input latin.txt is not UTF-8 at byte 3."),
    (
        "predict run --task ticket --input my_tasks.py --output /dev/null/x",
        "--output /dev/null/x cannot be written: there is no folder /dev/null.",
    ),
    ("predict run --task ticket --output data", "--output data is a folder; give a file."),
    ("tasks ssst2", "unknown task 'ssst2': did you mean 'sst2'?"),
    ("tasks check --tasks ssst2", "unknown task or mixture 'ssst2': did you mean 'sst2'?"),
]
"""A message that does not end a sentence is a beginning."""


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[line or "nothing" for line, _ in MISTAKES])
def test_a_mistake_is_one_line_and_exit_code_2(line, message, capsys):
    before = sorted(Path().iterdir())
    code = main([word for part in line.split() for word in (TINY if part == "TINY" else (part,))])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    got = captured.err.removeprefix("multitask: error: ").removesuffix("\n")
    assert got == message if not message.endswith(": ") else got.startswith(message)
    assert sorted(Path().iterdir()) == before  # nothing was begun


def test_without_a_command_the_page_of_commands_is_shown(capsys):
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: multitask COMMAND [options]\n")


def test_the_scores_of_a_run_without_a_model_can_be_read(capsys):
    """A study keeps no model of its runs."""
    assert said(capsys, "report", "no_model") == said(capsys, "report", "run")
    assert said(capsys, "train", "--resume", "no_model", "--include", "my_tasks.py").splitlines()[-2:] == [
        "next:",
        "  multitask report no_model  # these scores again",
    ]


def test_a_run_continued_from_another_folder_is_asked_for_its_data(capsys, monkeypatch, tmp_path, shop):
    monkeypatch.chdir(tmp_path)
    line = ["train", "--resume", str(shop / "run"), "--include", str(shop / "my_tasks.py")]
    assert main(line) == 2
    assert capsys.readouterr().err == (
        f"multitask: error: {shop}/run was trained with --data data, which is not there from this folder: give --data "
        "with its path.\n"
    )
    assert "is finished" in said(capsys, *line, "--data", str(shop / "data"))


def test_a_label_that_is_none_is_named_with_its_line(capsys):
    assert main(["train", "--tasks", "sst2", "--data", "bad_label"]) == 2
    error = capsys.readouterr().err
    assert (
        "task 'sst2' cannot format bad_label/sst2/train.csv, line 2: ValueError: label '7' in column 'label'" in error
    )
    assert error.count("\n") == 1


def test_a_folder_that_may_not_be_written_is_a_mistake(capsys, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert main(["train", *TINY, "--out", "forbidden"]) == 2
    assert capsys.readouterr().err == "multitask: error: --out forbidden cannot be written: Permission denied.\n"


def test_a_row_that_lacks_a_column_is_named(capsys, monkeypatch):
    typed(monkeypatch, '{"body": "a"}\n{"text": "a"}\n')
    assert main(["predict", "run", "--task", "ticket"]) == 2
    assert capsys.readouterr().err == (
        "multitask: error: row 2 has no column 'body', which the input of task 'ticket' is made of; it has text.\n"
    )


def test_a_runs_own_include_file_is_asked_for_where_this_process_has_not_run_it(capsys, monkeypatch, tmp_path, shop):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", str(shop / "run")]) == 2
    assert capsys.readouterr().err == (
        f"multitask: error: {shop}/run was trained with --include my_tasks.py: give --include with its path, "
        "if you trust that file. What a run folder names is not run by itself.\n"
    )
    arguments = ["--include", str(shop / "my_tasks.py"), "--data", str(shop / "data")]
    assert main(["eval", str(shop / "run"), *arguments]) == 0


@pytest.mark.parametrize(
    ("error", "end"),
    [
        ("RepositoryNotFoundError", ", and the Hub has none of that id."),
        ("ConnectionError", ", it is not in the cache, and the Hub cannot be reached (no route)."),
    ],
)
def test_a_model_that_cannot_be_had_is_said_after_one_question(capsys, monkeypatch, error, end):
    import builtins

    import huggingface_hub
    from huggingface_hub import errors

    kind = getattr(errors, error, None) or getattr(builtins, error)
    asked = []

    def refuse(self, name, **_):
        asked.append(name)
        raised = kind.__new__(kind, "no route")
        raised.args = ("no route",)
        raise raised

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    assert main(["mix", *TICKET, "--model", "some/model"]) == 2
    what = "--model some/model is neither a folder nor a size to start from scratch (tiny, mini, small)"
    assert capsys.readouterr().err == f"multitask: error: {what}{end}\n"
    assert asked == ["some/model"]


def test_mistakes_are_found_before_torch_is_imported():
    program = (
        "import sys; from multitask.cli import main; "
        "code = main(sys.argv[1:]); print(code, 'torch' in sys.modules, 'pytorch_lightning' in sys.modules)"
    )
    for words in (
        ["train", "--tasks", "spam"],
        ["train", "--data", "nowhere"],
        ["predict", "no_run", "--task", "sst2"],
    ):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
        assert done.stdout == "2 False False\n", done.stderr


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("multitask.runs.train.train", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["train", *TINY, "--out", "new"])


def test_ctrl_c_before_training_is_exit_code_130(capsys, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("multitask.runs.train.train", interrupted)
    assert main(["train", *TINY, "--out", "new"]) == 130
    assert capsys.readouterr().err == "multitask: interrupted.\n"


# ------------------------------------------------------------------------------------------------------- as a process


def test_ctrl_c_during_training_names_resume_which_finishes_the_run(capsys):
    long = (*TICKET, "--trainer.max_steps", "150", "--batch-size", "8", "--checkpoint-every", "10", "--out", "stopped")
    process = subprocess.Popen(
        [sys.executable, "-m", "multitask.cli", "train", *long],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != INCLUDED},
        # A shell that starts jobs in the background has them ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    while not list(Path("stopped").glob("checkpoints/*.ckpt")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    last = err.strip().splitlines()[-1]
    assert last.startswith("multitask: stopped at step ")
    assert last.endswith(" of 150; multitask train --resume stopped --include my_tasks.py goes on.")
    assert main(["eval", "stopped"]) == 2
    assert "the run is not finished" in capsys.readouterr().err
    assert "continuing at step" in said(capsys, "train", *long, "--resume")
    assert json.loads(Path("stopped/run.json").read_text())["steps"] == 150


def test_a_process_that_training_starts_includes_the_same_file(capsys):
    """Lightning starts its other processes with the same arguments, and they inherit MULTITASK_INCLUDE."""
    done = subprocess.run(
        [sys.executable, "-m", "multitask.cli", "tasks", "ticket", "--include", "my_tasks.py"],
        env={**os.environ, INCLUDED: str(Path("my_tasks.py").resolve())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m multitask.cli tasks | head -n 1", shell=True, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
