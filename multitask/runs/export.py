"""A finished run as a folder to take home: the model, a model card, and a program that answers without multitask.

DIR/
model.safetensors, config.json, tokenizer files   `from_pretrained(DIR)` reads them
predict.py                                        `python predict.py --task TASK < texts.txt`: `multitask.runs.predict`
README.md                                         the model card, with metadata for the Hugging Face Hub

Paths of this machine stand in none of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError
from multitask.model.untrusted import check_model_folder
from multitask.runs.card import StudyTables, model_card
from multitask.runs.facts import run_facts
from multitask.runs.finished import check_finished
from multitask.storage.atomic import atomic_files
from multitask.storage.json_files import read_json
from multitask.storage.paths import expanded

if TYPE_CHECKING:
    from multitask.runs.run import Run

CARD, PROGRAM, CONFIG = "README.md", "predict.py", "config.json"
_MODEL = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")
"""Files of a model folder that are taken along: weights, settings, vocabularies."""
_WRITTEN = (
    *(CARD, PROGRAM, "model*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("spiece.model", "sentencepiece*.model", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt"),
)
"""Names of files that an earlier export may have written; what has another name is somebody's own."""
_PATHS = ("_name_or_path", "name_or_path", "vocab_file", "tokenizer_file", "cache_dir")
"""Keys in which transformers keeps where something was loaded from."""
PARTS = ("model", "metrics.json", "deployed.json", "baselines.json", "standard_errors.json", "mix.json")


def export(
    run: str | Path | Run, folder: str | Path, *, study: StudyTables | None = None, overwrite: bool = False
) -> Path:
    """Write a finished run's model, its card and a `predict.py` of plain transformers; gives the folder.

        multitask.export("runs/first", "my-model")
        transformers.AutoModelForSeq2SeqLM.from_pretrained("my-model")

    Args:
        run: A finished run, or its folder.
        folder: A new or an empty folder.
        study: A `Study` whose answer and main table the card is to show.
        overwrite: Replace an earlier export in `folder`.

    Raises:
        UserError: If the run is not finished or not as it was written, or the folder holds something.
    """
    source = Path(expanded(str(getattr(run, "folder", run))))
    out = Path(expanded(str(folder)))
    config = check_finished(source, PARTS)
    check_model_folder(source / "model")
    if config.peft and config.adapters == "task":
        from multitask.model.adapters import ADAPTERS  # it imports torch, which an export does without

        raise UserError(
            f"{source} has an adapter for each task, and an export is one model: take {source / 'model'} with the "
            f"adapters beside it, which PeftModel.from_pretrained(model, '{source / 'model' / ADAPTERS}/TASK') reads."
        )
    _check_target(source, out, overwrite)
    _check_own(out, {path.name for path in _model_files(source / "model")})
    facts = run_facts(source, config, deployed=True)
    if study is not None and not set(study.tasks) & set(facts.tasks):
        raise UserError(
            f"--study: the study is of {', '.join(study.tasks)}, and the run of {', '.join(facts.tasks)}: they have no "
            "task in common."
        )
    card = model_card(facts, study)
    settings = {name: task.settings for name, task in facts.tasks.items()}
    with atomic_files(out, last=CONFIG) as temporary:
        for path in _model_files(source / "model"):
            if path.suffix == ".json":
                _copy_json(path, temporary / path.name, settings if path.name == CONFIG else None)
            else:
                shutil.copyfile(path, temporary / path.name)
        (temporary / PROGRAM).write_bytes(files("multitask.runs").joinpath(PROGRAM).read_bytes())
        (temporary / CARD).write_text(card, encoding="utf-8")
        _delete_others(out, {path.name for path in temporary.iterdir()})
    return out


def is_written_by_export(name: str) -> bool:
    """Whether a file of this name is one that an export writes."""
    return any(map(Path(name).match, _WRITTEN))


def _check_target(source: Path, out: Path, overwrite: bool) -> None:
    if out.is_symlink() and not out.exists():
        raise UserError(f"{out} is a link to {out.readlink()}, which is not there: make that folder, or give another.")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder for the exported model.")
    inside, target = source.resolve(), out.resolve()
    if target == inside or inside in target.parents or target in inside.parents:
        raise UserError(f"{out} and the run {source} lie in each other: give a folder of its own.")
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if there and not overwrite:
        raise UserError(f"{out} is not empty ({', '.join(there[:3])}): give a new folder, or --overwrite.")
    if there and PROGRAM not in there:
        raise UserError(f"{out} holds no exported model (there is no {PROGRAM}): nothing was replaced.")


def _check_own(out: Path, names: set[str]) -> None:
    """Refuse to write over or to delete what no export has written."""
    there = sorted(out.iterdir()) if out.is_dir() else []
    odd = [path.name for path in there if not (_is_ours(path) or (path.name in names and path.is_file()))]
    if odd:
        raise UserError(
            f"{out} holds more than an exported model ({', '.join(odd[:3])}): nothing was replaced; give a new folder."
        )


def _is_ours(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and is_written_by_export(path.name)


def _delete_others(out: Path, kept: set[str]) -> None:
    """Files of an earlier export that this one has not; all were checked before."""
    for path in out.iterdir():
        if path.name not in kept and _is_ours(path):
            path.unlink()


def _model_files(model: Path) -> Iterator[Path]:
    for path in sorted(model.iterdir()):
        if path.is_file() and not path.name.startswith(".") and any(map(path.match, _MODEL)):
            yield path


def _copy_json(path: Path, to: Path, tasks: dict[str, Any] | None) -> None:
    value = read_json(path)
    if isinstance(value, dict) and path.name != "tokenizer.json":
        value = {k: v for k, v in value.items() if k not in _PATHS}
        if tasks is not None:
            value["task_specific_params"] = tasks
        to.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        shutil.copyfile(path, to)
