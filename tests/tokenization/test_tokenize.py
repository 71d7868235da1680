"""Strings to ids: nothing lost, cut at the limit, offsets that lead back to the characters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.task import Example
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.tokenize import tokenize_task
from multitask.tokenization.tokenizer import load_tokenizer, offsets
from multitask.tokenization.train_vocabulary import train_vocabulary

sequences = st.lists(st.lists(st.integers(0, 40_000), max_size=9), max_size=12)
TRICKY = [
    "I`d  go   home 🙂 now",
    "x: ﬁne… </s> ok <extra_id_0> z",  # special tokens, which swallow the spaces around them
    "  a\tb \u00a0 c",
    "naïve 日本語 e\u0301",
    "<pad></s>",
    "",
]


@given(sequences)
def test_ragged_gives_back_every_sequence(made):
    ragged = Ragged.of(made)
    assert len(ragged) == len(made)
    assert [ragged[i].tolist() for i in range(len(ragged))] == made
    assert ragged.lengths.tolist() == [len(s) for s in made]


@given(sequences.filter(len), st.data())
def test_padded_rows_are_the_sequences_filled_up(made, data):
    rows = np.array(data.draw(st.lists(st.integers(0, len(made) - 1), min_size=1)))
    filled = Ragged.of(made).padded(rows, -7)
    assert filled.shape == (len(rows), max(1, *(len(made[r]) for r in rows), 1))
    for row, ids in zip(rows, filled.tolist(), strict=True):
        assert ids == made[row] + [-7] * (len(ids) - len(made[row]))


def test_a_sequence_that_is_too_long_is_cut_before_its_end_token(tokenizer, toy_task):
    task = toy_task("text", max_input_tokens=5, max_target_tokens=3)
    examples = [task({"text": "red blue green round"}), Example("a", "a")]
    seen = []
    made = tokenize_task(tokenizer, task, examples, seen.append)
    full = tokenizer(examples[0].inputs)["input_ids"]
    assert made.inputs[0].tolist() == [*full[:4], tokenizer.eos_token_id]
    assert made.targets[0].tolist() == [*tokenizer(examples[0].target)["input_ids"][:2], tokenizer.eos_token_id]
    assert made.inputs[1].tolist() == tokenizer("a")["input_ids"]
    assert (made.cut_inputs, made.cut_targets) == (1, 1)
    assert sum(seen) == len(made) == 2


@pytest.mark.filterwarnings("ignore:This sequence already has </s>")  # ByT5, of a text that ends so
@pytest.mark.parametrize("text", TRICKY)
@pytest.mark.parametrize("name", ["tokenizer", "bytes_tokenizer"])
def test_there_is_one_offset_a_token_and_they_never_go_back(name, text, request):
    tok = request.getfixturevalue(name)
    spots = offsets(tok, text)
    assert len(spots) == len(tok(text)["input_ids"])
    assert spots[-1] == (0, 0)
    begins = [b for b, _ in spots[:-1]]
    assert begins == sorted(begins)
    assert all(0 <= b <= e <= len(text) for b, e in spots)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_byte_offsets_are_those_of_the_characters(bytes_tokenizer, text):
    spots = offsets(bytes_tokenizer, text)[:-1]
    assert spots == [(i, i + 1) for i, c in enumerate(text) for _ in c.encode()]


def test_byte_offsets_step_over_special_tokens(bytes_tokenizer):
    text = "ab </s>  c"
    said = [text[b:e] for b, e in offsets(bytes_tokenizer, text)]
    assert said == ["a", "b", "</s>", "c", ""] or said == ["a", "b", " ", "</s>", "c", ""]


def test_a_tokenizer_without_offsets_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(UserError) as error:
        offsets(Slow(), "a")
    assert str(error.value) == (
        "a span needs a tokenizer that knows character offsets, and Slow does not: "
        "use a model with a fast tokenizer, or ByT5."
    )


def test_a_vocabulary_is_the_same_whenever_it_is_trained(tmp_path):
    texts = [f"red blue green {i} square" for i in range(40)]
    made = [train_vocabulary(texts, 80, tmp_path / name) for name in ("a", "b")]
    assert made[0].read_bytes() == made[1].read_bytes()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["spiece.model"]


def test_a_trained_vocabulary_has_the_special_ids_of_t5(tokenizer):
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer("good")["input_ids"][-1] == 1
    assert tokenizer.decode(tokenizer("a good day")["input_ids"], skip_special_tokens=True) == "a good day"


def test_a_saved_tokenizer_loads_as_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(str(tmp_path))
    assert again(TRICKY)["input_ids"] == tokenizer(TRICKY)["input_ids"]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"^no tokenizer could be loaded from '{tmp_path}': "):
        load_tokenizer(str(tmp_path))


def test_a_vocabulary_that_was_not_read_is_noticed(monkeypatch, tmp_path, tokenizer):
    import transformers

    class AllUnknown:
        unk_token_id = 2

        def __call__(self, text, **_):
            return {"input_ids": [2, 2, 2]}

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *a, **k: AllUnknown())
    with pytest.raises(UserError) as error:
        load_tokenizer("some/model")
    assert str(error.value) == "the tokenizer of 'some/model' maps every letter to <unk>: its vocabulary was not read."


def test_a_bare_sentencepiece_file_is_read(tmp_path):
    train_vocabulary([f"red blue green {i}" for i in range(40)], 80, Path(tmp_path))
    tok = load_tokenizer(str(tmp_path))
    assert tok.unk_token_id not in tok("red blue", add_special_tokens=False)["input_ids"]
