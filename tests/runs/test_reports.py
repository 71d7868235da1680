"""A finished run as others see it: its page; and its export, whose predict.py answers as multitask does."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import multitask
from multitask.cli import main
from multitask.config import TrainConfig
from multitask.config_checks import fill_defaults
from multitask.errors import UserError
from multitask.interference.results.record_file import write_record
from multitask.interference.study import write_study_files
from multitask.metrics.naming import resolve_metrics
from multitask.runs import predict as alone
from multitask.runs.command import train_command
from multitask.runs.facts import Score
from multitask.runs.finished import run_config
from multitask.runs.report import run_report
from multitask.runs.run_record import write_run_page
from multitask.sources.in_memory import rows
from multitask.storage.checksums import digest_of
from multitask.storage.json_files import read_json, write_json
from multitask.storage.repositories import send_folder
from multitask.task import TASKS, Decoding, Example, Task, add_task

repositories = runpy.run_path(str(Path(__file__).parents[1] / "storage_server.py"))["repositories"]
example_record = runpy.run_path(str(Path(__file__).parents[1] / "study_example.py"))["example_record"]

TEXTS = [
    "red blue",
    "I`d  go home , isn`t it",
    "round   square text: big `small` red",
    "old red old new red old",
    "warm",
    "naïve 😀 red",
    "green square slow " * 40,  # longer than the limit
]


def span_rows(empty: bool) -> Any:
    # With all letters of TEXTS: two that the vocabulary lacks are one token, and as probable as each other.
    texts = [f"{'red' if i % 2 else 'blue'} old `new` number {i}, I`d go home isn`t naïve" for i in range(12)]
    made = [{"text": t, "answer": "" if empty and i % 3 == 0 else t.split()[0]} for i, t in enumerate(texts)]
    return rows({"train": made, "validation": made[:3]})


def span_task(name: str, way: str, *, empty: bool = False, **decoding: Any) -> Task:
    return Task(
        name,
        lambda row: Example(row["text"].replace("`", "'"), row["answer"], context=row["text"]),
        f"{name}: ",
        span_rows(empty),
        metrics=resolve_metrics(["jaccard"]),
        output="span",
        max_input_tokens=40,
        decoding=Decoding(span=way, max_new_tokens=6, **decoding),
    )


def text_task(name: str, *, empty: bool = False, **decoding: Any) -> Task:
    return Task(
        name,
        lambda row: Example(row["text"], row["answer"]),
        f"{name}: ",
        span_rows(empty),
        metrics=resolve_metrics(["exact_match"]),
        max_input_tokens=30,
        decoding=Decoding(max_new_tokens=8, **decoding),
    )


@pytest.fixture(scope="module")
def tasks(toy_task):
    made = [
        *(toy_task(kind, max_input_tokens=20, decoding=Decoding(max_new_tokens=8)) for kind in ("labels", "number")),
        *(span_task(f"span_{way}", way) for way in ("best", "expected", "likelihood", "greedy", "generate")),
        span_task("span_or_nothing", "expected", empty=True),
        span_task("greedy_or_nothing", "greedy", empty=True, num_beams=2),
        text_task("text_beams", num_beams=3),
        text_task("text_or_nothing", empty=True),
    ]
    for task in made:
        add_task(task)
    yield {task.name: task for task in made}
    for task in made:
        TASKS.discard(task.name)


@pytest.fixture(scope="module")
def run(tasks, tmp_path_factory):
    """A run of all kinds of tasks, two steps, then weights of which answers differ."""
    made = multitask.train(
        tasks=list(tasks),
        trainer={"max_steps": 2, "enable_progress_bar": False},
        batch_size=22,
        vocab_size=150,
        out=str(tmp_path_factory.mktemp("exported") / "my run"),
        quiet=True,
    )
    path = made.folder / "model" / "model.safetensors"
    draw = torch.Generator().manual_seed(0)
    noisy = {n: t + 0.2 * torch.randn(t.shape, generator=draw) for n, t in sorted(load_file(path).items())}
    save_file(noisy, path, metadata={"format": "pt"})
    record = read_json(made.folder / "run.json")
    record["files"]["model/model.safetensors"] = digest_of(path)
    write_json(made.folder / "run.json", record, sealed=True)
    return made


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    return multitask.export(run, tmp_path_factory.mktemp("taken home") / "model")


@pytest.fixture(scope="module")
def model(folder):
    return alone.Model(folder)


# ------------------------------------------------------------------------------------------------------------ the page


def page_of(folder: Path) -> str:
    return run_report(folder, run_config(folder))


def test_the_page_is_written_at_the_end_of_training_and_again_by_report(run, capsys):
    written = (run.folder / "report.html").read_text(encoding="utf-8")
    assert written == page_of(run.folder)
    assert main(["report", str(run.folder), "--format", "html"]) == 0
    assert capsys.readouterr().out == written.rstrip("\n") + "\n"
    assert "report.html" not in read_json(run.folder / "run.json")["files"]


def test_the_page_answers_first_and_then_shows_everything(run, tasks):
    page = page_of(run.folder)
    words = " ".join(re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]+>", " ", page, flags=re.DOTALL).split())
    accuracy = read_json(run.folder / "metrics.json")["toy_labels"]["accuracy"]
    error = read_json(run.folder / "standard_errors.json")["toy_labels"]["accuracy"]
    first = words[: words.index("Is it any good?")].replace("\u00a0", " ").replace("\u2060", "")
    assert "Run my run" in first
    assert f"toy_labels: accuracy {accuracy:.3f} ± {error:.3f}, " in first
    assert "3 more tasks below." in first
    for heading in ("Is it any good?", "Where is it wrong?", "How was it learned?", "What was it given?"):
        assert f">{heading}</h2>" in page
    assert "of 12 answers are not the target" in words
    assert 'aria-label="Share of the loss: ' in page
    assert "multitask train --tasks toy_labels,toy_number,span_best," in words
    assert ": registered by a script, a notebook or another package." in words
    assert "data of toy_labels" in words
    for version in read_json(run.folder / "run.json")["versions"].values():
        assert version in words
    assert str(run.folder.parent) not in page


def test_text_of_others_is_escaped_on_the_page(run, tmp_path):
    copy = tmp_path / "<i>run"
    shutil.copytree(run.folder, copy)
    path = copy / "predictions" / "toy_labels.parquet"
    frame = pd.read_parquet(path)
    frame.loc[0, ["inputs", "prediction", "score"]] = ["<script>alert(1)</script>", "<b>\x1b" + "long " * 400, -1.0]
    frame.to_parquet(path)
    record = read_json(copy / "run.json")
    write_json(copy / "run.json", {**record, "warnings": ["<img src=x> /home/somebody/rows.csv"]}, sealed=True)
    page = page_of(copy)
    for text in ("&lt;script&gt;alert(1)", "&lt;b&gt;", "&lt;img src=x&gt; rows.csv", "Run &lt;i&gt;run"):
        assert text in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "somebody" not in page
    assert "long " * 130 not in page


@pytest.mark.parametrize(
    ("metric", "value", "word"),
    [("evaluate:wer", 0.9, "worse than"), ("evaluate:meteor", 0.9, "better than"), ("f1/no", 0.9, "better than")],
)
def test_the_page_knows_the_direction_of_metrics_that_are_made_of_their_names(run, tmp_path, metric, value, word):
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    scores, baselines = read_json(copy / "metrics.json"), read_json(copy / "baselines.json")
    write_json(copy / "metrics.json", {**scores, "toy_labels": {metric: value}})
    write_json(copy / "baselines.json", {**baselines, "toy_labels": {"answers": "always 'a'", metric: 0.5}})
    page = page_of(copy).replace("\u00a0", " ").replace("\u2060", "")
    assert re.search(rf"toy_labels: {metric} {value:.3f}, {word} the 0.500 of always", page)


def test_a_page_that_cannot_be_written_loses_no_run(run, monkeypatch):
    said: list[str] = []

    def fail(*_: Any) -> None:
        raise OSError("no space left\non the disk")

    monkeypatch.setattr("multitask.runs.run_record.write_run_report", fail)
    write_run_page(run.folder, said.append)
    assert said == [
        f"WARNING: {run.folder / 'report.html'} was not written (no space left on the disk); the run is finished, and "
        f"multitask report {run.folder} --format html makes it again."
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"tasks": ["span=2", "sst2=1"], "lr": 0.002, "include": ["a b.py", "c.py"], "data": "my data/x"},
        {"model": "google-t5/t5-small", "columns": {"span": {"text": "tweet"}}, "loss_weights": {"span": 2.0}},
        {"per_step": {"span": 2.0, "sst2": 0.5}, "gated": True, "copy_head": False, "callbacks": ["RichProgressBar"]},
        {"trainer": {"max_steps": 7, "accumulate_grad_batches": 2}, "eval_every": 2, "select": "mean", "patience": 3},
    ],
)
def test_the_command_of_a_run_is_read_as_its_settings(settings):
    from multitask.cli.flags import parse_command
    from multitask.cli.train import COMMAND
    from multitask.model.from_scratch import is_from_scratch

    config = TrainConfig(**{"trainer": {"max_steps": 5}, **settings})
    config = fill_defaults(config, from_scratch=is_from_scratch(config.model))
    words = shlex.split(train_command(config))
    assert words[:2] == ["multitask", "train"]
    again = parse_command(COMMAND, words[2:])[0]
    again = fill_defaults(again, from_scratch=is_from_scratch(again.model))
    assert again == dataclasses.replace(config, tasks=again.tasks)
    assert ",".join(config.tasks if isinstance(config.tasks, list) else [config.tasks]) == again.tasks


# ---------------------------------------------------------------------------------------------------------- predict.py


def test_the_program_in_the_folder_is_the_one_that_is_tested_here(folder):
    assert (folder / "predict.py").read_bytes() == Path(alone.__file__).read_bytes()
    assert "multitask" not in re.findall(r"^(?:from|import) (\w+)", (folder / "predict.py").read_text(), re.MULTILINE)


def test_every_kind_of_answer_is_the_one_that_multitask_gives(run, model, tasks):
    assert list(model.tasks) == list(tasks)
    for name in tasks:
        here = run.predict(name, TEXTS).to_dict(orient="records")
        assert model.answer(name, TEXTS) == here, name
        assert len({one["prediction"] for one in here}) > 1 or name == "toy_labels", name
    assert model.answer("span_best", []) == []


def test_nothing_can_be_an_answer_where_it_was_in_training(model):
    assert model.tasks["span_or_nothing"]["no_answer"] is True
    assert model.tasks["span_best"]["no_answer"] is False


def test_generated_spans_are_aligned_as_here():
    from multitask.tokenization.spans import align

    pairs = [
        ("I'd go home", "well   I`d  go home !"),
        ("xyz", "abc"),
        ("", "a"),
        ("go hme", "I go home now"),
        ("a", ""),
    ]
    assert [alone.align(*pair) for pair in pairs] == [align(*pair) for pair in pairs]


def test_the_program_runs_where_multitask_is_not_installed(folder, run):
    """As a command, in a process that cannot import it."""
    code = (
        "import runpy, sys; sys.modules['multitask'] = None; sys.argv = ['predict.py', *sys.argv[1:]]; "
        "runpy.run_path('predict.py', run_name='__main__')"
    )
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, "--task", "span_expected"],
        cwd=folder,
        input="\n".join(["", *TEXTS[:3], ""]),
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said == run.predict("span_expected", TEXTS[:3]).to_dict(orient="records")


def test_the_command_says_what_it_cannot_do(folder, capsys, monkeypatch):
    import io

    monkeypatch.setattr(sys, "argv", ["predict.py", "--folder", str(folder), "--task", "spam"])
    with pytest.raises(SystemExit):
        alone.main()
    assert "the model has no task 'spam'; it has toy_labels, toy_number, span_best" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["predict.py", "--folder", str(folder), "--task", "toy_labels"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "red"}\n')))
    with pytest.raises(SystemExit):
        alone.main()
    assert "begins as a JSON row" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------ the card


def front_matter(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1]))


def test_the_card_says_what_is_known_and_what_is_not(folder, run, tasks):
    card = (folder / "README.md").read_text(encoding="utf-8")
    found = front_matter(folder)
    assert found["library_name"] == "transformers"
    (results,) = (one["results"] for one in found["model-index"])
    assert [one["task"]["name"] for one in results] == list(tasks)
    accuracy = read_json(run.folder / "metrics.json")["toy_labels"]["accuracy"]
    assert {"type": "accuracy", "name": "accuracy", "value": accuracy} in results[0]["metrics"]
    assert "# my run" in card
    assert '| toy_labels | "toy labels: " | the likeliest of its labels | no, yes | 20 |' in card
    assert (
        '| span_or_nothing | "span_or_nothing: " | a piece of the text, character for character, or nothing |' in card
    )
    assert "| toy_labels | rows given in Python, split train | 60 | 12 | not known |" in card
    assert "names no licence of the model itself" in card
    assert "trained from random weights on 11 tasks" in card
    assert "GENERATED" not in card


def test_nothing_of_this_machine_is_in_the_folder(folder, run):
    here = {str(run.folder.parent), str(folder), str(Path.home()), os.environ.get("USER") or "no user", os.getcwd()}
    for path in folder.iterdir():
        if path.suffix in (".json", ".md", ".py"):
            text = path.read_text(encoding="utf-8")
            assert [one for one in here if len(one) > 3 and one in text and one != "root"] == [], path.name


def test_text_of_others_is_escaped_in_the_card(run, tmp_path):
    copy = tmp_path / "a: [run] | `x` <b>\x1b"
    shutil.copytree(run.folder, copy)
    record = read_json(copy / "run.json")
    record["warnings"] = ["a | b <script> /home/somebody/secret/rows.csv", "---\n- x: *y"]
    record["tasks"]["toy_labels"]["source"] = "| <img> | /home/somebody/my data/train.csv"
    write_json(copy / "run.json", record, sealed=True)
    text = (multitask.export(copy, tmp_path / "out") / "README.md").read_text(encoding="utf-8")
    assert "somebody" not in text
    assert "a \\| b &lt;script> rows.csv" in text
    assert front_matter(tmp_path / "out")["model-index"][0]["name"].startswith("a: [run] | `x` <b>")
    assert "\x1b" not in text
    assert "<img>" not in text


def test_a_generated_sample_is_said_loudly_and_intervals_are_shown(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    record = read_json(copy / "run.json")
    record["tasks"]["toy_labels"]["generated"] = True
    record["files"] = {}
    write_json(copy / "run.json", record, sealed=True)
    scores = read_json(copy / "metrics.json")
    write_json(copy / "standard_errors.json", {"toy_labels": {"accuracy": 0.1}})
    card = (multitask.export(copy, tmp_path / "out") / "README.md").read_text(encoding="utf-8")
    assert "> **GENERATED SAMPLE.** The examples of `toy_labels` are made by a small grammar." in card
    value = scores["toy_labels"]["accuracy"]
    low, high = f"{max(value - 0.196, 0):.3f}", f"{min(value + 0.196, 1):.3f}"  # inside the metric's range
    assert f"| toy_labels (generated) | accuracy | {value:.3f} | [{low}, {high}] |".replace("-", "−") in card


def test_an_interval_stays_within_the_range_of_its_metric():
    ends = [(s.low, s.high) for s in (
        Score("a", "accuracy", 0.01, 0.1, None, ""), Score("a", "accuracy", 0.99, 0.1, None, ""),
        Score("a", "of_a_user", 0.0, 1.0, None, ""),
    )]  # fmt: skip
    assert ends == [
        (0.0, pytest.approx(0.206)),
        (pytest.approx(0.794), 1.0),
        (-1.96, 1.96),
    ]


# ------------------------------------------------------------------------------------------------------------- refusals


def refused(*arguments: Any, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        multitask.export(*arguments, **settings)
    return str(caught.value)


def test_what_is_there_is_not_overwritten(run, folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "a file").write_text("mine")
    assert refused(run, tmp_path) == f"{tmp_path} is not empty (a file, notes.txt): give a new folder, or --overwrite."
    assert refused(run, tmp_path, overwrite=True).startswith(f"{tmp_path} holds no exported model (there is no predict")
    assert (
        refused(run, tmp_path / "a file") == f"{tmp_path / 'a file'} is a file; give a folder for the exported model."
    )
    (tmp_path / "link").symlink_to("gone")
    assert refused(run, tmp_path / "link").startswith(
        f"{tmp_path / 'link'} is a link to gone, which is not there: make"
    )
    inside = run.folder / "model"
    assert refused(run, inside) == f"{inside} and the run {run.folder} lie in each other: give a folder of its own."
    before = (folder / "README.md").read_text()
    (folder / "model-00001-of-00002.safetensors").write_text("of an earlier export")
    (folder / "README.md").write_text("old")
    (folder / "notes.txt").write_text("mine")
    assert refused(run, folder, overwrite=True).startswith(
        f"{folder} holds more than an exported model (notes.txt): no"
    )
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    assert multitask.export(str(run.folder), folder, overwrite=True) == folder
    assert (folder / "README.md").read_text() == before
    assert not (folder / "model-00001-of-00002.safetensors").exists()


def test_a_run_that_is_not_finished_is_not_exported(run, tmp_path):
    assert (
        refused(tmp_path / "none", tmp_path / "out")
        == f"{tmp_path / 'none'} is not a run folder: there is no such folder."
    )
    shutil.copytree(run.folder, tmp_path / "run")
    record = read_json(tmp_path / "run" / "run.json")
    write_json(tmp_path / "run" / "run.json", {**record, "status": "begun"}, sealed=True)
    assert "the run is not finished" in refused(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_study_of_other_tasks_is_refused(run, tmp_path):
    class Other:
        tasks = ("one", "two")

    names = ", ".join(run.metrics["task"].unique())
    assert refused(run, tmp_path / "out", study=Other()) == (
        f"--study: the study is of one, two, and the run of {names}: they have no task in common."
    )


# ----------------------------------------------------------------------------------------------------- the command line


def test_the_command_exports_with_the_table_of_a_study(run, tmp_path, capsys):
    write_record(tmp_path / "study" / "interference.json", example_record(("toy_labels", "toy_number", "span_best")))
    arguments = ["export", str(run.folder), str(tmp_path / "out"), "--study", str(tmp_path / "study")]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[1] == f"  python {tmp_path / 'out' / 'predict.py'} --task toy_labels < texts.txt"
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "## Which tasks help and hurt each other" in card
    assert "### Pairs: Δ(task \\| {task, column})" in card
    assert str(tmp_path) not in card
    assert main(arguments) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_a_model_that_reads_bytes_finds_the_same_spans(tiny_model, bytes_tokenizer, tmp_path):
    from multitask.decoding.decoder import Decoder
    from multitask.examples.new_inputs import new_examples
    from multitask.tokenization.ragged import Ragged
    from multitask.tokenization.special_tokens import encode

    task = span_task("span_bytes", "expected", no_answer=False)
    model = tiny_model("byt5").eval()
    settings = {"prefix": task.prefix, "output": "span", "labels": [], "max_length": 40, "max_new_tokens": 6}
    model.config.task_specific_params = {
        task.name: {**settings, "num_beams": 1, "length_penalty": 1.0, "no_answer": False, "span": "expected"}
    }
    model.save_pretrained(tmp_path)
    bytes_tokenizer.save_pretrained(tmp_path)
    examples = new_examples(task, TEXTS[:6])
    ids = encode(bytes_tokenizer, [e.inputs for e in examples])
    inputs = Ragged.of([i if len(i) <= 40 else [*i[:39], i[-1]] for i in ids])
    decoded = Decoder(task, bytes_tokenizer, examples, inputs)(model, range(len(examples)))
    answers = [one["prediction"] for one in alone.Model(tmp_path).answer(task.name, TEXTS[:6])]
    assert answers == [p.text for p in decoded]
    assert any(answers)


# ------------------------------------------------------------------------------------------------------------- the Hub


def command(server, *arguments, given="", **more):
    """A command of ours whose Hub is `server`, in a process of its own: huggingface_hub reads its address once."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_OFFLINE"))}
    environment |= {"HF_ENDPOINT": server.address, "HF_TOKEN": "hf_none", "HF_HUB_DISABLE_XET": "1", **more}
    return subprocess.run(
        [sys.executable, "-m", "multitask.cli", *arguments],
        capture_output=True,
        text=True,
        input=given,
        env=environment,
        timeout=120,
    )


