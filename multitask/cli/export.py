"""multitask export: a finished run as a folder to take home."""

from __future__ import annotations

from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import announce


def _add_options(parser: Any) -> None:
    parser.add_argument("run", metavar="RUN", help="The run folder.")
    parser.add_argument("folder", metavar="DIR", help="A new or an empty folder.")
    parser.add_argument(
        "--study", metavar="STUDY", help="Show the answer and the main table of this study in the card."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace an earlier export in DIR.")


COMMAND = Command(
    "export",
    "Write the model of a finished run in Hugging Face format with a model card (README.md) and a predict.py that "
    "needs transformers, torch and numpy alone and answers as multitask predict does.",
    "RUN DIR [options]",
    _add_options,
    examples=("multitask export runs/first my-model", "multitask export runs/first my-model --study runs/study"),
)


def run(arguments: list[str]) -> int:
    """Run `multitask export`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    announce("export", options.run, options.folder)
    from multitask.interference.study import Study
    from multitask.runs.export import export

    study = Study.read(options.study) if options.study else None
    folder = export(options.run, options.folder, study=study, overwrite=options.overwrite)
    print(f"exported to {folder}: look at {folder / 'README.md'}, then try")
    print(f"  python {folder / 'predict.py'} --task {first_task(folder)} < texts.txt")
    return 0


def first_task(folder: Any) -> str:
    """The first task of an exported model."""
    from multitask.storage.json_files import read_json

    return str(next(iter(read_json(folder / "config.json")["task_specific_params"])))
