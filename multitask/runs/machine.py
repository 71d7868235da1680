"""What this machine is: devices, memory, versions, folders; what a report of a fault should hold."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path
from typing import NamedTuple

from multitask.storage.paths import tilde
from multitask.terminal.escaping import shown
from multitask.tokenization.disk_cache import cache_folder
from multitask.version import __version__

PACKAGES = ("torch", "pytorch-lightning", "transformers", "tokenizers", "datasets", "numpy", "pandas")
EXTRAS = ("torchjd", "peft", "ray")


class Fact(NamedTuple):
    """One thing that is so."""

    name: str
    value: str


def machine_facts() -> list[Fact]:
    """All of them; paths under the user's home begin with ~."""
    import torch

    facts = [
        Fact("multitask", f"{__version__}, Python {platform.python_version()}, {_system()}"),
        Fact("packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)),
        Fact("extras", ", ".join(f"{name} {_version(name) or 'is not installed'}" for name in EXTRAS)),
        Fact("processor", f"{_processor()}, {_cores()}"),
        Fact("memory", f"{_memory()}; {_gb(shutil.disk_usage(Path.cwd()).free)} free on the disk of this folder"),
    ]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for i in range(count):
        gpu = torch.cuda.get_device_properties(i)
        free, total = torch.cuda.mem_get_info(i)
        facts.append(
            Fact(f"GPU {i}", f"{gpu.name}, {_gb(free)} of {_gb(total)} free, capability {gpu.major}.{gpu.minor}")
        )
    if not count:
        built = torch.version.cuda or torch.version.hip
        facts.append(Fact("GPU", f"none that torch sees (its build is for {built or 'the CPU alone'})"))
    facts += [
        Fact("bf16", _bf16(count)),
        Fact("compiler", f"{_compiler()} (torch.compile: packed rows on a GPU alone)"),
        Fact("cache", _folder(cache_folder())),
        Fact("data folder", _folder(Path(found)) if (found := os.environ.get("MULTITASK_DATA")) else "not set"),
        Fact("Hub", "offline (HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") in ("1", "ON", "YES") else "online"),
    ]
    return facts


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _system() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return shown(line.partition(":")[2].strip())
    return shown(platform.processor() or platform.machine())


def _cores() -> str:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{count} core{'s'[: count != 1]}"


def _memory() -> str:
    with contextlib.suppress(OSError, ValueError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        return f"{_gb(free)} of {_gb(total)} free"
    return "not known"


def _gb(count: float) -> str:
    return f"{count / 2**30:.1f} GB"


def _bf16(gpus: int) -> str:
    import torch

    if gpus:
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return "the GPU computes in it: --precision auto is bf16" if able else "the GPU does not compute in it"
    return "on a CPU it has to be asked for (--precision bf16), and is slow without its instructions"


def _compiler() -> str:
    found = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    triton = _version("triton")
    return ", ".join([found or "no C++ compiler", f"triton {triton}" if triton else "no triton"])


def _folder(path: Path | None) -> str:
    if path is None:
        return "off"
    return shown(tilde(str(path)), 200) + ("" if path.is_dir() else " (not there yet)")
