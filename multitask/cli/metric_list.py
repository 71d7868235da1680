"""The output of `multitask metrics`: the list of metrics, and one of them in full."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from multitask.metrics.builtin import F1_OF
from multitask.metrics.metric import METRICS, Metric
from multitask.metrics.naming import EVALUATE, resolve_metrics
from multitask.tables.cells import Cell, Column
from multitask.tables.table import Table
from multitask.tables.terminal import print_tables


def list_metrics() -> list[Metric]:
    """All registered metrics, in the order in which they were registered: labels, numbers, text, likelihood, others."""
    METRICS.load()
    return list(METRICS.registered().values())


def print_metrics() -> None:
    """The list as a table on standard output."""
    print_tables(metrics_table(list_metrics()))


def metrics_table(metrics: Sequence[Metric]) -> Table:
    """A row a metric."""
    rows = tuple(
        tuple(map(Cell, (m.name, _better(m), _range(m), ", ".join(m.outputs), _first_sentence(m.about))))
        for m in metrics
    )
    columns = (
        Column("metric", left=True),
        Column("better", left=True, optional=1),
        Column("range", left=True, optional=2),
        Column("for", left=True, optional=3),
        Column("what", left=True, wrap=True),
    )
    notes = (
        "A name of Hugging Face evaluate is written evaluate:NAME or evaluate:NAME/KEY; F1 of one class f1/LABEL.",
        "multitask metrics NAME shows one in full; @multitask.register_metric() adds your own (--include FILE).",
    )
    return Table("Metrics", columns, rows, notes, key="metrics")


def describe_metric(name: str) -> str:
    """A metric in full: what it measures, direction, range, points, and where it is defined.

    Raises:
        UserError: If there is no metric of that name.
    """
    (metric,) = resolve_metrics([name])
    made = name.startswith((EVALUATE, F1_OF))
    facts = {
        "better": f"{_better(metric)} values",
        "range": _range(metric),
        "points": f"value × {metric.scale:g}" + ("" if metric.higher_is_better else ", negative: higher is better"),
        "for": f"{_listed(metric.outputs)} outputs" if metric.outputs else "",
        "examples": "each has a value of its own in predictions/" if metric.per_example else "scored all together",
        "name": f'metrics=["{name}"] in register_task; the first of the list is the primary one',
        "defined in": "" if made else METRICS.holder(name),
    }
    about = metric.about
    if name.startswith(EVALUATE):
        about = (
            "A metric of Hugging Face evaluate, which is loaded when it is first needed: that runs its script, and may "
            "need the network. Its direction is a guess by its name; multitask.metrics.naming.from_evaluate(…, "
            "higher_is_better=, scale=) says it."
        )
    lines = [name, "", *([about, ""] if about else [])]
    return "\n".join([*lines, *(f"  {word:<12}{text}" for word, text in facts.items() if text)])


def _better(metric: Metric) -> str:
    return "higher" if metric.higher_is_better else "lower"


def _range(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    low, high = (f"{end:g}".replace("inf", "∞").replace("-", "−") for end in (metric.low, metric.high))
    if math.isinf(metric.high):
        return f"from {low}"
    return f"up to {high}" if math.isinf(metric.low) else f"{low} to {high}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.) (?=[A-Z0-9])", text)[0]  # not after "et al."
