"""QQP, Quora Question Pairs (Iyer et al. 2017; GLUE).

    row      {"question1": "How do I learn to swim?", "question2": "Is swimming healthy?", "label": 0}
    example  "qqp question1: How do I learn to swim? question2: Is swimming healthy?"  →  "not_duplicate"

363,846 training and 40,430 validation rows, of which 37 % are duplicates.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import glue

LABELS = ("not_duplicate", "duplicate")


@register_task(prefix="qqp question1: ", source=glue("qqp"), labels=LABELS, metrics=["f1", "accuracy"])
def qqp(row: Row) -> Example:
    """Whether two questions ask the same."""
    return Example(f"{text(row, 'question1')} question2: {text(row, 'question2')}", label_name(row, "label", LABELS))
