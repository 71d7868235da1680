"""Checks before training: lengths, labels, overlaps, ceilings, the planned mixture."""
