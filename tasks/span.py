"""Tweet sentiment extraction (Kaggle 2020, CC BY 4.0): the part of a tweet that bears its sentiment.

    row      {"textID": "a1", "text": " I`m so happy today, see you", "selected_text": "so happy",
              "sentiment": "positive"}
    example  "span sentiment: positive text:  I'm so happy today, see you"  →  "so happy"

The tweets write apostrophes as backticks, which T5's vocabulary lacks: in the input and in the target they become
apostrophes, one for one, so that every offset of the input is an offset of the row's text. The answer is cut from
that text (`context`) and scored against the row's own string (`references`): backticks and spaces count. The tweet
stands last and as it is, so nothing but truncation can part the two. "Return the whole text" scores 0.589 here.
"""

from __future__ import annotations

from multitask.task import Decoding, Example, Row, register_task

from ._format import own_id, raw_text


# No source: the copies on the Hub that a commit could be named of have lost the column selected_text. The rows come
# from --data DIR (DIR/span/train.csv as Kaggle has it) or from the generated sample.
@register_task(
    prefix="span sentiment: ",
    output="span",
    metrics=["jaccard", "sequence_accuracy"],
    max_input_tokens=160,
    max_target_tokens=128,
    decoding=Decoding(max_new_tokens=128, span="expected"),
)
def span(row: Row) -> Example:
    """The part of a tweet that bears its sentiment."""
    tweet, selected, sentiment = (raw_text(row, column) for column in ("text", "selected_text", "sentiment"))
    if not tweet.strip():
        return Example("", "", context=tweet)  # one training row: an empty input, which is left out and counted
    if not sentiment.strip():  # "None text: …" would be an input like any other
        raise ValueError("column 'sentiment' has no value.")
    return Example(
        f"{sentiment} text: {plain(tweet)}",
        plain(selected),
        id=own_id(row, "textID"),
        references=(selected,),
        context=tweet,
    )


def plain(tweet: str) -> str:
    """The tweet in characters that T5's vocabulary has, one for one.

    >>> plain("I`m")
    "I'm"
    """
    return tweet.replace("`", "'")
