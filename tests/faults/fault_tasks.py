"""Tasks for runs that are killed, with enough rows that their tokens are cached."""

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
    source=rows({"train": made(160, 1), "validation": made(110, 2)}),
)
def fault_order(row):
    return Example(row["text"], row["label"])


@register_task(
    prefix="first: ",
    output="text",
    metrics=["exact_match"],
    source=rows({"train": made(150, 3), "validation": made(110, 4)}),
)
def fault_first(row):
    return Example(row["text"], row["text"].split()[0])
