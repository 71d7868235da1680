"""Mixing: rates, schedules, mixtures, and the exact plan of which example stands in which step."""
