"""Whatever a tokenizer puts around a text, what is trained, ranked, generated and cut out of a source is the same."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, RobertaTokenizer, T5Config

from multitask.decoding.decoder import Decoder
from multitask.errors import UserError
from multitask.task import Decoding, Example
from multitask.tokenization.spans import source_span, without_spaces
from multitask.tokenization.special_tokens import check_special_tokens, encode, first_tokens, keeps_spaces
from multitask.tokenization.tokenize import tokenize_task
from multitask.tokenization.tokenizer import load_tokenizer, offsets, text_of

reference = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reference_decoding.py")))

SPECIAL = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
CONTEXT = "red blue  🙂 (green, old) warm"
PIECES = ["red", "blue", "🙂", "old", "warm", "red blue", "old) warm"]
"""All begin after a space or a bracket, and end with a token."""


def byte_level(post=None, *, prefix=False):
    """GPT-2's kind of vocabulary: a token holds the space before its word."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.decoder = decoders.ByteLevel()
    special = ["<pad>", "</s>", "<unk>", "<s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([CONTEXT, "x red blue green old warm no yes", "x red blue green old warm no yes"], trainer)
    if post is not None:
        made.post_processor = post
    return made


def framed(template):
    return processors.TemplateProcessing(single=template, special_tokens=[("</s>", 1), ("<s>", 3), ("<pad>", 0)])


def roberta(trim):
    """CodeT5's class: `<s>` before each text and `</s>` behind it."""
    state = json.loads(byte_level().to_str())["model"]
    return RobertaTokenizer(
        vocab=state["vocab"], merges=[tuple(m) for m in state["merges"]], trim_offsets=trim, **SPECIAL
    )


KINDS = (
    "t5",
    "t5 without end",
    "bytes",
    "bytes trimmed",
    "bytes prefixed",
    "bytes without end",
    "code",
    "code trimmed",
)


@pytest.fixture(scope="module")
def made(tokenizer):
    """A tokenizer of each kind."""
    bare = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    bare.post_processor = processors.Sequence([])
    fast = {
        "t5 without end": bare,
        "bytes": byte_level(framed("$A </s>")),
        "bytes trimmed": byte_level(processors.Sequence([processors.ByteLevel(trim_offsets=True), framed("$A </s>")])),
        "bytes prefixed": byte_level(framed("$A </s>"), prefix=True),
        "bytes without end": byte_level(),
    }
    wrapped = {name: PreTrainedTokenizerFast(tokenizer_object=one, **SPECIAL) for name, one in fast.items()}
    return {"t5": tokenizer, **wrapped, "code": roberta(False), "code trimmed": roberta(True)}


@pytest.fixture(params=KINDS)
def tok(request, made):
    return made[request.param]


def example_of(target, context=CONTEXT):
    return Example(f"toy span: {context}", target, context=context)


# -------------------------------------------------------------------------------------------------------------- tokens


def test_every_text_ends_once_and_begins_as_the_tokenizer_begins_it(tok, toy_task):
    ids = encode(tok, ["red blue", "", "old"])
    first = list(first_tokens(tok))
    assert first == ([tok.bos_token_id] if isinstance(tok, RobertaTokenizer) else [])
    assert [i.count(tok.eos_token_id) for i in ids] == [1, 1, 1]
    assert all(i[-1] == tok.eos_token_id and i[: len(first)] == first for i in ids)
    assert ids[1] == [*first, tok.eos_token_id]
    tokens = tokenize_task(tok, toy_task("text"), [Example("red blue", "old")])
    assert (tokens.inputs[0].tolist(), tokens.targets[0].tolist()) == (ids[0], ids[2])
    assert len(offsets(tok, "red blue")) == len(ids[0])


def test_what_is_written_is_read_without_what_stands_around_it(tok):
    for text in ("red blue", "old", ""):
        assert text_of(tok, encode(tok, [text])[0]) == text


def test_no_span_begins_or_ends_with_a_space_and_the_last_word_is_one(tok):
    source = source_span(tok, example_of("red"))
    found = {source.text(i, j) for i in range(len(source.ids)) for j in range(i, len(source.ids))}
    assert all(text == text.strip() and text in CONTEXT for text in found)
    assert found >= {p for p in PIECES if tok.unk_token_id not in encode(tok, [p])[0]}
    assert source.text(0, len(source.ids) - 1) == CONTEXT
    assert not {tok.eos_token_id, tok.pad_token_id, tok.bos_token_id} & set(source.ids)


def test_a_span_is_trained_with_the_tokens_that_it_is_chosen_by(tok, toy_task):
    words = ("red", "blue", "warm", "red blue", "blue  🙂")
    examples = [example_of(word) for word in words]
    tokens = tokenize_task(tok, toy_task("span"), examples)
    first = len(first_tokens(tok))
    for row, example in enumerate(examples):
        source = source_span(tok, example)
        target = tokens.targets[row].tolist()[first:-1]
        assert source.find(target) == example.target


def test_only_a_span_that_follows_a_space_is_trained_with_it(made, toy_task):
    tok = made["bytes"]
    assert keeps_spaces(tok)
    assert not any(keeps_spaces(made[name]) for name in ("t5", "t5 without end", "bytes prefixed"))

    def target(example, kind):
        return tok.decode(tokenize_task(tok, toy_task(kind), [example]).targets[0][:-1])

    assert target(example_of("old"), "span") == " old"
    assert target(example_of("green"), "span") == "green"  # after a bracket
    assert target(example_of("old"), "text") == "old"
    assert target(Example("red blue", "red", context="red blue"), "span") == "red"  # nothing before it
    assert target(example_of(""), "span") == ""


@pytest.mark.parametrize(
    ("text", "spots", "trimmed"),
    [
        ("a b", [(0, 1), (1, 3), (0, 0)], [(0, 1), (2, 3), (0, 0)]),
        ("a  b", [(0, 1), (1, 2), (2, 4)], [(0, 1), (3, 4), (3, 4)]),
        ("a  b", [(0, 1), (2, 2), (3, 4)], [(0, 1), (3, 4), (3, 4)]),  # trimmed to nothing by the tokenizer
        ("a\n", [(0, 1), (1, 2)], [(0, 1), (2, 2)]),
        ("ab", [(0, 1), (1, 1), (1, 2)], [(0, 1), (1, 1), (1, 2)]),  # no space: not a character's
    ],
)
def test_offsets_are_those_of_the_word_without_its_space(text, spots, trimmed):
    assert without_spaces(text, spots) == trimmed


# ------------------------------------------------------------------------------------------------------------- answers


def decoder_of(task, tok, texts):
    examples = [task({"text": t, "label": i % 2, "size": i}) for i, t in enumerate(texts)]
    tokens = tokenize_task(tok, task, examples)
    return Decoder(task, tok, examples, tokens.inputs, tokens.targets), examples, tokens


@pytest.mark.parametrize("how", ["best", "expected", "likelihood", "greedy"])
@pytest.mark.parametrize(
    ("kind", "no_answer", "plain"),
    [("t5 without end", True, False), ("code", False, False), ("code", True, False), ("code", True, True)],
)
def test_a_span_is_the_best_of_all_that_begin_and_end_as_trained(
    tiny_model, made, kind, how, no_answer, plain, toy_task, monkeypatch
):
    tok = made[kind]
    if plain:
        monkeypatch.setattr("multitask.decoding.decoder.is_unpadded", lambda model: False)
    task = toy_task("span", decoding=Decoding(span=how, no_answer=no_answer))
    empty = 0
    for seed in range(2):
        model = tiny_model("byt5", seed=seed).double().eval()
        decoder, examples, tokens = decoder_of(task, tok, ["red blue red", "old", "warm old"])
        for p in decoder(model, [0, 1, 2]):
            ids, lead = tokens.inputs[p.row].tolist(), list(first_tokens(tok))
            empty += p.raw == ""
            assert p.valid
            assert p.log_likelihood == pytest.approx(
                reference.log_likelihood(model, ids, tokens.targets[p.row].tolist()), rel=1e-6
            )
            source = source_span(tok, examples[p.row])
            end = reference.log_likelihood(model, ids, [*lead, 1])
            end -= reference.log_likelihood(model, ids, lead) if lead else 0
            table = reference.span_scores(model, ids, source.ids, 1, lead)
            if how == "greedy":
                ways = {int(i): x for i, x in zip(source.ids, table[0], strict=True)}
                begins = max(ways, key=ways.__getitem__)
                assert (p.raw == "") is bool(no_answer and end > ways[begins])
                continue
            by = "likelihood" if how == "likelihood" else "probability"
            scores = reference.piece_scores(*table, by, end if no_answer else None)
            best = {}
            for place, score in scores.items():
                text = source.text(*place) if place[0] >= 0 else ""
                best[text] = max(score, best.get(text, -np.inf))
            if how == "expected":
                if not no_answer:
                    continue  # as ever: see test_decoding
                values = reference.expected_overlaps([*best], np.exp([*best.values()]))
                assert values[[*best].index(p.raw)] == pytest.approx(max(values), rel=1e-5)
            else:
                assert best[p.raw] == pytest.approx(max(best.values()), rel=1e-6)
    assert bool(empty) <= no_answer


@pytest.mark.parametrize("beams", [1, 3])
def test_a_greedy_span_is_one_of_the_source_behind_the_first_tokens(tiny_model, made, beams, toy_task):
    task = toy_task("span", decoding=Decoding(span="greedy", num_beams=beams, max_new_tokens=9))
    for seed in range(2):
        decoder, examples, _ = decoder_of(task, made["code"], ["red blue red", "old", "warm old"])
        for p in decoder(tiny_model("t5", seed=seed).eval(), [0, 1, 2]):
            assert p.raw
            assert p.raw in examples[p.row].context


@pytest.mark.parametrize("kind", ["bytes without end", "code trimmed"])
def test_labels_are_ranked_by_the_tokens_they_are_trained_with(tiny_model, made, kind, toy_task):
    tok, model = made[kind], tiny_model("t5").eval()
    task = toy_task("labels")
    decoder, _, tokens = decoder_of(task, tok, ["red blue", "old warm"])
    for p in decoder(model, [0, 1]):
        told = [reference.log_likelihood(model, tokens.inputs[p.row].tolist(), ids) for ids in encode(tok, task.labels)]
        assert p.raw == task.labels[int(np.argmax(told))]
        assert p.log_likelihood == pytest.approx(told[p.row % 2], rel=1e-4)


# ------------------------------------------------------------------------------------------------- loaded and refused


def saved(tok, folder):
    tok.save_pretrained(folder)
    T5Config().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", ["t5 without end", "bytes without end"])
def test_a_loaded_tokenizer_adds_the_end_itself_and_is_saved_so(made, kind, tmp_path):
    from transformers import AutoTokenizer

    tok = load_tokenizer(saved(made[kind], tmp_path / "a"))
    assert tok("red blue")["input_ids"] == encode(made[kind], ["red blue"])[0]
    again = AutoTokenizer.from_pretrained(saved(tok, tmp_path / "b"))
    assert again("red blue")["input_ids"] == tok("red blue")["input_ids"]


def test_a_first_token_stays_where_an_end_is_added(tmp_path):
    tok = PreTrainedTokenizerFast(tokenizer_object=byte_level(framed("<s> $A")), **SPECIAL)
    loaded = load_tokenizer(saved(tok, tmp_path / "a"))
    assert loaded("red").tokens()[0] == "<s>"
    assert loaded("red").tokens()[-1] == "</s>"
    assert first_tokens(loaded) == (3,)


@pytest.mark.parametrize(
    ("template", "special", "message"),
    [
        ("$A </s>", {"pad_token": "<pad>"}, "has no end-of-sequence token, and a text-to-text model needs one: name"),
        ("$A </s>", {"eos_token": "</s>"}, "has no padding token, and a text-to-text model needs one: name it as"),
        ("$A <s>", SPECIAL, "ends a text with '<s>', but its end of sequence is '</s>': a model would never learn"),
        ("</s> $A </s>", SPECIAL, "begins a text with '</s>', where its end of sequence '</s>' or its padding"),
        ("<pad> $A </s>", SPECIAL, "begins a text with '<pad>', where its end of sequence '</s>' or its padding"),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_refused_by_name(template, special, message, tmp_path):
    tok = PreTrainedTokenizerFast(tokenizer_object=byte_level(framed(template)), **special)
    with pytest.raises(UserError) as error:
        load_tokenizer(saved(tok, tmp_path / "a"))
    assert f"the tokenizer of '{tmp_path / 'a'}' {message}" in str(error.value)
    assert "\n" not in str(error.value)


def test_t5s_own_tokenizers_are_not_changed(tokenizer, bytes_tokenizer):
    for tok in (tokenizer, bytes_tokenizer):
        check_special_tokens(tok, "x")
        assert first_tokens(tok) == ()
        assert encode(tok, ["red blue"])[0] == tok("red blue")["input_ids"]
