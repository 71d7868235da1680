"""CB, CommitmentBank (de Marneffe et al. 2019; SuperGLUE): 250 training rows, 56 validation rows.

    row      {"premise": "Did he say that it rained?", "hypothesis": "it rained", "label": 2}
    example  "cb hypothesis: it rained premise: Did he say that it rained?"  →  "neutral"

The order of the labels is not MNLI's. The first metric is the mean F1 over the three classes, as in SuperGLUE.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import super_glue

LABELS = ("entailment", "contradiction", "neutral")


@register_task(prefix="cb hypothesis: ", source=super_glue("cb"), labels=LABELS, metrics=["f1_macro", "accuracy"])
def cb(row: Row) -> Example:
    """Whether the speaker of the premise holds the hypothesis to be true."""
    return Example(f"{text(row, 'hypothesis')} premise: {text(row, 'premise')}", label_name(row, "label", LABELS))
