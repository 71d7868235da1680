"""docs/data.md: its blocks run one after the other, and every source on the page gives its rows."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from multitask.examples.loading import load_task
from multitask.task import TASKS, Task

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


def test_every_source_on_the_page_of_data_gives_its_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/news").mkdir(parents=True)
    (tmp_path / "data/talk").mkdir()
    for i in range(2):
        table = pa.Table.from_pylist([{"text": f"text {i}{j}", "title": f"title {j}"} for j in range(9)])
        pq.write_table(table, tmp_path / f"data/news/train-0000{i}-of-00002.parquet")
        Path(f"data/talk/{i}.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n'))
    Path("data/talk-held-out.jsonl").write_text('{"text": "y"}\n')
    Path("data/latin.csv").write_bytes("caf\u00e9;good\n".encode("latin-1"))
    Path("data/excel.txt").write_text("text\tlabel\nx\ty\n", encoding="utf-16")
    Path("data/dump.data").write_text("text,label\nx,y\n")
    before, names = {*TASKS}, {}  # with those that are built in
    try:
        for block in BLOCKS:
            exec(compile(block, "my_tasks.py", "exec"), names)
        tasks = {name: one for name, one in names.items() if isinstance(one, Task)}
        sizes = {name: len(load_task(one, one.source, seed=0).train) for name, one in tasks.items()}
    finally:
        for name in {*TASKS.registered()} - before:
            TASKS.discard(name)
    assert {name for name, size in sizes.items() if size < 10} == set()
    assert {*sizes} == {"stars", "mood", "successor", "category", "echo", "headline"}
    words = {name: one.source.description for name, one in tasks.items()}
    assert words["stars"] == "list of 80 rows in my_tasks.py"
    assert words["successor"] == "function numbers in my_tasks.py"
    assert [len(names["talk"].rows(split)) for split in ("train", "validation")] == [2, 1]
    assert list(names["latin"].rows("train")) == [{"text": "caf\u00e9", "label": "good"}]
    assert list(names["excel"].rows("train")) == list(names["named"].rows("train")) == [{"text": "x", "label": "y"}]
    assert names["glue"].description.startswith("nyu-mll/glue (sst2)")
