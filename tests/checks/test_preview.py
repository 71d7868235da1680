"""What is known before training: mean lengths, the planned mixture and the check of tasks, as printed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from multitask.checks.preview import mean_tokens, print_check, print_plan
from multitask.config import TrainConfig
from multitask.mixing.prepare import prepare_mixture
from multitask.tokenization.tokenize import tokenize_task
from multitask.tokenization.vocabulary import mixture_tokenizer

NAMES = ["toy_labels", "toy_text"]


@pytest.fixture
def config(toys):
    return TrainConfig(tasks="toy_labels=3,toy_text=1", vocab_size=120, batch_size=8, trainer={"max_steps": 10})


def test_the_plan_as_json_counts_and_shares_what_training_will_see(config, capsys):
    print_plan(config, as_json=True)
    plan = json.loads(capsys.readouterr().out)
    assert (plan["steps"], plan["batch_size"]) == (10, 8)
    assert [plan["tasks"][n]["examples"] for n in NAMES] == [60, 20]
    assert [plan["tasks"][n]["rate"] for n in NAMES] == [0.75, 0.25]
    assert [plan["tasks"][n]["rows"] for n in NAMES] == [60, 60]
    assert plan["tasks"]["toy_labels"]["epochs"] == 1.0
    for share in ("rate", "input_token_share", "target_token_share"):
        assert sum(plan["tasks"][n][share] for n in NAMES) == pytest.approx(1)


def test_the_plan_as_a_table_has_a_line_for_each_task(config, capsys):
    print_plan(config, as_json=False)
    out = capsys.readouterr().out
    assert "Mixture over 10 steps of 8 examples" in out
    assert [line.split()[0] for line in out.splitlines() if line.startswith("toy_")] == NAMES
    assert all(line == line.rstrip() for line in out.splitlines())


def test_the_check_shows_examples_as_the_model_sees_them(config, capsys):
    print_check(config, as_json=False, show=2)
    out = capsys.readouterr().out
    for name in NAMES:
        assert f"{name}: 2 of 60 training examples, from rows given in Python, split train\n  input   " in out
    assert out.index("  target  ") < out.index("Rows\n")
    print_check(config, as_json=True, show=1)
    (example,) = json.loads(capsys.readouterr().out)["examples"]["toy_text"]
    assert set(example) == {"id", "input", "target"}


def test_a_generated_sample_is_said_first(capsys):
    print_plan(TrainConfig(tasks="sst2", vocab_size=300, trainer={"max_steps": 2}), as_json=False)
    assert capsys.readouterr().out.startswith("GENERATED SAMPLE: ")


def test_mean_lengths_are_those_of_the_tokenised_examples(config):
    mix = prepare_mixture(config)
    tokenizer = mixture_tokenizer(config, mix)
    for name, (inputs, targets) in mean_tokens(mix, config).items():
        tokens = tokenize_task(tokenizer, mix.tasks[name], mix.data[name].train)
        assert inputs == pytest.approx(float(np.mean(tokens.inputs.lengths)))
        assert targets == pytest.approx(float(np.mean(tokens.targets.lengths)))


def test_long_data_is_sampled_evenly(config, monkeypatch):
    seen = []
    original = tokenize_task

    def spy(tokenizer, task, examples):
        seen.append([e.id for e in examples])
        return original(tokenizer, task, examples)

    monkeypatch.setattr("multitask.tokenization.tokenize.tokenize_task", spy)
    mean_tokens(prepare_mixture(config), config, rows=20)
    assert seen == [[f"train:{i}" for i in range(0, 60, 3)]] * 2


def test_the_check_prints_tables_or_json(config, capsys):
    print_check(config, as_json=True)
    assert list(json.loads(capsys.readouterr().out)["tasks"]) == NAMES
    print_check(config, as_json=False)
    assert "most serious first" in capsys.readouterr().out
