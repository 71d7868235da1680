"""The command line: a file a command; nothing heavy is imported here, so that `--help` answers at once."""

from multitask.cli.main import main

__all__ = ["main"]
