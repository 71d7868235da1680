"""Strings to token ids, spans to tokens, vocabularies, and the cache on disk."""
