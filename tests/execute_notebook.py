"""Executes docs/notebook.ipynb and stores what came out: `python tests/execute_notebook.py`, when a display changed.

It runs in an empty folder, so that no path of this machine is in it; times and the kernel's name are left out.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def executed(notebook: Any, folder: Path, timeout: int = 600) -> Any:
    """The notebook with the outputs of all its cells; an error in one is raised.

    Args:
        notebook: As nbformat reads it; changed in place.
        folder: Where it runs.
        timeout: Seconds of a cell.
    """
    with warnings.catch_warnings():
        # Of jupyter_client and its loop, which are not ours: what a cell itself warns of is in its output.
        warnings.simplefilter("ignore")
        from nbclient import NotebookClient

        client = NotebookClient(
            notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        # Tokens kept on disk would be read by one and made by another; threads wait for each other on a busy machine.
        client.execute(env={**os.environ, "MULTITASK_CACHE": "off", "OMP_NUM_THREADS": "1"})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata = {"language_info": {"name": "python"}}
    return notebook


def main() -> None:
    """Execute it and write it back."""
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        executed(notebook, Path(folder))
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK}: {sum(len(cell.get('outputs', ())) for cell in notebook.cells)} outputs", file=sys.stderr)


if __name__ == "__main__":
    main()
