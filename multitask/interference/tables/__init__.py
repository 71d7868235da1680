"""Every table of a study, each built once from its record, and the study in every format.

cells        an effect as cells: its value with its verdict, its interval or why there is none
effects      lists of effects: of one kind, and all of them
company      the joint run against each task alone: effects, budgets, summary, exposure
matrices     pairs, and leaving one out
background   the tasks, the scores, the noise, formats, checkpoints, learning rates, advice
treatments   ways of training together, and the rates of a companion
planned      the arms before any is trained
render       all of them in an order, and in a format
"""

from multitask.interference.tables.render import main_table, preface, render, tables
from multitask.tables.render import FORMATS, render_tables

__all__ = ["FORMATS", "main_table", "preface", "render", "render_tables", "tables"]
