"""What a check says of tasks and data: counts, lengths, ceilings, labels, overlap, and the sentences made of them."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.checks.ceilings import best_spans, decoded, round_trip
from multitask.checks.check import check_tasks
from multitask.checks.overlap import MIN_WORDS, fields_of, find_overlaps, markers_of, words_of
from multitask.checks.report import Lengths
from multitask.checks.show import print_report
from multitask.cli.metric_list import describe_metric, list_metrics, print_metrics
from multitask.cli.task_list import describe_task, list_tasks, print_tasks
from multitask.errors import UserError
from multitask.examples.dataset import TaskData
from multitask.examples.example_text import example_lines, readable
from multitask.examples.loading import load_task
from multitask.metrics.metric import METRICS
from multitask.metrics.naming import register_metric, resolve_metrics
from multitask.sources.generated import sample
from multitask.sources.hugging_face import hub
from multitask.sources.in_memory import rows
from multitask.task import TASKS, Decoding, Example, Task, add_task
from multitask.tokenization.unwritable import label_winners


class WordTokenizer:
    """A token a word, and what is not in the vocabulary is <unk>: lengths and losses can be counted in the head."""

    is_fast = True
    pad_token_id, eos_token_id, unk_token_id = 0, 1, 2

    def __init__(self, lacks=()):
        self.ids, self.words, self.lacks = {}, {1: "", 2: "<unk>"}, set(lacks)

    def _id(self, word):
        if word in self.lacks:
            return 2
        at = self.ids.setdefault(word, len(self.ids) + 3)
        self.words[at] = word
        return at

    def __call__(self, text, return_offsets_mapping=False, add_special_tokens=True, **_):
        if isinstance(text, list):
            each = [self(t, return_offsets_mapping) for t in text]
            return {name: [one[name] for one in each] for name in each[0]}
        found = list(re.finditer(r"\S+", text))
        out = {"input_ids": [*(self._id(m.group()) for m in found), *([1] if add_special_tokens else [])]}
        if return_offsets_mapping:
            out["offset_mapping"] = [*(m.span() for m in found), (0, 0)]
        return out

    def decode(self, ids, skip_special_tokens=True, clean_up_tokenization_spaces=True):
        return " ".join(w for i in ids if (w := self.words[i]))


def plain(row):
    return Example(row["text"], row["target"], context=row.get("context"))


def toy(name="toy", **fields):
    metrics = resolve_metrics(fields.pop("metrics", ["sequence_accuracy"]))
    return Task(name=name, formatter=plain, prefix=f"{name}: ", metrics=metrics, **fields)


def labelled(name="toy", labels=("yes", "no"), **fields):
    return toy(name, labels=labels, output="labels", metrics=["accuracy"], **fields)


def loaded(task, train, validation):
    def table(pairs):
        return [dict(zip(("text", "target", "context"), p, strict=False)) for p in pairs]

    return load_task(task, rows({"train": table(train), "validation": table(validation)}), seed=0)


def checked(task, train, validation, tokenizer=None):
    return check_tasks({task.name: task}, {task.name: loaded(task, train, validation)}, tokenizer or WordTokenizer())


# ------------------------------------------------------------------------------------------------------------ counts


def test_rows_duplicates_conflicts_empty_targets_and_skipped_are_counted():
    train = [("a b", "x"), ("a b", "x"), ("a b", "y"), ("c", " "), ("", "x")]
    report = checked(toy(), train, [("d", "x")]).tasks["toy"].splits["train"]
    assert (report.rows, report.duplicates, report.conflicting, report.empty_targets) == (4, 2, 1, 1)
    assert report.skipped == {"empty input": 1}


def test_lengths_are_in_tokens_with_the_prefix_and_the_end_of_sequence():
    splits = checked(toy(max_input_tokens=4), [("a", "x"), ("a b c", "x y")], [("a b c d", "x")]).tasks["toy"].splits
    assert splits["train"].inputs == Lengths(p50=3, p90=5, p99=5, longest=5, limit=4, cut=1)
    assert splits["train"].targets == Lengths(p50=2, p90=3, p99=3, longest=3, limit=128, cut=0)
    assert splits["validation"].inputs.longest == 6


@given(st.lists(st.integers(1, 60), min_size=1), st.integers(1, 60))
def test_percentiles_are_lengths_that_occur_and_hold_their_share(lengths, limit):
    found = Lengths.of(lengths, limit)
    assert found.longest == max(lengths)
    assert found.cut == len([n for n in lengths if n > limit])
    for share, value in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99)):
        assert value in lengths
        assert sum(n <= value for n in lengths) >= share * len(lengths) - 1e-9
        assert sum(n < value for n in lengths) < share * len(lengths) + 1e-9


def test_a_target_that_just_fits_without_its_end_of_sequence_is_reachable():
    task = toy(decoding=Decoding(max_new_tokens=2))
    split = checked(task, [("a", "x y"), ("b", "x y z")], [("c", "x")]).tasks["toy"].splits["train"]
    assert split.unreachable == 1


def test_ranked_labels_are_never_unreachable():
    task = labelled(labels=("a long label", "no"), decoding=Decoding(max_new_tokens=1))
    assert checked(task, [("a", "a long label")], [("b", "no")]).tasks["toy"].splits["train"].unreachable == 0


def test_the_rate_of_unknown_tokens_counts_all_tokens_of_the_inputs():
    report = checked(toy(), [("a ` b", "x")], [("c", "x")], WordTokenizer(lacks="`"))
    assert report.tasks["toy"].splits["train"].unknown_tokens == 1 / 5  # prefix, a, `, b, end of sequence


def test_progress_comes_to_the_number_of_examples():
    task, done = toy(), []
    data = loaded(task, [("a", "x")] * 5, [("b", "x")] * 3)
    check_tasks({"toy": task}, {"toy": data}, WordTokenizer(), done.append)
    assert sum(done) == 8


def test_a_selection_split_is_reported_too():
    task = toy()
    data = load_task(task, rows({"train": [{"text": str(i), "target": "x"} for i in range(20)]}), seed=0, selection=4)
    splits = check_tasks({"toy": task}, {"toy": data}, WordTokenizer()).tasks["toy"].splits
    assert list(splits) == ["train", "validation", "selection"]
    assert splits["selection"].rows == 4


def test_a_split_that_was_held_out_is_said_to_be(capsys):
    task = toy()
    # "same" and "Same!" are one input: both on one side, so that no evaluated input stands in training.
    texts = [*(f"number {i}" for i in range(20)), *("the very same words again", "The very same words, again!") * 5]
    data = load_task(
        task, rows({"train": [{"text": text, "target": "xy"[len(text) % 2]} for text in texts]}), seed=0, selection=4
    )
    report = check_tasks({"toy": task}, {"toy": data}, WordTokenizer())
    held = report.tasks["toy"].splits["validation"].rows
    assert held
    assert report.warnings[:2] == [
        f"toy: no validation split: {held} of 30 training examples of rows given in Python, split train are held out "
        "for it (seed 0; those of one input stay together), and train no more.",
        "toy: 4 of 30 training examples are for choosing checkpoints.",
    ]
    assert not any(o.whole for o in report.overlaps)
    print_report(report)
    printed = capsys.readouterr().out
    assert "validation (held out)" in printed
    assert "selection (held out)" in printed
    assert report.to_dict()["tasks"]["toy"]["splits"]["validation"]["held_out"].startswith(f"{held} of 30")


def test_tasks_and_data_of_different_names_are_refused():
    task = toy()
    with pytest.raises(ValueError) as error:
        check_tasks({"toy": task}, {"joy": loaded(task, [("a", "x")], [("b", "x")])}, WordTokenizer())
    assert str(error.value) == "tasks and data must have the same names. Got ['toy'] and ['joy']."


# ------------------------------------------------------------------------------------------------ ceilings and labels


def test_a_tokenizer_that_loses_nothing_leaves_a_perfect_ceiling():
    trip = checked(toy(), [("a", "x y")], [("b", "y x")]).tasks["toy"].round_trip
    assert (trip.survive, trip.perfect, trip.ceilings, trip.lost) == (1.0, 1.0, {"generated": 1.0}, 0.0)


def test_a_lost_character_lowers_the_ceiling_of_generation():
    trip = checked(toy(), [("a", "x")], [("b", "x"), ("c", "x ` y")], WordTokenizer(lacks="`")).tasks["toy"].round_trip
    assert (trip.survive, trip.ceilings, trip.lost) == (0.5, {"generated": 0.5}, 50.0)


def test_a_target_beyond_the_decoder_s_limit_lowers_the_ceiling_but_survives():
    task = toy(decoding=Decoding(max_new_tokens=2))
    trip = checked(task, [("a", "x")], [("b", "x y z")]).tasks["toy"].round_trip
    assert (trip.survive, trip.ceilings) == (1.0, {"generated": 0.0})


def test_the_ceiling_is_of_what_post_processing_makes_of_the_answer():
    task = toy(postprocess=lambda text, example: text + " `")
    trip = checked(task, [("a", "x")], [("b", "x `")], WordTokenizer(lacks="`")).tasks["toy"].round_trip
    assert trip.ceilings == {"generated": 1.0}


def test_the_ceiling_skips_metrics_of_the_likelihood():
    both = checked(toy(metrics=["perplexity", "exact_match"]), [("a", "x")], [("b", "x")]).tasks["toy"].round_trip
    alone = checked(toy(metrics=["perplexity"]), [("a", "x")], [("b", "x")]).tasks["toy"].round_trip
    assert both.metric == "exact_match"
    assert (alone.metric, alone.ceilings, alone.lost != alone.lost) == ("", {}, True)


def span_task(**fields):
    return toy(output="span", metrics=["jaccard"], **fields)


def test_a_span_has_three_ceilings():
    context = "well i`d  go home"
    trip = round_trip(
        span_task(),
        [Example("toy: text: " + context, "i`d  go", context=context)],
        WordTokenizer(lacks=["i`d"]),
    )
    # Generated: "go" of {i`d, go}. Found again in the source it is still "go". A run of whole tokens is the gold.
    assert trip.ceilings == {"generated": 0.5, "aligned": 0.5, "pieces": 1.0}
    assert trip.lost == 0.0


def test_the_best_piece_cannot_cut_a_token_but_may_leave_it_out():
    context = "so happytoday here"
    example = Example("toy: " + context, "so happy", context=context)
    assert best_spans(span_task(), [example], WordTokenizer(), span_task().primary) == ["so"]  # 1/2, not 1/3


def test_the_best_piece_is_looked_for_at_every_place_of_the_gold():
    context = "oo a b c d e f g h o"  # "o" first stands within a token, and as one of its own far behind
    example = Example("toy: " + context, "o", context=context)
    assert best_spans(span_task(), [example], WordTokenizer(), span_task().primary) == ["o"]


def test_the_best_piece_lies_within_the_input_s_limit():
    example = Example("toy: a b c d", "d", context="a b c d")
    trip = round_trip(span_task(max_input_tokens=4), [example], WordTokenizer())
    assert trip.ceilings["pieces"] == 0.0


@settings(deadline=None)
@given(st.text("ab ", min_size=1).filter(str.strip), st.data())
def test_no_piece_of_whole_tokens_beats_the_best_piece(context, data):
    begin = data.draw(st.integers(0, len(context) - 1))
    gold = context[begin : data.draw(st.integers(begin + 1, len(context)))]
    task, tokenizer = span_task(), WordTokenizer()
    example = Example("toy: " + context, gold, context=context)
    words = [m.span() for m in re.finditer(r"\S+", context)][:6]
    if not gold.strip() or len(words) > 5:
        return
    best = task.primary(best_spans(task, [example], tokenizer, task.primary), [gold])
    assert best == max(task.primary([context[i:j]], [gold]) for i, _ in words for _, j in words if i < j)


def test_labels_of_the_same_tokens_are_won_by_the_first():
    tokenizer = WordTokenizer(lacks=["{", "}"])
    assert label_winners(tokenizer, ("{", "no", "}")) == {"{": "{", "no": "no", "}": "{"}
    report = checked(labelled(labels=("{", "}")), [("a", "{"), ("b", "}")], [("c", "{"), ("d", "}")], tokenizer)
    labels = report.tasks["toy"].labels
    assert (labels["{"].same_as, labels["}"].same_as, labels["}"].unknown, labels["}"].tokens) == ("", "{", True, 2)
    assert report.tasks["toy"].round_trip.ceilings["ranked"] == 0.5


def test_labels_are_counted_in_every_split():
    report = checked(labelled(), [("a", "yes"), ("b", "yes")], [("c", "no")])
    assert report.tasks["toy"].labels["yes"].counts == {"train": 2, "validation": 0}
    assert report.tasks["toy"].labels["no"].counts == {"train": 0, "validation": 1}


def test_a_round_trip_gives_each_string_in_its_place():
    assert decoded(WordTokenizer(lacks="`"), ["a ` b", "c", "a ` b"]) == ["a b", "c", "a b"]
    assert decoded(WordTokenizer(), []) == []


# ----------------------------------------------------------------------------------------------------------- overlap


def overlaps_of(**texts):
    """Of tasks with (train, validation) lists of texts."""
    tasks = {name: toy(name) for name in texts}
    data = {n: loaded(tasks[n], [(t, "x") for t in tr], [(t, "x") for t in va]) for n, (tr, va) in texts.items()}
    return {(o.train, o.validation): o for o in find_overlaps(tasks, data)}


ONE, TWO, THREE = "the cat sat on a mat", "five dogs ran far away today", "nobody has seen this one before"


def test_a_pair_in_training_is_found_whatever_its_case_spaces_and_marks():
    found = overlaps_of(a=([f"The cat sat, on  a mat. sentence2: {TWO}"], [f"{ONE} sentence2: {TWO.upper()}!"]))
    assert (found["a", "a"].whole, found["a", "a"].field, found["a", "a"].part) == (1, 1, 1)
    assert found["a", "a"].text == f"{ONE} {TWO}"
    assert (found["a", "a"].train_id, found["a", "a"].validation_id) == ("train:0", "validation:0")


def test_one_of_two_fields_is_a_shared_field_and_not_a_shared_input():
    found = overlaps_of(a=([f"{ONE} sentence2: {TWO}"], [f"{THREE} sentence2: {ONE}"]))
    assert (found["a", "a"].whole, found["a", "a"].field, found["a", "a"].text) == (0, 1, ONE)


def test_of_a_shared_field_and_a_shared_input_the_input_counts():
    train = [f"{THREE} sentence2: {ONE}"] * 30 + [ONE]
    found = overlaps_of(a=(train, [ONE]))
    assert (found["a", "a"].whole, found["a", "a"].train_id) == (1, "train:30")


def test_a_text_of_one_task_within_the_passage_of_another_is_found_both_ways():
    passage = f"{THREE}. {ONE}. {TWO}."
    assert overlaps_of(a=([passage], ["z"]), b=(["y"], [ONE]))["a", "b"].part == 1
    found = overlaps_of(a=([ONE], ["z"]), b=(["y"], ["nothing at all", passage]))
    assert list(found) == [("a", "b")]
    o = found["a", "b"]
    assert (o.whole, o.field, o.part, o.examples, o.share, o.validation_id, o.text) == (
        *(0, 0, 1, 2, 0.5),
        *("validation:1", ONE),
    )


def test_short_texts_count_only_as_whole_inputs_of_one_task():
    found = overlaps_of(a=(["what is love"], ["What is love?"]), b=(["hm"], ["what is love"]))
    assert list(found) == [("a", "a")]
    assert found["a", "a"].whole == 1


def test_texts_do_not_run_over_from_one_input_into_the_next():
    assert overlaps_of(a=(["the cat sat", "on a mat"], [ONE])) == {}


def test_copies_are_counted_once_for_each_evaluated_example():
    found = overlaps_of(a=([ONE] * 50, [ONE] * 3 + [TWO]))
    assert (found["a", "a"].whole, found["a", "a"].examples) == (3, 4)


def test_texts_without_words_are_no_overlap():
    assert overlaps_of(a=(["?!"], ["?!", "..."])) == {}


def test_a_colon_in_a_few_inputs_is_no_field_marker():
    inputs = ["A question: B", "C question: D"] * 20 + ["Subject: hello question: E"]
    assert markers_of(inputs) == {"question:"}
    assert fields_of(inputs[-1], markers_of(inputs)) == ["Subject: hello", "E"]


def test_words_are_the_same_with_t5_s_spaced_punctuation():
    assert words_of("The U . S . ( 1776 )") == words_of("the U.S. (1776)") == ["the", "u", "s", "1776"]


def within(piece, text):
    return any(text[i : i + len(piece)] == piece for i in range(len(text) - len(piece) + 1))


TEXTS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=5)


@settings(deadline=None, max_examples=60)
@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_what_is_found_is_what_comparing_all_pairs_finds(a_train, a_validation, b_train, b_validation):
    texts = {"a": (a_train, a_validation), "b": (b_train, b_validation)}
    found = overlaps_of(**texts)
    for t, (train, _) in texts.items():
        for v, (_, validation) in texts.items():
            sides = [x.split() for x in train]
            same = [any(x == y and (t == v or len(x) >= MIN_WORDS) for y in sides) for x in map(str.split, validation)]
            part = [
                same[i]
                or any((len(y) >= MIN_WORDS and within(y, x)) or (len(x) >= MIN_WORDS and within(x, y)) for y in sides)
                for i, x in enumerate(map(str.split, validation))
            ]
            o = found.get((t, v))
            assert ((o.whole, o.part) if o else (0, 0)) == (sum(same), sum(part))


# ------------------------------------------------------------------------------------------- warnings, tables, JSON


def test_clean_data_gives_no_warning():
    assert checked(labelled(), [("a", "yes"), ("b", "no")], [("c", "no"), ("d", "yes")]).warnings == []


def test_the_warnings_say_what_is_wrong_the_most_serious_first():
    task = labelled(labels=("{", "}", "other"), max_input_tokens=5)
    train = [(ONE, "{"), ("b", "}"), ("b", "}"), ("b", "{"), ("", "{")]
    assert checked(task, train, [(ONE, "other"), ("c", "{")], WordTokenizer(lacks="{}")).warnings == [
        "toy: labels '{' and '}' have the same tokens, so '}' can never be predicted; write one of them another way.",
        "toy: label '{' holds tokens that the vocabulary lacks; write it another way.",
        "toy: label 'other' is never seen in training, and 1 of 2 validation examples have it.",
        "toy: 1 of 2 validation inputs stand in its own training (50.0 %): its score is partly recall; "
        'e.g. validation:0, "the cat sat on a mat".',
        "toy: the inputs of 1 of 2 validation examples (50.0 %) are longer than 5 tokens and are cut; "
        "the longest has 8.",
        "toy: the inputs of 1 of 4 training examples (25.0 %) are longer than 5 tokens and are cut; the longest has 8.",
        "toy: 1 of 4 training examples (25.0 %) repeat an input with another target.",
        "toy: 1 of 4 training examples (25.0 %) repeat an input and its target.",
        "toy: 1 training example skipped (empty input).",
    ]


def test_what_generation_cannot_reach_is_a_warning():
    task = toy(decoding=Decoding(max_new_tokens=1))
    warnings = checked(task, [("a", "x y"), ("b", " ")], [("c", "x"), ("d", "`")], WordTokenizer(lacks="`")).warnings
    assert warnings == [
        "toy: generated text can reach a sequence_accuracy of 0.500 at most; perfect is 1.000, and 50.0 % of the "
        "targets survive encoding and decoding.",
        "toy: the targets of 1 of 2 training examples (50.0 %) are longer than the 1 tokens that decoding may "
        "generate.",
        "toy: 1 of 2 validation targets (50.0 %) hold <unk>: the vocabulary lacks a part of them, so no model can "
        "write them.",
        "toy: 1 of 2 training examples (50.0 %) have an empty target.",
    ]


def test_overlap_with_another_task_is_called_no_transfer():
    a, b = toy("a"), toy("b")
    data = {"a": loaded(a, [(ONE, "x")], [("z", "x")]), "b": loaded(b, [("y", "x")], [(ONE, "x")] * 2)}
    assert check_tasks({"a": a, "b": b}, data, WordTokenizer()).warnings[0] == (
        "b: 2 of 2 validation inputs stand in the training of a (100.0 %): what looks like transfer is partly recall; "
        'e.g. validation:0, "the cat sat on a mat".'
    )


def test_generated_rows_are_said_to_be_generated():
    task = TASKS.get("sst2")
    data = load_task(task, sample("sst2"), seed=0)
    small = TaskData(task, data.train, data.validation, None, [])
    report = check_tasks({"sst2": task}, {"sst2": small}, WordTokenizer())
    assert report.warnings[0] == "sst2: the rows are generated; scores on them say nothing about the task."
    assert report.overlaps == [] or all(o.whole == 0 for o in report.overlaps)


def test_a_report_is_plain_json():
    report = checked(toy(metrics=["perplexity"]), [("a", "x")], [("b", "x")])
    plain_values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain_values["tasks"]["toy"]["round_trip"]["perfect"] is None
    assert plain_values["tasks"]["toy"]["splits"]["train"]["inputs"]["p50"] == 3
    assert plain_values["warnings"] == []


def test_a_printed_report_has_every_table_and_ends_with_the_warnings(capsys):
    task = labelled()
    print_report(checked(task, [(ONE, "yes"), ("b", "no")], [(ONE, "no"), ("e", "yes")]))
    out = capsys.readouterr().out
    titles = [
        "Rows",
        "Lengths in tokens",
        "Round trip",
        "Labels",
        "Evaluated texts that stand in training",
        "1 warning",
    ]
    places = [out.index(title) for title in titles]
    assert places == sorted(places)
    assert out.rstrip().splitlines()[-1].startswith("  - toy: 1 of 2 validation inputs stand in its own training")


# ---------------------------------------------------------------------------------------------------------- the list


def test_every_task_is_listed_in_a_row():
    listed = {r.name: r for r in list_tasks()}
    assert list(listed) == sorted(TASKS)
    assert listed["sst2"]._replace(source="") == (
        *("sst2", "labels", "accuracy", "", True),
        TASKS.get("sst2").description,
    )
    assert (listed["span"].source, listed["boolq"].sample) == ("", False)
    assert not any(re.search("[0-9a-f]{40}", r.source) for r in listed.values())


def test_the_list_is_printed_with_a_line_for_each_task(capsys):
    print_tasks()
    out = capsys.readouterr().out
    assert all(re.search(rf"^\s*{name}\s", out, re.M) for name in TASKS)


def test_a_task_is_described_with_a_row_of_its_sample():
    text = describe_task("sst2")
    assert "  prefix     'sst2 sentence: '\n" in text
    assert "  labels     negative, positive\n" in text
    assert "  metrics    accuracy (primary)\n" in text
    assert "  limits     512 input tokens, 128 target tokens\n" in text
    assert "  decoding   the labels are scored and the likeliest wins\n" in text
    assert re.search(
        r"  row        \{'sentence': .*\n  input      sst2 sentence: .*\n  target     (positive|negative)\n"
        r"  from       generated sample 'sst2', split train, row 0$",
        text,
    )


def toy_described(data=None, **fields):
    metrics = resolve_metrics(["f1", "f1/a", "perplexity"])
    task = Task(
        "toy", lambda row: Example(row["text"], row["label"]), "toy: ", metrics=metrics, labels=("a", "b"), **fields
    )
    TASKS.load()
    add_task(task)
    try:
        return describe_task("toy", data)
    finally:
        TASKS.discard("toy")


def test_a_users_own_task_is_described_with_a_row_of_its_source(tmp_path):
    rows_ = [{"text": "so  happy\ttoday", "label": "b"}] * 3
    text = toy_described(source=rows_)
    assert "  metrics    f1 of 'b' (primary), f1/a, perplexity (lower is better)\n" in text
    assert "  source     list of 3 rows in test_check.py\n" in text
    assert text.endswith(
        "  row        {'text': 'so  happy\\ttoday', 'label': 'b'}\n  input      toy: so␣␣happy⇥today\n"
        "  target     b\n  from       list of 3 rows in test_check.py, split train, row 0"
    )
    assert "  row " not in toy_described()
    assert toy_described(source=hub("a/b", revision="main")).endswith(
        "  no example: task 'toy' has no rows yet; use --data DIR with DIR/toy/train.EXT (EXT: csv, tsv, json, jsonl, "
        "parquet, txt), or --data hub to download a/b at main."
    )
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/train.csv").write_text("text,label\nx,a\n")
    assert toy_described(str(tmp_path)).endswith(f"  target     a\n  from       {tmp_path}/toy/train.csv, line 2")
    assert "no example: task 'toy' needs the folder" in toy_described(f"{tmp_path}/toy")
    (tmp_path / "toy/train.csv").write_text("text,class\nx,a\n")
    assert f"no example: task 'toy': {tmp_path}/toy/train.csv, line 2 has no column 'label'" in toy_described(
        str(tmp_path)
    )


def test_a_large_file_is_not_read_for_one_example(tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_text("text,label\nx,a\n")
    assert "  target     a" in toy_described(source=tmp_path)
    monkeypatch.setattr("multitask.cli.task_list.LARGE", 10)
    assert "  target " not in toy_described(source=tmp_path)
    assert "  target " not in toy_described(source=tmp_path / "train.csv")


def test_examples_are_shown_as_the_model_sees_them():
    e = Example("p: " + "a " * 400, "", references=("", "x\n", "y"))
    assert example_lines(e) == [
        f"  input   p: {'a ' * 148}a … (203 characters) … {'a ' * 149}a␣",
        "  target  (nothing)   (or x⏎; y)",
    ]
    assert readable("\x1b[2J \u00a0\r\n", 40) == "\\u001b[2J ⍽␍⏎"


def test_every_metric_is_listed_with_its_direction_and_range(capsys):
    print_metrics()
    out = capsys.readouterr().out
    for metric in list_metrics():
        assert re.search(rf"^{metric.name} +(higher|lower) ", out, re.M), metric.name
        if metric.name in METRICS and METRICS.holder(metric.name) == "multitask.metrics.builtin":
            assert metric.about.endswith("."), metric.name
            assert metric.low < metric.high, metric.name
            assert metric.outputs, metric.name
    assert re.search(r"^f1 +higher  0 to 1 +labels +F1 of the second of the task's two labels", out, re.M)
    assert re.search(r"^mse +lower   from 0 +number", out, re.M)


def test_a_metric_is_described_in_full():
    text = describe_metric("perplexity")
    assert (
        "\n  better      lower values\n  range       from 1\n  points      value × 1, negative: higher is better"
        in text
    )
    assert describe_metric("f1/spam").startswith("f1/spam\n\nF1 of the class 'spam', all other labels being the other")
    assert "may need the network" in describe_metric("evaluate:rouge/rougeL")
    with pytest.raises(UserError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        describe_metric("acuracy")

    @register_metric()
    def same_end(predictions, targets):
        """Whether the last letters
        are the same.

        More of it.
        """
        return 1.0

    try:
        assert re.fullmatch(
            r"same_end\n\nWhether the last letters are the same\.\n\n  better .*  defined in  .*same_end "
            r"\(.*test_check\.py:\d+\)",
            describe_metric("same_end"),
            re.S,
        )
    finally:
        METRICS.discard("same_end")


def test_a_task_without_a_sample_is_described_with_the_example_of_its_docstring():
    assert describe_task("multi30k").endswith('"Ein weißer Schwan schwimmt auf einem See."')
    assert '\n  row      {"en": "A white swan swims on a lake."' in describe_task("multi30k")
    assert "  decoding   greedy, 128 tokens at most\n" in describe_task("multi30k")


def test_every_task_can_be_described():
    for name in TASKS:
        assert describe_task(name).startswith(f"{name}: ")
        assert "\n  row " in describe_task(name), name


def test_a_misspelt_task_is_answered_with_the_nearest():
    with pytest.raises(UserError) as error:
        describe_task("ssst2")
    assert str(error.value).startswith("unknown task 'ssst2': did you mean 'sst2'")
