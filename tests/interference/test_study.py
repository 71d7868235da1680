"""Whole studies on small tasks: matched arms, growing, continuing after an interruption, tabulating finished runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pandas as pd
import pytest
import yaml

import multitask
import multitask.runs.train
from multitask import Study, measure_interference
from multitask.cli import main
from multitask.errors import UserError
from multitask.interference.conduct import conduct_study
from multitask.interference.design.arms import Arm
from multitask.interference.design.config import check_study_config, design_of, parse_settings
from multitask.interference.design.folder import PARTS, read_study
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.runs import StudyRunError
from multitask.interference.request import prepare_request
from multitask.mixing.schedule import exact
from multitask.storage.json_files import read_json
from multitask.task import TASKS

HERE = Path(__file__).parents[1]
TASK_FILE = str(HERE / "study_tasks.py")
QUICK = {
    "tasks": "study_order,study_first",
    "include": [TASK_FILE],
    "vocab_size": 70,
    "per_step": 4,
    "resamples": 200,
    "log_examples": True,
    "jobs": 1,
    "threads": 1,
    "trainer": {"max_steps": 5, "accelerator": "cpu"},
}
"""Five steps say nothing about tasks; here it matters that everything is matched, written and found again."""


pytestmark = pytest.mark.usefixtures("study_tasks")


ODD = """
from multitask import Example, register_task, rows
from multitask.runs import train

ROWS = [{"text": "red blue green", "label": "a"}, {"text": "old new", "label": "b"}] * 4
write = train.write_run

def failing(start, data, *rest):
    if len(data.mix.tasks) > 1:
        raise RuntimeError("only in the joint run")
    return write(start, data, *rest)

train.write_run = failing

@register_task(prefix="odd: ", labels=("a", "b"), metrics=["accuracy"],
               source=rows({"train": ROWS, "validation": ROWS[:3]}))
def study_odd(row):
    return Example(row["text"], row["label"])
