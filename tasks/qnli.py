"""QNLI (Wang et al. 2018, from SQuAD; GLUE). Its sentences are SQuAD's: mind the leakage between the two.

    row      {"question": "Where is the bridge?", "sentence": "The bridge was built in 1890.", "label": 1}
    example  "qnli question: Where is the bridge? sentence: The bridge was built in 1890."  →  "not_entailment"

104,743 training and 5,463 validation rows, half of them with the answer.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import glue

LABELS = ("entailment", "not_entailment")


@register_task(prefix="qnli question: ", source=glue("qnli"), labels=LABELS, metrics=["accuracy"])
def qnli(row: Row) -> Example:
    """Whether the sentence holds the answer to the question."""
    return Example(f"{text(row, 'question')} sentence: {text(row, 'sentence')}", label_name(row, "label", LABELS))
