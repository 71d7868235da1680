"""Using a finished run from Python: scores on other data, predictions for strings and rows without targets."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch

import multitask
import multitask.runs.finished
from multitask.decoding.decoder import Decoder
from multitask.errors import UserError
from multitask.examples.new_inputs import new_examples, read_inputs, row_example
from multitask.metrics.naming import resolve_metrics
from multitask.runs.finished import check_finished, run_config
from multitask.runs.inference import evaluate, predict
from multitask.sources.sample_rows import SAMPLED, sample_rows
from multitask.task import TASKS, UNLABELLED, Decoding, Example, Task, add_task


@pytest.fixture(scope="module")
def run(toy_task, tmp_path_factory):
    """A run of the four toy tasks, a few steps."""
    tasks = [add_task(toy_task(kind)) for kind in ("labels", "span", "number", "text")]
    out = tmp_path_factory.mktemp("toys") / "run"
    yield multitask.train(
        tasks=[t.name for t in tasks], trainer={"max_steps": 3}, batch_size=8, vocab_size=120, out=str(out), quiet=True
    )
    for task in tasks:
        TASKS.discard(task.name)


def formatted(formatter, **fields):
    """An unregistered task of one formatter."""
    metrics = resolve_metrics([fields.pop("metric", "exact_match")])
    return Task(name="made_up", formatter=formatter, prefix="made up: ", metrics=metrics, **fields)


# ---------------------------------------------------------------------------------------------------------- evaluating


def test_evaluating_again_gives_the_scores_of_training(run):
    stored = json.loads((run.folder / "metrics.json").read_text())
    again = evaluate(run.folder)
    assert list(again) == list(stored)
    for task, values in stored.items():
        for name, value in again[task].numbers.items():
            # Read back from safetensors, and in other batches: equal up to rounding.
            assert value == pytest.approx(values[name], abs=1e-4, nan_ok=True) if values[name] is not None else True


def test_evaluation_is_in_bf16_only_if_it_is_asked_for_and_then_everywhere(run, tmp_path, monkeypatch):
    plain, seen = Decoder.__call__, []

    def decode(self, model, rows):
        seen.append(torch.is_autocast_enabled("cpu"))
        return plain(self, model, rows)

    monkeypatch.setattr(Decoder, "__call__", decode)
    settings = {"tasks": "toy_labels,toy_text", "trainer": {"max_steps": 2}, "batch_size": 8, "vocab_size": 120}
    settings |= {"eval_every": 1, "quiet": True}
    for precision, asked, folder in (("bf16", "fp32", "a"), ("fp32", "bf16", "b")):
        out = str(tmp_path / folder)
        made = multitask.train(**settings, precision=precision, eval_precision=asked, out=out)
        evaluate(made.folder)
        made.predict("toy_labels", ["red blue"])
        assert len(seen) > 6 and set(seen) == {asked == "bf16"}
        seen.clear()


def test_one_task_may_be_evaluated_alone(run):
    assert list(evaluate(run.folder, "toy_span")) == ["toy_span"]
    assert list(evaluate(run.folder, ["toy_span", "toy_text"])) == ["toy_span", "toy_text"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"decoding": Decoding(max_new_tokens=3)}, "its decoding.max_new_tokens was 64 and is 3"),
        ({"postprocess": lambda text, example: text.upper()}, "the code of its postprocess is another"),
        ({"max_input_tokens": 40}, "its max_input_tokens was 512 and is 40"),
    ],
    ids=["decoding", "postprocess", "limit"],
)
def test_a_task_that_changed_since_is_used_as_it_is_now_and_that_is_said(run, monkeypatch, capsys, fields, said):
    predict(run.folder, "toy_text", ["red"])
    evaluate(run.folder, "toy_text")
    assert "changed" not in capsys.readouterr().err
    monkeypatch.setitem(TASKS._objects, "toy_text", TASKS.get("toy_text").replace(**fields))
    line = (
        f"multitask: WARNING: task 'toy_text' changed since {run.folder} was trained: {said}. It is used as it is now."
    )
    predict(run.folder, "toy_text", ["red"])
    assert capsys.readouterr().err.count(line) == 1
    evaluate(run.folder, "toy_text")
    assert capsys.readouterr().err.count(line) == 1


@pytest.mark.parametrize("fields", [{"prefix": "new: "}, {"labels": ("no", "yes", "maybe")}, {"output": "text"}])
def test_a_task_that_the_model_was_not_trained_on_under_this_name_is_refused(run, monkeypatch, fields):
    monkeypatch.setitem(TASKS._objects, "toy_labels", TASKS.get("toy_labels").replace(**fields))
    (name,) = fields
    for use in (lambda: evaluate(run.folder), lambda: predict(run.folder, "toy_labels", ["red"])):
        with pytest.raises(UserError, match=rf"task 'toy_labels' is not what the model in .* its {name} was "):
            use()
    evaluate(run.folder, "toy_span")  # of the others nothing changed


def test_a_run_whose_settings_were_edited_is_refused_and_one_whose_data_moved_says_so(run, monkeypatch, capsys):
    path = run.folder / "config.yaml"
    content = path.read_text()
    try:
        path.write_text(content.replace("holdout: 0.1", "holdout: 0.2").replace("workers: 0", "workers: 1"))
        for use in (lambda: evaluate(run.folder), lambda: predict(run.folder, "toy_labels", ["red"])):
            with pytest.raises(
                UserError, match=r"config\.yaml was edited: holdout is 0\.2, and the run was begun with 0\.1"
            ):
                use()
        path.write_text(content.replace("data: null", "data: sample"))
        with pytest.raises(UserError, match="sample"):  # of the toys there is none
            evaluate(run.folder)
        assert "config.yaml was edited: data is 'sample', and the run was begun with None." in capsys.readouterr().err
    finally:
        path.write_text(content)


def test_files_without_training_rows_are_evaluated(run, tmp_path, monkeypatch):
    monkeypatch.setitem(TASKS._objects, "toy_labels", TASKS.get("toy_labels").replace(source=None))
    folder = tmp_path / "toy_labels"
    folder.mkdir()
    (folder / "validation.jsonl").write_text('{"text": "red blue", "label": 0}\n{"text": "big slow", "label": 1}\n')
    scores = evaluate(run.folder, "toy_labels", data=str(tmp_path))["toy_labels"]
    assert list(scores.frame["target"]) == ["no", "yes"]
    assert scores.baseline == {}


def test_a_split_without_labels_is_refused(run, tmp_path, monkeypatch):
    task = formatted(lambda row: Example(row["text"], row["label"]), labels=("no", "yes"), output="labels")
    monkeypatch.setitem(TASKS._objects, "made_up", task)
    folder = tmp_path / "made_up"
    folder.mkdir()
    (folder / "test.jsonl").write_text('{"text": "red blue", "label": "<unk>"}\n')
    with pytest.raises(UserError) as caught:
        evaluate(run.folder, "made_up", data=str(tmp_path), split="test")
    assert str(caught.value) == (
        f"task 'made_up' has no labels in split 'test' of {folder}, so there is nothing to score; "
        "multitask predict answers rows without labels."
    )


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError) as caught:
        evaluate(tmp_path)
    assert str(caught.value) == f"{tmp_path} is not a run folder: it has no config.yaml."


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", " holds no settings."),
        ("- 1", " holds no settings."),
        ("a: [", ", line 1 is not YAML: expected the node content, but found '<stream end>'."),
        ("taskz: sst2", " has the unknown setting 'taskz': did you mean 'tasks'?"),
    ],
)
def test_settings_that_cannot_be_read_name_their_file(tmp_path, text, end):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        run_config(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'config.yaml'}{end}"


def test_a_run_without_a_model_is_not_finished(tmp_path):
    (tmp_path / "config.yaml").write_text("tasks: sst2")
    with pytest.raises(UserError) as caught:
        check_finished(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has no model yet: the run is not finished; multitask train --resume {tmp_path} continues it."
    )


# ---------------------------------------------------------------------------------------------------------- predicting


@pytest.mark.parametrize("kind", ["labels", "span", "number", "text"])
def test_strings_and_rows_get_the_same_answer_in_their_order(run, kind):
    texts = ["red blue green", "big", "old new fast slow warm cold"]
    from_strings = run.predict(f"toy_{kind}", texts)
    row = {"label": 0, "size": 1} if kind in ("labels", "number") else {}
    from_rows = run.predict(f"toy_{kind}", [{"text": text, **row} for text in texts])
    assert list(from_strings["input"]) == texts
    assert from_strings.equals(from_rows)


def test_predictions_are_those_of_evaluation(run):
    frame = evaluate(run.folder, "toy_labels")["toy_labels"].frame
    inputs = [text.removeprefix("toy labels: ") for text in frame["inputs"]]
    assert list(predict(run.folder, "toy_labels", inputs)["prediction"]) == list(frame["prediction"])


def test_a_predicted_span_is_a_piece_of_its_text(run):
    texts = ["red  blue", "positive text: big `small` old"]
    frame = predict(run.folder, "toy_span", texts)
    assert frame["prediction"][0] in texts[0]
    assert frame["prediction"][1] in "big `small` old"


def test_no_inputs_give_an_empty_frame(run):
    frame = predict(run.folder, "toy_text", [])
    assert list(frame.columns) == ["input", "prediction", "valid"]
    assert len(frame) == 0
    assert list(predict(run.folder, "toy_text", [], scores=True).columns) == [*frame.columns, "log_likelihood"]


@pytest.mark.parametrize("kind", ["labels", "span", "text"])  # a number is scored as a text, and this one writes none
def test_scores_are_what_evaluation_says_of_the_answers_as_targets(run, monkeypatch, kind):
    """The task whose formatter gives the answers as targets has their log-likelihoods in its predictions."""
    task = TASKS.get(f"toy_{kind}")
    texts = ["red blue green", "big", "old new fast slow warm cold"]
    plain, scored = predict(run.folder, task.name, texts), predict(run.folder, task.name, texts, scores=True)
    assert scored[plain.columns].equals(plain)
    answers = dict(zip(texts, plain["prediction"], strict=True))
    source = multitask.rows({"validation": [{"text": text} for text in texts]})

    def formatter(row):
        return Example(row["text"], answers[row["text"]], context=row["text"] if kind == "span" else None)

    monkeypatch.setitem(TASKS._objects, task.name, task.replace(formatter=formatter, source=source))
    expected = evaluate(run.folder, task.name)[task.name].frame
    assert list(expected["prediction"]) == list(expected["target"])
    assert list(scored["log_likelihood"]) == pytest.approx(list(expected["log_likelihood"]), abs=1e-4)
    assert list(scored.columns[3:]) == ["log_likelihood"] + (
        ["probability", "probabilities", "log_likelihoods"] if kind == "labels" else []
    )


def test_probabilities_are_the_labels_shares_of_their_likelihood(run):
    frame = run.predict("toy_labels", ["red blue", "big"], scores=True)
    for row in frame.to_dict("records"):
        assert list(row["probabilities"]) == ["no", "yes"]
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][row["prediction"]]
        assert row["log_likelihood"] == row["log_likelihoods"][row["prediction"]]
        odds = math.exp(row["log_likelihoods"]["yes"] - row["log_likelihoods"]["no"])
        assert row["probabilities"]["yes"] / row["probabilities"]["no"] == pytest.approx(odds)


@pytest.mark.parametrize("kind", ["labels", "span", "number", "text"])
def test_strings_are_answered_by_what_the_folder_says_of_a_task_as_by_the_task_itself(run, monkeypatch, kind):
    texts = ["red blue green", "positive text: big `small` old", f"toy {kind}: warm"]
    expected = run.predict(f"toy_{kind}", texts, scores=True)
    monkeypatch.delitem(TASKS._objects, f"toy_{kind}")
    assert run.predict(f"toy_{kind}", texts, scores=True).equals(expected)


def test_rows_of_a_task_that_is_not_there_need_its_file(run, monkeypatch):
    monkeypatch.delitem(TASKS._objects, "toy_text")
    with pytest.raises(UserError) as caught:
        run.predict("toy_text", ["red", {"text": "red"}])
    assert str(caught.value) == (
        f"rows of task 'toy_text' become inputs by its formatter, which {run.folder} does not hold: give the file that "
        "registers it, if you trust that file; or give lines of text, which need none: what comes after 'toy text: '."
    )
    with pytest.raises(UserError, match=r"^unknown task 'toy_texts': did you mean 'toy_text' or 'toy_"):
        run.predict("toy_texts", ["red"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code": {"postprocess": "0" * 64}}, "changes what the model writes by a function of its own (postprocess)"),
        ({"decoding": {"num_beams": 0}}, "num_beams of task 'toy_text' must be from 1 to 1,000,000. Got 0."),
        ({"decoding": {"nonsense": 1}}, "has the unknown decoding setting 'nonsense'"),
        ({"decoding": {"span": "worst"}}, "span"),
        ({"output": "picture"}, "output"),
        ({"labels": ["a"], "output": "labels"}, "scores labels, so it needs two or more. Got ['a']."),
    ],
)
def test_a_folder_that_says_what_cannot_be_is_refused(run, monkeypatch, change, message):
    monkeypatch.delitem(TASKS._objects, "toy_text")
    plain = multitask.runs.finished.definitions_in

    def changed(record, path):
        return {name: {**about, **change} for name, about in plain(record, path).items()}

    monkeypatch.setattr(multitask.runs.finished, "definitions_in", changed)
    with pytest.raises(UserError, match=re.escape(message)):
        run.predict("toy_text", ["red"])


def test_an_unknown_task_is_refused_before_the_model_is_loaded(run, monkeypatch):
    monkeypatch.setattr("multitask.runs.inference.load_run", None)
    with pytest.raises(UserError, match=r"^unknown task 'toy_txt': did you mean 'toy_text'"):
        predict(run.folder, "toy_txt", ["a"])


def test_one_string_is_not_a_list_of_letters(run):
    with pytest.raises(
        TypeError, match=r"^inputs must be a list of strings or rows\. Got one string: put it in a list\.$"
    ):
        predict(run.folder, "toy_text", "red blue")


# ------------------------------------------------------------------------------------------------ rows without targets


@pytest.mark.parametrize(
    ("name", "target"), [("span", "selected_text"), ("sst2", "label"), ("tweet_sentiment", "sentiment")]
)
def test_the_input_of_a_row_does_not_need_its_target(name, target):
    assert name in SAMPLED
    task, rows = TASKS.get(name), sample_rows(name, "validation")[:50]
    made = new_examples(task, [{k: v for k, v in row.items() if k != target} for row in rows])
    for example, row in zip(made, rows, strict=True):
        (whole,) = task.examples(row, "test")
        assert (example.inputs, example.context) == (whole.inputs, whole.context)
        assert (example.target, example.references) == (UNLABELLED, (UNLABELLED,))


WITHOUT_TARGETS = {
    "stsb": {"sentence1": "a", "sentence2": "b"},
    "boolq": {"question": "q", "passage": "p"},
    "trec": {"text": "a"},
    "squad": {"question": "q", "context": "c"},
    "aeslc": {"email_body": "a"},
    "multi30k": {"en": "a"},
    "wellformedness": {"content": "a"},
    "disfl_qa": {"disfluent question": "a"},
    "wsc": {"text": "It stood by the stable. It was new.", "span2_text": "It", "span2_index": 5},
    "record": {"passage": "p", "query": "@placeholder q", "entities": ["a", "b"]},
}


@pytest.mark.parametrize("name", WITHOUT_TARGETS)
def test_every_kind_of_target_may_be_missing_and_no_input(name):
    task, row = TASKS.get(name), WITHOUT_TARGETS[name]
    assert new_examples(task, [row])[0].target == UNLABELLED
    for column in row:
        rest = {k: v for k, v in row.items() if k != column}
        with pytest.raises(UserError) as caught:
            new_examples(task, [rest])
        assert str(caught.value) == (
            f"row 1 has no column '{column}', which the input of task '{name}' is made of; "
            f"it has {', '.join(rest) or 'no columns'}."
        )


def test_what_one_row_can_do_without_another_may_need():
    """Which "it" is meant matters in the second row only."""
    one = {"text": "The stable was large. It was new.", "span2_text": "It"}
    assert new_examples(TASKS.get("wsc"), [one])[0].inputs == "wsc: The stable was large. *It* was new."
    with pytest.raises(UserError, match=r"^row 2 has no column 'span2_index', "):
        new_examples(TASKS.get("wsc"), [one, {**one, "text": "It stood by the stable. It was new."}])


@pytest.mark.parametrize(
    ("formatter", "labels"),
    [
        (lambda row: Example(row["body"], row["queue"]), ("billing", "technical")),
        (lambda row: Example(row["body"], ("billing", "technical")[int(row["queue"])]), ("billing", "technical")),
        (lambda row: Example(row["body"], row["answers"]["text"][0]), ()),
        (lambda row: Example(row["body"], row["answers"][0]), ()),
        (lambda row: Example(row["body"], f"{row['price'] / 2:.1f}"), ()),
    ],
    ids=["label", "index", "answers", "list", "number"],
)
def test_a_users_own_formatter_needs_no_target_either(formatter, labels):
    task = formatted(formatter, labels=labels, output="labels" if labels else "text")
    assert [e.inputs for e in new_examples(task, [{"body": "x"}, {"body": "y"}])] == ["made up: x", "made up: y"]


@pytest.mark.parametrize("target_first", [True, False])
def test_of_several_missing_columns_the_inputs_is_named(target_first):
    def formatter(row):
        if target_first:
            return Example(target=row["b"], inputs=row["a"])
        return Example(row["a"], row["b"])

    with pytest.raises(UserError, match=r"^row 1 has no column 'a', which the input .* it has c\.$"):
        new_examples(formatted(formatter), [{"c": 1}])


def test_a_target_that_is_given_is_kept():
    task = formatted(lambda row: Example(row["a"], row["b"]))
    assert [e.target for e in new_examples(task, [{"a": "x"}, {"a": "x", "b": "y"}])] == [UNLABELLED, "y"]


def test_renamed_columns_are_asked_for_by_their_name_in_the_file():
    task = formatted(lambda row: Example(row["a"], row["b"]), columns={"a": "text"})
    assert new_examples(task, [{"text": "x"}])[0].inputs == "made up: x"
    with pytest.raises(UserError, match=r"^row 1 has no column 'text', "):
        new_examples(task, [{"a": "x"}])


def test_a_masked_text_is_an_input_even_where_a_short_one_leaves_no_trace():
    with pytest.raises(UserError, match=r"^row 1 has no column 'text', "):
        new_examples(TASKS.get("denoise"), [{}])


@pytest.mark.parametrize(
    ("formatter", "message"),
    [
        (lambda row: [], "row 7 becomes 0 examples of task 'made_up'; give one at a time."),
        (lambda row: [Example("a", "b")] * 2, "row 7 becomes 2 examples of task 'made_up'; give one at a time."),
        (lambda row: Example({}["x"], ""), "row 7 does not fit task 'made_up': KeyError: 'x'"),
        (lambda row: Example("a", int("z")), "row 7 does not fit task 'made_up': invalid literal for int()"),
    ],
)
def test_a_row_that_does_not_fit_is_named(formatter, message):
    with pytest.raises(UserError) as caught:
        row_example(formatted(formatter), {"a": 1}, 7)
    assert str(caught.value).startswith(message)


def test_a_line_may_begin_with_the_prefix_or_not():
    task = formatted(lambda row: Example(row["a"], "b"))
    assert [e.inputs for e in new_examples(task, ["x", "made up: x"])] == ["made up: x"] * 2


def test_a_lines_span_is_cut_after_the_first_marker():
    (example,) = new_examples(TASKS.get("span"), ["positive text: I`m on text: it"])
    assert example.inputs == "span sentiment: positive text: I'm on text: it"
    assert example.context == "I`m on text: it"


def test_lines_are_text_or_rows():
    assert read_inputs(["a\r\n", " ", '{"x": 1}', '"b"'], name="f") == ["a", {"x": 1}, '"b"']
    with pytest.raises(UserError) as caught:
        read_inputs(["", '{"x"'], name="f")
    assert str(caught.value) == ("f, line 2: begins as a JSON object: not JSON: Expecting ':' delimiter at column 5.")
