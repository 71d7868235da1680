"""Predictions to scores: metrics, standard errors, baselines, and what looks wrong."""
