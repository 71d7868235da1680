"""run.json and the other files that a finished run leaves."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from multitask.errors import UserError
from multitask.evaluation.show import print_scores
from multitask.model.from_scratch import is_from_scratch
from multitask.runs.address import run_address, shown_settings
from multitask.runs.conflict_file import CONFLICT, write_conflict
from multitask.runs.definitions import DEFINITION, PLACES, SETTINGS, edited, recorded
from multitask.runs.finished import run_config
from multitask.runs.fitting import Fitted
from multitask.runs.folder import PARTS
from multitask.runs.mix_report import mix_report, unseen
from multitask.runs.notices import Notices
from multitask.runs.report import REPORT, write_run_report
from multitask.runs.run_data import RunData
from multitask.runs.scoring import RunScores
from multitask.runs.start import Start
from multitask.runs.trainer import EVENTS
from multitask.runs.writing import save_adapters, save_model, write_config, write_scores
from multitask.storage.checksums import digests
from multitask.storage.json_files import write_json
from multitask.storage.paths import tilde
from multitask.terminal.escaping import shown
from multitask.tokenization.token_cache import tokenizer_identity
from multitask.version import __version__


def known_facts(start: Start, data: RunData, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The content of run.json when the run begins, and the same when it is continued.

    Args:
        start: The run.
        data: Its data.
        definitions: {task: its fields and the digests of its code}, taken before any formatter was called.
    """
    import torch
    import transformers

    mix, tokens = data.mix, data.train
    return {
        "versions": {
            "multitask": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pytorch-lightning": importlib.metadata.version("pytorch-lightning"),
            "transformers": transformers.__version__,
        },
        SETTINGS: recorded(shown_settings(start.config)),
        "plan": mix.plan.to_dict(),
        "plan_fingerprint": mix.plan.fingerprint(),
        "vocabulary": tokenizer_identity(data.tokenizer),
        "tasks": {
            name: {
                "version": mix.tasks[name].version,
                DEFINITION: definitions[mix.halves.get(name, name)],
                "source": d.train.source,
                "generated": d.train.generated,
                "train": {"examples": len(d.train), "fingerprint": d.train.fingerprint},
                "validation": {"examples": len(d.validation), "fingerprint": d.validation.fingerprint},
                "skipped": {"train": dict(d.train.skipped), "validation": dict(d.validation.skipped)},
                "selection": None if d.selection is None else {"fingerprint": d.selection.fingerprint},
                "cut": {"inputs": tokens[name].cut_inputs, "targets": tokens[name].cut_targets},
            }
            for name, d in mix.data.items()
        },
        "notes": mix.notes,
    }


def write_run(
    start: Start,
    data: RunData,
    fitted: Fitted,
    scores: RunScores,
    facts: Mapping[str, Any],
    notices: Notices,
    elapsed: Callable[[], float],
) -> float:
    """Write all that a finished run leaves, run.json last; gives the seconds that the run took.

    Args:
        start: The run.
        data: Its data.
        fitted: The trained model.
        scores: Of it.
        facts: From `known_facts`.
        notices: Its warnings are written.
        elapsed: Gives the seconds since the run began.
    """
    out, guard = start.out, fitted.module.guard
    save_adapters(fitted.module.model, out / "model", _hub_id(start.config.model))
    save_model(fitted.module.model, data.tokenizer, out / "model")
    if scores.deployed:
        write_json(out / "deployed.json", {name: s.numbers for name, s in scores.deployed.items()})
    write_scores(out, scores.reported)
    if not notices.quiet:
        print_scores(scores.reported)
    if fitted.module.conflict is not None:
        write_conflict(out / CONFLICT, fitted.module.conflict)
    realised = mix_report(data.mix, data.mean_tokens, fitted.module.total_seen.numpy(), fitted.steps, guard.skipped)
    write_json(out / "mix.json", realised)
    notices.warnings += guard.warnings  # said already
    if guard.skipped:
        which = ", ".join(f"{one['step']:,}" for one in guard.steps[:10])
        notices.warn(
            f"{guard.skipped:,} of {fitted.steps:,} steps made no update, for their loss or gradient was not finite: "
            f"{which}{', …' if guard.skipped > 10 else ''}; why is in run.json."
        )
    for line in unseen(realised) if not start.config.merge else ():
        notices.warn(line)
    notices.warnings += [line for s in scores.reported.values() for line in s.warnings]  # said with the scores
    _restore_settings(start, notices)
    seconds = elapsed()
    record = {
        "status": "finished",
        "address": run_address(start.config, data.mix),
        "steps": fitted.steps,
        "parameters": sum(p.numel() for p in fitted.module.model.parameters()),
        "seconds": round(seconds, 1),
        "execution": fitted.module.execution,
        "training_seconds": round(fitted.seconds, 3),
        "peak_memory": {"process_mb": fitted.memory.process, "device_mb": fitted.memory.device},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **facts,
        "warnings": notices.warnings,
        "skipped_steps": guard.steps,
        "files": digests(out, (p for p in PARTS if p not in ("run.json", REPORT, "checkpoints", EVENTS))),
    }
    write_json(out / "run.json", tilde(record), sealed=True)
    return seconds


def _hub_id(model: str) -> str | None:
    """The name of a model on the Hub: a folder's would be a path of this machine."""
    return None if is_from_scratch(model) or Path(model).is_dir() else model


def write_run_page(out: Path, say: Callable[[str], None]) -> None:
    """Write report.html of what is written already: the run is whole without it, and whatever is wrong is said."""
    try:
        write_run_report(out, run_config(out))
    except Exception as error:
        reason = shown(" ".join(str(error).split()) or type(error).__name__, 300)
        say(
            f"WARNING: {out / REPORT} was not written ({reason}); the run is finished, and "
            f"multitask report {out} --format html makes it again."
        )


def _restore_settings(start: Start, notices: Notices) -> None:
    """Have config.yaml say what this model was trained with, whoever has written there since."""
    try:
        found = edited(start.out, {SETTINGS: recorded(shown_settings(start.config))})
    except UserError as error:
        found = [("", str(error).rstrip("."))]
    for name, line in found:
        if name not in PLACES:  # else a resumed run found them elsewhere, which was said
            notices.warn(f"{line}. It is written again as it was.")
    if found:
        write_config(start.out / "config.yaml", start.config)
