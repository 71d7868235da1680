"""What every test has: no network, one thread, deterministic kernels; and tiny tokenizers, models and tasks."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
os.environ.pop("MULTITASK_DATA", None)
os.environ.pop("COLUMNS", None)  # pytest-xdist sets a width in its workers

import hypothesis
import pytest

from multitask.gc_pause import keep_out_of_searches

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background jobs begin so
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline measures how busy the machine is.
hypothesis.settings.register_profile("multitask", deadline=None)
hypothesis.settings.load_profile("multitask")

# Looking for doctests would import them, and so register their tasks for all tests.
collect_ignore = [
    "storage_server.py",
    "fake_device.py",
    *("study_tasks.py", "distributed_script.py", "faults/fault_tasks.py"),
    *("faults/zygote.py", "faults/fuzz_readers.py"),  # scripts
]

_connect = socket.socket.connect


def _only_here(self: socket.socket, address: Any) -> None:
    # torch.distributed talks to itself over the loopback; multiprocessing over Unix sockets.
    if self.family != getattr(socket, "AF_UNIX", None) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"a test asked for the network: {address}")
    _connect(self, address)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for all tests, so that they read what others wrote, and never the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MULTITASK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@contextlib.contextmanager
def _includes_end_here() -> Iterator[None]:
    """No file is included any longer after it: neither its tasks nor its module stay.

    A module without its tasks would be the worst of both: `include` finds it and registers nothing.
    """
    from multitask.registry import INCLUDED, registries

    before = os.environ.get("MULTITASK_INCLUDE")
    yield
    for module in [name for name in sys.modules if name.startswith(INCLUDED)]:
        del sys.modules[module]
        for registry in registries():
            for name in registry.of_module(module):
                registry.discard(name)
    os.environ.pop("MULTITASK_INCLUDE", None)
    if before is not None:
        os.environ["MULTITASK_INCLUDE"] = before


@pytest.fixture(scope="session", autouse=True)
def _libraries_are_no_garbage() -> Iterator[None]:
    """A run looks for garbage before and after it: half of the time of one of five steps, with what torch holds."""
    import pytorch_lightning  # noqa: F401
    import transformers.models.t5.modeling_t5  # noqa: F401

    with keep_out_of_searches():
        yield


@pytest.fixture(scope="module", autouse=True)
def _own_includes() -> Iterator[None]:
    """A file that a module's tests include is none of the next module's, nor of the processes that it starts."""
    with _includes_end_here():
        yield


@pytest.fixture
def study_tasks() -> Iterator[str]:
    """The file of the tasks of small studies, included for the length of a test."""
    from multitask.plugins import include

    path = str(Path(__file__).parent / "study_tasks.py")
    with _includes_end_here():
        os.environ.pop("MULTITASK_INCLUDE", None)
        include(path)
        yield path


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no width of a terminal; the same numbers every time."""
    import torch

    monkeypatch.setattr(socket.socket, "connect", _only_here)
    for name in ("COLUMNS", "LINES"):  # pytest-xdist sets them in its workers
        monkeypatch.delenv(name, raising=False)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    torch.manual_seed(0)


