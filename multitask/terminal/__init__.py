"""Output to people in a terminal or a notebook: progress, notices, widths, quiet libraries.

Imports nothing of ours.
"""
