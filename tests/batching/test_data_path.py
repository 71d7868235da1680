"""The benchmark of the data path: it runs, and what it computes instead of storing is right."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from multitask.tokenization.ragged import Ragged

spec = importlib.util.spec_from_file_location(
    "data_path_benchmark", Path(__file__).parents[2] / "benchmarks" / "data_path.py"
)
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)


def test_computed_rows_are_sequences_one_behind_the_other():
    inputs = benchmark.computed().inputs
    stored = Ragged.of([inputs[i] for i in range(100)])
    rows = np.array([0, 99, 11, 12, 40])
    assert inputs.lengths_of(rows).tolist() == stored.lengths_of(rows).tolist()
    assert [inputs.starts[i] for i in range(100)] == stored.starts[:100].tolist()
    assert inputs.starts[1:][rows].tolist() == stored.starts[1:][rows].tolist()


def test_mapped_rows_are_as_long_as_computed_ones(tmp_path):
    mapped, computed = benchmark.mapped(1000, tmp_path), benchmark.computed()
    rows = np.arange(1000)
    assert mapped.inputs.lengths_of(rows).tolist() == computed.inputs.lengths_of(rows).tolist()
    assert mapped.targets.starts[-1] == len(mapped.targets.ids)


def test_a_split_holds_every_row_once():
    pool = benchmark.drawn(500, 0, 3)
    parts = benchmark.split(pool, 7)
    assert sorted(map(len, parts.values()))[-1] < 5 * min(map(len, parts.values()))
    found = [tuple(part.inputs[i]) for part in parts.values() for i in range(len(part))]
    assert sorted(found) == sorted(tuple(pool.inputs[i]) for i in range(len(pool)))


def test_ours_and_the_libraries_are_counted_in_real_tokens(capsys):
    tokens = {name: benchmark.drawn(200, seed, 4) for seed, name in enumerate("ab")}
    result = benchmark.libraries(tokens, batch_size=16, rounds=1, number=20)
    assert result["flat"]["ratio"]["median"] > 1
    assert "16 examples a step" in capsys.readouterr().out
    flat, grouped = (
        list(benchmark.steps(benchmark.maker_of(tokens, (1, 1), 16, execution=name), 3, 2))
        for name in ("flat", "grouped")
    )
    assert [benchmark.tokens_of(b) for b in flat] == [benchmark.tokens_of(b) for b in grouped]


def test_growth_with_tasks_is_measured(capsys):
    result = benchmark.tasks(benchmark.drawn(600, 0, 4), counts=(1, 4), batch_size=16, rounds=1, number=3, training=0)
    assert result["make_ms"].keys() == {1, 4}
    assert "tasks" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["computed", "mapped"])
def test_steps_anywhere_are_measured(source):
    found = benchmark.measured({"do": "steps", "source": source, "rows": 2000, "number": 20})
    assert found["tokens"] > 20 * 64
    assert found["peak"] > 0


def test_every_row_of_a_plan_is_read():
    what = {"do": "position", "rows": 1000, "examples": 64 * 500, "places": 3, "number": 2, "whole": True}
    found = benchmark.measured(what)
    assert [p["example"] for p in found["places"]] == [0, 64 * 249, 64 * 498]
    assert (found["read"], found["epochs"], found["right"]) == (32_000, 30, True)
