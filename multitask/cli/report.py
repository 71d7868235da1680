"""multitask report: a run or a study again, in any format."""

from __future__ import annotations

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
    parser.add_argument("--output", metavar="FILE", help="Write to FILE instead of standard output.")


COMMAND = Command(
    "report",
    "A study's answer and the tables of a run or a study again, in any format.",
    "RUN_OR_STUDY [options]",
    _add_options,
    examples=("multitask report runs/study", "multitask report runs/study --format html --output study.html"),
)


def run(arguments: list[str]) -> int:
    """Run `multitask report`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    folder = Path(options.folder)
    # A file has no width of its own.
    width, color = (PIPE_WIDTH, False) if options.output else (None, None)
    if (folder / "interference.json").is_file():
        from multitask.interference.study import Study

        study = Study.read(folder)
        text = study.render(options.format, width=width, color=color)
        if options.format == "table":
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
        if options.format == "html":
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
            text = render_run(read.metrics, read.baselines, options.format, errors=errors, width=width, color=color)
    text = text.rstrip("\n") + "\n"
    write_output(Path(options.output) if options.output else None, text)
    return 0


def _how_far(folder: Path) -> str:
    """How many of a study's models are there, as far as its folder says."""
    from multitask.storage.json_files import read_json

    try:
        cells = read_json(folder / "cells.json", list[dict[str, Any]])
    except UserError:
        return ""
    there = sum((folder / str(cell.get("folder")) / "metrics.json").is_file() for cell in cells)
    return f" ({there} of {len(cells)} models are)"
