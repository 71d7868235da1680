"""The documentation site: `python -m sphinx -W --keep-going docs site`, with the extra `docs`.

Three kinds of pages are made of the code at each build, so that they cannot fall behind it: the help of every command,
the public Python names by their docstrings, and the files of a run's folder with the shape of each, of a run of two
steps that the build makes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["COLUMNS"] = "88"
HERE = Path(__file__).parent
REPOSITORY = "https://github.com/multitask-t5/multitask/blob/main/"
"""Where links to files outside of this folder lead."""

project, author, language = "multitask", "the multitask authors", "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme, html_title = "furo", "multitask"
html_show_sourcelink = False
exclude_patterns = ["images", "**/.ipynb_checkpoints"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
nb_execution_mode = (
    "off"  # what is stored is what `tests/test_notebook.py` executes; pages' Python by tests/test_site.py
)
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
myst_all_links_external = False
suppress_warnings = ["myst.header", "misc.highlighting_failure"]  # a page may begin with a table; `…` in Python
autodoc_member_order, autodoc_typehints = "bysource", "description"
napoleon_google_docstring, napoleon_numpy_docstring = True, False


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", lambda _: make_pages())
    app.connect("source-read", outside_links)
    app.connect("autodoc-process-docstring", readable)


def outside_links(app: Any, name: str, content: list[str]) -> None:
    """Links out of this folder lead to the repository."""
    content[0] = re.sub(r"\]\(\.\./(?!docs)([\w./-]+)\)", rf"]({REPOSITORY}\1)", content[0])


def readable(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A line ahead of an indented example, and Markdown's fences, as reStructuredText has them."""
    made: list[str] = []
    for line in lines:
        indented = line.startswith("    ") and not line.lstrip().startswith((">>>", "..."))
        if indented and made and (not made[-1].strip()) and not any(m.startswith("    ") for m in made[-3:-1]):
            made += ["::", ""]
        made.append(line if "``" in line else re.sub(r"`([^`]+)`(\w?)", _literal, line))
    lines[:] = made


def _literal(found: re.Match[str]) -> str:
    """`Metric`s is a name and a letter."""
    return f"``{found[1]}``" + (f"\\ {found[2]}" if found[2] else "")


def make_pages() -> None:
    """The pages that are made of the code."""
    commands = HERE / "reference" / "commands"
    commands.mkdir(exist_ok=True)
    for name, text in helps().items():
        write(commands / f"{name.replace(' ', '-')}.md", f"# multitask {name}\n\n```text\n{text}\n```\n")
    write(HERE / "reference" / "run-folder.md", run_folder())
    write(HERE / "reference" / "study-folder.md", study_folder())


def write(path: Path, text: str) -> None:
    """Only what changed, so that Sphinx reads only that again."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def helps() -> dict[str, str]:
    """{command: what its --help prints}."""
    from multitask.cli import main
    from multitask.cli.command_names import COMMANDS

    found = {}
    for name in (*COMMANDS, "tasks check", "cache clear"):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main([*name.split(), "--help"])
        found[name] = out.getvalue().rstrip()
    return found


# ------------------------------------------------------------------------------------------------------------- folders


def run_folder() -> str:
    """The page on a run's folder: its list of files, and the shape of each of a run of two steps."""
    import multitask
    from multitask.runs import folder

    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run"
        config = {"tasks": "span,sst2", "data": "sample", "batch_size": 8, "eval_limit": 4, "log_examples": True}
        multitask.train(**config, trainer={"max_steps": 2, "enable_progress_bar": False}, out=str(out), quiet=True)
        return page("A run's folder", folder.__doc__ or "", shapes(out))


def study_folder() -> str:
    """The same of a study, by its record."""
    import runpy

    from multitask.interference.design import folder
    from multitask.interference.study import write_study_files

    record = runpy.run_path(str(HERE.parent / "tests" / "study_example.py"))["example_record"]()
    with tempfile.TemporaryDirectory() as name:
        write_study_files(Path(name) / "study", record)
        text = page("A study's folder", folder.__doc__ or "", shapes(Path(name) / "study"))
    return text + "\n`multitask.Study.read(FOLDER)` needs `interference.json` alone.\n"


def page(title: str, documentation: str, files: dict[str, str]) -> str:
    """What stands in the code about a folder, and the shape of its files."""
    parts = [f"# {title}", f"```text\n{documentation.strip()}\n```"]
    parts.append("The shape of what is in its files: names and types; `…` where more of the same follow.")
    parts += [f"## {name}\n\n```text\n{shape}\n```" for name, shape in files.items()]
    return "\n\n".join(parts) + "\n"


def shapes(folder: Path) -> dict[str, str]:
    """{file: its shape} of JSON, parquet and csv files."""
    import pandas as pd

    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith(("model/", "checkpoints/", ".")):
            continue
        if path.suffix == ".json":
            found[name] = "\n".join(shape_of(json.loads(path.read_text(encoding="utf-8"))))
        elif path.suffix in (".parquet", ".csv"):
            table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
            found[name] = "\n".join(f"{column}: {kind}" for column, kind in table.dtypes.items())
    return found


MOST = 12
"""Names of one level that are shown where all have one shape."""


def shape_of(value: Any, indent: str = "") -> list[str]:
    """Lines with the names and types of a JSON value."""
    if isinstance(value, dict) and value:
        lines = []
        for key, inner in list(value.items())[: MOST if len(value) > 3 * MOST else None]:
            below = shape_of(inner, indent + "  ")
            lines += [f"{indent}{key}: {below[0].strip()}"] if len(below) == 1 else [f"{indent}{key}:", *below]
        return lines + [f"{indent}…"] * (len(value) > 3 * MOST)
    if isinstance(value, list) and value:
        below = shape_of(value[0], indent + "  ")
        return [f"{indent}list of {below[0].strip()}"] if len(below) == 1 else [f"{indent}list of", *below]
    names = {"dict": "empty", "list": "empty list", "str": "text", "NoneType": "null", "bool": "true or false"}
    kind = type(value).__name__
    return [indent + names.get(kind, "number" if kind in ("int", "float") else kind)]


sys.path.insert(0, str(HERE.parent / "tests"))
