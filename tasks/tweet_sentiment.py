"""Sentiment of a tweet (Kaggle 2020, CC BY 4.0): the rows of `span`, with the sentiment asked for instead of given.

    row      {"textID": "a1", "text": " I`m so happy today, see you", "selected_text": "so happy",
              "sentiment": "positive"}
    example  "tweet sentiment: I'm so happy today, see you"  →  "positive"

Spaces at the edges go and backticks become apostrophes; otherwise the text is as it was written.
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.task import Example, Row, register_task

from ._format import label_name, own_id, text
from .span import plain

LABELS = ("negative", "neutral", "positive")


@register_task(
    prefix="tweet sentiment: ",
    # The Hub's copy has numbers in `label` and these names in `label_text`; its second split is called test.
    source=hub(
        "mteb/tweet_sentiment_extraction",
        revision="d604517c81ca91fe16a244d1248fc021f9ecee7a",
        splits={"train": "train", "validation": "test"},
    ),
    labels=LABELS,
    metrics=["accuracy", "f1_macro"],
    folder="span",
)
def tweet_sentiment(row: Row) -> Example:
    """Whether a tweet is negative, neutral or positive."""
    column = "label_text" if "sentiment" not in row and "label_text" in row else "sentiment"
    return Example(plain(text(row, "text")), label_name(row, column, LABELS), id=own_id(row, "textID"))
