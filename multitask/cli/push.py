"""multitask push: a finished run as a model on the Hugging Face Hub, or a study as a data set."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import announce
from multitask.cli.export import first_task
from multitask.errors import UserError


def _add_options(parser: Any) -> None:
    parser.add_argument("folder", metavar="RUN_OR_STUDY", help="A finished run or study.")
    parser.add_argument("name", metavar="ORG/NAME", help="The repository; it is made if it is not there.")
    parser.add_argument("--private", action="store_true", help="Make it so that nobody else sees it.")
    parser.add_argument("--study", metavar="STUDY", help="Show this study's answer in the card of a run's model.")
    parser.add_argument("--message", metavar="TEXT", help="Of the commit.")


COMMAND = Command(
    "push",
    "Send a finished run to the Hugging Face Hub as a model: what `multitask export` writes, with its card. Or a study "
    "as a data set: its tables, its report, and a card with its answer. Log in first: hf auth login.",
    "RUN_OR_STUDY ORG/NAME [options]",
    _add_options,
    examples=(
        "multitask push runs/first me/tweets-t5 --study runs/study",
        "multitask push runs/study me/tweets-interference --private",
    ),
)


def run(arguments: list[str]) -> int:
    """Run `multitask push`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    folder, name = Path(options.folder), options.name
    if not folder.is_dir():
        raise UserError(f"{folder} is neither a run folder nor a study folder: there is no such folder.")
    announce("push", str(folder), name)
    from multitask.storage.repositories import check_repository

    check_repository(name)
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / "repository"
        if (folder / "interference.json").is_file() or (folder / "study.yaml").is_file():
            if options.study:
                raise UserError("--study is for the card of a run's model, and this is a study itself: leave it out.")
            address = _push_study(folder, made, name, options)
        else:
            address = _push_run(folder, made, name, options)
    print(address)
    return 0


def _push_run(folder: Path, made: Path, name: str, options: Any) -> str:
    from multitask.interference.study import Study
    from multitask.runs.export import export, is_written_by_export
    from multitask.storage.repositories import send_folder

    export(folder, made, study=Study.read(options.study) if options.study else None)
    message = options.message or f"The model of {folder.name}"
    address = send_folder(made, name, "model", private=options.private, message=message, ours=is_written_by_export)
    print(f"  multitask predict {name} --from-hub --task {first_task(made)} < texts.txt")
    return address


def _push_study(folder: Path, made: Path, name: str, options: Any) -> str:
    from multitask.interference.publication import CARD, FILES, write_publication
    from multitask.interference.study import Study
    from multitask.storage.repositories import send_folder

    made.mkdir()
    write_publication(Study.read(folder), made, name)
    message = options.message or f"The study {folder.name}"
    address = send_folder(
        made, name, "dataset", private=options.private, message=message, ours=lambda file: file in (CARD, *FILES)
    )
    print(f"  multitask report {name} --from-hub")
    return address
