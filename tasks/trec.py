"""TREC question classification (Li and Roth 2002): the kind of thing that a question asks for.

    row      {"text": "Who painted the ceiling ?", "coarse_label": 3}
    example  "trec question: Who painted the ceiling ?"  →  "human"

The Hub has 5,452 training rows and a test split of 500, which serves for validation.
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Example, Row, register_task

from ._format import label_name, text

# ABBR, ENTY, DESC, HUM, LOC, NUM in the order of their numbers, written out: words are what the model has seen.
LABELS = ("abbreviation", "entity", "description", "human", "location", "number")


@register_task(
    prefix="trec question: ",
    # Not pinned: the repository holds a script, and the Hub's parquet copy of it is a branch. A run records the
    # commit that the branch stood at.
    source=hub("CogComp/trec", revision="refs/convert/parquet", splits={"train": "train", "validation": "test"}),
    labels=LABELS,
    metrics=["accuracy"],
)
def trec(row: Row) -> Example:
    """What kind of thing a question asks for."""
    return Example(text(row, "text"), label_name(row, "coarse_label", LABELS))
