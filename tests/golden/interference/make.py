"""Writes what the made-up study of `tests/study_example.py` looks like in every format, with five seeds and with one.

    python tests/golden/interference/make.py

Run it when a table is meant to look different, and look at the difference.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parent
FILES = {
    "table_100.txt": ("table", 5, 100),
    "table_160.txt": ("table", 5, 160),
    "study.md": ("markdown", 5, None),
    "study.csv": ("csv", 5, None),
    "study.tex": ("latex", 5, None),
    "study.html": ("html", 5, None),
    "one_seed_100.txt": ("table", 1, 100),
    "one_seed.md": ("markdown", 1, None),
    "one_seed.csv": ("csv", 1, None),
    "one_seed.tex": ("latex", 1, None),
    "one_seed.html": ("html", 1, None),
}
"""{file: (format, seeds, width)}"""


def golden(example_record):
    """{file: its content}."""
    from multitask.interference.tables import render

    return {
        name: render(example_record(("span", "sst2"), seeds=seeds), format, width=width, color=False)
        for name, (format, seeds, width) in FILES.items()
    }


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER.parents[1]))
    from study_example import example_record

    for name, content in golden(example_record).items():
        (FOLDER / name).write_text(content, encoding="utf-8")
