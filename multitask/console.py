"""Tables on the terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from multitask.printable import visible

if TYPE_CHECKING:
    from multitask.evaluation import TaskScores
    from multitask.prepare import Mix

MISSING = "·"
"""What was not measured; never 0."""


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table.

    >>> number(0.81234), number(float("nan"))
    ('0.812', '·')
    """
    return MISSING if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """A table on standard output; the first `left` columns are text, the others are numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def shown(text: str) -> Text:  # not a string, in which rich would look for markup
        return Text(visible(text))

    table = Table(title=shown(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(shown(name), justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(shown, row))
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table)
        return
    # A pipe has no width of its own, and 80 would cut columns that a file has room for.
    file = io.StringIO()
    Console(highlight=False, width=160, file=file).print(table)
    say(*(line.rstrip() for line in file.getvalue().splitlines()))


def print_scores(scores: Mapping[str, TaskScores], *, split: str = "validation") -> None:
    """Each task's metrics beside the baseline's, and what looks wrong with its answers."""
    rows = []
    for name, s in scores.items():
        for i, (metric, value) in enumerate(s.metrics.items()):
            base = s.baseline.get(metric, math.nan)
            first = i == 0
            rows.append(
                (
                    (name + (" (generated)" if s.generated else "")) if first else "",
                    metric,
                    number(value),
                    number(base),
                    f"{value - base:+.3f}" if math.isfinite(value - base) else MISSING,
                    s.baseline_name if first else "",
                    f"{100 * s.invalid_rate:.1f} %" if first else "",
                    f"{len(s.frame):,}" if first else "",
                )
            )
    columns = ("task", "metric", "score", "baseline", "difference", "baseline answers", "invalid", "examples")
    print_table(f"Scores on the {split} split", columns, rows, left=2)
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
    from multitask.plan import planned

    plan = {row.task: row for row in planned(mix.plan, mix.steps)}
    shares = token_shares(mix, tokens) if tokens else {}
    rows = []
    for name in mix.tasks:
        row, data = plan[name], mix.data[name]
        per_step = float(mix.plan.per_step_at(name, 0))
        rows.append(
            (
                name,
                data.train.source,
                f"{row.size:,}",
                f"{len(data.validation):,}",
                number(row.rate),
                number(per_step, 2),
                f"{row.examples:,}",
                number(row.epochs, 2),
                *((number(shares[name][0]), number(shares[name][1])) if name in shares else ()),
            )
        )
    columns = ["task", "source", "rows", "validation", "rate", "per step", "examples", "epochs"]
    if shares:
        columns += ["input tokens", "target tokens"]
    print_table(f"Mixture over {mix.steps:,} steps of {mix.batch_size:g} examples", columns, rows, left=2)


def token_shares(mix: Mix, tokens: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """{task: (share of all input tokens, share of all target tokens)} of the planned training, each summing to 1."""
    from multitask.plan import planned

    plan = {row.task: row.examples for row in planned(mix.plan, mix.steps)}
    sums = [sum(plan[t] * tokens[t][i] for t in plan) or math.nan for i in (0, 1)]
    return {t: (plan[t] * tokens[t][0] / sums[0], plan[t] * tokens[t][1] / sums[1]) for t in plan}


def say(*lines: Any) -> None:
    """Lines on standard output, as they are but for what a terminal would obey."""
    for line in lines:
        print(visible(str(line)), flush=True)
