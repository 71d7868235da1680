"""MRPC, the Microsoft Research Paraphrase Corpus (Dolan and Brockett 2005; GLUE).

    row      {"sentence1": "He sold the firm in May .", "sentence2": "In May he sold the firm .", "label": 1}
    example  "mrpc sentence1: He sold the firm in May . sentence2: In May he sold the firm ."  →  "equivalent"

3,668 training and 408 validation rows, of which two thirds are equivalent.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import glue

LABELS = ("not_equivalent", "equivalent")


@register_task(prefix="mrpc sentence1: ", source=glue("mrpc"), labels=LABELS, metrics=["f1", "accuracy"])
def mrpc(row: Row) -> Example:
    """Whether two sentences of the news say the same."""
    return Example(f"{text(row, 'sentence1')} sentence2: {text(row, 'sentence2')}", label_name(row, "label", LABELS))
