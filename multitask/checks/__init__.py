"""What can be known before training: lengths, labels, overlaps, ceilings, the planned mixture."""
