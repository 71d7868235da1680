"""Query wellformedness (Faruqui and Das 2018, CC BY-SA 4.0): the share of five raters who find a question well formed.

    row      {"content": "The swan weighs how many ?", "rating": 0.2}
    example  "wellformed query: The swan weighs how many ?"  →  "0.2"

A number, as in the data; the paper's yes or no is a rating of 0.8 or more.
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Decoding, Example, Row, register_task

from ._format import rounded, text


@register_task(
    prefix="wellformed query: ",
    # Not pinned: the repository holds a script, and the Hub's parquet copy of it is a branch. A run records the
    # commit that the branch stood at.
    source=hub("google-research-datasets/google_wellformed_query", revision="refs/convert/parquet"),
    output="number",
    metrics=["pearson", "spearman"],
    max_input_tokens=128,
    max_target_tokens=8,
    decoding=Decoding(max_new_tokens=8),
)
def wellformedness(row: Row) -> Example:
    """How well formed a question is, from 0 to 1."""
    return Example(text(row, "content"), rounded(row, "rating", low=0, high=1, step=0.1))
