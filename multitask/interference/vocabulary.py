"""The vocabulary of a study from scratch, trained once on the text of all its tasks."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

from multitask.interference.setup import StudySetup
from multitask.storage.locking import check_owner
from multitask.tokenization.disk_cache import Cache


def train_study_vocabulary(setup: StudySetup, folder: Path) -> None:
    """Write FOLDER/spiece.model, whole or not at all."""
    from multitask.model.from_scratch import SIZES
    from multitask.tokenization.vocabulary import mixture_vocabulary

    ordered = {t: setup.mix.data[t] for t in sorted(setup.mix.data)}  # not as --tasks happens to list them
    size = setup.base.vocab_size or SIZES[setup.base.model].vocabulary
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".vocab-") as temporary:
        made = Path(temporary) / "vocab"
        made.mkdir()
        vocabulary = mixture_vocabulary(dataclasses.replace(setup.mix, data=ordered), size, Cache())
        (made / "spiece.model").write_bytes(vocabulary)
        check_owner(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)
