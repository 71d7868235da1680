"""MultiRC (Khashabi et al. 2018; SuperGLUE): each candidate answer of a question is an example of its own.

    row      {"paragraph": "<b>Sent 1: </b>Ann has a cat.<br><b>Sent 2: </b>It is grey.", "question": "What has Ann?",
              "answer": "A cat", "idx": {"paragraph": 4, "question": 7, "answer": 1}, "label": 1}
    example  "multirc question: What has Ann? answer: A cat paragraph: Sent 1: Ann has a cat. Sent 2: It is grey."
             →  "True"

The group of an example is its question: `multirc_em` is the share of questions with all answers judged rightly.
"""

from __future__ import annotations

import hashlib

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import super_glue

LABELS = ("False", "True")


@register_task(
    prefix="multirc question: ",
    source=super_glue("multirc"),
    labels=LABELS,
    metrics=["multirc_f1", "multirc_em", "accuracy"],
)
def multirc(row: Row) -> Example:
    """Whether a candidate answer to a question about a paragraph is right."""
    inputs = f"{text(row, 'question')} answer: {text(row, 'answer')} paragraph: {text(row, 'paragraph')}"
    inputs = inputs.replace("<br>", " ").replace("<b>", "").replace("</b>", "")  # as T5: no other tag is touched
    return Example(inputs, label_name(row, "label", LABELS), group=_question(row))


def _question(row: Row) -> str:
    # T5 groups by the question's number alone. With the paragraph's it stays right if questions are numbered anew in
    # each paragraph, and where they are not it changes nothing.
    idx = row.get("idx")
    if isinstance(idx, dict):
        return f"{idx['paragraph']}.{idx['question']}"
    both = f"{text(row, 'paragraph')}\0{text(row, 'question')}"
    return hashlib.sha256(both.encode()).hexdigest()[:16]
