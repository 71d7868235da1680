"""The planned mixture as a table, and what must be said of its data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import number as cell_of
from multitask.tables.numbers import tally
from multitask.tables.table import Table
from multitask.tables.terminal import show_tables

if TYPE_CHECKING:
    from multitask.mixing.prepare import PlannedMixture


def data_notes(mix: PlannedMixture) -> list[str]:
    """Notes to read before any figure: which examples are generated, what was held out or skipped."""
    return ([generated_note(mix.generated)] if mix.generated else []) + mix.notes


def generated_note(tasks: Sequence[str]) -> str:
    """The note that must stand above any score on the generated sample."""
    return (
        f"GENERATED SAMPLE: the examples of {', '.join(tasks)} are made by a small grammar. "
        "Scores on them say that the tool works, not how a model does on real text."
    )


def print_mix(mix: PlannedMixture, tokens: Mapping[str, tuple[float, float]] | None = None) -> None:
    """The planned mixture: sources, rates, examples, epochs and token shares.

    Args:
        mix: From `prepare_mixture`.
        tokens: {task: (mean input tokens, mean target tokens)}, if they are known.
    """
    show_tables(mix_table(mix, tokens))


def mix_table(mix: PlannedMixture, tokens: Mapping[str, tuple[float, float]] | None = None) -> Table:
    """The planned mixture as a table; arguments as in `print_mix`."""
    from multitask.mixing.plan import planned

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


def token_shares(mix: PlannedMixture, tokens: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """{task: (share of all input tokens, share of all target tokens)} of the planned training, each summing to 1."""
    from multitask.mixing.plan import planned

    plan = {row.task: row.examples for row in planned(mix.plan, mix.steps)}
    sums = [sum(plan[t] * tokens[t][i] for t in plan) or math.nan for i in (0, 1)]
    return {t: (plan[t] * tokens[t][0] / sums[0], plan[t] * tokens[t][1] / sums[1]) for t in plan}