"""
"""A task beside which a joint run fails at its end, in every process that knows it: what no check finds beforehand."""


def words(folder: Path, **changes) -> list[str]:
    settings = {**QUICK, **changes}
    out = ["interference", "--out", str(folder)]
    for name, value in settings.items():
        if name == "trainer":
            out += [w for k, v in value.items() for w in (f"--trainer.{k}", str(v))]
        elif isinstance(value, list):
            out += [f"--{name}", ",".join(map(str, value))]
        else:
            out += [f"--{name.replace('_', '-')}", str(value).lower() if isinstance(value, bool) else str(value)]
    return out


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """Two tasks, both matches, a null control, one seed."""
    return measure_interference(
        out=tmp_path_factory.mktemp("study") / "one", seeds=1, match="examples,steps", null="study_order", **QUICK
    )


def runs(folder: Path) -> dict[str, Path]:
    """{name without address: folder}; runs of one name and two budgets are told apart by a number."""
    found: dict[str, Path] = {}
    for path in sorted((folder / "cells").iterdir()):
        config = yaml.safe_load((path / "config.yaml").read_text())
        budget = sum(config["per_step"].values()) * (2 if config["twin"] else 1)
        found[f"{'+'.join(config['tasks'])}@{budget:g}{' twin' if config['twin'] else ''} {config['seed']}"] = path
    return found


def triples(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(p) for p in sorted((folder / "examples").iterdir())])


# ------------------------------------------------------------------------------------------------------- matched arms


def test_a_study_has_the_cells_of_its_design(study):
    assert set(runs(study.folder)) == {
        "study_first+study_order@8 0",
        "study_first@4 0",
        "study_order@4 0",
        "study_first@8 0",
        "study_order@8 0",
        "study_order@8 twin 0",
    }
    assert {p.name for p in study.folder.iterdir() if not p.name.startswith(".")} == set(PARTS) - {
        *("estimate", "estimate.json", "estimate.csv"),
        "trials",
        "logs",
        "slurm.sh",
    }


@pytest.mark.parametrize("task", ["study_order", "study_first"])
def test_at_equal_exposure_a_task_alone_sees_what_it_sees_in_company(study, task):
    there = runs(study.folder)
    joint = triples(there["study_first+study_order@8 0"])
    alone = triples(there[f"{task}@4 0"])
    assert len(alone) == 5 * 4
    pd.testing.assert_frame_equal(joint[joint["task"] == task].reset_index(drop=True), alone.reset_index(drop=True))


def test_at_equal_compute_a_task_alone_has_the_steps_and_examples_of_its_company(study):
    there = runs(study.folder)
    joint, alone = triples(there["study_first+study_order@8 0"]), triples(there["study_order@8 0"])
    assert joint.groupby("step").size().tolist() == alone.groupby("step").size().tolist() == [8] * 5
    assert set(alone["task"]) == {"study_order"}


def test_the_null_control_trains_on_two_disjoint_halves(study):
    seen = triples(runs(study.folder)["study_order@8 twin 0"])
    halves = {name: set(part["id"]) for name, part in seen.groupby("task")}
    assert set(halves) == {"study_order", "study_order~2"}
    assert not halves["study_order"] & halves["study_order~2"]
    effect = study.effect("study_order", kind="null", match="steps")
    assert effect["seeds"] == 1


def test_the_loss_of_a_task_has_one_weight_in_every_arm(study):
    bases = {yaml.safe_load((p / "config.yaml").read_text())["rate_base"] for p in runs(study.folder).values()}
    assert bases == {8.0}


def test_a_cell_is_a_run_that_the_train_command_repeats(study, tmp_path):
    run = runs(study.folder)["study_order@4 0"]
    again = ["train", "--config", str(run / "config.yaml"), "--include", TASK_FILE]
    assert main([*again, "--out", str(tmp_path / "again")]) == 0
    for name in ("metrics.json", "mix.json"):
        assert (tmp_path / "again" / name).read_text() == (run / name).read_text()
    addresses = {json.loads((p / "run.json").read_text())["address"] for p in (run, tmp_path / "again")}
    assert len(addresses) == 1


# ------------------------------------------------------------------------------------------------------------- results


def test_one_seed_gives_no_verdict(study):
    assert {e["verdict"] for e in study.record["effects"]} == {None}
    assert study.record["warnings"][0].startswith("1 seed: evaluation noise only")
    assert "1 seed: evaluation noise only" in study.to_markdown()


def test_exposure_and_compute_differ_by_the_dilution(study):
    for task in ("study_order", "study_first"):
        exposure = study.effect(task, match="examples")["delta"]
        compute = study.effect(task, match="steps")["delta"]
        assert compute - exposure == pytest.approx(study.effect(task, kind="dilution")["delta"])


def test_scores_are_those_of_the_cells(study):
    there = runs(study.folder)
    joint = json.loads((there["study_first+study_order@8 0"] / "metrics.json").read_text())
    alone = json.loads((there["study_order@4 0"] / "metrics.json").read_text())
    effect = study.effect("study_order")
    assert effect["score"] == pytest.approx(100 * joint["study_order"]["accuracy"])
    assert effect["base"] == pytest.approx(100 * alone["study_order"]["accuracy"])
    assert effect["delta"] == pytest.approx(effect["score"] - effect["base"])


def test_differences_shown_while_it_runs_are_those_of_the_table_where_all_seeds_are_finished(study):
    config = check_study_config(parse_settings({**QUICK, "seeds": 1, "match": "examples,steps"}))
    of = design_of(config, ["study_order", "study_first"])
    part = Partial(of, {name: TASKS.get(name) for name in of.tasks})
    for run in read_json(study.folder / "cells.json"):
        if not run["twin"]:
            budget = sum(map(exact, run["per_step"].values()))
            part.add(Arm(tuple(sorted(run["tasks"])), budget), run["seed"], study.folder / run["folder"])
    for task, other in (("study_order", "study_first"), ("study_first", "study_order")):
        for companion in (None, other):
            shown = part.effect("pair" if companion else "company", task, companion)
            assert shown.value == pytest.approx(study.effect(task, companion)["delta"], abs=1e-9)
        assert part.alone(task).value == pytest.approx(study.effect(task)["base"], abs=1e-9)


def test_a_study_is_read_back_without_its_cells(study, tmp_path):
    shutil.copy(study.folder / "interference.json", tmp_path)
    again = Study.read(tmp_path)
    assert again.record == read_json(study.folder / "interference.json")
    assert again.to_markdown() == study.to_markdown()
    assert again.matrix().loc["study_order", "study_first"] == study.effect("study_order", "study_first")["delta"]
    assert list(again.effects["kind"]) == [e["kind"] for e in study.record["effects"]]
    assert again.plot("forest").axes
    with pytest.raises(UserError, match="task 'study_ordr' is not in the study: did you mean 'study_order'"):
        again.effect("study_ordr")
    with pytest.raises(UserError, match="without effect of study_first on study_order was not measured"):
        again.effect("study_order", "study_first", kind="without")


def test_reading_a_study_back_needs_no_torch(study):
    code = (
        "import sys; from multitask import Study; s = Study.read(sys.argv[1]); s.to_markdown(); s.effects; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(study.folder)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_the_package_is_a_package_and_the_function_has_a_verb():
    import multitask.interference as package

    assert type(package) is types.ModuleType
    assert multitask.measure_interference is measure_interference


# -------------------------------------------------------------------------------------------------- going on, growing


def test_the_same_command_trains_nothing_again_and_a_seed_only_its_own_cells(study, tmp_path, capsys):
    folder = tmp_path / "grown"
    shutil.copytree(study.folder, folder)
    before = (folder / "interference.json").read_bytes()
    times = {p: (p / "run.json").stat().st_mtime_ns for p in (folder / "cells").iterdir()}
    both = {"match": "examples,steps", "null": "study_order"}
    assert main(words(folder, seeds=1, **both)) == 0
    assert (folder / "interference.json").read_bytes() == before
    assert "6 models, 6 of them finished" in capsys.readouterr().out

    assert main(words(folder, seeds=2, arms=["single", "joint"], match="examples")) == 0
    out = capsys.readouterr().out
    assert "6 models, 3 of them finished" in out
    assert {p: (p / "run.json").stat().st_mtime_ns for p in times} == times
    grown = Study.read(folder)
    assert grown.effect("study_order")["seeds"] == 2
    assert grown.effect("study_order")["unjudged"] != "1 seed"

    # A third task: the rate base stays, so the runs of the first two do too.
    assert (
        main([*words(folder, seeds=1, arms=["single"], tasks="study_order,study_first,study_last"), "--dry-run"]) == 0
    )
    assert "3 models, 2 finished; 1 to train" in capsys.readouterr().out

    assert main(words(folder, seeds=1, lr=0.003)) == 2
    assert "has lr = 0.01, asked for is 0.003; all cells of a table need one setting" in capsys.readouterr().err
    assert main(words(folder, seeds=1, per_step=5)) == 2
    assert "has per_step.study_order = 4.0, asked for is 5.0" in capsys.readouterr().err
    # The threads of a run change its last bits; without --threads they are the study's, whatever --jobs would leave.
    assert main(words(folder, seeds=1, threads=2)) == 2
    assert "has threads = 1, asked for is 2" in capsys.readouterr().err
    unsaid = words(folder, seeds=1, arms=["single"], match="examples")
    at = unsaid.index("--threads")
    del unsaid[at : at + 2]
    assert main([*unsaid, "--dry-run"]) == 0
    assert "1 thread each" in capsys.readouterr().out


def test_a_task_that_changed_is_not_mixed_into_the_models_of_a_study(study, tmp_path, capsys):
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    again = words(folder, seeds=1, match="examples,steps", null="study_order")
    plain = TASKS.get("study_order")
    TASKS._objects["study_order"] = plain.replace(max_input_tokens=100)  # `_included` takes it out again
    for command in (again, [*again, "--dry-run"]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert f"task 'study_order' changed since {folder / 'cells'}" in err
        assert "was trained: its max_input_tokens was 512 and is 100; all models of a table need one task" in err
    assert main(["interference", "--runs", str(folder / "cells" / "*"), "--resamples", "200", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["warnings"]
    assert [w for w in found if "task 'study_order' changed" in w and "It is used as it is now." in w]

    TASKS._objects["study_order"] = plain.replace(
        formatter=lambda row: plain.formatter(dict(row))
    )  # `_included` takes it out again
    before = {p: p.stat().st_mtime_ns for p in (folder / "cells").rglob("*")}
    assert main(again) == 0
    assert {p: p.stat().st_mtime_ns for p in (folder / "cells").rglob("*")} == before
    said = (
        "the code of the formatter of task 'study_order' changed since models of this study were trained; it makes the "
        "same examples of the rows."
    )
    assert f"WARNING: {said}" in capsys.readouterr().out
    assert Study.read(folder).record["warnings"].count(said) == 1


def test_runs_of_a_task_that_changed_between_them_are_not_tabulated(study, tmp_path, capsys):
    shutil.copytree(study.folder / "cells", tmp_path / "cells")
    path = runs(tmp_path)["study_order@4 0"]
    run = read_json(path / "run.json")
    run["tasks"]["study_order"]["definition"]["decoding"]["num_beams"] = 3
    (path / "run.json").write_text(json.dumps(run))
    assert main(["interference", "--runs", str(tmp_path / "cells" / "*")]) == 2
    err = capsys.readouterr().err
    assert "cannot be compared: task 'study_order' is another in the second: its decoding.num_beams was" in err


def test_an_edited_config_of_a_run_is_not_tabulated(study, tmp_path, capsys):
    shutil.copytree(study.folder / "cells", tmp_path / "cells")
    for path in (tmp_path / "cells").iterdir():
        config = yaml.safe_load((path / "config.yaml").read_text())
        (path / "config.yaml").write_text(yaml.safe_dump({**config, "lr": 0.5}))
    assert main(["interference", "--runs", str(tmp_path / "cells" / "*")]) == 2
    assert "config.yaml was edited: lr is 0.5, and the run was begun with 0.01" in capsys.readouterr().err


def test_a_task_that_is_added_to_a_study_of_an_older_vocabulary_is_told_what_it_costs(study, tmp_path, capsys):
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    grown = {"seeds": 1, "arms": ["single"], "tasks": "study_order,study_first,study_last", "match": "examples"}
    assert main([*words(folder, **grown), "--dry-run"]) == 0
    said = (
        r"the vocabulary was trained on study_first, study_order, before study_last was added, and stays as it is\. "
        r"Tokens a word under it: study_last \d\.\d\d; of the tasks that it was trained on: "
        r"study_(order|first) \d\.\d\d, study_(order|first) \d\.\d\d\."
    )
    assert re.search(f"WARNING: {said}", capsys.readouterr().out)
    assert main(words(folder, **grown)) == 0
    assert re.search(f"WARNING: VOCABULARY: {said}", capsys.readouterr().out)
    warnings = Study.read(folder).record["warnings"]
    anew = r" Another --out, or --overwrite, trains one on all tasks, and all 3 models anew\."
    assert len([line for line in warnings if re.fullmatch(f"VOCABULARY: {said}{anew}", line)]) == 1
    assert main(words(folder, **grown)) == 0  # now it is one of the study's tasks; its vocabulary is still the old one
    assert Study.read(folder).record["warnings"] == warnings
    assert not [line for line in study.record["warnings"] if "VOCABULARY" in line]


def test_a_study_that_was_interrupted_anywhere_ends_with_the_same_bytes(tmp_path):
    """Ctrl-C while runs train, then a kill of everything, then to the end; against a study left alone."""
    command = [sys.executable, "-m", "multitask.cli"]
    long = {"seeds": 1, "trainer": {"max_steps": 40, "accelerator": "cpu"}, "checkpoint_every": 10, "jobs": 2}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def begun(process) -> None:
        deadline = time.monotonic() + 100
        while not list(broken.glob("cells/*/checkpoints/step-*.ckpt")) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)

    for how in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            [*command, *words(broken, **long)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job of a shell ignores it
        )
        begun(process)
        process.send_signal(how)
        _, err = process.communicate(timeout=100)
        assert process.returncode == (130 if how == signal.SIGINT else -9)
        if how == signal.SIGINT:
            assert "the same command goes on from there" in err
        assert not (broken / "interference.json").exists()
        time.sleep(2.5)  # the workers of a killed parent notice within a second
    for folder in (whole, broken):  # in this process, which has imported everything: how many jobs changes nothing
        assert main(words(folder, **{**long, "jobs": 1})) == 0
    records = [Study.read(folder).record for folder in (whole, broken)]
    assert all(record["made"].pop("finished") for record in records)
    assert records[0] == records[1]
    assert (broken / "interference.csv").read_bytes() == (whole / "interference.csv").read_bytes()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cell_that_fails_is_named_and_the_finished_ones_stay(tmp_path, jobs, monkeypatch):
    monkeypatch.setattr(
        multitask.runs.train, "write_run", multitask.runs.train.write_run
    )  # what the file changes is changed back
    file = tmp_path / "odd_tasks.py"
    file.write_text(ODD)
    changes = {"tasks": "study_order,study_odd", "include": [TASK_FILE, str(file)], "seeds": 1, "jobs": jobs}
    try:
        with pytest.raises(StudyRunError, match=r"(?s)joint seed 0 failed:.*RuntimeError: only in the joint run"):
            main(words(tmp_path / "study", **changes))
    finally:
        TASKS.discard("study_odd")
    assert not (tmp_path / "study" / "interference.json").exists()


# --------------------------------------------------------------------------------------------------- learning rates


def test_the_noise_control_takes_company_apart(tmp_path, capsys):
    settings = {**QUICK, "arms": ["single", "joint"], "control": "noise"}
    settings["trainer"] = {"max_steps": 20, "accelerator": "cpu"}
    made = measure_interference(out=tmp_path / "s", seeds=2, **settings)
    assert [p.rsplit("-", 1)[0] for p in sorted(f.name for f in (tmp_path / "s" / "cells").iterdir())] == [
        *("joint-seed0", "joint-seed1"),
        *(f"noise-study_{t}-seed{s}" for t in ("first", "order") for s in (0, 1)),
        *(f"single-study_{t}-seed{s}" for t in ("first", "order") for s in (0, 1)),
    ]
    for task in ("study_order", "study_first"):
        of = {e["kind"]: e for e in made.record["effects"] if e["task"] == task and e["metric"] == "log_likelihood"}
        assert of["company"]["delta"] == pytest.approx(of["noise"]["delta"] + of["content"]["delta"])
        assert of["noise"]["delta"] != of["company"]["delta"]
    noise = next(p for p in (tmp_path / "s" / "cells").iterdir() if p.name.startswith("noise-study_order-seed0"))
    assert [p.stem for p in (noise / "predictions").iterdir()] == ["study_order"]
    joint = next(p for p in (tmp_path / "s" / "cells").iterdir() if p.name.startswith("joint-seed0"))
    assert triples(noise).equals(triples(joint))  # the same rows at the same steps

    updates = {(u["task"], u["arm"]): u for u in made.record["updates"]}
    assert updates["study_order", "single"]["own_part"] == 1.0
    parts = [updates[task, "joint"]["own_part"] for task in ("study_order", "study_first")]
    assert sum(parts) == pytest.approx(1.0, abs=1e-3)
    assert all(0 <= u["clip_factor"] <= 1 and 0 <= u["clipped"] <= 1 for u in made.record["updates"])
    shown = made.to_markdown()
    assert "Noise control" in shown and "How much of each update is the task" in shown

    cells = str(tmp_path / "s" / "cells" / "*")
    assert main(["interference", "--runs", cells, "--resamples", "200", "--format", "json"]) == 0
    again = json.loads(capsys.readouterr().out)

    def deltas(record):
        keys = ("noise", "content", "company")  # of two tasks the joint arm is the pair too
        return {(e["kind"], e["task"], e["metric"]): e["delta"] for e in record["effects"] if e["kind"] in keys}

    assert deltas(again) == deltas(made.record)


def test_measuring_gradients_changes_no_weight(tmp_path):
    settings = {"tasks": "study_order,study_first", "include": [TASK_FILE], "vocab_size": 70, "batch_size": 8}
    settings["trainer"] = {"max_steps": 6, "accelerator": "cpu"}
    for execution in ("flat", "grouped"):
        plain, measured = (
            multitask.train(
                **settings, execution=execution, out=str(tmp_path / f"{execution}{n}"), gradients_every=n, log_every=1
            )
            for n in (0, 2)
        )
        weights = [(run.folder / "model" / "model.safetensors").read_bytes() for run in (plain, measured)]
        assert weights[0] == weights[1]
        logged = pd.read_csv(measured.folder / "events" / "csv" / "metrics.csv")
        assert logged["train/own_norm/study_order"].nunique() == 3  # the logger repeats a value until the next
        assert logged["train/gradient_norm"].notna().sum() == 6


def test_learning_rates_are_chosen_for_each_kind_of_arm_on_held_out_rows(tmp_path):
    settings = {**QUICK, "selection_rows": 10, "lr_grid": "0.0001,0.03"}
    study = measure_interference(out=tmp_path / "tuned", seeds="1,", arms="single,joint", **settings)
    trials = study.record["learning_rates"]
    assert [(t["arm"], t["lr"]) for t in trials] == [
        ("joint", 0.0001),
        ("joint", 0.03),
        ("single", 0.0001),
        ("single", 0.03),
    ]
    for arm in ("joint", "single"):
        of = [t for t in trials if t["arm"] == arm]
        best = max(of, key=lambda t: t["score"])
        assert [t["chosen"] for t in of] == [
            t["score"] == best["score"] and t["lr"] == min(u["lr"] for u in of if u["score"] == best["score"])
            for t in of
        ]
        assert study.record["setting"]["lr"][arm] == best["lr"] or best["score"] == of[0]["score"]
    stored = yaml.safe_load((study.folder / "study.yaml").read_text())
    assert stored["lr"] == study.record["setting"]["lr"]
    for path in (study.folder / "trials").iterdir():
        config = yaml.safe_load((path / "config.yaml").read_text())
        assert config["evaluate_on"] == "selection"
        assert config["seed"] == 1_000_001
    for path in (study.folder / "cells").iterdir():
        config = yaml.safe_load((path / "config.yaml").read_text())
        assert config["evaluate_on"] == "validation"
        assert config["hold_selection"]
        seen = triples(path)
        for task in config["tasks"]:
            held = [set(pd.read_parquet(p)["id"]) for p in study.folder.glob(f"trials/*/predictions/{task}.parquet")]
            assert len(held[0]) >= 10
            assert not set(seen[seen["task"] == task]["id"]) & held[0]
    assert not any("not tuned" in note for note in study.record["notes"])


def test_the_gap_between_one_checkpoint_and_each_tasks_best_is_shown(tmp_path):
    settings = {**QUICK, "selection_rows": 10, "select": "per-task", "eval_every": 2}
    study = measure_interference(out=tmp_path / "gap", seeds=1, arms="single,joint", **settings)
    gaps = {g["task"]: g for g in study.record["gaps"]}
    assert set(gaps) == {"study_order", "study_first"}
    for task, gap in gaps.items():
        assert gap["gap"] == pytest.approx(gap["per_task"] - gap["deployed"])
        assert gap["per_task"] == pytest.approx(study.effect(task)["score"])


# ------------------------------------------------------------------------------------------------------ finished runs


def test_finished_runs_are_tabulated_as_the_study_that_they_are(study, tmp_path, capsys):
    pattern = str(study.folder / "cells" / "*")
    assert main(["interference", "--runs", pattern, "--resamples", "200", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    mine = {(e["kind"], e["task"], e["companion"], e["match"], e["metric"]): e["delta"] for e in record["effects"]}
    for e in study.record["effects"]:
        assert mine[e["kind"], e["task"], e["companion"], e["match"], e["metric"]] == pytest.approx(e["delta"])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lr", 0.5, "lr is 0.01 in the first and 0.5 in the second"),
        ("loss", "token", "loss is 'task' in the first and 'token' in the second"),
        ("select", "mean", "select is 'last' in the first and 'mean' in the second"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_by_name(study, tmp_path, capsys, key, value, said):
    shutil.copytree(study.folder / "cells", tmp_path / "cells")
    for path in (tmp_path / "cells").iterdir():  # --select needs evaluations to choose among
        config = yaml.safe_load((path / "config.yaml").read_text())
        (path / "config.yaml").write_text(yaml.safe_dump({**config, "eval_every": 2}))
    path = runs(tmp_path)["study_order@4 0"]
    config = yaml.safe_load((path / "config.yaml").read_text())
    (path / "config.yaml").write_text(yaml.safe_dump({**config, key: value}))
    assert main(["interference", "--runs", str(tmp_path / "cells" / "*")]) == 2
    err = capsys.readouterr().err
    assert "cannot be compared" in err
    assert path.name in err
    assert said in err


def test_runs_of_other_data_are_refused_by_name(study, tmp_path, capsys):
    shutil.copytree(study.folder / "cells", tmp_path / "cells")
    path = runs(tmp_path)["study_order@4 0"]
    run = read_json(path / "run.json")
    run["tasks"]["study_order"]["train"]["fingerprint"] = "0" * 64
    (path / "run.json").write_text(json.dumps(run))
    assert main(["interference", "--runs", str(tmp_path / "cells" / "*")]) == 2
    assert "the training rows of task 'study_order' differ" in capsys.readouterr().err


def test_runs_whose_plans_are_of_two_formats_are_refused_by_name(study, tmp_path, capsys):
    shutil.copytree(study.folder / "cells", tmp_path / "cells")
    path = runs(tmp_path)["study_order@4 0"]
    run = read_json(path / "run.json")
    run["plan"]["format"] = 1
    (path / "run.json").write_text(json.dumps(run))
    assert main(["interference", "--runs", str(tmp_path / "cells" / "*")]) == 2
    err = capsys.readouterr().err
    assert "cannot be compared: the mixing plan of the first is of format" in err
    assert path.name in err


def test_a_study_whose_cells_have_plans_of_another_format_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "study.yaml").write_text("format: 1\ntasks: [a, b]\n")
    with pytest.raises(UserError) as caught:
        read_study(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'study.yaml'} has format 1: its cells were trained by plans of format 1, whose steps held other "
        "examples, and this version makes plans of format 2. Read its tables with `multitask report`; to train, give "
        "another --out, or --overwrite to begin anew."
    )


def test_a_damaged_run_is_not_tabulated(study, tmp_path, capsys):
    shutil.copytree(study.folder / "cells", tmp_path / "cells")
    path = runs(tmp_path)["study_order@4 0"] / "metrics.json"
    path.write_text(path.read_text().replace("0.", "0.9", 1))
    assert main(["interference", "--runs", str(tmp_path / "cells" / "*")]) == 2
    assert f"{path} is damaged: it is not what the run wrote." in capsys.readouterr().err


def test_a_missing_arm_is_named(study, tmp_path, capsys):
    shutil.copytree(study.folder / "cells", tmp_path / "cells")
    shutil.rmtree(runs(tmp_path)["study_first@4 0"])
    assert main(["interference", "--runs", str(tmp_path / "cells" / "*")]) == 2
    err = capsys.readouterr().err
    assert "models of this comparison are missing: study_first with 4 a step, seed 0" in err


# ------------------------------------------------------------------------------------------------------------ messages


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mixing": "equal"}, "--mixing makes rates, and a study fixes how many examples of each task a step has"),
        ({"batch_size": 12}, "--batch-size is a step's over all tasks"),
        ({"patience": 2, "eval_every": 1}, "--patience would give each arm its own number of steps"),
        ({"lr": 0.1, "lr_grid": [0.1, 0.2]}, "--lr-grid chooses the learning rate, so --lr would do nothing"),
        ({"lr_grid": [0.1]}, "--lr-grid has one learning rate, so there is nothing to choose"),
        ({"lr_grid": "0.1,0.1"}, "--lr-grid must be different numbers above 0"),
        ({"resamples": 10}, "--resamples must be at least 200"),
        ({"margin": -1.0}, "--margin must be 0 or above"),
        ({"jobs": 0}, "--jobs must be at least 1"),
        ({"twin": "span"}, "--twin is set by the study for its cells"),
        ({"seed_s": 3}, "unknown setting 'seed_s': did you mean"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, said):
    with pytest.raises(UserError) as error:
        check_study_config(parse_settings(settings))
    assert str(error.value).startswith(said)


def test_a_study_never_writes_into_a_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    request = prepare_request(parse_settings({**QUICK, "seeds": 1}))
    for overwrite in (False, True):
        with pytest.raises(UserError, match="holds other files"):
            conduct_study(request, tmp_path, quiet=True, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_two_processes_do_not_work_on_one_study(tmp_path):
    from multitask.storage.locking import locked

    other = pytest.raises(UserError, match="another process is working on the study")
    with locked(tmp_path, "study"), other, locked(tmp_path, "study"):
        pass


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    folder = tmp_path / "dry"
    assert main([*words(folder, seeds=3), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "9 models, 0 finished; 9 to train on 240 examples." in out
    assert "estimate: training 0:0" in out
    assert not folder.exists()


def test_report_gives_a_studys_tables_and_a_runs(study, capsys, tmp_path):
    for format, sign in (
        ("table", "Company"),
        ("markdown", "| "),
        ("csv", "kind,"),
        ("latex", "\\toprule"),
        ("json", "{"),
    ):
        assert main(["report", str(study.folder), "--format", format]) == 0
        assert sign in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert main(["report", str(study.folder), "--format", "html", "--output", str(page)]) == 0
    assert page.read_text().startswith("<!doctype html>") or page.read_text().startswith("<!DOCTYPE html>")
    shutil.copytree(study.folder, tmp_path / "begun", ignore=lambda _, names: {"interference.json"} & set(names))
    next((tmp_path / "begun" / "cells").glob("joint*/metrics.json")).unlink()
    assert main(["report", str(tmp_path / "begun")]) == 2
    assert "is not finished (5 of 6 models are): the multitask interference command" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "neither a run folder nor a study folder" in capsys.readouterr().err
