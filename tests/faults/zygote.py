"""A process that has imported everything and forks a child for each line of JSON that it reads.

So a run that is to be killed begins within milliseconds, with nothing in it but imports.

    {"argv": […], "cache": DIR, "log": FILE, "die": [n, "before" | "after" | "torn"] | null}

is answered with {"pid": …} at once and with {"code": …} when the child has ended. `die` has the child killed at its
n-th atomic write: before or after the file takes its name, or before and with half of it written.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any


def patched(n: int, when: str) -> None:
    replace, count = os.replace, 0

    def deadly(source: Any, target: Any) -> None:
        nonlocal count
        count += 1
        if count == n and when == "torn":
            os.truncate(source, Path(source).stat().st_size // 2)
        if count == n and when != "after":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if count == n:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = deadly


def child(job: dict[str, Any]) -> None:
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (0, 1, 2):
        os.dup2(log, stream)
    sys.stdin = open(os.devnull)  # noqa: SIM115  # as long as the process
    os.environ["MULTITASK_CACHE"] = job["cache"]
    if job.get("die"):
        patched(*job["die"])
    from multitask.cli import main

    code = 1
    try:
        code = main(job["argv"])
    finally:
        if job.get("modules"):
            Path(job["modules"]).write_text(json.dumps(sorted(sys.modules)))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def forked(job: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        child(job)
    return pid


def warm(job: dict[str, Any]) -> None:
    """Import what a run imports, without running anything in this process."""
    with tempfile.TemporaryDirectory() as folder:
        modules = Path(folder) / "modules"
        os.waitpid(forked({**job, "modules": str(modules)}), 0)
        for name in json.loads(modules.read_text()):
            if name.split(".")[0] not in ("__main__", "multitask_included"):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)


def main() -> None:
    warm(json.loads(sys.stdin.readline()))
    gc.freeze()  # a child looks for garbage among what is its own
    print("ready", flush=True)
    for line in sys.stdin:
        pid = forked(json.loads(line))
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
