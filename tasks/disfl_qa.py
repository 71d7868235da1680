"""Disfl-QA (Gupta et al. 2021, CC BY 4.0): a SQuAD question as one says it, put right.

    row      {"disfluent question": "Who built no when was the bridge built?",
              "original question": "When was the bridge built?"}
    example  "disfluent question: Who built no when was the bridge built?"  →  "When was the bridge built?"

BLEU is the paper's metric; a copy of the input scores high in it, so the share of exact questions stands beside it.
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Decoding, Example, Row, register_task

from ._format import text


@register_task(
    prefix="disfluent question: ",
    # Not pinned: the repository holds a script, and the Hub's parquet copy of it is a branch. A run records the
    # commit that the branch stood at.
    source=hub("google-research-datasets/disfl_qa", revision="refs/convert/parquet"),
    metrics=["bleu", "sequence_accuracy"],
    max_input_tokens=128,
    max_target_tokens=64,
    decoding=Decoding(max_new_tokens=64),
)
def disfl_qa(row: Row) -> Example:
    """What was meant by a question with slips of the tongue."""
    return Example(text(row, "disfluent question"), text(row, "original question"))
