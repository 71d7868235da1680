"""CoLA, the Corpus of Linguistic Acceptability (Warstadt et al. 2019; GLUE).

    row      {"sentence": "The letter was wrote by her.", "label": 0}
    example  "cola sentence: The letter was wrote by her."  →  "unacceptable"

8,551 training and 1,043 validation rows, of which 70 % are acceptable.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import glue

LABELS = ("unacceptable", "acceptable")


# Matthews' correlation first: 70 % of the rows are acceptable, so accuracy says little.
@register_task(prefix="cola sentence: ", source=glue("cola"), labels=LABELS, metrics=["mcc", "accuracy"])
def cola(row: Row) -> Example:
    """Whether a sentence is acceptable English."""
    return Example(text(row, "sentence"), label_name(row, "label", LABELS))
