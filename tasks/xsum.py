"""XSum (Narayan et al. 2018): a BBC article in one sentence.

    row      {"document": "A swan sat on the line for two hours.", "summary": "A swan has delayed trains."}
    example  "summarize in one sentence: A swan sat on the line for two hours."  →  "A swan has delayed trains."

T5 was not trained on it; "summarize: " would ask for CNN/Daily Mail's highlights, hence a prefix of its own.
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Decoding, Example, Row, register_task

from ._format import text


@register_task(
    prefix="summarize in one sentence: ",
    source=hub("EdinburghNLP/xsum", revision="7d4d486c2f8ef850b1a11aead99b894ff3dd7da9"),
    metrics=["rouge_2", "rouge_1", "rouge_l"],
    max_target_tokens=64,
    decoding=Decoding(max_new_tokens=64),
)
def xsum(row: Row) -> Example:
    """A news article in one sentence."""
    return Example(text(row, "document"), text(row, "summary"))
