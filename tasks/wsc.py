"""WSC, the Winograd Schema Challenge (Levesque et al. 2012; SuperGLUE), as T5 has it: the model names the noun.

    row      {"text": "The cat saw the mouse before it could hide .", "span1_text": "the mouse", "span1_index": 3,
              "span2_text": "it", "span2_index": 6, "label": 1}
    example  "wsc: The cat saw the mouse before *it* could hide ."  →  "the mouse"

Trained on the rows whose noun is the right one; evaluated on all: the model's noun is compared with the row's, and
for a false row any *other* noun is right, which is why its target is "not the mouse". The likelihood of such a target
means nothing; the accuracy is T5's.
"""

from __future__ import annotations

import string

from multitask.task import Decoding, Example, Row, register_task

from ._format import judge_referent, label_name, referent_example, text
from ._hub import super_glue


@register_task(
    prefix="wsc: ",
    source=super_glue("wsc.fixed"),
    metrics=["accuracy"],
    postprocess=judge_referent,
    max_target_tokens=32,
    decoding=Decoding(max_new_tokens=32),
    version=2,
)
def wsc(row: Row, split: str = "validation") -> list[Example]:
    """The noun that the pronoun in asterisks stands for."""
    label = label_name(row, "label", ("False", "True"))
    if split == "train" and label == "False":
        return []
    inputs = mark_pronoun(text(row, "text"), text(row, "span2_text"), int(row["span2_index"]))
    return [referent_example(inputs, text(row, "span1_text"), label)]


def mark_pronoun(sentence: str, pronoun: str, index: int) -> str:
    """The sentence with asterisks around the pronoun, which is the word of that index or the nearest such word.

    In two rows the index is wrong or the word has marks attached; T5 lists those sentences by hand, and sets the
    marks apart ("*him* ,"). Where the row's own pronoun has a mark ("it,"), T5 keeps it inside: "*it,*".

    Raises:
        ValueError: If the pronoun does not stand in the sentence.

    >>> mark_pronoun('"Good for him," he said.', "him", 2)
    '"Good for *him* ," he said.'
    """
    words, wanted = sentence.split(), pronoun.lower()
    found = [i for i, w in enumerate(words) if wanted in (w.lower(), w.strip(string.punctuation).lower())]
    if not found:
        raise ValueError(f"pronoun {pronoun!r} does not stand in the sentence {sentence!r}.")
    at = min(found, key=lambda i: abs(i - index))
    head, tail = words[at].lower().split(wanted, 1)
    marked = f"{head}*{pronoun}*" + (f" {tail}" if tail else "")
    return " ".join([*words[:at], marked, *words[at + 1 :]])
