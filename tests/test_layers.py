"""The house: a wing imports only from wings above it, no file stands in a circle, and nothing heavy is imported early.

`python tests/test_layers.py` prints the wings, their imports and the sizes of files.
"""

from __future__ import annotations

import ast
import importlib
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "multitask"

WINGS = """
    version terminal errors field_docs short_repr gc_pause registry
    storage tables pages config config_checks
    metrics sources plugins task
    examples testing mixing model tokenization batching checks
    training decoding evaluation
    runs
    interference
    cli
""".split()  # noqa: SIM905
"""Each folder and file of the package, in the order of imports: of two, the later may import the earlier."""

STUDY_WINGS = """
    statistics design results tables figures report
    study planted_tasks execution estimation
    request undefined setup train learning_rates data_warnings vocabulary dry_run watch conduct estimated measure
    tabulate publication
""".split()  # noqa: SIM905
"""The same for multitask.interference."""

HEAVY = (
    *("torch", "transformers", "pytorch_lightning", "datasets", "evaluate"),
    *("pandas", "scipy", "sklearn", "pyarrow", "matplotlib", "jinja2"),
)


class Import(NamedTuple):
    """One import of one of our modules by another."""

    file: str
    """The module that imports: "multitask.runs.train"."""
    target: str
    line: int
    for_types: bool
    """Under `if TYPE_CHECKING`: it is never executed."""

    def __str__(self) -> str:
        return f"{self.file.replace('.', '/')}.py:{self.line} imports {self.target}"


def modules(root: Path = ROOT) -> dict[str, Path]:
    """{name: file} of all modules of the package."""
    names = {}
    for path in sorted((root / "multitask").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(name: str, text: str, known: dict[str, Path]) -> Iterator[Import]:
    """Our modules that a module imports, wherever in it: at its top, in functions, and for type checkers."""
    tree = ast.parse(text)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for body in node.body
        for inner in ast.walk(body)
    }
    for node in ast.walk(tree):
        targets: set[str] = set()
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "multitask":
            whole = [f"{node.module}.{a.name}" for a in node.names]
            targets = {full if full in known else str(node.module) for full in whole}
        elif isinstance(node, ast.Import):
            targets = {a.name for a in node.names if a.name.split(".")[0] == "multitask"}
        for target in targets:
            yield Import(name, target, node.lineno, id(node) in for_types)


KNOWN = modules()
IMPORTS = [one for name, path in KNOWN.items() for one in imports(name, path.read_text(encoding="utf-8"), KNOWN)]


def wing_of(module: str, package: str = "multitask") -> str | None:
    """The part of the package that a module is of; None for the package itself and for what is not of it."""
    inner = module.removeprefix(f"{package}.")
    return None if module == package or inner == module else inner.split(".")[0]


def upward(found: list[Import], order: list[str], package: str = "multitask") -> list[str]:
    """The imports of a part that stands later in the order."""
    bad = []
    for one in found:
        here, there = wing_of(one.file, package), wing_of(one.target, package)
        if here and there and order.index(there) > order.index(here):
            bad.append(str(one))
    return bad


def test_the_lists_name_all_there_is():
    for folder, order in ((PACKAGE, WINGS), (PACKAGE / "interference", STUDY_WINGS)):
        there = {p.stem for p in folder.glob("*.py")} | {p.parent.name for p in folder.glob("*/__init__.py")}
        assert sorted(order) == sorted(there - {"__init__"})


def test_a_wing_imports_only_from_wings_above_it():
    assert upward(IMPORTS, WINGS) == []
    assert upward(IMPORTS, STUDY_WINGS, "multitask.interference") == []


@pytest.mark.parametrize(
    "text",
    [
        "from multitask.runs.train import train",
        "def f():\n    from multitask.runs.train import train",
        "class A:\n    def f(self):\n        import multitask.runs.train",
        "if TYPE_CHECKING:\n    from multitask.runs.run import Run",
        "from multitask import runs",
    ],
)
def test_an_import_that_runs_upward_is_found_wherever_it_stands(text):
    found = list(imports("multitask.decoding.search", text, KNOWN))
    assert len(upward(found, WINGS)) == 1
    assert upward(list(imports("multitask.interference.conduct", text, KNOWN)), WINGS) == []


