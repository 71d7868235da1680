"""Spans are exact pieces of their source, whatever the tokenizer does to it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.decoding.automaton import Automaton
from multitask.errors import UserError
from multitask.task import Example
from multitask.tokenization.spans import SourceSpan, align, locate, source_span

continuations = runpy.run_path(str(Path(__file__).parents[1] / "reference_decoding.py"))["continuations"]

AWKWARD = "ab `'  🙂é\u0301…ﬁ日 .,!</s>\t\u00a0I"
texts = st.one_of(st.text(AWKWARD, max_size=25), st.text(st.characters(exclude_categories=["Cs"]), max_size=25))


@pytest.fixture(scope="session")
def tokenizers(tokenizer, bytes_tokenizer):
    return tokenizer, bytes_tokenizer


@settings(max_examples=150, deadline=None)
@given(texts, st.sampled_from((0, 1)), st.data())
def test_every_piece_is_a_substring_in_reading_order(tokenizers, context, which, data):
    tok = tokenizers[which]
    source = source_span(tok, Example("span: text: " + context, "x", context=context))
    assert len(source.ids) == len(source.edges)
    n = len(source.ids)
    if n:
        first = data.draw(st.integers(0, n - 1))
        last = data.draw(st.integers(first, n - 1))
        piece = source.text(first, last)
        assert piece
        assert piece in context
    assert source.edges == sorted(source.edges)
    assert all(0 <= b < e <= len(context) for b, e in source.edges)
    assert not {tok.eos_token_id, tok.pad_token_id} & set(source.ids)


@pytest.mark.parametrize("name", ["tokenizer", "bytes_tokenizer"])
def test_the_whole_source_is_the_text_without_outer_spaces(name, request):
    context = " I`d  go   home 🙂 now… "
    source = source_span(request.getfixturevalue(name), Example(f"span: text: {context}", "x", context=context))
    assert source.text(0, len(source.ids) - 1).strip() == context.strip()


def test_the_prefix_is_not_there_to_choose(tokenizer):
    source = source_span(tokenizer, Example("span: go text: go home", "x", context="go home"))
    assert source.ids == tokenizer("go home", add_special_tokens=False)["input_ids"]


def test_tokens_beyond_the_limit_are_not_there_to_choose(tokenizer):
    example = Example("span: go home now", "x", context="go home now")
    full = source_span(tokenizer, example)
    total = len(tokenizer(example.inputs)["input_ids"])
    cut = source_span(tokenizer, example, limit=total - 2)
    assert cut.ids == full.ids[:-2]
    assert source_span(tokenizer, example, limit=2).ids == []


def test_replaced_characters_lead_back_to_the_text_as_it_was(tokenizer):
    context = "I`d go, I`d stay"
    source = source_span(tokenizer, Example("x: " + context.replace("`", "'"), "y", context=context))
    assert source.text(0, len(source.ids) - 1) == context


def test_a_span_without_context_is_refused(tokenizer):
    with pytest.raises(UserError) as error:
        source_span(tokenizer, Example("a", "b", id="train-3"))
    assert str(error.value) == ("example 'train-3' has no context to cut a span from: give Example(…, context=text).")


def test_a_piece_that_ends_with_a_words_mark_ends_before_that_word():
    # Tokens: "▁" "re" "d" "▁" "b"; the marks carry the offsets of the character after them.
    source = SourceSpan("red b", [3, 44, 19, 3, 7], [(0, 1), (0, 2), (2, 3), (4, 5), (4, 5)])
    assert [source.text(0, k) for k in range(5)] == ["r", "re", "red", "red", "red b"]
    assert source.text(3, 3) == source.text(3, 4) == "b"
    assert source.text(1, 3) == "red"


# -------------------------------------------------------------------------------------------------------------- locate


@given(st.text(max_size=10), st.text(min_size=1, max_size=15))
def test_a_context_is_found_where_it_stands(before, context):
    at = locate(context, before + context)
    assert (before + context)[at : at + len(context)] == context
    assert at == len(before) or context in (before + context)[len(before) + 1 - len(context) :]


def test_the_last_of_several_places_is_taken():
    assert locate("go", "go: go") == 4
    assert locate("`b`", "span: a text: 'b'") == 14  # mostly quotes


@given(st.text("abc` ", min_size=4, max_size=20).filter(lambda t: t.count("`") <= len(t) // 4))
def test_a_context_with_replaced_characters_is_found(context):
    assert locate(context, "PREFIX: " + context.replace("`", "'")) == 8


def test_a_context_that_is_not_in_the_input_is_refused():
    with pytest.raises(UserError) as error:
        locate("something else", "span: 12345 67890 12345")
    assert str(error.value) == (
        "the context of a span must stand in the example's input, character for character. "
        "Got context 'something else' and input 'span: 12345 67890 12345'."
    )
    with pytest.raises(UserError, match=r"^the context of a span must stand"):
        locate("longer than the input", "short")


# --------------------------------------------------------------------------------------------------------------- align


@given(texts, st.data())
def test_a_piece_of_the_context_is_itself(context, data):
    begin = data.draw(st.integers(0, len(context)))
    piece = context[begin : data.draw(st.integers(begin, len(context)))]
    assert align(piece, context) == (piece if piece.strip() else "")


@given(texts, texts)
def test_what_is_aligned_is_always_a_piece_of_the_context(text, context):
    assert align(text, context) in context


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("I'd go", "I`d  go"),
        ("I’D GO", "I`d  go"),
        ("so fine", "so ﬁne"),
        ("home !!", "home 🙂 !!"),  # the vocabulary lost the emoji
        ("zzz qqq", ""),
        ("   ", ""),
    ],
)
def test_what_a_vocabulary_loses_is_found_again(text, piece):
    assert align(text, "well I`d  go so ﬁne home 🙂 !!") == piece


# -------------------------------------------------------------------------------------------------- constrained search

SOURCE = SourceSpan("a b a c", [5, 6, 5, 7], [(0, 1), (2, 3), (4, 5), (6, 7)])


@given(st.lists(st.integers(2, 5), max_size=14), st.data())
def test_an_automaton_allows_what_follows_at_any_place(ids, data):
    source = SourceSpan("", ids, [(0, 0)] * len(ids))
    pieces = Automaton(ids)
    if ids:
        first = data.draw(st.integers(0, len(ids) - 1))
        said = ids[first : data.draw(st.integers(first, len(ids)))]
        assert pieces.state(said) >= 0
        assert pieces.allowed(pieces.state(said), 1) == continuations(source, said, 1)
    wrong = data.draw(st.lists(st.integers(2, 6), max_size=6))
    assert (pieces.state(wrong) >= 0) is bool(source.matches(wrong))
    assert pieces.allowed(pieces.state(wrong), 1) == continuations(source, wrong, 1)


def test_a_found_piece_is_the_first_place_of_its_tokens():
    assert SOURCE.find([5, 7]) == "a c"
    assert SOURCE.find([5]) == "a"
    assert SOURCE.find([6, 7]) == SOURCE.find([]) == ""


@given(st.lists(st.integers(2, 5), min_size=1, max_size=12))
def test_whatever_the_constraint_allows_is_a_piece(ids):
    context = "".join(chr(96 + i) for i in ids)
    source = SourceSpan(context, ids, [(i, i + 1) for i in range(len(ids))])
    said: list[int] = []
    pieces = Automaton(ids)
    while (following := pieces.allowed(pieces.state(said), 1)) != [1] and len(said) < 20:
        said.append(following[-1])
        assert source.matches(said)
        assert source.find(said) in context
    assert len(said) <= len(ids)
