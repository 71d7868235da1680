"""The data's way is one direction: a module imports only from modules to its left, and nothing heavy too early."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import multitask

PACKAGE = Path(multitask.__file__).parent

ORDER = """
    field_docs short_repr terminal errors system_errors printable tables home yaml_files uncollected registry shape
    outputs label_metrics number_metrics text_metrics evaluate_bridge metrics
    table strict_json compression parquet cells readers split_files file_sources python_sources given_sources
    task plugins code_state code_digest
    lexicon sample sources raw_values bad_rows
    held_out examples misfits baselines testing
    schedule rates mixture permutation plan cautions
    standard_errors ownership folder pages cache tensor_files model_folder special_tokens tokens unwritable token_cache
    spans batching kernels flat optim data guard module
    generators signals checkpoints model_settings model_weights models model_check
    decoder scoring plain ranking pieces search decoding evaluation
    config console definitions prepare new_inputs finished vocabulary csv_log lightning processes progress
    results resuming
    runs run
""".split()  # noqa: SIM905
"""The pipeline from left to right. What uses it (cli, inference, checks, …) may import all of it."""

HEAVY = (
    *("torch", "transformers", "pytorch_lightning", "datasets", "evaluate"),
    *("pandas", "scipy", "sklearn", "pyarrow", "matplotlib", "jinja2"),
)


def imported(path: Path) -> set[str]:
    """The multitask modules that are imported when the file is, without those for type checkers only."""
    names: set[str] = set()
    todo: list[ast.AST] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "multitask" and node.level == 0:
            inner = (node.module or "").split(".")[1:]
            names |= {inner[0]} if inner else {a.name for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("multitask.")}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        elif isinstance(node, (ast.If, ast.Try, ast.With, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)
    return {n for n in names if (PACKAGE / f"{n}.py").is_file() or (PACKAGE / n).is_dir()}


MODULES = {p.stem: imported(p) for p in sorted(PACKAGE.glob("*.py")) if p.stem != "__init__"}
WINGS = [p.parent for p in sorted(PACKAGE.glob("*/__init__.py")) if p.parent.name not in ("interference", "cli")]
MODULES |= {w.name: set().union(*map(imported, w.rglob("*.py"))) - {w.name} for w in WINGS}

STUDY_ORDER = """
    record palette lookup ranges alike
    resampling intervals statistics
    design study
    grouping advice learned answer
    collect of_task assemble
    tables evidence canvas drawings panels figures report
    findings
    partial watching execute estimate conduct tabulate options
""".split()  # noqa: SIM905
"""The modules of multitask.interference; all of the pipeline stands to their left."""


def imported_of_study(path: Path) -> set[str]:
    """The modules of multitask.interference that are imported anywhere in the file, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("multitask.interference."):
            found.add((node.module or "").split(".")[2])
        elif isinstance(node, ast.ImportFrom) and node.module == "multitask.interference":
            found |= {a.name for a in node.names}
    return found


def test_every_module_of_a_study_has_its_place():
    here = PACKAGE / "interference"
    modules = [p.stem for p in here.glob("*.py") if p.stem != "__init__"]
    assert sorted(STUDY_ORDER) == sorted([*modules, *(p.parent.name for p in here.glob("*/__init__.py"))])


@pytest.mark.parametrize("name", STUDY_ORDER)
def test_a_module_of_a_study_imports_only_what_stands_to_its_left(name):
    path = PACKAGE / "interference" / name
    files = path.glob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    found = set().union(*map(imported_of_study, files)) - {name}
    assert found <= set(STUDY_ORDER[: STUDY_ORDER.index(name)]), name


def test_the_pipeline_knows_nothing_of_studies():
    users = [*(PACKAGE / "interference").rglob("*.py"), *(PACKAGE / "cli").glob("*.py"), PACKAGE / "__init__.py"]
    for path in PACKAGE.rglob("*.py"):
        if path not in users:
            assert not imported_of_study(path), path


def test_imports_are_seen():
    assert {"errors", "metrics", "registry"} <= MODULES["task"]
    assert "sources" not in MODULES["task"]  # for type checkers only


def test_no_import_goes_round_in_a_circle():
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(MODULES.get(name, ())):
                visit(other, (*way, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", [n for n in ORDER if n in MODULES])
def test_a_module_imports_only_what_stands_to_its_left(name):
    known = set(ORDER[: ORDER.index(name)])
    assert MODULES[name] <= known, f"{name} imports {sorted(MODULES[name] - known)}"


def test_the_plan_and_the_sampler_know_nothing_of_models():
    def everything(name: str) -> set[str]:
        return {name}.union(*(everything(n) for n in MODULES.get(name, ())))

    assert not everything("plan") & {"models", "module", "decoding", "data", "task", "sources", "run"}
    assert not everything("module") & {"task", "sources", "examples", "prepare", "config", "run"}


@pytest.mark.parametrize(
    "module",
    [
        *("multitask", "multitask.cli", "multitask.config", "multitask.task", "multitask.plan"),
        *("multitask.interference", "multitask.interference.options", "multitask.interference.findings"),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(module, tmp_path):
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_imports_what_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("multitask."):
            there = importlib.import_module(node.module)
            assert [a.name for a in node.names if not hasattr(there, a.name)] == [], node.module
