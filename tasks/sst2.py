"""SST-2 (Socher et al. 2013; GLUE). The text is GLUE's: lower case, spaced tokens; the training rows are phrases.

    row      {"sentence": "a gorgeous , witty film . ", "label": 1}
    example  "sst2 sentence: a gorgeous , witty film ."  →  "positive"

67,349 training and 872 validation rows; one row is 0.11 points of accuracy.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import glue

LABELS = ("negative", "positive")


@register_task(prefix="sst2 sentence: ", source=glue("sst2"), labels=LABELS, metrics=["accuracy"])
def sst2(row: Row) -> Example:
    """Whether a sentence of a film review is positive or negative."""
    return Example(text(row, "sentence"), label_name(row, "label", LABELS))