def test_a_run_is_pushed_as_a_model_that_answers_from_there_as_it_does_here(run, tmp_path):
    with repositories() as hub:
        hub.files["models"]["me/mine"] = {"model-00001-of-00002.safetensors": b"", "notes.md": b"own"}
        done = command(hub, "push", str(run.folder), "me/mine", "--private")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            "  multitask predict me/mine --from-hub --task toy_labels < texts.txt",
            f"{hub.address}/me/mine",
        ]
        asked = hub.made[0]  # by one name or by the other, as the version has it
        assert asked.get("private") is True or asked["visibility"] == "private"
        assert hub.commits == ["The model of my run"]
        sent = hub.files["models"]["me/mine"]
        # What an earlier push left is gone, what somebody put there stays.
        assert {"README.md", "predict.py", "config.json", "model.safetensors", "notes.md"} <= set(sent)
        assert "model-00001-of-00002.safetensors" not in sent
        assert sent["model.safetensors"] == (run.folder / "model" / "model.safetensors").read_bytes()
        texts = "red blue\n\nold new\n"
        cache = {"HF_HOME": str(tmp_path / "home")}
        there = command(hub, "predict", "me/mine", "--from-hub", "--task", "toy_labels", given=texts, **cache)
        assert there.returncode == 0, there.stderr
        here = run.predict("toy_labels", ["red blue", "old new"])
        assert [json.loads(line)["prediction"] for line in there.stdout.splitlines()] == here["prediction"].tolist()
        odd = command(hub, "predict", "me/mine", "--from-hub", "--task", "spam", **cache)
        assert odd.returncode == 2
        assert odd.stderr.splitlines()[-1].startswith("multitask: error: unknown task 'spam': me/mine has toy_labels, ")


