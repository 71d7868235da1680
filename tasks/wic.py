"""WiC, Word in Context (Pilehvar and Camacho-Collados 2019; SuperGLUE).

    row      {"sentence1": "She sat by the bank.", "sentence2": "The bank is shut.", "word": "bank", "label": 0}
    example  "wic sentence1: She sat by the bank. sentence2: The bank is shut. word: bank"  →  "False"

5,428 training and 638 validation rows, half of them True.
"""

from __future__ import annotations

from multitask.task import Example, Row, register_task

from ._format import label_name, text
from ._hub import super_glue

LABELS = ("False", "True")


# Appendix D of Raffel et al. (2020) has "pos: N " before sentence1. The code names just these three fields, and the
# Hub's rows have no part of speech.
@register_task(prefix="wic sentence1: ", source=super_glue("wic"), labels=LABELS, metrics=["accuracy"])
def wic(row: Row) -> Example:
    """Whether a word has the same meaning in two sentences."""
    inputs = f"{text(row, 'sentence1')} sentence2: {text(row, 'sentence2')} word: {text(row, 'word')}"
    return Example(inputs, label_name(row, "label", LABELS))
