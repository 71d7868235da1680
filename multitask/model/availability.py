"""Whether `--model` can be had, said at once: transformers tries an unreachable Hub for most of a minute."""

from __future__ import annotations

from pathlib import Path

from multitask.errors import UserError
from multitask.model.from_scratch import SIZES, is_from_scratch
from multitask.registry import did_you_mean

SECONDS = 10
"""How long the Hub may take to answer one question."""


def check_model(model: str, revision: str | None = None) -> None:
    """Refuse a model that is neither a size to start from scratch, nor a model folder, nor on the Hub or in its cache.

    Asks the Hub one question, unless the model is in the cache.

    Raises:
        UserError: With the nearest size, the folder that was probably meant, or why the Hub did not answer.
    """
    if is_from_scratch(model):
        return
    folder = Path(model)
    if folder.exists():
        if not (folder / "config.json").is_file():
            inside = folder / "model"
            mend = f"give {inside}" if (inside / "config.json").is_file() else "give one that save_pretrained wrote"
            raise UserError(f"--model {model} holds no model (no config.json): {mend}.")
        return
    import huggingface_hub as hub
    from huggingface_hub import errors

    what = f"--model {model} is neither a folder nor a size to start from scratch ({', '.join(SIZES)})"
    hint = did_you_mean(model, list(SIZES))
    meant = f": {hint}" if hint.startswith("did") else "."
    try:
        if isinstance(hub.try_to_load_from_cache(model, "config.json", revision=revision), str):
            return
        hub.HfApi().model_info(model, revision=revision, timeout=SECONDS)
    except errors.HFValidationError as error:
        raise UserError(f"{what}, and no id on the Hub is written so{meant}") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"--revision {revision} is not among the revisions of '{model}' on the Hub.") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"{what}, and the Hub has none of that id{meant}") from error
    except errors.OfflineModeIsEnabled as error:
        raise UserError(f"{what}, and it is not in the cache while HF_HUB_OFFLINE is set{meant}") from error
    except errors.HfHubHTTPError:
        return  # a mirror without this question, a token that is asked for: transformers knows what to say
    except Exception as error:  # whatever the HTTP library of the day raises without a network
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise UserError(f"{what}, it is not in the cache, and the Hub cannot be reached ({reason}){meant}") from error
