"""RTE, Recognizing Textual Entailment (Dagan et al. 2006 and others), in the format of GLUE.

    row      {"sentence1": "Rome lies on the Tiber.", "sentence2": "The Tiber flows through Rome.", "label": 0}
    example  "rte sentence1: Rome lies on the Tiber. sentence2: The Tiber flows through Rome."  →  "entailment"

2,490 training and 277 validation rows. SuperGLUE has the same rows under other column names.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import glue

LABELS = ("entailment", "not_entailment")


@register_task(prefix="rte sentence1: ", source=glue("rte"), labels=LABELS, metrics=["accuracy"])
def rte(row: Row) -> Example:
    """Whether the first sentence entails the second."""
    return Example(f"{text(row, 'sentence1')} sentence2: {text(row, 'sentence2')}", label_name(row, "label", LABELS))
