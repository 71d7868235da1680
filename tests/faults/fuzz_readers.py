"""Coverage-guided fuzzing of the file readers: bytes that reach new code are kept and changed further.

    pip install -e ".[dev,fuzz]"
    python tests/faults/fuzz_readers.py --seconds 60

The first byte of an input chooses the format, the rest is the file. What must hold is `reader_oracle.check_file`'s: a
named error or the rows that the oracle reads. The first input for which it does not is written to --corpus and printed
with the traceback, and the exit code is not 0. What was found before is gone on from where --corpus is a folder that
stays.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import atheris

with atheris.instrument_imports(include=["multitask", "json", "csv"]):
    import multitask.sources.readers  # noqa: F401

bad = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bad_files.py"))))
oracle = bad.oracle

SEEDS = [
    [{"text": "fine , really .", "label": "a"}, {"text": 'He said "hi", twice', "label": "b"}],
    [{"text": "א\u202e😀\n", "label": 1}, {"text": "", "label": -1}],
    [{"text": "x", "label": 0.5, "more": [1, {"a": None}]}],
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's choices")
    parser.add_argument("--corpus", help="a folder of inputs to begin with and to add to; by default none is kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        corpus = Path(options.corpus or Path(temporary) / "corpus")
        corpus.mkdir(parents=True, exist_ok=True)
        for i, ending in enumerate(oracle.ENDINGS):
            for j, rows in enumerate(SEEDS):
                (corpus / f"seed-{ending[1:]}-{j}").write_bytes(bytes([i]) + bad.valid_file(ending, rows))
        words = Path(temporary) / "words"
        words.write_text("".join(f'"{_quoted(token)}"\n' for token in bad.TOKENS if len(token) <= 64), encoding="ascii")
        outcomes: Counter[str] = Counter()
        paths = [Path(temporary) / f"train{ending}" for ending in oracle.ENDINGS]

        def one(data: bytes) -> None:
            if not data:
                return
            path = paths[data[0] % len(paths)]
            outcomes[f"{path.suffix} {oracle.check_file(path, data[1:])}"] += 1
            if outcomes.total() % 10_000 == 0:
                print(f"{outcomes.total():,} inputs {json.dumps(outcomes, sort_keys=True)}", flush=True)

        limits = ["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={corpus}/"]
        atheris.Setup(
            [
                sys.argv[0],
                *limits,
                f"-dict={words}",
                f"-max_total_time={options.seconds}",
                f"-seed={options.seed}",
                str(corpus),
            ],
            one,
        )
        atheris.Fuzz()  # ends the process


def _quoted(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main()
