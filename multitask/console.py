"""Tables on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from multitask.printable import visible
from multitask.tables.numbers import MISSING, tally
from multitask.tables.numbers import number as cell_of
from multitask.tables.scores import score_table
from multitask.tables.table import Cell, Column, Table
from multitask.tables.terminal import print_tables
from multitask.terminal.live import in_notebook
from multitask.terminal.width import prose_width, wrap_words

if TYPE_CHECKING:
    from multitask.evaluation import TaskScores
    from multitask.prepare import Mix


def number(value: float | None, digits: int = 3) -> str:
    """A number for a line of text.

    >>> number(0.81234), number(float("nan"))
    ('0.812', '·')
    """
    return MISSING if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def show_tables(*tables: Table) -> None:
    """Tables where a person looks: between empty lines on standard output, or as HTML in a notebook."""
    if not in_notebook():
        say("")
        print_tables(*tables)
        say("")
        return
    from IPython.display import display

    display(*tables)  # type: ignore[no-untyped-call]


def print_scores(scores: Mapping[str, TaskScores], *, split: str = "validation") -> None:
    """Each task's metrics beside the baseline's, and what looks wrong with its answers."""
    table = score_table(
        {name: s.metrics for name, s in scores.items()},
        {name: {"answers": s.baseline_name, **s.baseline} for name, s in scores.items()},
        title=f"Scores on the {split} split",
        errors={name: s.standard_errors for name, s in scores.items()},
        invalid={name: s.invalid_rate for name, s in scores.items()},
        examples={name: len(s.frame) for name, s in scores.items()},
        generated=[name for name, s in scores.items() if s.generated],
    )
    show_tables(table)
    say(*(f"WARNING: {line}" for s in scores.values() for line in (*s.warnings, *s.below_baseline)))


def data_notes(mix: Mix) -> list[str]:
    """What a reader of any figure should know first: which examples are generated, what was held out or skipped."""
    return ([generated_note(mix.generated)] if mix.generated else []) + mix.notes


def generated_note(tasks: Sequence[str]) -> str:
    """What must stand above any score on the generated sample."""
    return (
        f"GENERATED SAMPLE: the examples of {', '.join(tasks)} are made by a small grammar. "
        "Scores on them say that the tool works, not how a model does on real text."
    )


def print_mix(mix: Mix, tokens: Mapping[str, tuple[float, float]] | None = None) -> None:
    """The planned mixture: sources, rates, examples, epochs and token shares.

    Args:
        mix: From `load_mix`.
        tokens: {task: (mean input tokens, mean target tokens)}, if they are known.
    """
    show_tables(mix_table(mix, tokens))


def mix_table(mix: Mix, tokens: Mapping[str, tuple[float, float]] | None = None) -> Table:
    """The planned mixture as a table; arguments as in `print_mix`."""
    from multitask.plan import planned

    plan = {row.task: row for row in planned(mix.plan, mix.steps)}
    shares = token_shares(mix, tokens) if tokens else {}
    rows = []
    for name in mix.tasks:
        row, data = plan[name], mix.data[name]
        cells = [
            *(Cell(name), Cell(data.train.source), tally(row.size), tally(len(data.validation))),
            *(cell_of(float(row.rate), 3), cell_of(float(mix.plan.per_step_at(name, 0)), 2)),
            *(tally(row.examples), cell_of(float(row.epochs), 2)),
        ]
        if shares:
            cells += [cell_of(share, 3) for share in shares.get(name, (None, None))]
        rows.append(tuple(cells))
    columns = (
        Column("task", left=True),
        Column("source", left=True, optional=3, wrap=True),
        Column("rows"),
        Column("validation", short="valid.", optional=2),
        Column("rate"),
        Column("per step"),
        Column("examples", short="ex."),
        Column("epochs", short="ep."),
        *[Column("input tokens", optional=1), Column("target tokens", optional=1)] * bool(shares),
    )
    return Table(
        f"Mixture over {mix.steps:,} steps of {mix.batch_size:g} examples", columns, tuple(rows), key="mixture"
    )


def token_shares(mix: Mix, tokens: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """{task: (share of all input tokens, share of all target tokens)} of the planned training, each summing to 1."""
    from multitask.plan import planned

    plan = {row.task: row.examples for row in planned(mix.plan, mix.steps)}
    sums = [sum(plan[t] * tokens[t][i] for t in plan) or math.nan for i in (0, 1)]
    return {t: (plan[t] * tokens[t][0] / sums[0], plan[t] * tokens[t][1] / sums[1]) for t in plan}


def say(*lines: Any, hanging: str = "  ") -> None:
    """Lines on standard output, wrapped at words on a terminal, as they are but for what a terminal would obey.

    Args:
        lines: Each may hold several.
        hanging: What a wrapped line goes on with; nothing for paragraphs.
    """
    width = prose_width()
    for line in lines:
        print(*wrap_words(visible(str(line)), width, hanging=hanging), sep="\n", flush=True)


def say_as_it_is(text: str) -> None:
    """Text for programs, such as JSON, which is not wrapped."""
    print(visible(text), flush=True)
