"""Where raw rows come from: the Hub, files, a `datasets.Dataset`, a Python function, or the generated sample.

Words
    source   `Source`: names its splits and gives the rows of one; nothing is read or downloaded before it is asked
    split    "train", "validation", "test"; a source may map them to other names ("validation_matched")

No source runs code that comes with a data set, and none knows a task. What is generated says so (`generated`).
"""

from __future__ import annotations

from multitask.sources.hugging_face import hub
from multitask.sources.in_memory import dataset, rows
from multitask.sources.local_files import files
from multitask.sources.protocol import Source
from multitask.sources.table import Row, Rows

__all__ = ["Row", "Rows", "Source", "dataset", "files", "hub", "rows"]
