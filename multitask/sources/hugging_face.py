"""Data sets of the Hugging Face Hub, loaded when their rows are asked for."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from multitask.errors import UserError
from multitask.short_repr import Plain, short_repr
from multitask.sources.protocol import Source
from multitask.sources.table import Rows, check_split


def hub(path: str, name: str | None = None, *, revision: str, splits: Mapping[str, str] | None = None) -> Source:
    """A data set of the Hugging Face Hub, loaded when its rows are asked for.

    Args:
        path: The data set's id, "nyu-mll/glue".
        name: Its configuration, "mnli".
        revision: A commit (40 hex digits), so that the rows stay what they are; or a branch or tag.
        splits: {split: the Hub's name for it}, e.g. {"validation": "validation_matched"}.

    >>> hub("nyu-mll/glue", "mnli", revision="main", splits={"validation": "validation_matched"}).description
    'nyu-mll/glue (mnli) at main'
    """
    return HubSource(path, name, revision, tuple((splits or {}).items()))


@dataclass(frozen=True)
class HubSource:
    """A data set of the Hub as a source; `hub` makes it."""

    path: str
    name: str | None
    revision: str
    renamed: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return short_repr(self, Plain(self.description))

    @property
    def description(self) -> str:
        """The data set's id, configuration and revision."""
        return self.path + (f" ({self.name})" if self.name else "") + f" at {self.revision}"

    @property
    def generated(self) -> bool:
        """False."""
        return False

    def splits(self) -> tuple[str, ...]:
        """The splits there are, under the names that this source gives them. Loads the data set."""
        theirs = set(_load_hub(self.path, self.name, self.revision))
        ours = {mine for mine, hubs in self.renamed if hubs in theirs}
        return tuple(sorted(ours | (theirs - {mine for mine, _ in self.renamed})))

    def rows(self, split: str) -> Rows:
        """The rows of a split, from the local cache if they were loaded before."""
        check_split(split, self.splits(), self.description)
        loaded = _load_hub(self.path, self.name, self.revision)[dict(self.renamed).get(split, split)]
        # What a branch meant on this day; the keys look like "hf://datasets/nyu-mll/glue@<commit>/sst2/train.parquet".
        commits = re.findall(r"@([0-9a-f]{40})/", " ".join(loaded.info.download_checksums or {}))
        at = self.revision if not commits or commits[0] == self.revision else f"{self.revision} = {commits[0]}"
        identity = [self.path, self.name, self.revision, split, loaded._fingerprint]
        return Rows(
            loaded,
            columns=loaded.column_names,
            fingerprint=hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
            origin=f"{self.path}{f' ({self.name})' if self.name else ''} at {at}, split {split}",
        )


@functools.lru_cache(maxsize=32)  # memory-mapped: what is kept is a handle
def _load_hub(path: str, name: str | None, revision: str) -> Mapping[str, Any]:
    import datasets  # type: ignore[import-untyped]

    try:
        return cast(Mapping[str, Any], datasets.load_dataset(path, name, revision=revision))
    except Exception as error:  # no network, no such data set, a script, a changed layout: all fixed the same way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        what = f"'{path}'" + (f" ({name})" if name else "") + f" at revision {revision}"
        raise UserError(
            f"cannot load {what} from the Hugging Face Hub ({type(error).__name__}: {reason}); "
            f"put its files in DIR/TASK/SPLIT.EXT and use --data DIR."
        ) from error
