"""Multi30k (Elliott et al. 2016): captions of images, English to German; short and concrete.

    row      {"en": "A white swan swims on a lake.", "de": "Ein weißer Schwan schwimmt auf einem See."}
    example  "translate caption to German: A white swan swims on a lake."
             →  "Ein weißer Schwan schwimmt auf einem See."

29,000 training and 1,014 validation rows; non-commercial research use.
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Decoding, Example, Row, register_task

from ._format import text


# The prefix is not WMT's: two tasks with one prefix are refused. To ask a released T5 for what it has learnt, take
# `multi30k.replace(prefix="translate English to German: ")`.
@register_task(
    prefix="translate caption to German: ",
    # Not pinned: no commit of this repository could be confirmed. A run records the commit that the branch stood at.
    source=hub("bentrevett/multi30k", revision="main"),
    metrics=["bleu", "chrf"],
    max_input_tokens=128,
    max_target_tokens=128,
    decoding=Decoding(max_new_tokens=128),
)
def multi30k(row: Row) -> Example:
    """A caption of an image in German."""
    return Example(text(row, "en"), text(row, "de"))
