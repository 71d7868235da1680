"""Where training targets are empty, nothing can be the answer: settled by data, decided by the model, kept with it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

import multitask
from multitask.checks.check import check_tasks
from multitask.decoding.decoder import Decoder, most_expected
from multitask.errors import UserError
from multitask.evaluation.baselines import score_baselines
from multitask.examples.loading import load_task
from multitask.runs.inference import as_trained, evaluate, predict
from multitask.runs.writing import task_settings
from multitask.sources.in_memory import rows
from multitask.task import TASKS, Decoding, Example, add_task
from multitask.tokenization.tokenize import tokenize_task


def asked(row):
    return Example(f"{row['question']}: {row['text']}", row["answer"], context=row["text"])


def table(count, *, empty=True):
    texts = ["red blue green", "old warm", "blue blue small red"]
    made = [{"text": texts[i % 3], "question": "first", "answer": texts[i % 3].split()[0]} for i in range(count)]
    return [{**row, "question": "none", "answer": ""} if empty and i % 2 else row for i, row in enumerate(made)]


def task_of(toy_task, kind="span", *, train=None, validation=None, **fields):
    source = rows({"train": table(30) if train is None else train, "validation": validation or table(8)})
    return toy_task(kind, formatter=asked, source=source, **fields)


@pytest.mark.parametrize("kind", ["span", "text"])
def test_whether_nothing_can_be_the_answer_is_settled_by_the_training_targets(toy_task, kind):
    def settled(train, **fields):
        task = task_of(toy_task, kind, train=train, **fields)
        return load_task(task, task.source, seed=0).task.decoding.no_answer

    assert settled(table(30)) is True
    assert settled(table(30, empty=False)) is False  # although validation targets are empty
    assert settled(table(30), decoding=Decoding(no_answer=False)) is False
    assert settled(table(30, empty=False), decoding=Decoding(no_answer=True)) is True


def test_rows_that_are_held_out_settle_it_too(toy_task):
    train = [*table(30, empty=False), {"text": "old", "question": "none", "answer": " "}]
    task = task_of(toy_task)
    source = rows({"train": train})
    assert {load_task(task, source, seed=seed, holdout=0.5).task.decoding.no_answer for seed in range(6)} == {True}


def test_other_outputs_have_no_such_answer(toy_task):
    assert load_task(toy_task("labels"), toy_task("labels").source, seed=0).task.decoding.no_answer is None
    with pytest.raises(UserError) as error:
        toy_task("labels", decoding=Decoding(no_answer=True))
    assert str(error.value) == (
        "task 'toy_labels' has output 'labels' and sets no_answer, which is for spans and text alone."
    )


def decoder_of(task, tokenizer):
    examples = [task(row) for row in table(6)]
    tokens = tokenize_task(tokenizer, task, examples)
    return Decoder(task, tokenizer, examples, tokens.inputs, tokens.targets)


class Ending:
    """Makes a model's end of sequence certain, or impossible, at the first place of an answer."""

    def __init__(self, model, certain):
        import torch

        with torch.no_grad():
            model.lm_head.weight[1] = 0
            hidden = model.decoder.final_layer_norm.weight
            hidden.abs_()
            model.lm_head.weight[1] = (100 if certain else -100) * torch.sign(self.state(model))

    @staticmethod
    def state(model):
        import torch

        ids = torch.tensor([[5, 6, 1]])
        out = model(input_ids=ids, decoder_input_ids=torch.tensor([[0]]), output_hidden_states=True)
        return out.decoder_hidden_states[-1][0, 0]


@pytest.mark.parametrize("how", ["best", "expected", "likelihood", "greedy", "generate"])
@pytest.mark.parametrize("plain", [False, True])
def test_each_decoder_answers_nothing_where_the_model_ends_at_once(
    tiny_model, tokenizer, toy_task, how, plain, monkeypatch
):
    if plain:
        monkeypatch.setattr("multitask.decoding.decoder.is_unpadded", lambda model: False)
    model = tiny_model("untied").eval()
    Ending(model, certain=True)
    nothing = task_of(toy_task, decoding=Decoding(span=how, no_answer=True, max_new_tokens=8))
    made = decoder_of(nothing, tokenizer)(model, range(6))
    assert [(p.raw, p.valid) for p in made] == [("", True)] * 6
    if how != "generate":
        without = nothing.replace(decoding=Decoding(span=how, no_answer=False, max_new_tokens=8))
        assert all(p.raw and p.valid for p in decoder_of(without, tokenizer)(model, range(6)))
    Ending(model, certain=False)
    if how != "generate":
        assert all(p.raw and p.valid for p in decoder_of(nothing, tokenizer)(model, range(6)))


