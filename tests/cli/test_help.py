"""`--help` must answer at once, so it may import nothing heavy. What is loaded is tested, not how long it takes."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from multitask.cli import main
from multitask.cli.command_names import COMMANDS as MAIN_COMMANDS
from multitask.cli.commands import parser_of
from multitask.cli.flags import config_parser, parse_config
from multitask.cli.interference import COMMAND as STUDY
from multitask.cli.mix import COMMAND as MIX
from multitask.cli.settings import GROUPS, SETTINGS, setting_options
from multitask.cli.synonyms import COMMANDS as SYNONYMS
from multitask.cli.synonyms import OPTIONS
from multitask.cli.tasks import CHECK
from multitask.cli.train import COMMAND as TRAIN
from multitask.config import TrainConfig

HEAVY = ("torch", "transformers", "pytorch_lightning", "datasets", "evaluate", "pandas", "pyarrow", "sklearn", "scipy")

COMMANDS = (
    *("train", "eval", "predict", "tasks", "metrics", "mix"),
    *("interference", "cell", "watch", "report", "export", "push", "init", "doctor", "cache", "completion"),
)

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


# ------------------------------------------------------------------------------------------------- what stands there


def page(*command: str, columns: int, capsys, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*command, "--help"]) == 0
    return capsys.readouterr().out


CONFIGURED = [TRAIN, MIX, CHECK, STUDY]


def test_every_setting_stands_in_one_group():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(f.name for f in dataclasses.fields(TrainConfig))


def test_every_option_has_a_text_and_its_default_in_words():
    for name, option in setting_options().items():
        field = next(f for f in dataclasses.fields(TrainConfig) if f.name == name)
        assert option.text[0].isupper() or option.text[0] == "`", name
        assert (
            "default" in option.text
            or field.default is False
            or field.default_factory is not dataclasses.MISSING
            or "if nothing else is said" in option.text
        ), name


@pytest.mark.parametrize("command", CONFIGURED, ids=lambda command: command.name)
def test_a_page_has_the_commands_own_options_first_then_the_groups_that_it_uses(command, capsys, monkeypatch):
    text = page(*command.name.split(), columns=80, capsys=capsys, monkeypatch=monkeypatch)
    titles = re.findall(r"^([a-z ]+):$", text, flags=re.MULTILINE)
    own = ["arguments", "options"] if command is STUDY else ["options"]
    assert titles == [*own, *(t for t, names in GROUPS.items() if command.settings & {*names}), "examples"]
    shown = set(re.findall(r"^  --([a-z0-9-]+)", text, flags=re.MULTILINE))
    assert {name.replace("_", "-") for name in command.settings} <= shown
    assert not {name.replace("_", "-") for name in SETTINGS - command.settings} & shown


@pytest.mark.parametrize("columns", [60, 80, 100, 160])
@pytest.mark.parametrize("command", [*COMMANDS, "tasks check", "cache clear", ""])
def test_a_page_fits_its_terminal_and_speaks_in_words(command, columns, capsys, monkeypatch):
    text = page(*command.split(), columns=columns, capsys=capsys, monkeypatch=monkeypatch)
    assert max(map(len, text.splitlines())) <= columns
    said = re.sub(r"(?i)--null|null\s+control", "", text)
    assert not re.search(r"Union|Optional|Literal|\btype:|\bnull\b|None|dict\[|list\[|ITEM", said)
    assert "_" not in "".join(re.findall(r"^  (--[^ .]+)", text, flags=re.MULTILINE))
    usage = text.splitlines()[0]
    assert usage.startswith("usage: multitask ")
    assert len(usage) <= 60


def test_help_of_a_command_has_two_spellings(capsys, monkeypatch):
    one = page("tasks", "check", columns=80, capsys=capsys, monkeypatch=monkeypatch)
    assert main(["help", "tasks", "check"]) == 0
    assert capsys.readouterr().out == one
    assert main(["help"]) == 0
    assert capsys.readouterr().out == page(columns=80, capsys=capsys, monkeypatch=monkeypatch)


def test_the_examples_of_a_page_are_commands_that_are_understood():
    for command in CONFIGURED:
        for line in command.examples:
            words = shlex.split(line)
            assert words[: 1 + len(command.name.split())] == ["multitask", *command.name.split()]
            parsed = words[1 + len(command.name.split()) :]
            if "--resume" not in parsed:
                config = config_parser(command.name, "")
                command.add_options(config)
                parse_config(config, [w.replace("my_tasks.py", __file__) for w in parsed])


# ---------------------------------------------------------------------------------------------------- what users mean


@pytest.mark.parametrize("typed", OPTIONS)
def test_an_option_of_other_tools_is_answered_with_the_one_that_is_meant(typed, capsys):
    meant = re.search(r"--[a-z-]+", OPTIONS[typed])
    command = ["interference"] if typed in ("num_seeds", "n_seeds") else ["train"]
    assert main([*command, f"--{typed.replace('_', '-')}", "3"]) == 2
    error = capsys.readouterr().err
    if meant is None:
        assert "did you mean" in error or "multitask predict RUN" in error
        return
    assert f"unknown option --{typed.replace('_', '-')}: {OPTIONS[typed]}.\n" in error
    known = {o for command in CONFIGURED for a in parser_of(command)._actions for o in a.option_strings}
    assert meant.group() in {option.partition(".")[0] for option in known}


@pytest.mark.parametrize("typed", SYNONYMS)
def test_a_command_of_other_tools_is_answered_with_the_one_that_is_meant(typed, capsys):
    assert main([typed]) == 2
    assert capsys.readouterr().err == (
        f"multitask: error: unknown command '{typed}': did you mean '{SYNONYMS[typed]}'?\n"
    )
    assert SYNONYMS[typed].split()[1] in (*MAIN_COMMANDS, "--version")


# --------------------------------------------------------------------------------------------------------- completion


TABS = {
    "multitask pre": "predict",
    "multitask train --tasks span,ss": "span,sst2",
    "multitask train --config t5-s": "t5-small",
    "multitask train --sched": "--schedule",
    "multitask mix --optim": "",
    "multitask tasks check --hold": "--holdout --hold-selection",
    "multitask report --format mark": "markdown",
    "multitask eval runs/f": "runs/first",
    "multitask predict runs/first --task ": "mine sst2",
    "multitask train --trainer.dev": "--trainer.devices",
    "multitask train --resume runs/": "runs/first",
    "multitask metrics chr": "chrf",
    "multitask report ~/ru": "~/runs/",
}


def test_a_real_bash_completes_commands_options_tasks_presets_and_runs(tmp_path):
    program = tmp_path / "bin" / "multitask"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom multitask.cli import main\nmain()\n")
    program.chmod(0o755)
    (tmp_path / "runs/first").mkdir(parents=True)
    (tmp_path / "runs/first/config.yaml").write_text("tasks: mine=2,sst2\n")
    lines = [
        'eval "$(multitask completion bash)"',
        "press() { COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMPREPLY=(); _python_argcomplete multitask;"
        ' echo "${COMPREPLY[@]}"; }',
        *(f"press '{line}'" for line in TABS),
    ]
    done = subprocess.run(
        [shutil.which("bash"), "-c", "\n".join(lines)],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert dict(zip(TABS, map(str.strip, done.stdout.splitlines()), strict=True)) == TABS, done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_for_another_shell_is_one_that_it_reads(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "multitask" in script
    if shutil.which(shell):
        done = subprocess.run([shell, "-n", "/dev/stdin"], input=script, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_script_is_for_a_shell_that_is_known(capsys):
    assert main(["completion", "ksh"]) == 2
    assert capsys.readouterr().err == "multitask: error: SHELL must be one of bash, zsh, fish. Got 'ksh'.\n"
