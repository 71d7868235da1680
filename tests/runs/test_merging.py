"""A run that merges finished runs: what it needs of them, and the scale that is chosen on held-out rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

import multitask
from multitask.errors import UserError


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "vocab_size": 60,
        "batch_size": 8,
        "quiet": True,
        "selection_rows": 10,
        "trainer": {"max_steps": 3, "accelerator": "cpu", "enable_progress_bar": False},
        **changes,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("merging")


@pytest.fixture
def singles(toys, folder, tokenizer, tiny_model) -> list[str]:
    start = folder / "start"
    if not start.is_dir():
        tiny_model("t5", seed=1).save_pretrained(start)
        tokenizer.save_pretrained(start)
        for task in ("toy_labels", "toy_text"):
            multitask.train(tasks=task, model=str(start), hold_selection=True, out=str(folder / task), **settings())
    return [str(folder / task) for task in ("toy_labels", "toy_text")]


def merge(folder: Any, runs: list[str], name: str, **changes: Any) -> multitask.Run:
    given = {"tasks": "toy_labels,toy_text", "model": str(folder / "start"), "merge_runs": runs, **changes}
    return multitask.train(out=str(folder / name), overwrite=True, **settings(), **given)


def test_the_average_of_two_runs_is_a_run_with_scores_and_a_model(singles, folder):
    from safetensors.torch import load_file

    run = merge(folder, singles, "average", merge="average")
    record = json.loads((run.folder / "run.json").read_text())
    assert record["steps"] == 0
    assert record["merged"] == {"scale": 1.0, "points": {}}
    assert set(json.loads((run.folder / "metrics.json").read_text())) == {"toy_labels", "toy_text"}
    one, other, mean = (load_file(f"{path}/model/model.safetensors") for path in (*singles, run.folder))
    for name, value in mean.items():
        torch.testing.assert_close(value, (one[name] + other[name]) / 2)


def test_the_scale_is_the_best_of_the_mean_over_tasks_on_held_out_rows(singles, folder):
    run = merge(folder, singles, "ties", merge="ties")
    merged = json.loads((run.folder / "run.json").read_text())["merged"]
    points = {float(s): p for s, p in merged["points"].items()}
    assert len(points) == 9
    assert points[merged["scale"]] == max(points.values())


def test_runs_that_began_elsewhere_or_saw_the_rows_that_choose_are_refused(singles, folder, tmp_path, toys):
    with pytest.raises(UserError, match=r"began at other weights \(model .*start', asked for is 'tiny'\)"):
        multitask.train(tasks="toy_labels", merge="average", merge_runs=singles, out=str(tmp_path / "x"), **settings())
    multitask.train(tasks="toy_labels", model=str(folder / "start"), out=str(tmp_path / "seen"), **settings())
    with pytest.raises(UserError, match="chooses its scale on training rows of 'toy_labels' that are held out"):
        merge(folder, [str(tmp_path / "seen")], "y", merge="ties")
    assert merge(folder, [str(tmp_path / "seen")], "z", merge="ties", merge_scale=0.5).metrics is not None


def test_half_a_request_is_refused():
    with pytest.raises(UserError, match="--merge says how finished runs are merged, and --merge-runs which"):
        multitask.train(merge="ties")
