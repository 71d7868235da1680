"""Registers the families of `interference.planted_tasks`: sharing_a, sharing_b, …, and ten repetitions of them.

    multitask interference --include benchmarks/known_tasks.py --tasks sharing_a,sharing_b --arms single,pair

`sharing_a_r3` is the same task of repetition 3: other words, rows and prefix. Rows are made when they are asked for.
"""

from __future__ import annotations

from multitask.interference.planted_tasks import register_families

REPETITIONS = 10

for repetition in range(REPETITIONS):
    register_families(repetition)
