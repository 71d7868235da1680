"""A study as a data set for others: its tables, its report, and a card that says what was found."""

from __future__ import annotations

import shutil
from pathlib import Path

from multitask.errors import UserError
from multitask.interference.study import Study
from multitask.storage.yaml_files import dump_yaml
from multitask.tables.markdown import escape_markdown
from multitask.terminal.escaping import visible
from multitask.version import __version__

CARD = "README.md"
FILES = ("interference.json", "interference.csv", "report.html")
"""Of a study's folder; the models it trained stay at home."""


def write_publication(study: Study, folder: Path, name: str) -> None:
    """Write what is published of a study.

    Args:
        study: A finished one.
        folder: An empty one.
        name: Of the repository, for the card.

    Raises:
        UserError: If the study's folder lacks a file: its tables were not made.
    """
    for file in FILES:
        if not (study.folder / file).is_file():
            raise UserError(f"{study.folder} has no {file}: `multitask interference --out {study.folder}` makes it.")
        shutil.copyfile(study.folder / file, folder / file)
    (folder / CARD).write_text(_card(study, name), encoding="utf-8")


def _card(study: Study, name: str) -> str:
    front = {
        "tags": ["multi-task", "task-interference", *study.tasks],
        "configs": [{"config_name": "effects", "data_files": "interference.csv"}],
    }
    blocks = [
        f"---\n{dump_yaml(front)}---",
        f"# {escape_markdown(name.rpartition('/')[2])}",
        f"Which of {len(study.tasks)} tasks help and hurt each other in one text-to-text model, measured with "
        f"multitask {__version__}.",
        study.summary_markdown().strip(),
        "`report.html` is the whole report, one file that needs nothing else; `interference.csv` has a row an effect, "
        "and `interference.json` everything that was found.",
        f"```bash\nmultitask report {name} --from-hub    # its tables, in any format\n```",
    ]
    return visible("\n\n".join(blocks)) + "\n"
