"""Finished runs to a study's record: effects, evidence, advice, the answer."""
