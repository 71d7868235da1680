r"""ReCoRD (Zhang et al. 2018; SuperGLUE): the entity of the passage that fills the gap in the query.

    row      {"passage": "Ann met Bob in Rome.\n@highlight\nThey had lunch", "query": "@placeholder is in Italy.",
              "entities": ["Ann", "Bob", "Rome"], "answers": ["Rome"]}
    example  "record query: @placeholder is in Italy. entities: Ann, Bob, Rome passage: Ann met Bob in Rome. "
             "They had lunch"  →  "Rome"

In training a row with several answers gives one example for each; in evaluation it gives one example, and the best
answer counts (T5 evaluates the copies and throws all but one away: the same score).
"""

from __future__ import annotations

import re

from multitask.task import UNLABELLED, Decoding, Example, Row, register_task

from ._format import text, texts
from ._hub import super_glue


@register_task(
    prefix="record query: ",
    source=super_glue("record"),
    metrics=["token_f1", "exact_match"],
    max_target_tokens=32,
    decoding=Decoding(max_new_tokens=32),
)
def record(row: Row, split: str = "validation") -> list[Example]:
    """The entity of the passage that fills the gap in the query."""
    # A highlight becomes a sentence: a full stop goes before it, unless the line before ends in a mark.
    passage = re.sub(r"([.?!\"'])\n@highlight\n", r"\1 ", text(row, "passage"))
    passage = passage.replace("\n@highlight\n", ". ")
    inputs = f"{text(row, 'query')} entities: {', '.join(texts(row['entities'], 'entities'))} passage: {passage}"
    answers = tuple(dict.fromkeys(texts(row["answers"], "answers")))
    if not answers:
        return [Example(inputs, UNLABELLED)]
    if split == "train":
        return [Example(inputs, answer) for answer in answers]
    return [Example(inputs, answers[0], references=answers)]
