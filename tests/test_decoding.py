"""Decoding against brute force: every fast path gives what a plain loop over the model gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multitask import decoding
from multitask.decoding import (
    Decoder,
    most_expected,
    piece_log_likelihoods,
    piece_log_probabilities,
    sequence_log_likelihood,
    span_scores,
)
from multitask.spans import source_span
from multitask.task import Decoding, Example
from multitask.tokens import Ragged, tokenize_task

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


def encode(model, ids):
    inputs = torch.tensor([ids])
    mask = torch.ones_like(inputs)
    with torch.no_grad():
        return model.get_encoder()(input_ids=inputs, attention_mask=mask).last_hidden_state, mask


def test_sequence_log_likelihood_is_that_of_a_plain_loop(model, tokenizer):
    model.eval()
    draw = np.random.default_rng(0)
    inputs = Ragged.of([draw.integers(3, 300, n) for n in (9, 4, 1, 6)])
    targets = Ragged.of([[*draw.integers(3, 300, n), 1] for n in (0, 5, 2, 3)])
    rows = np.arange(4)
    ids = torch.from_numpy(inputs.padded(rows, 0))
    mask = (torch.arange(ids.shape[1]) < torch.from_numpy(inputs.lengths)[:, None]).long()
    with torch.no_grad():
        encoded = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        found = sequence_log_likelihood(model, encoded, mask, torch.from_numpy(targets.padded(rows, -100)))
    wanted = [plain_log_likelihood(model, inputs[i].tolist(), targets[i].tolist()) for i in range(4)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


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
def test_the_tasks_decoding_settings_reach_the_search(t5, tokenizer, toy_task, monkeypatch, beams):
    said = []
    generate = t5.generate
    monkeypatch.setattr(t5, "generate", lambda **settings: said.append(settings) or generate(**settings))
    settings = Decoding(max_new_tokens=3, num_beams=beams, length_penalty=0.5)
    decoder, _ = decoder_of(toy_task("text", decoding=settings), tokenizer)
    assert len(decoder(t5, [0, 1, 2])) == 3
    (used,) = said
    assert used["max_new_tokens"] == 3
    assert used["do_sample"] is False
    assert (used.get("num_beams"), used.get("length_penalty")) == ((3, 0.5) if beams == 3 else (None, None))


# --------------------------------------------------------------------------------------------------------------- spans


@pytest.mark.parametrize("name", ["tokenizer", "bytes_tokenizer"])
def test_span_scores_are_those_of_each_piece_token_by_token(model, name, request):
    tok = request.getfixturevalue(name)
    model.eval()
    example = Example("span: I`d go 🙂", "x", context="I`d go 🙂")
    source = source_span(tok, example)
    ids = tok(example.inputs)["input_ids"]
    encoded, mask = encode(model, ids)
    n = len(source.ids)
    with torch.no_grad():
        first, ahead, stop = span_scores(model, encoded, mask, source.ids, start=0, eos=1)

        def after(said):
            logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[0, *said]])).logits
            return logits[0, -1].log_softmax(-1)

        close = {"rel": 1e-4, "abs": 1e-4}
        for s in range(n):
            assert float(first[s]) == pytest.approx(float(after([])[source.ids[s]]), **close)
            for j in range(n - s):
                said = after(source.ids[s : s + j + 1])
                assert float(stop[s, j]) == pytest.approx(float(said[1]), **close)
                if s + j + 1 < n:
                    assert float(ahead[s, j]) == pytest.approx(float(said[source.ids[s + j + 1]]), **close)
    outside = np.arange(n)[:, None] + np.arange(n) >= n
    assert not stop.numpy()[outside].any()
    assert not ahead.numpy()[np.arange(n)[:, None] + np.arange(n) >= n - 1].any()


@pytest.mark.parametrize("text", ["I`d  go home", "a", "old old old"])
def test_the_likelihood_of_every_piece_is_that_of_its_sequence(t5, tokenizer, text):
    example = Example("span: " + text, "x", context=text)
    source = source_span(tokenizer, example)
    encoded, mask = encode(t5, tokenizer(example.inputs)["input_ids"])
    n = len(source.ids)
    with torch.no_grad():
        scores = piece_log_likelihoods(*span_scores(t5, encoded, mask, source.ids, start=0, eos=1))
        for s in range(n):
            for j in range(n):
                if s + j >= n:
                    assert scores[s, j] == -torch.inf
                else:
                    labels = torch.tensor([[*source.ids[s : s + j + 1], 1]])
                    wanted = sequence_log_likelihood(t5, encoded, mask, labels)
                    assert float(scores[s, j]) == pytest.approx(float(wanted), rel=1e-4, abs=1e-4)


def constrained(model, encoded, mask, source, s, e) -> float:
    """log p of the piece s..e: begin with a token of the source, then stop or go on to the next, plainly."""
    chosen, said = 0.0, [0]
    for at in range(s, e + 2):
        out = model(encoder_outputs=(encoded,), attention_mask=mask, decoder_input_ids=torch.tensor([said]))
        told = out.logits[0, -1].log_softmax(-1)
        if at == s:
            chosen += float(told[source.ids[s]] - told[torch.tensor(source.ids)].logsumexp(0))
        elif at < len(source.ids):  # at the source's end nothing is left but to stop
            stop = float(told[1].exp())
            chosen += float(np.log(stop if at == e + 1 else 1 - stop))
        said.append(source.ids[min(at, len(source.ids) - 1)])
    return chosen


@pytest.mark.parametrize("how", ["likelihood", "best"])
@pytest.mark.parametrize("name", ["tokenizer", "bytes_tokenizer"])
def test_the_span_is_the_best_of_all_pieces(model, name, how, request, toy_task):
    tok = request.getfixturevalue(name)
    model.eval()
    decoder, examples = decoder_of(toy_task("span", decoding=Decoding(span=how)), tok, ["red blu", "I`d  go"])
    for p in decoder(model, [0, 1]):
        source = source_span(tok, examples[p.row])
        encoded, mask = encode(model, tok(examples[p.row].inputs)["input_ids"])
        scored: dict[str, float] = {}  # of a text, by its best place
        with torch.no_grad():
            for s in range(len(source.ids)):
                for e in range(s, len(source.ids)):
                    if how == "best":
                        score = constrained(model, encoded, mask, source, s, e)
                    else:
                        labels = torch.tensor([[*source.ids[s : e + 1], 1]])
                        score = float(sequence_log_likelihood(model, encoded, mask, labels))
                    text = source.text(s, e)
                    scored[text] = max(score, scored.get(text, score))
        assert scored[p.raw] == pytest.approx(max(scored.values()), rel=1e-4, abs=1e-4)


@given(st.integers(1, 9), st.integers(0, 99))
def test_the_probabilities_of_all_pieces_sum_to_one(n, seed):
    draw = torch.Generator().manual_seed(seed)
    first, stop = (-5 * torch.rand(shape, generator=draw) for shape in ((n,), (n, n)))
    probabilities = piece_log_probabilities(first, stop)
    assert float(probabilities.exp().sum()) == pytest.approx(1.0, abs=1e-4)
    beyond = torch.arange(n)[:, None] + torch.arange(n) >= n
    assert (probabilities[beyond] == -torch.inf).all()
    assert (probabilities[~beyond] > -torch.inf).all()


@given(st.lists(st.sampled_from(["a", "a b", "b", "b c", "c d e", ""]), min_size=1, max_size=8), st.integers(0, 99))
def test_the_most_expected_piece_has_the_largest_expected_overlap(texts, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(texts)))

    def overlap(one, other):
        a, b = set(one.split()), set(other.split())
        return len(a & b) / len(a | b) if a | b else 0.0

    gains = [sum(w * overlap(t, other) for other, w in zip(texts, weights, strict=True)) for t in texts]
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
                said.append(max(source.continuations(said, 1), key=lambda i: float(logits[i])))
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
    monkeypatch.setattr(decoding, "LOGIT_BYTES", 1)  # one row a pass
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