def test_no_file_stands_in_a_circle():
    """Of imports that are executed, at whatever time."""
    edges: dict[str, set[str]] = {}
    for one in IMPORTS:
        if not one.for_types and one.file != "multitask":
            edges.setdefault(one.file, set()).add(one.target)
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(edges.get(name, ())):
                if other != "multitask":
                    visit(other, (*way, name))
            done.add(name)

    for name in KNOWN:
        visit(name, ())


def wings_below(wing: str) -> set[str]:
    """All that a wing needs, directly or not."""
    found: set[str] = set()
    todo = [wing]
    while todo:
        here = todo.pop()
        new = {wing_of(i.target) for i in IMPORTS if wing_of(i.file) == here} - found - {None}
        found |= new
        todo += new
    return found - {wing}


def test_wings_that_must_not_know_each_other_do_not():
    assert not {"decoding", "evaluation", "runs"} & wings_below("training")
    assert not {"training", "runs"} & (wings_below("decoding") | wings_below("evaluation"))
    assert not {"task", "examples"} & (wings_below("sources") | wings_below("metrics"))
    assert not {"model", "tokenization", "training"} & wings_below("mixing")
    assert wings_below("terminal") == set()
    assert wings_below("storage") <= {"errors", "terminal"}


def test_training_meets_evaluation_in_runs_alone_and_only_the_ways_in_know_studies():
    joined = {wing_of(i.file) for i in IMPORTS if wing_of(i.target) == "training"} & {
        wing_of(i.file) for i in IMPORTS if wing_of(i.target) == "evaluation"
    }
    assert joined - {"interference", "cli", None} == {"runs"}
    assert {wing_of(i.file) for i in IMPORTS if wing_of(i.target) == "interference"} <= {"interference", "cli", None}


def test_nobody_imports_the_command_line():
    assert {wing_of(i.file) for i in IMPORTS if wing_of(i.target) == "cli"} == {"cli"}


EXTRA = {
    "__init__": ("registry",),  # to say that these are registered in every process
    "_format": ("terminal",),  # to quote a value
}


@pytest.mark.parametrize("path", sorted((ROOT / "tasks").glob("*.py")), ids=lambda path: path.stem)
def test_a_task_needs_tasks_and_sources_alone(path):
    found = {i.target for i in imports("multitask.tasks", path.read_text(encoding="utf-8"), KNOWN)}
    parts = {wing_of(target) for target in found}
    assert parts <= {"task", "sources", None, *EXTRA.get(path.stem, ())}


@pytest.mark.parametrize(
    "module",
    [
        *("multitask", "multitask.cli", "multitask.config", "multitask.task", "multitask.mixing.plan"),
        *("multitask.interference", "multitask.cli.study_options", "multitask.interference.study"),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(module, tmp_path):
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_imports_what_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("multitask."):
            there = importlib.import_module(node.module)
            assert [a.name for a in node.names if not hasattr(there, a.name)] == [], node.module


def print_house() -> None:
    """The wings with their files, lines and imports; then the whole in one line each."""
    lines = {name: path.read_text(encoding="utf-8").count("\n") for name, path in KNOWN.items()}
    between = Counter((wing_of(i.file), wing_of(i.target)) for i in IMPORTS if wing_of(i.file) and wing_of(i.target))
    for wing in WINGS:
        here = {name: n for name, n in lines.items() if wing_of(name) == wing}
        used = sorted((WINGS.index(b), b) for (a, b), _ in between.items() if a == wing and b != wing)
        largest = max(here, key=lambda name: here[name])
        print(f"{wing:<13}{len(here):>4} files{sum(here.values()):>7} lines, largest {here[largest]:>4} ({largest})")
        print(f"{'':<13}imports {', '.join(name for _, name in used) or 'nothing of ours'}")
    outside = sum(n for (a, b), n in between.items() if a != b)
    ways = sum(a != b for a, b in between)
    largest = max(lines, key=lambda name: lines[name])
    median = statistics.median(lines.values())
    up = len(upward(IMPORTS, WINGS) + upward(IMPORTS, STUDY_WINGS, "multitask.interference"))
    print(f"{len(lines)} files: median {median:.0f} lines, largest {lines[largest]} ({largest})")
    print(f"{sum(n > 300 for n in lines.values())} files above 300 lines")
    print(f"{outside} imports between {len(WINGS)} wings, over {ways} ways; {up} upward")


if __name__ == "__main__":
    print_house()
