"""Answers from a model: labels ranked, spans searched, text generated."""
