"""Emotion of a tweet (Saravia et al. 2018): lower-case texts, six emotions.

    row      {"text": "i feel a bit shaky before the exam", "label": 4}
    example  "emotion: i feel a bit shaky before the exam"  →  "fear"

16,000 training and 2,000 validation rows; the commonest label, joy, is a third of them.
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Example, Row, register_task

from ._format import label_name, text

LABELS = ("sadness", "joy", "love", "anger", "fear", "surprise")


@register_task(
    prefix="emotion: ",
    source=hub("dair-ai/emotion", "split", revision="cab853a1dbdf4c42c2b3ef2173804746df8825fe"),
    labels=LABELS,
    metrics=["accuracy", "f1_macro"],
)
def emotion(row: Row) -> Example:
    """Which of six emotions a tweet shows."""
    return Example(text(row, "text"), label_name(row, "label", LABELS))
