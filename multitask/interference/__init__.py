"""Which tasks help and which hurt each other: studies of matched training runs, and tables that can be believed.

`multitask.measure_interference(…)` and `multitask interference` do all of it; `tabulate` takes runs that exist.
"""
