"""MNLI (Williams et al. 2018; GLUE). The hypothesis stands first: T5 sorts the keys by name.

    row      {"premise": "She plays the harp every night.", "hypothesis": "She owns no instrument.", "label": 1}
    example  "mnli hypothesis: She owns no instrument. premise: She plays the harp every night."  →  "neutral"

Evaluated on the matched validation split, that is, on the genres of the training rows.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import glue

LABELS = ("entailment", "neutral", "contradiction")
MATCHED = {"train": "train", "validation": "validation_matched", "test": "test_matched"}


@register_task(prefix="mnli hypothesis: ", source=glue("mnli", MATCHED), labels=LABELS, metrics=["accuracy"])
def mnli(row: Row) -> Example:
    """Whether the premise entails, contradicts or leaves open the hypothesis."""
    return Example(f"{text(row, 'hypothesis')} premise: {text(row, 'premise')}", label_name(row, "label", LABELS))
