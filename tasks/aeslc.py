"""AESLC (Zhang and Tetreault 2019): the subject line of an e-mail of the Enron corpus.

    row      {"email_body": "The pump was delivered today.  Please pay the invoice.", "subject_line": "Pump invoice"}
    example  "write a subject line: The pump was delivered today.  Please pay the invoice."  →  "Pump invoice"

Some e-mails stand in the training rows twice; the licence is CC BY-NC-SA 4.0.
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Decoding, Example, Row, register_task

from ._format import text


@register_task(
    prefix="write a subject line: ",
    source=hub("Yale-LILY/aeslc", revision="2305f2e63b68056f9b9037a3805c8c196e0d5581"),
    metrics=["rouge_l", "rouge_1", "rouge_2"],
    max_target_tokens=32,
    decoding=Decoding(max_new_tokens=32),
)
def aeslc(row: Row) -> Example:
    """The subject line of an e-mail."""
    return Example(text(row, "email_body"), text(row, "subject_line"))
