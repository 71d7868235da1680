"""BoolQ (Clark et al. 2019; SuperGLUE). The passage stands first: T5 sorts the keys by name.

    row      {"question": "do otters eat fish", "passage": "Otter -- Most otters feed on fish.", "label": True}
    example  "boolq passage: Otter -- Most otters feed on fish. question: do otters eat fish"  →  "True"

So a passage that is too long costs its question, as in T5; the truncation count says for how many rows.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import super_glue

LABELS = ("False", "True")


@register_task(prefix="boolq passage: ", source=super_glue("boolq"), labels=LABELS, metrics=["accuracy"])
def boolq(row: Row) -> Example:
    """A yes-or-no question about a passage."""
    return Example(f"{text(row, 'passage')} question: {text(row, 'question')}", label_name(row, "label", LABELS))
