"""multitask eval: a finished run evaluated again, or on other data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import add_include, announce, loading
from multitask.errors import UserError
from multitask.storage.system_errors import told
from multitask.terminal.quiet import quiet_libraries


def _add_options(parser: Any) -> None:
    parser.add_argument("run", metavar="RUN", help="The run folder.")
    parser.add_argument(
        "--tasks", metavar="NAMES", help="Tasks to evaluate, separated by commas; by default the run's own."
    )
    parser.add_argument(
        "--data", metavar="DIR|hub|sample", help="Where the rows are; by default what the run was trained with."
    )
    parser.add_argument("--split", metavar="NAME", default="validation", help="Which split.")
    add_include(parser)
    parser.add_argument(
        "--labels-by",
        choices=("rank", "generate", "both"),
        help="Score labels, or let the model write; by default as in the run.",
    )
    parser.add_argument(
        "--batch-tokens", type=int, metavar="TOKENS", help="Padded input tokens of a batch; by default as in the run."
    )
    parser.add_argument(
        "--on-bad-row", choices=("error", "skip"), help="What is done about a bad row; by default as in the run."
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="Write the scores and predictions/ there too, as in a run folder.",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="How to print the scores.")


COMMAND = Command(
    "eval",
    "Evaluate a finished run again, or on other data.",
    "RUN [options]",
    _add_options,
    examples=("multitask eval runs/first", "multitask eval runs/first --tasks sst2 --data DIR --split test"),
)


def run(arguments: list[str]) -> int:
    """Run `multitask eval`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    if options.batch_tokens is not None and options.batch_tokens < 1:
        raise UserError(f"--batch-tokens must be at least 1. Got {options.batch_tokens}.")
    announce("eval", options.run, *([", ".join(options.tasks.split(","))] if options.tasks else []))
    quiet_libraries()
    from multitask.runs.finished import check_finished
    from multitask.runs.folder import open_folder

    check_finished(Path(options.run))
    with loading():
        from multitask.runs.inference import evaluate

    if options.out:
        open_folder(Path(options.out), resume=False, overwrite=False)
    scores = evaluate(
        options.run,
        options.tasks,
        data=options.data,
        split=options.split,
        include=options.include,
        labels_by=options.labels_by,
        batch_tokens=options.batch_tokens,
        on_bad_row=options.on_bad_row,
    )
    if options.out:
        from multitask.runs.writing import write_scores

        try:
            write_scores(Path(options.out), scores)
        except OSError as error:
            raise UserError(f"{told(error, options.out)}.") from error
    if options.format == "json":
        from multitask.storage.json_files import finite

        print(json.dumps(finite({name: s.numbers for name, s in scores.items()}), indent=2))
    else:
        from multitask.evaluation.show import print_scores

        print_scores(scores, split=options.split)
    return 0
