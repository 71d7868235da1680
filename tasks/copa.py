"""COPA, Choice of Plausible Alternatives (Roemmele et al. 2011; SuperGLUE).

    row      {"premise": "The cup fell.", "choice1": "It broke.", "choice2": "It rained.", "question": "effect",
              "label": 0}
    example  "copa choice1: It broke. choice2: It rained. premise: The cup fell. question: effect"  →  "choice1"

400 training and 100 validation rows.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import super_glue

# Appendix D of Raffel et al. (2020) prints "True" for label 1. The code takes the label names of TensorFlow Datasets,
# which are these, and the code is followed: "True" would say nothing of which choice is meant.
LABELS = ("choice1", "choice2")


@register_task(prefix="copa choice1: ", source=super_glue("copa"), labels=LABELS, metrics=["accuracy"])
def copa(row: Row) -> Example:
    """The likelier of two causes or effects of the premise."""
    inputs = f"{text(row, 'choice1')} choice2: {text(row, 'choice2')} premise: {text(row, 'premise')}"
    return Example(f"{inputs} question: {text(row, 'question')}", label_name(row, "label", LABELS))
