"""multitask report: a run or a study again, in any format."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import answer_text, write_output
from multitask.errors import UserError
from multitask.terminal.width import PIPE_WIDTH


def _add_options(parser: Any) -> None:
    from multitask.cli.study_options import FORMATS

    parser.add_argument("folder", metavar="RUN_OR_STUDY", help="A run folder or a study folder.")
    parser.add_argument("--format", choices=FORMATS, default="table", help="How to print it; html is the whole report.")
    parser.add_argument(
        "--from-hub", action="store_true", help="RUN_OR_STUDY is ORG/NAME: a study that multitask push sent to the Hub."
    )
    parser.add_argument("--output", metavar="FILE", help="Write to FILE instead of standard output.")
    parser.add_argument(
        "--serve",
        nargs="?",
        type=int,
        metavar="PORT",
        const=0,
        help="Show the page on this machine's own address, to nobody else, until Ctrl-C; made anew at each look.",
    )


COMMAND = Command(
    "report",
    "A study's answer and the tables of a run or a study again, in any format.",
    "RUN_OR_STUDY [options]",
    _add_options,
    examples=(
        "multitask report runs/study",
        "multitask report runs/study --format html --output study.html",
        "multitask report runs/study --serve",
        "multitask report me/tweets-interference --from-hub",
    ),
)


def run(arguments: list[str]) -> int:
    """Run `multitask report`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    folder = Path(options.folder)
    if options.from_hub:
        from multitask.storage.repositories import check_repository, fetch_folder

        check_repository(options.folder)
        folder = fetch_folder(options.folder, "dataset", only=["interference.json", "interference.csv", "report.html"])
    if options.serve is not None:
        if options.output or options.format != "table":
            raise UserError("--serve shows the page: leave out --output and --format.")
        _serve(folder, options.serve)
        return 0
    # A file has no width of its own.
    width, color = (PIPE_WIDTH, False) if options.output else (None, None)
    write_output(Path(options.output) if options.output else None, _text(folder, options.format, width, color))
    return 0


def _serve(folder: Path, port: int) -> None:
    """Serve the page; of what cannot be shown at the moment the reason."""
    from multitask.pages.serve import PageServer
    from multitask.terminal.output import say

    def page() -> str:
        try:
            return _text(folder, "html", PIPE_WIDTH, False)
        except UserError as error:
            return f"<!doctype html><meta http-equiv=refresh content=10><p>{html.escape(str(error))}</p>"

    if not folder.is_dir():
        raise UserError(f"{folder} is neither a run folder nor a study folder: there is no such folder.")
    if not 0 <= port < 2**16:
        raise UserError(f"--serve takes a port from 0 to 65535. Got {port}.")
    try:
        server = PageServer(page, port)
    except OSError as error:
        raise UserError(f"--serve {port}: {error.strerror}; without a number a free port is taken.") from error
    say(f"{server.address}  (this machine alone; Ctrl-C ends it)")
    server.serve()


def _text(folder: Path, format: Any, width: int | None, color: bool | None) -> str:
    """The report in a format, with one line end behind it."""
    if (folder / "interference.json").is_file():
        from multitask.interference.study import Study

        study = Study.read(folder)
        text = study.render(format, width=width, color=color)
        if format == "table":
            text = f"{answer_text(study, width=width, color=color)}\n{text}"
    elif (folder / "study.yaml").is_file():
        raise UserError(
            f"the study in {folder} is not finished{_how_far(folder)}: the multitask interference command that began "
            "it goes on."
        )
    else:
        from multitask.runs.finished import check_finished, has_model
        from multitask.runs.reader import RunReader
        from multitask.runs.render import render_run

        if not folder.is_dir():
            raise UserError(f"{folder} is neither a run folder nor a study folder: there is no such folder.")
        config = check_finished(folder, ("metrics.json", "baselines.json", "standard_errors.json"))
        if format == "html":
            from multitask.runs.report import run_report

            if not has_model(folder):
                raise UserError(
                    f"{folder} holds no model (the runs of a study keep none), of which a run's page tells: leave "
                    "--format html out, or give the study's folder."
                )
            text = run_report(folder, config)
        else:
            read = RunReader(folder)
            errors = read.errors or None
            text = render_run(read.metrics, read.baselines, format, errors=errors, width=width, color=color)
    return text.rstrip("\n") + "\n"


def _how_far(folder: Path) -> str:
    """How many of a study's models are there, as far as its folder says."""
    from multitask.storage.json_files import read_json

    try:
        cells = read_json(folder / "cells.json", list[dict[str, Any]])
    except UserError:
        return ""
    there = sum((folder / str(cell.get("folder")) / "metrics.json").is_file() for cell in cells)
    return f" ({there} of {len(cells)} models are)"