def test_text_that_is_no_part_of_the_source_does_not_pass_for_no_answer(toy_task, tokenizer):
    decoder = decoder_of(task_of(toy_task, decoding=Decoding(span="generate", no_answer=True)), tokenizer)
    assert [decoder._aligned(t, "red blue") for t in ("", "Blue", "zzz")] == ["", "blue", "zzz"]
    example = Example("a", "", context="red blue")
    assert [decoder._is_valid(t, example) for t in ("", "blue", "zzz")] == [True, True, False]


def test_an_empty_text_is_valid_where_it_may_be_right(toy_task, tokenizer):
    right, other = Example("a", ""), Example("a", "b")
    for no_answer, valid in ((True, [True, True]), (False, [True, False]), (None, [True, False])):
        decoder = decoder_of(task_of(toy_task, "text", decoding=Decoding(no_answer=no_answer)), tokenizer)
        assert [decoder._is_valid("", e) for e in (right, other)] == valid


def test_nothing_is_one_answer_among_those_that_share_words():
    assert most_expected(["", "red", "red blue"], [0.4, 0.35, 0.25]) == 1  # 0.4 against 0.35 + 0.25 / 2
    assert most_expected(["", "red", "blue"], [0.4, 0.3, 0.3]) == 0


def test_the_check_says_what_can_be_reached(toy_task, tokenizer):
    def ceiling(**fields):
        task = task_of(toy_task, **fields)
        report = check_tasks({"x": task}, {"x": load_task(task, task.source, seed=0)}, tokenizer)
        return report.tasks["x"].round_trip.ceilings["pieces"], [
            w for w in report.warnings if "validation" in w and "empty" in w
        ]

    reached, said = ceiling()
    assert reached == 1.0
    assert said == ["toy_span: 4 of 8 validation examples (50.0 %) have an empty target."]
    reached, said = ceiling(train=table(30, empty=False))
    assert reached == 0.5
    assert said == [
        "toy_span: 4 of 8 validation examples (50.0 %) have an empty target. No span is empty, so they cannot be "
        "answered: give decoding=Decoding(no_answer=True)."
    ]


def test_the_baseline_is_no_answer_where_that_is_better(toy_task):
    task = task_of(toy_task)
    data = load_task(task, task.source, seed=0)
    assert score_baselines(data.task, data.train, data.validation)[0].name == "no answer"
    mostly = [row for i, row in enumerate(table(40)) if i % 8 == 1 or not i % 2]
    data = load_task(task, rows({"train": mostly, "validation": table(8)}), seed=0)
    assert score_baselines(data.task, data.train, data.validation)[0].name == "the whole text"


# --------------------------------------------------------------------------------------------------- kept with the run


def test_what_was_settled_is_read_back_from_the_model(toy_task):
    task = task_of(toy_task)
    trained = load_task(task, task.source, seed=0).task

    def model(**settings):
        return SimpleNamespace(config=SimpleNamespace(task_specific_params={task.name: settings}))

    assert as_trained(task, model(**task_settings(trained))).decoding == trained.decoding
    assert as_trained(task, model(no_answer=False)).decoding.no_answer is False
    for older in (model(), model(no_answer="yes"), SimpleNamespace(config=SimpleNamespace())):
        assert as_trained(task, older) is task
    by_hand = task.replace(decoding=Decoding(no_answer=False))
    assert as_trained(by_hand, model(no_answer=True)) is by_hand


def test_a_run_predicts_and_evaluates_as_it_was_trained(toy_task, out, monkeypatch):
    task = add_task(task_of(toy_task))
    try:
        run = multitask.train(
            tasks=task.name, trainer={"max_steps": 2}, batch_size=4, vocab_size=80, out=str(out), quiet=True
        )
        settings = json.loads((out / "model" / "config.json").read_text())["task_specific_params"]
        assert settings[task.name]["no_answer"] is True
        assert f"{task.name}: 15 of 30 training targets are empty, so a span may be (no answer)." in json.dumps(
            json.loads((out / "run.json").read_text()), ensure_ascii=False
        )
        seen = []
        monkeypatch.setattr(
            "multitask.decoding.decoder.best_spans",
            lambda *a, nothing, **k: seen.append(nothing) or ([_nothing() for _ in a[1]], None),
        )
        answers = predict(run.folder, task.name, ["none: red blue", "first: old warm"])
        assert answers["prediction"].tolist() == ["", ""]
        assert answers["valid"].all()
        evaluate(run.folder)
        assert seen
        assert all(seen)
    finally:
        TASKS.discard(task.name)


def _nothing():
    from multitask.decoding.best_spans import BestSpans

    return BestSpans(np.zeros(1), np.array([-1]), np.array([-1]))
