"""The wheel, as a stranger gets it: built from a copy of the sources, used from an empty folder."""

from __future__ import annotations

import json
import shutil
import site
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TOP_LEVEL = ("multitask",)


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_list_of_packages_and_of_other_files_is_what_there_is():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {".".join(p.parent.relative_to(ROOT).parts): p.parent for p in (ROOT / "multitask").rglob("__init__.py")}
    folders |= {package: ROOT / folder for package, folder in setuptools["package-dir"].items()}
    assert sorted(setuptools["packages"]) == sorted(folders)
    listed = {p for name, globs in setuptools["package-data"].items() for g in globs for p in folders[name].glob(g)}
    others = {p for f in folders.values() for p in f.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {p for p in others if p.suffix != ".py" and not p.name.startswith(".")} == {p for p in listed if p.is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's path."""
    # From a copy: a build writes build/ and *.egg-info beside the sources, and takes up what an older one left there.
    copy = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("multitask", "tasks", "configs", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*pip, "-w", str(out), str(copy), cwd=out)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """The files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's contents, to be put on a path."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def in_a_fresh_interpreter(script: str, installed: Path, empty: Path) -> str:
    # -S: `site` would run the .pth file of an editable install, and the sources would be found instead of the wheel.
    # -I: neither PYTHONPATH nor the current folder is on the path.
    path = [str(installed), *site.getsitepackages()]
    return run(sys.executable, "-I", "-S", "-c", f"import sys\nsys.path += {path!r}\n{script}", cwd=empty)


def test_the_wheel_has_every_task_and_every_preset(names):
    for folder, ending in (("tasks", "*.py"), ("configs", "*.yaml")):
        there = sorted(f"multitask/{folder}/{p.name}" for p in (ROOT / folder).glob(ending))
        assert len(there) > 5
        assert [name for name in there if name not in names] == []


def test_the_wheel_has_every_module_of_the_package(names):
    kinds = ("*.py", "*.j2", "*.css", "*.js")
    modules = [p.relative_to(ROOT).as_posix() for kind in kinds for p in (ROOT / "multitask").rglob(kind)]
    assert [name for name in modules if name not in names] == []
    assert "multitask/py.typed" in names


def test_the_wheel_has_one_top_level_package(names):
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(TOP_LEVEL)


def test_the_wheel_carries_the_licence_and_the_command(wheel, names):
    (licence,) = (name for name in names if name.endswith("/licenses/LICENSE"))
    (points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
        assert "multitask = multitask.cli:main" in archive.read(points).decode()


def test_the_licence_is_the_apache_licence_as_published():
    lines = (ROOT / "LICENSE").read_text(encoding="utf-8").split("\n")
    assert [line.strip() for line in lines if line.strip()][:2] == ["Apache License", "Version 2.0, January 2004"]
    # Unfilled, as published: no other project's copyright line.
    assert [line.strip() for line in lines if line.strip().startswith("Copyright")] == [
        "Copyright [yyyy] [name of copyright owner]"
    ]


def test_the_installed_wheel_lists_its_tasks_in_an_empty_folder(installed, tmp_path):
    script = """
import json, multitask
from multitask.task import TASKS
print(json.dumps([multitask.__file__, sorted(TASKS)]))
"""
    where, tasks = json.loads(in_a_fresh_interpreter(script, installed, tmp_path))
    assert Path(where).is_relative_to(installed)
    files = {p.stem for p in (ROOT / "tasks").glob("*.py") if not p.stem.startswith("_")}
    assert files <= set(tasks)
    assert len(files) > 20


def test_the_installed_wheel_finds_its_presets_in_an_empty_folder(installed, tmp_path):
    script = """
from multitask.cli.flags import config_parser, parse_config
print(parse_config(config_parser("train", ""), ["--config", "t5-small"])[0].model)
"""
    assert in_a_fresh_interpreter(script, installed, tmp_path) == "google-t5/t5-small\n"


def test_nothing_but_multitask_can_be_imported(installed, tmp_path):
    script = """
import importlib.util
print([n for n in ("multitask", "tasks", "configs", "tests", "benchmarks") if importlib.util.find_spec(n)])
"""
    assert in_a_fresh_interpreter(script, installed, tmp_path) == "['multitask']\n"


def test_the_version_is_said_once_and_the_same_everywhere(wheel):
    import multitask

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == multitask.__version__
    assert wheel.name == f"multitask_t5-{multitask.__version__}-py3-none-any.whl"
    assert f"## [{multitask.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {multitask.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_every_requirement_has_a_pin_that_satisfies_it():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text


def test_the_pins_name_no_host_and_no_path():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    odd = [line for line in lines if not line.startswith("#") and ("/" in line or "@" in line or "+" in line)]
    assert odd == []
