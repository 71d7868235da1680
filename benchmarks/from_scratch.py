"""What a tiny T5 reaches from random weights on real text, beside baselines that need no T5.

    python benchmarks/from_scratch.py --data DIR [--out RUN] [--preset from-scratch] [--seed 0]
        [--execution auto]

DIR holds span/{train,validation}.csv and sst2/{train,validation}.tsv (see the README, "Data"). The command trains the
preset `configs/from-scratch.yaml` (or takes the finished run in --out), fits TF-IDF + logistic regression on the same
SST-2 training sentences, and prints both beside the majority label and the whole text, as a table and as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from multitask.cli import main as multitask
from multitask.sources.local_files import files
from multitask.storage.json_files import read_json
from multitask.tables.numbers import number_text
from multitask.tables.table import print_table


def tfidf_accuracy(data: Path) -> float:
    """SST-2 validation accuracy of word and word-pair TF-IDF + logistic regression, scikit-learn's defaults."""
    source = files(data / "sst2")
    train, validation = source.rows("train"), source.rows("validation")
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    model.fit([r["sentence"] for r in train], [r["label"] for r in train])
    return float(model.score([r["sentence"] for r in validation], [r["label"] for r in validation]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/from-scratch"))
    parser.add_argument("--preset", default="from-scratch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--execution", default="auto", help="as of multitask train")
    options = parser.parse_args()
    if not (options.out / "metrics.json").is_file():
        flags = ["--config", options.preset, "--data", str(options.data), "--out", str(options.out)]
        code = multitask(["train", *flags, "--seed", str(options.seed), "--execution", options.execution])
        if code:
            raise SystemExit(code)
    metrics, baselines = read_json(options.out / "metrics.json"), read_json(options.out / "baselines.json")
    record = read_json(options.out / "run.json")
    result = {
        "minutes": round(record["seconds"] / 60, 1),
        "steps": record["steps"],
        "sst2_accuracy": metrics["sst2"]["accuracy"],
        "sst2_majority": baselines["sst2"]["accuracy"],
        "sst2_tfidf_logistic_regression": tfidf_accuracy(options.data),
        "span_jaccard": metrics["span"]["jaccard"],
        "span_whole_text": baselines["span"]["jaccard"],
    }
    rows = [
        ("sst2", "accuracy", "multitask, from random weights", number_text(result["sst2_accuracy"])),
        ("sst2", "accuracy", "TF-IDF + logistic regression", number_text(result["sst2_tfidf_logistic_regression"])),
        ("sst2", "accuracy", "majority label", number_text(result["sst2_majority"])),
        ("span", "jaccard", "multitask, from random weights", number_text(result["span_jaccard"])),
        ("span", "jaccard", "the whole text", number_text(result["span_whole_text"])),
    ]
    print_table(
        f"{result['steps']:,} steps, {result['minutes']} minutes", ("task", "metric", "model", "score"), rows, left=3
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
