"""docs/notebook.ipynb: it runs from beginning to end, and what is stored of its outputs is clean."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NOTEBOOK = HERE.parent / "docs" / "notebook.ipynb"
FEW = 3
"""Steps of each model here; the stored outputs are of more."""


def outputs_of(notebook: Any) -> list[Any]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", ())]


def text_of(output: Any) -> str:
    return json.dumps({k: output.get(k) for k in ("text", "data", "ename", "evalue", "traceback")}, ensure_ascii=False)


@pytest.mark.filterwarnings("ignore")  # of jupyter_client, its sockets and its loop, in this process
def test_the_notebook_runs_from_beginning_to_end(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # the kernel's own start; what a cell warns of is looked at below
    executed = runpy.run_path(str(HERE / "execute_notebook.py"))["executed"]
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    changed = [re.subn(r"^STEPS = \d+$", f"STEPS = {FEW}", cell.source, flags=re.MULTILINE) for cell in notebook.cells]
    assert sum(count for _, count in changed) == 1
    for cell, (source, _) in zip(notebook.cells, changed, strict=True):
        cell.source = source
    executed(notebook, tmp_path)
    assert (tmp_path / "runs" / "both" / "report.html").is_file()
    assert (tmp_path / "runs" / "study" / "report.html").is_file()
    check_outputs(notebook)


def test_the_stored_outputs_are_clean():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    check_outputs(notebook)
    assert len(NOTEBOOK.read_bytes()) < 150_000


def check_outputs(notebook: Any) -> None:
    """No errors, no paths of a machine, no notices of libraries, no warnings, and not a flood of progress."""
    outputs = outputs_of(notebook)
    for output in outputs:
        assert output["output_type"] != "error", output
        found = re.search(
            r"/(home|root|tmp|usr|var|Users)/|site-packages|[A-Za-z]+Warning\b|GPU available|weights_only|Tip:|%\|",
            text_of(output),
        )
        assert found is None, (found, output)
    for cell in notebook["cells"]:
        assert len(cell.get("outputs", ())) <= 12, cell["source"]
    html = " ".join(text_of(o) for o in outputs if "text/html" in o.get("data", {}))
    for shown in (
        "mood: What does the writer think of the thing?",
        "Scores of both",
        "realised_examples",
        "prediction",
    ):
        assert shown in html
