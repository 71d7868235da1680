"""Each logger, without the network: losses by task, final scores and tables, runs of a study as a group, resuming."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

import multitask
from multitask.storage.json_files import read_json
from multitask.training.loggers import _markdown, _run_and_group


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory):
    """No logger asks for the network, nor writes into anybody's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        yield


pytestmark = pytest.mark.filterwarnings("ignore")  # of four packages of others; what is tested is what they wrote


def trained(out: Path, *names: str, steps: int = 4, **more):
    return multitask.train(
        tasks="toy_labels,toy_text",
        batch_size=8,
        vocab_size=120,
        eval_limit=4,
        log_every=1,
        schedule="constant",
        loggers=list(names),
        trainer={"max_steps": steps},
        out=str(out),
        quiet=True,
        **more,
    )


def study_run(tmp_path: Path) -> Path:
    (tmp_path / "study" / "cells").mkdir(parents=True)
    (tmp_path / "study" / "study.yaml").write_text("a: 1\n")
    return tmp_path / "study" / "cells" / "joint-seed0"


def test_a_run_in_a_study_has_its_name_as_a_group(tmp_path):
    assert _run_and_group(study_run(tmp_path)) == ("joint-seed0", "study")
    assert _run_and_group(tmp_path / "runs" / "first") == ("first", None)


def test_tensorboard_has_losses_scores_and_tables(tmp_path, toys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trained(tmp_path / "run", "tensorboard")
    log = EventAccumulator(str(run.folder / "events" / "tensorboard"))
    log.Reload()
    assert {"train/loss/toy_labels", "train/loss/toy_text", "final/toy_labels/accuracy"} <= set(log.Tags()["scalars"])
    score = read_json(run.folder / "metrics.json")["toy_labels"]["accuracy"]
    assert log.Scalars("final/toy_labels/accuracy")[0].value == pytest.approx(score)
    assert {"scores/text_summary", "mix/text_summary"} <= set(log.Tags()["tensors"])
    assert b"| toy" in log.Tensors("scores/text_summary")[0].tensor_proto.string_val[0]


def test_trackio_has_losses_scores_and_tables_of_a_run_that_was_resumed(tmp_path, toys):
    pytest.importorskip("trackio")
    import trackio.utils

    run = trained(study_run(tmp_path), "trackio", steps=2)
    # Longer: the same run of trackio goes on.
    multitask.train(resume=str(run.folder), trainer={"max_steps": 4}, quiet=True)
    (database,) = Path(trackio.utils.TRACKIO_DIR).glob("multitask*.db")
    with sqlite3.connect(database) as base:
        rows = base.execute("select run_name, step, metrics from metrics order by id").fetchall()
        settings = base.execute("select run_name, config from configs").fetchall()
    assert len({name for name, *_ in rows}) == 1 and rows[0][0].startswith("joint-seed0-")
    logged = [(step, json.loads(metrics)) for _, step, metrics in rows]
    losses = [step for step, values in logged if "train/loss/toy_text" in values]
    assert sorted(set(losses)) == losses and len(losses) == 4
    assert any("final/toy_labels/accuracy" in values for _, values in logged)
    tables = [values["scores"] for _, values in logged if "scores" in values]
    assert tables and tables[-1]["_type"] == "trackio.table"
    assert any(json.loads(config).get("_Group") == "study" for _, config in settings)


def test_mlflow_has_losses_scores_and_tables(tmp_path, toys):
    mlflow = pytest.importorskip("mlflow")
    run = trained(study_run(tmp_path), "mlflow", steps=2)
    multitask.train(resume=str(run.folder), trainer={"max_steps": 4}, quiet=True)
    client = mlflow.MlflowClient(f"sqlite:///{run.folder / 'events' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("study")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "joint-seed0" and found.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(found.info.run_id, "train/loss/toy_text")] == [0, 1, 2, 3]
    score = read_json(run.folder / "metrics.json")["toy_labels"]["accuracy"]
    assert found.data.metrics["final/toy_labels/accuracy"] == pytest.approx(score)
    assert {f.path for f in client.list_artifacts(found.info.run_id)} >= {"scores.json", "mix.json"}


def test_wandb_writes_a_run_that_can_be_synced(tmp_path, toys):
    pytest.importorskip("wandb")
    run = trained(study_run(tmp_path), "wandb", steps=2)
    (written,) = (run.folder / "events" / "wandb").glob("offline-run-*/run-*.wandb")
    content = written.read_bytes()
    missing = [
        n for n in ("train/loss/toy_text", "final/toy_labels/accuracy", "study", "scores") if n.encode() not in content
    ]
    assert not missing


def test_a_table_is_escaped_where_it_becomes_markdown():
    import pandas as pd

    assert (
        _markdown(pd.DataFrame({"task": ["a|b"], "se": [float("nan")]})) == "| task | se |\n| --- | --- |\n| a\\|b |  |"
    )
