"""The models of a study as an array of SLURM jobs: a script of plain shell, which `sbatch` takes.

Each job of the array trains one model with `multitask cell`. Two minutes before its time is over SLURM sends USR1: the
model is saved, the job ends with 75, and is queued again to go on from there. So is one that crashed, as often as
--retries says. Sources: the pages `sbatch` and `scontrol` of SLURM's documentation.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from multitask.errors import UserError
from multitask.interference.execution.cells import LOGS
from multitask.storage.atomic import atomic

NOTICE = 120
"""Seconds before the end of a job's time in which a model is saved."""
SCRIPT = """\
#!/usr/bin/env bash
#SBATCH --job-name={name}
#SBATCH --array={array}
#SBATCH --cpus-per-task={threads}
#SBATCH --signal=B:USR1@{notice}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --chdir={chdir}
#SBATCH --output={logs}/slurm-%A_%a.log
{options}
# One model of the study a job. 0: it is finished; 75: it was saved, and goes on when it is queued again.
export OMP_NUM_THREADS={threads} TOKENIZERS_PARALLELISM=false
{python} -m multitask.cli cell {study} "$SLURM_ARRAY_TASK_ID"{include} &
model=$!
trap 'kill -USR1 "$model"' USR1
trap 'kill -TERM "$model"' TERM
wait "$model"; code=$?
while kill -0 "$model" 2>/dev/null; do wait "$model"; code=$?; done
restarts="${{SLURM_RESTART_COUNT:-0}}"
if [ "$code" -eq 75 ] || {{ [ "$code" -eq 1 ] && [ "$restarts" -lt {retries} ]; }}; then
  scontrol requeue "${{SLURM_JOB_ID}}"
fi
exit "$code"
"""


def write_script(
    study: Path,
    numbers: Sequence[int],
    *,
    threads: int,
    at_once: int | None,
    options: str,
    retries: int,
    include: Sequence[str] = (),
) -> Path:
    """Write STUDY/slurm.sh.

    Args:
        study: The study's folder, on a file system that all nodes see.
        numbers: Of the models that are missing, in cells.json.
        threads: Of each.
        at_once: Jobs that run at the same time at most; None for no bound.
        options: More options of sbatch, in one text: `--partition gpu --gpus 1 --time 2:00:00`.
        retries: How often a model that crashed is tried again.
        include: The Python files that register the tasks.

    Raises:
        UserError: If the options are none of sbatch.
    """
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise UserError(f"--slurm-options {options!r}: {error}.") from error
    if words and not words[0].startswith("-"):
        raise UserError(f"--slurm-options {options!r}: options of sbatch begin with a hyphen.")
    (study / LOGS).mkdir(parents=True, exist_ok=True)
    limit = f"%{at_once}" if at_once else ""
    text = SCRIPT.format(
        name=shlex.quote(f"multitask-{study.name}"),
        array=ranges(numbers) + limit,
        threads=threads,
        notice=NOTICE,
        chdir=shlex.quote(str(Path.cwd())),
        logs=shlex.quote(str((study / LOGS).absolute())),
        options="".join(f"#SBATCH {line}\n" for line in _lines(words)),
        python=shlex.quote(sys.executable),
        study=shlex.quote(str(study.absolute())),
        retries=retries,
        include="".join(f" --include {shlex.quote(str(Path(file).absolute()))}" for file in include),
    )
    path = study / "slurm.sh"
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _lines(words: Sequence[str]) -> list[str]:
    """Each option with its value, as it may stand behind #SBATCH."""
    lines: list[list[str]] = []
    for word in words:
        if word.startswith("-") or not lines:
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return [" ".join(line) for line in lines]


def ranges(numbers: Sequence[int]) -> str:
    """Numbers as sbatch's --array takes them.

    >>> ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def submit(script: Path, then: Sequence[str]) -> str:
    """Send the array, and after it a job of `then`, a command; gives the array's number.

    Raises:
        UserError: If there is no sbatch here, or it refuses.
    """
    array = _sbatch([str(script)])
    log = script.parent.absolute() / LOGS / "slurm-study-%j.log"
    after = [
        f"--job-name=multitask-{script.parent.name}-next",
        f"--dependency=afterok:{array}",
        "--kill-on-invalid-dep=yes",
        f"--chdir={Path.cwd()}",
        f"--output={log}",
        f"--wrap={shlex.join(then)}",
    ]
    _sbatch(after)
    return array


def _sbatch(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(["sbatch", "--parsable", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError as error:
        raise UserError(
            f"--submit: sbatch cannot be started here ({error.strerror}): without --submit the script is only written, "
            "for `sbatch` on a machine of the cluster."
        ) from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"code {done.returncode}"
        raise UserError(f"--submit: sbatch refuses the job: {said[:300]}")
    return done.stdout.strip().partition(";")[0]
