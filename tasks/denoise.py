"""T5's own objective, span corruption (Raffel et al. 2020, section 3.1.4), on plain text, as a task among tasks.

    row      {"text": "one two three four five six seven eight"}
    example  "denoise: one two three four five six seven <extra_id_0>"  →  "<extra_id_0> eight"

Of n words round(0.15 n) are noise, in round(noise / 3) spans (both at least 1), and among all masks with these counts
that begin with a kept span and end with a noise span each is equally likely: T5's `random_spans_noise_mask`. The mask
comes from a hash of the text, so a row always becomes the same example.

Departures from T5: words stand for tokens (a formatter sees strings; in tokens the density is 0.15 on average), the
text is cut into pieces of 256 words instead of 512 tokens, and there is a prefix, because each task needs one. As in
T5's code, and not as in the paper's figure 2, no sentinel closes the target.

The first metric is the geometric mean of the target tokens' probabilities, the inverse of the perplexity beside it: no
luck of decoding in it, and on a scale from 0 to 1 that can stand in a mean over tasks. How often
all spans are guessed word for word stands beside it; for long texts that is next to never.
"""

from __future__ import annotations

import hashlib
import itertools
import random

import numpy as np

from multitask.sources.hugging_face import hub
from multitask.task import Decoding, Example, Row, register_task

from ._format import raw_text

NOISE_DENSITY = 0.15
MEAN_SPAN_LENGTH = 3.0
MAX_WORDS = 256
"""Gives 13 spans: far from the 100 sentinels that T5 has, and about 400 tokens."""


@register_task(
    prefix="denoise: ",
    # T5's corpus is C4; WikiText-103 is small enough to fetch.
    source=hub("Salesforce/wikitext", "wikitext-103-raw-v1", revision="b08601e04326c79dfdd32d625aee71d232d685c3"),
    metrics=["token_probability", "perplexity", "sequence_accuracy"],
    max_input_tokens=512,
    max_target_tokens=160,
    decoding=Decoding(max_new_tokens=160),
)
def denoise(row: Row) -> list[Example]:
    """The words that are missing from a text (span corruption)."""
    words = raw_text(row, "text").split()
    if any("<extra_id_" in w for w in words):
        return []  # the text's own sentinels could not be told from ours
    pieces = [words[i : i + MAX_WORDS] for i in range(0, len(words), MAX_WORDS)]
    return [Example(*corrupt(piece)) for piece in pieces if len(piece) > 1]


def corrupt(words: list[str]) -> tuple[str, str]:
    """The text with its noise spans replaced by sentinels, and the spans, each behind its sentinel."""
    seed = hashlib.sha256(" ".join(words).encode("utf-8", "surrogatepass")).digest()
    inputs: list[str] = []
    target: list[str] = []
    was_noise, spans = False, 0
    for word, is_noise in zip(words, noise_mask(len(words), random.Random(seed)), strict=True):
        if is_noise and not was_noise:
            inputs.append(f"<extra_id_{spans}>")
            target.append(f"<extra_id_{spans}>")
            spans += 1
        (target if is_noise else inputs).append(word)
        was_noise = is_noise
    return " ".join(inputs), " ".join(target)


def noise_mask(length: int, rng: random.Random) -> list[bool]:
    """Which of `length` words are noise: spans alternate, the first is kept and the last is noise.

    Raises:
        ValueError: If there are fewer than 2 words: one must be kept and one be noise.

    >>> sum(noise_mask(100, random.Random(0)))
    15
    """
    if length < 2:
        raise ValueError(f"a text needs 2 words or more to be corrupted. Got {length}.")
    # In float32, as TensorFlow, where 0.15 is a hair larger: 190 words have 29 noise words, in double precision 28.
    noise = min(max(round(float(np.float32(length) * np.float32(NOISE_DENSITY))), 1), length - 1)
    spans = max(round(noise / MEAN_SPAN_LENGTH), 1)
    mask: list[bool] = []
    for kept, dropped in zip(segments(length - noise, spans, rng), segments(noise, spans, rng), strict=True):
        mask += [False] * kept + [True] * dropped
    return mask


def segments(items: int, count: int, rng: random.Random) -> list[int]:
    """`count` lengths of 1 or more that add up to `items`, all such lists equally likely.

    >>> segments(5, 5, random.Random(0)), sum(segments(50, 7, random.Random(0)))
    ([1, 1, 1, 1, 1], 50)
    """
    gaps = list(range(1, items))
    for i in range(count - 1):
        # By `random()` alone, the one method whose values Python promises not to change between versions.
        j = i + int(rng.random() * (len(gaps) - i))
        gaps[i], gaps[j] = gaps[j], gaps[i]
    cuts = [0, *sorted(gaps[: count - 1]), items]
    return [b - a for a, b in itertools.pairwise(cuts)]
