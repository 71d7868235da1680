"""Every table of a study, each built once from its record, and the study in every format.

cells        an effect as cells: its value with its verdict, its interval or why there is none
effects      lists of effects: of one kind, and all of them
company      the joint run against each task alone: effects, budgets, summary, exposure
matrices     pairs, and leaving one out
background   the tasks, the noise, formats, checkpoints, learning rates, advice
render       all of them in an order, and in a format
"""

from multitask.interference.tables.render import (
    FORMATS,
    Format,
    main_table,
    preface,
    render,
    render_run,
    render_tables,
    tables,
)

__all__ = ["FORMATS", "Format", "main_table", "preface", "render", "render_run", "render_tables", "tables"]
