"""Data sets that a checkpoint was trained on already: scores on them are no zero-shot scores."""

from __future__ import annotations

_SUPERVISED = ("t5-small", "t5-base", "t5-large", "t5-3b", "t5-11b")


_GLUE_FAMILY = (
    *("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"),
    *("boolq", "cb", "copa", "multirc", "record", "wic", "wsc", "squad", "cnn_dailymail", "wmt_en_de"),
)
"""Of the built-in tasks, those that the released t5-small … t5-11b saw in supervised form."""


def contamination(model: str, tasks: tuple[str, ...]) -> str | None:
    """A warning if the checkpoint was already trained on some of the tasks, else None.

    >>> contamination("google-t5/t5-small", ("span", "sst2"))[:47]
    "the released 't5-small' was already trained on "
    """
    base = model.rstrip("/").split("/")[-1].lower()
    if base not in _SUPERVISED:
        return None
    seen = [t for t in tasks if t in _GLUE_FAMILY]
    if not seen:
        return None
    return (
        f"the released '{base}' was already trained on {', '.join(seen)} (Raffel et al. 2020, section 3.7): "
        "its scores there are not those of a model that learns the task here. t5-v1_1 and LM-adapted checkpoints "
        "saw C4 only."
    )
