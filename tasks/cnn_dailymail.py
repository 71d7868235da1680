"""CNN/Daily Mail, version 3.0.0, not anonymised (Hermann et al. 2015; See et al. 2017).

    row      {"article": "LONDON (CNN) -- A swan stopped a train on Monday.", "highlights": "Swan stops train ."}
    example  "summarize: LONDON (CNN) -- A swan stopped a train on Monday."  →  "Swan stops train ."

ROUGE-2 is the first metric because Raffel et al. (2020) compare by it; beams and penalty are those of section 3.7.
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Decoding, Example, Row, register_task

from ._format import text


@register_task(
    prefix="summarize: ",
    source=hub("abisee/cnn_dailymail", "3.0.0", revision="96df5e686bee6baa90b8bee7c28b81fa3fa6223d"),
    metrics=["rouge_2", "rouge_1", "rouge_lsum"],
    decoding=Decoding(max_new_tokens=128, num_beams=4, length_penalty=0.6),
)
def cnn_dailymail(row: Row) -> Example:
    """The highlights of a news article."""
    return Example(text(row, "article"), text(row, "highlights"))
