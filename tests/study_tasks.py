"""Small tasks for whole studies, in a file of their own: the workers of a study are new processes that include it."""

from __future__ import annotations

import random

from multitask import Example, register_task, rows

WORDS = ("red", "blue", "green", "round", "square", "big", "small", "old", "new", "fast", "slow", "warm", "cold")


def made(count: int, seed: int) -> list[dict[str, str]]:
    draw = random.Random(seed)
    texts = [[draw.choice(WORDS) for _ in range(draw.randint(2, 7))] for _ in range(count)]
    return [{"text": " ".join(words), "label": ("no", "yes")[words[0] < words[1]]} for words in texts]


@register_task(
    prefix="order: ",
    labels=("no", "yes"),
    metrics=["accuracy"],
    source=rows({"train": made(60, 1), "validation": made(40, 2)}),
)
def study_order(row):
    return Example(row["text"], row["label"])


@register_task(
    prefix="first: ",
    output="text",
    metrics=["exact_match"],
    source=rows({"train": made(50, 3), "validation": made(30, 4)}),
)
def study_first(row):
    return Example(row["text"], row["text"].split()[0])


@register_task(
    prefix="last: ",
    labels=("no", "yes"),
    metrics=["accuracy"],
    source=rows({"train": made(40, 5), "validation": made(30, 6)}),
)
def study_last(row):
    return Example(row["text"], ("no", "yes")[row["text"].split()[-1] > "n"])
