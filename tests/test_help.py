"""`--help` must answer at once, so it may import nothing heavy. What is loaded is tested, not how long it takes."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys

import pytest

from multitask.config import TrainConfig

HEAVY = ("torch", "transformers", "pytorch_lightning", "datasets", "evaluate", "pandas", "pyarrow", "sklearn", "scipy")

COMMANDS = ("train", "eval", "predict", "tasks", "mix", "interference", "report", "cache")

_SCRIPT = f"""
import json, sys
sys.argv = ["multitask", *sys.argv[1:]]
code = 0
try:
    from multitask.cli import main
    main()
except SystemExit as end:
    code = end.code or 0
print(json.dumps([code, [m for m in {HEAVY!r} if m in sys.modules]]), file=sys.stderr)
"""


def run(*arguments: str) -> tuple[int, list[str], str]:
    """Exit code, heavy modules that were loaded, and the text on standard output."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *arguments], capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    return code, loaded, done.stdout


def test_what_is_measured_here_can_be_seen():
    # Against a script that always says "nothing": a command that needs scipy must show it.
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.replace("main()\n", "import scipy\n")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(done.stderr.splitlines()[-1])[1] == ["scipy"]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_the_program_describes_itself_without_heavy_imports(arguments):
    code, loaded, text = run(*arguments)
    assert (code, loaded) == (0, [])
    assert "multitask" in text


def test_the_help_names_the_commands_that_are_tested_here():
    assert tuple(re.findall(r"^  (\w+) {2,}\w", run("--help")[2], flags=re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("command", [*([c] for c in COMMANDS), ["tasks", "check"], ["cache", "clear"]], ids=" ".join)
def test_a_commands_help_needs_no_heavy_imports(command):
    code, loaded, text = run(*command, "--help")
    assert (code, loaded) == (0, [])
    assert text.startswith(f"usage: multitask {' '.join(command)}")


def test_the_help_of_train_explains_every_setting():
    text = run("train", "--help")[2]
    fields = [f.name.replace("_", "-") for f in dataclasses.fields(TrainConfig)]
    assert [name for name in fields if f"--{name}" not in text] == []
    assert "Examples of one optimizer step" in text  # a field's docstring: jsonargparse did read them
