"""The model: built from random weights or loaded, and what an untrusted folder may not do."""
