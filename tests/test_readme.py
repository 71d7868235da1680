"""The commands in README.md and docs/, run as they stand.

Words
    tested block  a fenced block right after the line `<!-- test -->`: bash, or python (plain or with >>>)
    file block    a fenced block after `<!-- file: NAME -->`: written to NAME, so that the blocks below can use it

The blocks of one page run in its order, in one folder, because a reader does so too: what one trains the next one uses.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

TEST_COMMAND = ".venv/bin/python -m pytest -q -n 2"
INSTALL = 'pip install -q -c constraints.txt -e ".[dev]"'


class Block(NamedTuple):
    line: int
    """Of its first line in the page, from 1."""
    language: str
    file: str | None
    """Where it is written to; None for a block that is run."""
    text: str


_MARK = re.compile(r"^[ ]*<!-- (?:test|file: (?P<file>[\w./-]+)) -->[ ]*$")
_FENCE = re.compile(r"^(?P<indent>[ ]*)```(?P<language>\w*)[ ]*$")


def blocks_of(page: str) -> Iterator[Block]:
    lines = page.splitlines()
    for i, line in enumerate(lines):
        mark = _MARK.match(line)
        if mark is None:
            continue
        fence = _FENCE.match(lines[i + 1]) if i + 1 < len(lines) else None
        if fence is None:
            raise ValueError(f"line {i + 1}: a mark must stand right above a fenced block.")
        indent = fence["indent"]
        try:
            end = lines.index(f"{indent}```", i + 2)
        except ValueError:
            raise ValueError(f"line {i + 2}: the fenced block has no end.") from None
        text = "".join(body.removeprefix(indent) + "\n" for body in lines[i + 2 : end])
        yield Block(i + 3, fence["language"], mark["file"], text)


def run(block: Block, folder: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    if block.language in ("bash", "sh", "console"):
        command = ["bash", "-euo", "pipefail", "-c", block.text]
    elif block.language == "python" and ">>> " in block.text:
        script = folder / "_block.md"
        script.write_text(block.text, encoding="utf-8")
        command = [sys.executable, "-m", "doctest", str(script)]
    elif block.language == "python":
        command = [sys.executable, "-c", block.text]
    else:
        raise ValueError(f"line {block.line}: {block.language!r} blocks are not run.")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    environment = {k: v for k, v in os.environ.items() if k not in ("MULTITASK_DATA", "MULTITASK_INCLUDE")}
    environment |= offline | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_work_as_they_stand(page, tmp_path):
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.file is not None:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            continue
        done = run(block, tmp_path)
        where = f"{page.name}, line {block.line}"
        assert done.returncode == 0, (
            f"{where}:\n{block.text}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )


def test_the_readme_has_commands_that_are_tested():
    blocks = list(blocks_of((ROOT / "README.md").read_text(encoding="utf-8")))
    assert any("multitask " in block.text for block in blocks if block.file is None)


def test_ci_installs_and_tests_as_the_readme_says():
    readme, script = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", ".ci/run"))
    assert f".venv/bin/{INSTALL}" in readme
    assert TEST_COMMAND in readme
    assert INSTALL.removeprefix("pip ") in script
    assert TEST_COMMAND.removeprefix(".venv/bin/python ") in script


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [t.split("#")[0] for t in targets if not re.match(r"[a-z]+:", t) and not t.startswith("#")]
    assert [t for t in local if not (page.parent / t).exists()] == []


def test_marked_blocks_are_found_and_others_are_not():
    page = "\n".join(
        [
            "```bash",
            "not marked",
            "```",
            "<!-- test -->",
            "```bash",
            "echo one",
            "",
            "echo two",
            "```",
            "- in a list",
            "  <!-- file: my_tasks.py -->",
            "  ```python",
            "  if True:",
            "      pass",
            "  ```",
        ]
    )
    assert list(blocks_of(page)) == [
        Block(6, "bash", None, "echo one\n\necho two\n"),
        Block(13, "python", "my_tasks.py", "if True:\n    pass\n"),
    ]


def test_a_mark_without_a_block_is_an_error():
    with pytest.raises(ValueError, match=r"^line 1: a mark must stand right above a fenced block\.$"):
        list(blocks_of("<!-- test -->\n\n```bash\n```"))
    with pytest.raises(ValueError, match=r"^line 2: the fenced block has no end\.$"):
        list(blocks_of("<!-- test -->\n```bash\necho"))


@pytest.mark.parametrize(
    ("language", "good", "bad"),
    [
        ("bash", "echo one | cat", "false\necho a later line does not hide it"),
        ("python", "assert 1 + 1 == 2", "assert 1 + 1 == 3"),
        ("python", ">>> 1 + 1\n2\n", ">>> 1 + 1\n3\n"),
    ],
)
def test_a_block_that_fails_is_seen(language, good, bad, tmp_path):
    assert run(Block(1, language, None, good), tmp_path).returncode == 0
    assert run(Block(1, language, None, bad), tmp_path).returncode != 0


def test_blocks_run_the_command_of_this_environment_without_the_users_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("MULTITASK_DATA", "/nowhere")
    done = run(Block(1, "bash", None, 'command -v multitask\necho "${MULTITASK_DATA-unset}"\n'), tmp_path)
    assert done.stdout == f"{Path(sys.executable).parent / 'multitask'}\nunset\n"
