"""Model folders that say other than they are: refused before anything is written, or trained as if they did not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from multitask.cli import main
from multitask.runs.train import train


@pytest.fixture(autouse=True)
def _toys(toys):
    return toys


def run(out: Path, steps: int = 1, **settings: Any) -> Path:
    options = {"max_steps": steps, "enable_progress_bar": False, "accelerator": "cpu"}
    given = {"tasks": "toy_labels,toy_text", "vocab_size": 70, "batch_size": 12, "quiet": True, "labels_by": "generate"}
    return train(**{**given, "out": str(out), "trainer": options, **settings}).folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**read(path), **values}))


@pytest.fixture
def model(tmp_path, tiny_model, tokenizer) -> Path:
    folder = tmp_path / "model"
    tiny_model("t5", seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("execution", ["flat", "grouped"])
def test_a_folders_generation_settings_decide_no_score_and_are_not_handed_on(execution, model, tmp_path):
    asked = {"model": str(model), "lr": 1e-12, "execution": execution}
    plain = run(tmp_path / "plain", **asked)
    edit(
        model / "generation_config.json",
        min_length=12,
        num_beams=4,
        return_dict_in_generate=True,
        forced_bos_token_id=9,
    )
    edit(model / "config.json", no_repeat_ngram_size=1, return_dict=False)
    other = run(tmp_path / "other", **asked)
    assert (other / "metrics.json").read_text() == (plain / "metrics.json").read_text()
    for name in ("toy_labels", "toy_text"):
        made = [(folder / "predictions" / f"{name}.parquet").read_bytes() for folder in (plain, other)]
        assert made[0] == made[1]
    for name in ("config.json", "generation_config.json"):
        assert read(other / "model" / name) == read(plain / "model" / name)
    assert "num_beams" not in read(other / "model" / "generation_config.json")
    warnings = read(other / "run.json")["warnings"]
    assert sum("are not used (min_length, num_beams, return_dict_in_generate" in line for line in warnings) == 1


def test_a_model_without_a_start_or_padding_id_takes_the_familys_which_the_record_says(model, tmp_path):
    edit(model / "config.json", decoder_start_token_id=None, pad_token_id=None)
    folder = run(tmp_path / "run", model=str(model))
    warnings = read(folder / "run.json")["warnings"]
    assert sum(f"config.json of model '{model}' names no " in line for line in warnings) == 2
    saved = read(folder / "model" / "config.json")
    assert (saved["decoder_start_token_id"], saved["pad_token_id"], saved["eos_token_id"]) == (0, 0, 1)


@pytest.mark.parametrize("command", ["train", "interference"])
def test_weights_that_do_not_fit_end_each_command_in_one_line_before_data_is_read(
    command, model, tmp_path, capsys, monkeypatch
):
    for place in ("multitask.runs.run_data", "multitask.interference.setup"):
        monkeypatch.setattr(f"{place}.prepare_mixture", lambda config: pytest.fail("data was read"))
    weights = load_file(model / "model.safetensors")
    kept = {name: w for name, w in weights.items() if not name.startswith("decoder.block.1.layer.2")}
    save_file(kept, model / "model.safetensors", {"format": "pt"})
    out = tmp_path / "out"
    steps = ["--trainer.max_steps", "1", *(["--seeds", "1"] if command == "interference" else [])]
    code = main([command, "--tasks", "toy_labels,toy_text", "--model", str(model), "--out", str(out), *steps])
    said = capsys.readouterr().err
    assert code == 2
    assert "Traceback" not in said
    assert "decoder.block.1.layer.2.layer_norm.weight are missing. They are a part of" in said.splitlines()[-1]
    assert not (out / "model").exists()


def test_an_old_run_is_not_replaced_by_one_whose_weights_do_not_fit(model, tmp_path, capsys):
    old = run(tmp_path / "run", model=str(model))
    before = (old / "metrics.json").read_bytes()
    bad = tmp_path / "bad"
    shutil.copytree(model, bad)
    save_file({f"module.{n}": w for n, w in load_file(bad / "model.safetensors").items()}, bad / "model.safetensors")
    asked = ["--model", str(bad), "--out", str(old), "--overwrite", "--trainer.max_steps", "1"]
    assert main(["train", "--tasks", "toy_labels,toy_text", *asked]) == 2
    assert "have 'module.' too much" in capsys.readouterr().err
    assert (old / "metrics.json").read_bytes() == before
