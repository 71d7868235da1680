"""`python -m multitask.cli`."""

from multitask.cli.main import main

main()
