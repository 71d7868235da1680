"""Training the runs of a study: cost, workers, progress."""