# -------------------------------------------------------------------------------------------------------------- models


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A SentencePiece tokenizer of about 300 pieces, trained on the sample."""
    from multitask.sources.sample_rows import sample_rows
    from multitask.tokenization.tokenizer import load_tokenizer
    from multitask.tokenization.train_vocabulary import train_vocabulary

    folder = tmp_path_factory.mktemp("vocabulary")
    tweets = [row["text"] for row in sample_rows("span", "train")[:300]]
    train_vocabulary([*tweets, "positive negative neutral: `'", *(f"{i}.{i} " for i in range(10))], 300, folder)
    return load_tokenizer(str(folder))


@pytest.fixture(scope="session")
def bytes_tokenizer() -> Any:
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer()


FAMILY = ("t5", "gated", "mt5", "byt5")


def _tiny_model(kind: str, *, vocabulary: int = 448, dropout: float = 0.0, seed: int = 0) -> Any:
    """A model of each family member's shape, width 16, with weights large enough that its answers differ."""
    import torch
    import transformers

    family = {"mt5": "MT5", "umt5": "UMT5"}.get(kind, "T5")
    config, cls = (getattr(transformers, family + part) for part in ("Config", "ForConditionalGeneration"))
    gated = kind in ("gated", "untied", "mt5", "umt5", "byt5")
    made = config(
        vocab_size=vocabulary,
        d_model=16,
        d_ff=32,
        d_kv=8,
        num_heads=2,
        num_layers=3 if kind == "byt5" else 2,
        num_decoder_layers=1 if kind == "byt5" else 2,
        feed_forward_proj="gated-gelu" if gated else "relu",
        tie_word_embeddings=not gated,
        dropout_rate=dropout,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cls(made)
        if kind == "untied":  # as in the released v1.1 checkpoints
            model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.1 * torch.randn_like(p))
    return model


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., Any]:
    """`tiny_model(kind, vocabulary=448, dropout=0.0, seed=0)`; kind is t5, gated, untied, mt5, umt5 or byt5."""
    return _tiny_model


@pytest.fixture(params=FAMILY)
def model(request: pytest.FixtureRequest) -> Any:
    """A tiny random model, once of each kind."""
    return _tiny_model(request.param)


@pytest.fixture
def t5() -> Any:
    """A tiny random T5 in evaluation mode."""
    return _tiny_model("t5").eval()


# --------------------------------------------------------------------------------------------------------------- tasks

WORDS = ("red", "blue", "green", "round", "square", "big", "small", "old", "new", "fast", "slow", "warm", "cold")


def toy_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows {"text": 2 to 9 words, "label": whether the first word is before the second in the alphabet}."""
    draw = random.Random(seed)
    texts = [[draw.choice(WORDS) for _ in range(draw.randint(2, 9))] for _ in range(count)]
    return [{"text": " ".join(words), "label": int(words[0] < words[1]), "size": len(words)} for words in texts]


def _toy_task(kind: str, **changes: Any) -> Any:
    """A task of each kind of output on toy rows, not registered."""
    from multitask.metrics.naming import resolve_metrics
    from multitask.sources.in_memory import rows
    from multitask.task import Example, Task

    formatters = {
        "labels": lambda row: Example(row["text"], ("no", "yes")[row["label"]]),
        "span": lambda row: Example(row["text"], row["text"].split()[0], context=row["text"]),
        "number": lambda row: Example(row["text"], f"{row['size']}.0"),
        "text": lambda row: Example(row["text"], " ".join(reversed(row["text"].split()))),
    }
    metrics = {"labels": "accuracy", "span": "jaccard", "number": "pearson", "text": "exact_match"}
    seeds = {"labels": 1, "span": 3, "number": 5, "text": 7}
    fields: dict[str, Any] = {
        "name": f"toy_{kind}",
        "formatter": formatters[kind],
        "prefix": f"toy {kind}: ",
        "source": rows({"train": toy_rows(60, seeds[kind]), "validation": toy_rows(12, seeds[kind] + 1)}),
        "labels": ("no", "yes") if kind == "labels" else (),
        "output": kind,
        "metrics": resolve_metrics([metrics[kind]]),
    }
    return Task(**{**fields, **changes})


@pytest.fixture(scope="session")
def toy_task() -> Callable[..., Any]:
    """`toy_task(kind, **changes)`: a task that is not registered; kind is labels, span, number or text."""
    return _toy_task


@pytest.fixture
def toys() -> Iterator[dict[str, Any]]:
    """The toy tasks, registered for the length of the test."""
    from multitask.task import TASKS, add_task

    made = {kind: add_task(_toy_task(kind)) for kind in ("labels", "span", "number", "text")}
    yield made
    for task in made.values():
        TASKS.discard(task.name)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"
