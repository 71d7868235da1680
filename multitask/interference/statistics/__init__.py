"""Resampling, intervals, verdicts. Knows numbers only: no torch, no files."""
