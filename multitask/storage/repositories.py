"""Folders sent to the Hugging Face Hub as repositories, and fetched from there: one commit each, no git."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from multitask.errors import UserError

Kind = Literal["model", "dataset"]


def check_repository(name: str) -> None:
    """Refuse what can be no repository's name, before anything is read or sent.

    Raises:
        UserError: Says how one is written.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or ".." in name or "--" in name:
        raise UserError(
            f"{name!r} is no name of a repository on the Hub: write ORG/NAME, with your own name there or an "
            "organisation's."
        )


def send_folder(
    folder: Path, name: str, kind: Kind, *, private: bool, message: str, ours: Callable[[str], bool]
) -> str:
    """Make a folder's files those of a repository, in one commit; gives its address.

    Args:
        folder: With files alone.
        name: ORG/NAME; it is made if it is not there.
        kind: What the repository is of.
        private: Make it so that nobody else sees it; one that is there stays as it is.
        message: Of the commit.
        ours: Whether a file that lies there, and not in the folder, is one that an earlier push wrote: it is deleted.

    Raises:
        UserError: What the Hub said, and what to do.
    """
    import huggingface_hub as hub

    api = hub.HfApi()
    with _explained(name):
        address = api.create_repo(name, private=private, repo_type=kind, exist_ok=True)
        sent = {path.name for path in folder.iterdir()}
        old = [f for f in api.list_repo_files(name, repo_type=kind) if f not in sent and "/" not in f and ours(f)]
        operations: list[Any] = [hub.CommitOperationAdd(path.name, str(path)) for path in sorted(folder.iterdir())]
        operations += [hub.CommitOperationDelete(f) for f in old]
        api.create_commit(name, operations, commit_message=message, repo_type=kind)
    return str(address)


def fetch_folder(name: str, kind: Kind, revision: str | None = None, only: list[str] | None = None) -> Path:
    """A repository's files in the Hub's own cache; without the network what was fetched before.

    Raises:
        UserError: What the Hub said, and what to do.
    """
    import huggingface_hub as hub

    with _explained(name):
        return Path(hub.snapshot_download(name, repo_type=kind, revision=revision, allow_patterns=only))


@contextmanager
def _explained(name: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise UserError(f"the Hub is not asked for '{name}' while HF_HUB_OFFLINE is set: unset it.") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"the Hub has no repository '{name}' that you can see: check the name, and log in with `hf auth login` if "
            "it is private."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"repository '{name}' has no such revision on the Hub.") from error
    except errors.LocalEntryNotFoundError as error:
        raise UserError(
            f"'{name}' was not fetched before, and the Hub cannot be reached: check the network."
        ) from error
    except errors.HfHubHTTPError as error:
        code = getattr(error.response, "status_code", None)
        if code in (401, 403):
            raise UserError(
                f"the Hub does not let you write to '{name}': log in with `hf auth login`, with a token that may "
                "write, or name a repository of your own."
            ) from error
        said = str(error.server_message or error).strip().splitlines()
        raise UserError(f"the Hub refused '{name}' ({code}): {said[0] if said else 'no reason given'}.") from error
    except Exception as error:
        if not type(error).__module__.startswith(("httpx", "httpcore")):  # of whichever version is installed
            raise
        raise _unreached(name, error) from error


def _unreached(name: str, error: Exception) -> UserError:
    reason = str(error).strip().rstrip(".") or type(error).__name__
    return UserError(f"the Hub cannot be reached for '{name}' ({reason}): check the network.")
