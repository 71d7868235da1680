"""SQuAD 1.1 (Rajpurkar et al. 2016): the answer to a question is generated from the passage that holds it.

    row      {"question": "Who's there?", "context": "Ann (b. 1990) was there.",
              "answers": {"text": ["Ann", "Ann (b. 1990)"], "answer_start": [0, 0]}}
    example  "question: Who ' s there ? context: Ann ( b . 1990 ) was there ."  →  "Ann"

As in T5's code spaces are put around every punctuation mark, in the answers too: "U . S ." is then compared with
"U . S .", which SQuAD's normalisation would tell from "U.S.".
"""

from __future__ import annotations

import re
import string

from multitask.sources.hugging_face import hub
from multitask.task import UNLABELLED, Decoding, Example, Row, register_task

from ._format import own_id, text, texts

_PUNCTUATION = re.compile(f"([{re.escape(string.punctuation)}])")
# T5's regular expressions know ASCII's spaces only.
_SPACES = re.compile(r"[ \t\n\r\f\v]+")


@register_task(
    prefix="question: ",
    source=hub("rajpurkar/squad", revision="7b6d24c440a36b6815f21b70d25016731768db1f"),
    metrics=["token_f1", "exact_match"],
    max_input_tokens=512,
    max_target_tokens=64,
    decoding=Decoding(max_new_tokens=64),
)
def squad(row: Row) -> Example:
    """The answer to a question about a passage."""
    inputs = f"{pad_punctuation(text(row, 'question'))} context: {pad_punctuation(text(row, 'context'))}"
    answers = tuple(dict.fromkeys(pad_punctuation(a) for a in texts(row["answers"]["text"], "answers")))
    return Example(inputs, answers[0] if answers else UNLABELLED, id=own_id(row, "id"), references=answers)


def pad_punctuation(passage: str) -> str:
    """The passage with spaces around each ASCII punctuation mark (T5's `_pad_punctuation`).

    >>> pad_punctuation("the U.S. (1776)")
    'the U . S . ( 1776 )'
    """
    return _SPACES.sub(" ", _PUNCTUATION.sub(r" \1 ", passage)).strip()
