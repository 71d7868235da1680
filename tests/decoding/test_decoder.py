"""Decoding against brute force: every fast path gives what a plain loop over the model gives."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multitask.decoding.decoder import CANDIDATES, Decoder, most_expected
from multitask.task import Decoding
from multitask.tokenization.spans import source_span
from multitask.tokenization.tokenize import tokenize_task
from multitask.tokenization.tokenizer import text_of

reference = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reference_decoding.py")))

TEXTS = ["red blue green", "old", "I`d  go   home 🙂 now", "square red red", "fast slow old new big small"]


def plain_log_likelihood(model, input_ids, target_ids) -> float:
    """Of one target, token by token, with the encoder run anew for each: no padding, no batch."""
    total = 0.0
    said = [model.config.decoder_start_token_id]
    with torch.no_grad():
        for token in target_ids:
            logits = model(input_ids=torch.tensor([input_ids]), decoder_input_ids=torch.tensor([said])).logits[0, -1]
            total += float(logits.log_softmax(-1)[token])
            said.append(int(token))
    return total


def decoder_of(task, tok, texts=TEXTS, **settings):
    examples = [task(row) for row in ({"text": t, "label": i % 2, "size": i} for i, t in enumerate(texts))]
    tokens = tokenize_task(tok, task, examples)
    return Decoder(task, tok, examples, tokens.inputs, tokens.targets, **settings), examples


def test_the_likelihood_and_length_of_a_prediction_are_its_targets(t5, tokenizer, toy_task):
    decoder, examples = decoder_of(toy_task("labels"), tokenizer)
    for p in decoder(t5, [3, 0]):
        target = tokenizer(examples[p.row].target)["input_ids"]
        wanted = plain_log_likelihood(t5, tokenizer(examples[p.row].inputs)["input_ids"], target)
        assert p.log_likelihood == pytest.approx(wanted, rel=1e-4)
        assert p.target_tokens == len(target)


@pytest.mark.parametrize("name", ["tokenizer", "bytes_tokenizer"])
def test_ranking_takes_the_label_with_the_largest_likelihood(model, name, request, toy_task):
    tok = request.getfixturevalue(name)
    labels = ("no", "yes", "perhaps not", "k")
    task = toy_task("labels", labels=labels)
    decoder, examples = decoder_of(task, tok)
    model.eval()
    for p in decoder(model, range(len(TEXTS))):
        ids = tok(examples[p.row].inputs)["input_ids"]
        scores = [plain_log_likelihood(model, ids, tok(label)["input_ids"]) for label in labels]
        assert p.raw == labels[int(np.argmax(scores))]
        assert p.valid


def test_generated_labels_may_be_foreign_strings(t5, tokenizer, toy_task):
    decoder, _ = decoder_of(toy_task("labels"), tokenizer, labels_by="generate")
    assert [p.valid for p in decoder(t5, [0, 1])] == [p.raw in ("no", "yes") for p in decoder(t5, [0, 1])]


def test_generation_is_greedy(t5, tokenizer, toy_task):
    decoder, examples = decoder_of(toy_task("text", decoding=Decoding(max_new_tokens=6)), tokenizer)
    for p in decoder(t5, range(len(TEXTS))):
        said = [0]
        with torch.no_grad():
            while len(said) < 7 and said[-1] != 1:
                ids = torch.tensor([tokenizer(examples[p.row].inputs)["input_ids"]])
                said.append(int(t5(input_ids=ids, decoder_input_ids=torch.tensor([said])).logits[0, -1].argmax()))
        assert p.raw == tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("penalty", [0.5, 1.0])
def test_the_tasks_decoding_settings_reach_the_search(model, tokenizer, toy_task, beams, penalty):
    settings = Decoding(max_new_tokens=7, num_beams=beams, length_penalty=penalty)
    decoder, examples = decoder_of(toy_task("text", decoding=settings), tokenizer)
    model.eval()
    searched = {"num_beams": beams, "length_penalty": penalty, "early_stopping": True} if beams > 1 else {}
    for p in decoder(model, range(len(TEXTS))):
        ids = tokenizer(examples[p.row].inputs)["input_ids"]
        wanted = reference.generate(model, ids, ends=(1, 0), max_new_tokens=7, **searched)
        assert p.raw == text_of(tokenizer, wanted)


# --------------------------------------------------------------------------------------------------------------- spans


@pytest.mark.parametrize("how", ["likelihood", "best", "expected"])
@pytest.mark.parametrize("name", ["tokenizer", "bytes_tokenizer"])
def test_the_span_is_the_best_of_all_pieces(model, name, how, request, toy_task):
    tok = request.getfixturevalue(name)
    model.double().eval()
    decoder, examples = decoder_of(toy_task("span", decoding=Decoding(span=how)), tok, ["red blu", "I`d  go go", "o"])
    for p in decoder(model, [0, 1, 2]):
        source = source_span(tok, examples[p.row])
        told = reference.span_scores(model, tok(examples[p.row].inputs)["input_ids"], source.ids, 1)
        scores = reference.piece_scores(*told, "likelihood" if how == "likelihood" else "probability")
        ranked = sorted(scores, key=lambda piece: -scores[piece])[: CANDIDATES if how == "expected" else 1]
        texts = [source.text(*piece) for piece in ranked]
        values = reference.expected_overlaps(texts, np.exp([scores[piece] for piece in ranked]))
        assert p.raw in texts
        assert values[texts.index(p.raw)] == pytest.approx(max(values), rel=1e-5)


@given(st.lists(st.sampled_from(["a", "a b", "b", "b c", "c d e", ""]), min_size=1, max_size=8), st.integers(0, 99))
def test_the_most_expected_piece_has_the_largest_expected_overlap(texts, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(texts)))
    gains = reference.expected_overlaps(texts, weights)
    assert gains[most_expected(texts, weights)] == pytest.approx(max(gains))


@pytest.mark.parametrize("how", ["best", "expected", "likelihood", "greedy"])
@pytest.mark.parametrize("name", ["tokenizer", "bytes_tokenizer"])
@pytest.mark.parametrize("beams", [1, 2])
def test_a_span_is_always_a_piece_of_the_source(tiny_model, how, name, beams, request, toy_task):
    tok = request.getfixturevalue(name)
    task = toy_task("span", decoding=Decoding(span=how, num_beams=beams, max_new_tokens=12))
    texts = [*TEXTS, "and </s> ﬁne…"]
    for seed in range(3):
        model = tiny_model("byt5", seed=seed).eval()
        decoder, examples = decoder_of(task, tok, texts)
        for p in decoder(model, range(len(texts))):
            assert p.raw
            assert p.raw in examples[p.row].context
            assert p.valid


def test_a_span_that_was_written_freely_is_brought_back_to_the_source(tiny_model, tokenizer, toy_task):
    task = toy_task("span", decoding=Decoding(span="generate", max_new_tokens=12))
    for seed in range(3):
        decoder, examples = decoder_of(task, tokenizer)
        for p in decoder(tiny_model("t5", seed=seed).eval(), range(len(TEXTS))):
            assert p.raw in examples[p.row].context
            assert p.valid is bool(p.raw)


def test_a_greedy_span_is_the_likeliest_allowed_token_at_each_step(t5, tokenizer, toy_task):
    task = toy_task("span", decoding=Decoding(span="greedy"))
    decoder, examples = decoder_of(task, tokenizer)
    for p in decoder(t5, range(len(TEXTS))):
        source = source_span(tokenizer, examples[p.row])
        ids = torch.tensor([tokenizer(examples[p.row].inputs)["input_ids"]])
        said: list[int] = []
        with torch.no_grad():
            while not said or said[-1] != 1:
                logits = t5(input_ids=ids, decoder_input_ids=torch.tensor([[0, *said]])).logits[0, -1]
                said.append(max(reference.continuations(source, said, 1), key=lambda i: float(logits[i])))
        assert p.raw == source.find(said[:-1])


def test_an_input_cut_before_its_text_gives_no_span(t5, tokenizer, toy_task):
    for how in ("best", "greedy"):
        task = toy_task("span", max_input_tokens=2, decoding=Decoding(span=how))
        decoder, _ = decoder_of(task, tokenizer)
        (p,) = decoder(t5, [0])
        assert (p.raw, p.valid) == ("", False)


# --------------------------------------------------------------------------------------------------- whatever the batch


@pytest.mark.parametrize("kind", ["labels", "span", "number", "text"])
def test_neither_chunks_nor_company_change_a_prediction(t5, tokenizer, toy_task, kind, monkeypatch):
    decoder, _ = decoder_of(toy_task(kind, decoding=Decoding(max_new_tokens=5)), tokenizer)
    together = decoder(t5, range(len(TEXTS)))
    alone = [decoder(t5, [i])[0] for i in range(len(TEXTS))]
    monkeypatch.setattr("multitask.decoding.cross_attention.LOGITS", 1)  # one row at a time
    monkeypatch.setattr("multitask.decoding.unpadded_scorer.PASS_TOKENS", 1)
    chunked = decoder(t5, range(len(TEXTS)))
    for one, two, three in zip(together, alone, chunked, strict=True):
        assert one.raw == two.raw == three.raw
        assert one.log_likelihood == pytest.approx(two.log_likelihood, rel=1e-4)
        assert one.log_likelihood == pytest.approx(three.log_likelihood, rel=1e-4)


def test_predictions_come_in_the_order_asked_for(t5, tokenizer, toy_task):
    decoder, _ = decoder_of(toy_task("labels"), tokenizer)
    assert [p.row for p in decoder(t5, [4, 0, 2])] == [4, 0, 2]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_the_mode_it_was_in(tiny_model, tokenizer, toy_task, training):
    model = tiny_model("t5", dropout=0.5).train(training)
    decoder, _ = decoder_of(toy_task("labels"), tokenizer)
    assert decoder(model, [0])[0].log_likelihood == decoder(model, [0])[0].log_likelihood  # no dropout
    assert model.training is training


def test_postprocessing_gets_the_example(t5, tokenizer, toy_task):
    task = toy_task("labels", postprocess=lambda text, example: f"{text} of {example.target}")
    decoder, _ = decoder_of(task, tokenizer)
    (p,) = decoder(t5, [0])
    assert p.text == f"{p.raw} of no"


def test_without_targets_there_is_no_likelihood(t5, tokenizer, toy_task):
    decoder, examples = decoder_of(toy_task("labels"), tokenizer)
    (p,) = Decoder(decoder.task, tokenizer, examples, decoder.inputs)(t5, [0])
    assert np.isnan(p.log_likelihood)
    assert p.target_tokens == 0


@pytest.mark.parametrize(
    ("raw", "valid"), [("3.5", True), ("nan", False), ("inf", False), ("three", False), ("", False)]
)
def test_a_number_must_be_one(tokenizer, toy_task, raw, valid):
    decoder, examples = decoder_of(toy_task("number"), tokenizer)
    assert decoder._is_valid(raw, examples[0]) is valid
