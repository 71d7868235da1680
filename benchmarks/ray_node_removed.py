"""A study on a Ray cluster of two nodes on this machine, one of which is killed in the middle of it.

    pip install 'multitask-t5[ray]'
    python benchmarks/ray_node_removed.py

Prints what happened when, and compares the tables with those of processes of this machine, byte by byte. Takes three
minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = [
    *("interference", "--tasks", "span,sst2", "--arms", "single,joint", "--seeds", "2", "--steps", "60"),
    *("--eval-limit", "50", "--validation-rows", "60", "--checkpoint-every", "10", "--threads", "1"),
]


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "multitask.cli", *STUDY, *more]


def digest(study: Path) -> dict[str, str]:
    """Of the tables, but for the time at which they were made."""
    record = json.loads((study / "interference.json").read_text())
    record.pop("sha256")
    record["made"].pop("finished")
    parts = {
        "interference.json": json.dumps(record, sort_keys=True).encode(),
        "interference.csv": (study / "interference.csv").read_bytes(),
    }
    return {name: hashlib.sha256(value).hexdigest()[:16] for name, value in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    from ray.cluster_utils import Cluster

    os.environ["OMP_NUM_THREADS"] = "1"
    out = options.out or Path(tempfile.mkdtemp())
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    began = time.monotonic()

    def note(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    study, killed = out / "ray", False
    process = subprocess.Popen(
        command("--out", str(study), "--engine", "ray", "--ray-address", cluster.address),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    note("the study begins on two nodes")
    while process.poll() is None:
        time.sleep(0.2)
        begun = {path.parent.parent.name for path in study.glob("cells/*/checkpoints/step-*.ckpt")}
        if not killed and len(begun) >= 2:
            cluster.remove_node(second, allow_graceful=False)
            killed = True
            note(f"a node is killed while {', '.join(sorted(begun))} are under way")
    said = process.stderr.read() if process.stderr else ""
    note(f"the study ends with code {process.returncode}")
    for line in said.splitlines():
        if line.startswith(("WARNING", "models")) or "retries remaining" in line:
            print(f"          {line[:150]}")
    cluster.shutdown()
    here = out / "here"
    subprocess.run(command("--out", str(here), "--jobs", "2"), check=True, capture_output=True)
    note("the same study by processes of this machine")
    for name, value in digest(here).items():
        same = "the same bytes" if value == digest(study)[name] else "OTHER BYTES"
        print(f"{name:18} {value}  {same}")
    if not killed or digest(here) != digest(study):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