def test_a_study_is_pushed_as_a_data_set_whose_report_can_be_read_from_there(tmp_path):
    study = write_study_files(tmp_path / "study", example_record())
    with repositories() as hub:
        done = command(hub, "push", str(study.folder), "me/study", "--message", "first")
        assert done.returncode == 0, done.stderr
        sent = hub.files["datasets"]["me/study"]
        assert set(sent) == {".gitattributes", "README.md", "interference.json", "interference.csv", "report.html"}
        card = sent["README.md"].decode()
        front, text = card.removeprefix("---\n").split("\n---\n", 1)
        assert yaml.safe_load(front)["configs"] == [{"config_name": "effects", "data_files": "interference.csv"}]
        assert study.summary_markdown().strip() in text and str(tmp_path) not in card
        asked = ("report", "me/study", "--from-hub", "--format", "csv")
        there = command(hub, *asked, HF_HOME=str(tmp_path / "home"))
        assert there.returncode == 0, there.stderr
        assert there.stdout == study.render("csv").rstrip("\n") + "\n"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "the Hub does not let you write to 'me/study': log in with `hf auth login`, with a token that may "),
        (500, "the Hub refused 'me/study' (500): "),
        (None, "the Hub cannot be reached for 'me/study' ("),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_line(status, said, tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("# A")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.utils._http.RETRY_ON_STATUS_CODES", (), raising=False)

    def push(hub):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
        with pytest.raises(UserError) as error:
            send_folder(tmp_path, "me/study", "dataset", private=False, message="m", ours=lambda file: False)
        return str(error.value)

    with repositories() as hub:
        hub.refuses = status or 0
        found = push(hub) if status else None
    found = found or push(hub)  # it is gone by now
    assert found.startswith(said) and "\n" not in found


@pytest.mark.parametrize("name", ["mine", "a/b/c", "a b/c", "../x", "me/"])
def test_a_name_that_is_none_of_a_repository_is_refused_before_anything_is_read(name, tmp_path, capsys):
    assert main(["push", str(tmp_path), name]) == 2
    assert f"{name!r} is no name of a repository on the Hub: write ORG/NAME" in capsys.readouterr().err
