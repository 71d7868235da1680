"""STS-B, the Semantic Textual Similarity Benchmark (Cer et al. 2017; GLUE).

    row      {"sentence1": "A dog runs.", "sentence2": "A dog is running fast.", "label": 3.75}
    example  "stsb sentence1: A dog runs. sentence2: A dog is running fast."  →  "3.8"

The similarity (0 to 5) is rounded to the nearest 0.2, so that it becomes one of 26 strings (Raffel et al. 2020,
section 2.4). As in T5's evaluation the score is against the rounded string too.
"""

from __future__ import annotations

from multitask.task import Decoding, Example, Row, register_task

from ._format import rounded, text
from ._hub import glue


@register_task(
    prefix="stsb sentence1: ",
    source=glue("stsb"),
    output="number",
    metrics=["pearson", "spearman"],
    max_target_tokens=8,
    decoding=Decoding(max_new_tokens=8),
)
def stsb(row: Row) -> Example:
    """How similar in meaning two sentences are, from 0 to 5."""
    return Example(
        f"{text(row, 'sentence1')} sentence2: {text(row, 'sentence2')}", rounded(row, "label", low=0, high=5, step=0.2)
    )
