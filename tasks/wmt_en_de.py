"""WMT 2014, English to German (Bojar et al. 2014); the validation split is newstest2013, as in T5.

    row      {"translation": {"en": "The swan is white.", "de": "Der Schwan ist weiß."}}
    example  "translate English to German: The swan is white."  →  "Der Schwan ist weiß."

Prefix, beams and penalty are T5's (Raffel et al. 2020, section 3.7).
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Decoding, Example, Row, register_task

from ._format import text


@register_task(
    prefix="translate English to German: ",
    source=hub("wmt/wmt14", "de-en", revision="b199e406369ec1b7634206d3ded5ba45de2fe696"),
    metrics=["bleu", "chrf"],
    max_input_tokens=256,
    max_target_tokens=256,
    decoding=Decoding(max_new_tokens=256, num_beams=4, length_penalty=0.6),
)
def wmt_en_de(row: Row) -> Example:
    """An English sentence of the news in German."""
    pair = row["translation"]
    return Example(text(pair, "en"), text(pair, "de"))
