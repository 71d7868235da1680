"""A stranger's run folder runs nothing and leads nowhere; one's own says neither a token nor its owner's home."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

import multitask
from multitask.config import expand_paths
from multitask.errors import UserError
from multitask.runs.finished import run_config
from multitask.runs.folder import check_folder
from multitask.sources.readers import read_rows
from multitask.storage.folders import safe_name
from multitask.storage.json_files import read_json, write_json
from multitask.storage.tensor_files import load_tensors
from multitask.task import Task
from multitask.tokenization.disk_cache import MAGIC, Cache
from multitask.training.callbacks import best_checkpoint

SECRETS = {"HF_TOKEN": "hf_secret_of_test", "WANDB_API_KEY": "wandb_secret_of_test"}
SETTINGS = {
    "tasks": "sst2",
    "batch_size": 8,
    "vocab_size": 300,
    "eval_every": 1,
    "eval_limit": 4,
    "select": "mean",
    "selection_rows": 20,
    "checkpoint_every": 1,
    "loggers": ["tensorboard"],
    "trainer": {"max_steps": 2, "enable_progress_bar": False},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A user's home with data and a run in it, trained while the environment holds tokens."""
    import runpy

    write_data = runpy.run_path(str(Path(__file__).parent / "conftest.py"))["write_data"]
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HOME": str(folder), "MULTITASK_CACHE": "off", **SECRETS}.items():
            patch.setenv(name, value)
        data = write_data(folder / "data", ("sst2",))
        multitask.train(**SETTINGS, data=str(data), out=str(folder / "run"), quiet=True)
    return folder


def test_no_file_of_a_run_says_a_token_or_the_home(home):
    looked_at = [path for path in (home / "run").rglob("*") if path.is_file()]
    assert {"config.yaml", "run.json", "config.json"} <= {path.name for path in looked_at}
    assert [path for path in looked_at if path.suffix == ".ckpt"]
    for path in looked_at:
        content = path.read_bytes()
        assert not [s for s in (str(home), *SECRETS.values()) if s.encode() in content], path
    assert yaml.safe_load((home / "run/config.yaml").read_text())["data"] == "~/data"


def test_the_settings_of_a_run_lead_back_to_its_files(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    config = run_config(home / "run")
    assert (config.data, config.out) == (str(home / "data"), str(home / "run"))
    assert expand_paths(config) == config


def test_a_run_goes_on_by_its_own_settings_and_a_pickle_in_its_place_is_not_run(home, monkeypatch, tmp_path, canary):
    monkeypatch.setenv("HOME", str(home))
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    again = dataclasses.replace(run_config(home / "run"), out=str(run), resume=True)
    newest = run / "checkpoints" / "step-2.ckpt"
    write_json(run / "run.json", {**read_json(run / "run.json"), "status": "begun"}, sealed=True)
    (run / "events" / "csv" / "hparams.yaml").write_text(f"!!python/object/apply:os.system ['{canary.command}']")
    with newest.open("wb") as file:
        torch.save({"state_dict": canary.pickle(), "global_step": 2}, file)
    with pytest.raises(UserError, match="could run code when they are read: it is not loaded"):
        multitask.train(again, quiet=True)


@pytest.mark.parametrize("content", ["zip", "bare", "garbage"])
def test_no_checkpoint_runs_code(tmp_path, canary, content):
    path = tmp_path / "step-1.ckpt"
    if content == "garbage":
        path.write_bytes(b"PK\x03\x04" + bytes(1000))
    else:
        with path.open("wb") as file:
            made = {"state_dict": canary.pickle()}
            torch.save(made, file) if content == "zip" else pickle.dump(made, file, protocol=2)  # torch's own
    with pytest.raises(UserError, match=r"step-1\.ckpt"):
        load_tensors(path)


def test_a_checkpoint_names_no_file_elsewhere_as_its_best(tmp_path):
    made = best_checkpoint(tmp_path / "checkpoints", monitor="val/mean")
    state = {**made.state_dict(), "best_model_score": torch.tensor(1.0)}
    far = "/elsewhere/checkpoints/../../precious.ckpt"
    made.load_state_dict({**state, "best_model_path": far, "best_k_models": {far: torch.tensor(1.0)}})
    here = str((tmp_path / "checkpoints").resolve() / "precious.ckpt")
    assert made.best_model_path == here
    assert list(made.best_k_models) == [here]
    assert made.state_dict()["best_model_path"] == "precious.ckpt"
    for name in ("..", "/etc/passwd"):
        with pytest.raises(UserError, match="which is no checkpoint"):
            made.load_state_dict({**state, "best_model_path": name})


def test_a_link_that_leads_out_of_a_run_is_not_written_through(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run / "events").mkdir(parents=True)
    (run / "config.yaml").touch()
    (run / "events" / "inside").symlink_to(run / "config.yaml")
    check_folder(run, resume=True, overwrite=False)
    (run / "checkpoints").symlink_to(elsewhere)
    with pytest.raises(UserError, match="checkpoints is a link that leads out of"):
        check_folder(run, resume=True, overwrite=False)


@pytest.mark.parametrize("name", ["../../x", "a/b", "/etc/passwd", "a\0b", "..", "", "a b", "<script>"])
def test_a_tasks_name_leads_nowhere(toy_task, name):
    with pytest.raises(UserError, match="must be made of ASCII letters"):
        toy_task("labels", name=name)
    assert isinstance(toy_task("labels"), Task)
    assert "/" not in safe_name(name)
    assert ".." not in safe_name(name)


@pytest.mark.parametrize("dtype", ["|O", "O", "object", "|V8", "<M8[s]", "i4,O"])
def test_a_cache_entry_holds_numbers_only(tmp_path, dtype):
    said: list[str] = []
    cache = Cache(tmp_path, said.append)
    cache.write("tokens", {"a": 1}, {"x": np.arange(4)}, {})
    assert cache.read("tokens", {"a": 1}) is not None
    path = cache.path("tokens", {"a": 1})
    body = (0).to_bytes(8, "little")
    header = {"key": {"a": 1}, "arrays": [{"name": "x", "dtype": dtype, "count": 1, "crc": zlib.crc32(body)}]}
    text = json.dumps(header).encode()
    head = MAGIC + len(text).to_bytes(4, "little") + zlib.crc32(text).to_bytes(4, "little") + text
    path.write_bytes(head + b"\0" * (-len(head) % 64) + body)
    assert cache.read("tokens", {"a": 1}) is None
    assert "its header does not list arrays of numbers" in said[0]


def test_a_pickle_in_a_parquet_files_types_is_not_run(tmp_path, canary):
    about = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(canary.pickle()),
    }
    schema = pa.schema([pa.field("sentence", pa.string(), metadata=about)])
    pq.write_table(pa.table({"sentence": ["a"]}, schema=schema), tmp_path / "train.parquet")
    assert next(iter(read_rows(tmp_path / "train.parquet")))["sentence"] == "a"


def test_archives_and_pickles_are_no_data(tmp_path):
    for name in ("train.csv.zip", "train.tar.gz", "train.tar", "train.pkl", "train.pkl.gz", "train.npy.xz"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UserError, match="has no known ending"):
            read_rows(tmp_path / name)


def test_json_nested_by_the_thousand_is_one_sentence(tmp_path):
    (tmp_path / "metrics.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="cannot be read as JSON"):
        read_json(tmp_path / "metrics.json")
