"""What people see in a terminal or a notebook: escaping, messages, progress, quiet libraries.

Imports nothing of ours.
"""
