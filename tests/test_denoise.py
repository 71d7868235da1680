"""Span corruption: T5's counts exactly, nothing lost, and the same example for the same text for ever."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.tasks.denoise import MAX_WORDS, corrupt, denoise, noise_mask, segments

SENTINEL = re.compile(r"<extra_id_(\d+)>")
words = st.lists(st.text("abcé.,'", min_size=1, max_size=6), min_size=2, max_size=80)


def reassemble(inputs, target):
    """The text again: each sentinel of the inputs replaced by what follows it in the target."""
    spans = dict(re.findall(r"(<extra_id_\d+>) (.*?)(?= <extra_id_|$)", target))
    return SENTINEL.sub(lambda m: spans[m.group()], inputs)


@given(words)
def test_inputs_and_target_reassemble_to_the_text(text):
    assert reassemble(*corrupt(text)) == " ".join(text)


@given(words)
def test_sentinels_ascend_from_0_and_are_the_same_on_both_sides(text):
    inputs, target = corrupt(text)
    numbers = [int(n) for n in SENTINEL.findall(inputs)]
    assert numbers == list(range(len(numbers)))
    assert [int(n) for n in SENTINEL.findall(target)] == numbers
    assert 1 <= len(numbers) <= 100


# Worked out by hand: round(0.15 n) clipped to 1 … n-1, and round(noise / 3), 1 or more; halves go to even.
@pytest.mark.parametrize(
    ("length", "noise", "spans"),
    [
        (2, 1, 1),
        (3, 1, 1),
        (10, 2, 1),
        (30, 4, 1),
        (33, 5, 2),
        (100, 15, 5),
        (190, 29, 10),
        (256, 38, 13),
        (512, 77, 26),
    ],
)
def test_a_mask_has_exactly_t5s_counts(length, noise, spans):
    for seed in range(20):
        mask = noise_mask(length, random.Random(seed))
        assert len(mask) == length
        assert sum(mask) == noise
        assert sum(b and not a for a, b in zip([False, *mask], mask, strict=False)) == spans


@given(st.integers(2, 600), st.integers())
def test_a_mask_begins_with_a_kept_word_and_ends_with_noise(length, seed):
    mask = noise_mask(length, random.Random(seed))
    assert not mask[0]
    assert mask[-1]


def test_all_segmentations_are_equally_likely():
    rng = random.Random(0)
    counts = Counter(tuple(segments(5, 3, rng)) for _ in range(6000))
    assert len(counts) == 6  # the ways to write 5 as a sum of three
    assert all(850 < n < 1150 for n in counts.values())  # 1000 each, sd 29


@given(st.integers(1, 60), st.data())
def test_segments_are_positive_and_add_up(items, data):
    count = data.draw(st.integers(1, items))
    lengths = segments(items, count, random.Random(data.draw(st.integers())))
    assert len(lengths) == count
    assert min(lengths) >= 1
    assert sum(lengths) == items


def test_one_word_cannot_be_corrupted():
    with pytest.raises(ValueError) as error:
        noise_mask(1, random.Random(0))
    assert str(error.value) == "a text needs 2 words or more to be corrupted. Got 1."


def test_a_text_always_becomes_the_same_example():
    text = "the swan swims on the lake and does not look at us while we eat our bread by the shore"
    assert denoise({"text": text}) == denoise({"text": text})
    assert denoise({"text": text}).inputs == "denoise: " + corrupt(text.split())[0]
    # Written down, so that another Python or platform that made another mask would be noticed.
    assert corrupt(text.split()) == GOLDEN


GOLDEN = (
    "the swan swims on the lake and does not look at us while we eat our bread <extra_id_0>",
    "<extra_id_0> by the shore",
)


def test_the_global_random_state_is_neither_used_nor_changed():
    random.seed(1)
    before = random.getstate()
    first = denoise({"text": "one two three four five six seven"})
    assert random.getstate() == before
    random.seed(2)
    assert denoise({"text": "one two three four five six seven"}) == first


@pytest.mark.parametrize("text", ["", "   ", "word", None, "a text that <extra_id_3> holds one"])
def test_a_text_that_cannot_be_corrupted_gives_no_example(text):
    assert denoise.examples({"text": text}) == []


def test_a_long_text_gives_several_examples_and_loses_no_word():
    text = " ".join(f"w{i}" for i in range(2 * MAX_WORDS + 10))
    made = denoise.examples({"text": text})
    assert len(made) == 3
    whole = " ".join(reassemble(e.inputs.removeprefix("denoise: "), e.target) for e in made)
    assert whole == text


def test_a_last_piece_of_one_word_is_dropped():
    assert len(denoise.examples({"text": "w " * (MAX_WORDS + 1)})) == 1


def test_about_the_right_share_is_noise_in_texts_of_any_length():
    lengths = range(20, 257)
    noise = sum(sum(noise_mask(n, random.Random(n))) for n in lengths)
    assert abs(noise / sum(lengths) - 0.15) < 0.001
