"""The built-in tasks as a collection: names and prefixes, T5's own strings, golden examples, truthful docstrings.

What single tasks do with odd rows and labels is in test_task_rows.py.
"""

from __future__ import annotations

import doctest
import importlib
import json
import pickle
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

MAKE = runpy.run_path(str(Path(__file__).parent / "golden" / "make.py"))
TASKS = MAKE["builtin_tasks"]()
GOLDEN = json.loads(MAKE["PATH"].read_text(encoding="utf-8"))


@pytest.fixture(params=sorted(TASKS))
def task(request):
    return TASKS[request.param]


# ---------------------------------------------------------------------------------------------------- the collection


def test_there_are_29_tasks():
    assert sorted(TASKS) == sorted(GOLDEN)
    assert len(TASKS) == 29


def test_no_prefix_begins_another():
    prefixes = {name: t.prefix for name, t in TASKS.items()}
    clashes = [(a, b) for a, p in prefixes.items() for b, q in prefixes.items() if a != b and q.startswith(p)]
    assert clashes == []


def test_every_prefix_ends_with_a_space(task):
    assert task.prefix.endswith(" ")
    assert task.prefix.strip()


def test_every_task_is_the_same_object_after_pickling(task):
    assert pickle.loads(pickle.dumps(task)) is task


def test_every_task_says_what_it_is_in_one_line(task):
    assert 20 < len(task.description) < 80


def test_every_task_has_a_file_of_its_name(task):
    assert task.formatter.__module__ == f"multitask.tasks.{task.name}"


def test_the_first_metric_is_the_papers():
    primary = {name: t.primary.name for name, t in TASKS.items()}
    assert primary["cola"] == "mcc"
    assert primary["stsb"] == "pearson"
    assert primary["mrpc"] == primary["qqp"] == "f1"
    assert primary["cb"] == "f1_macro"
    assert primary["span"] == "jaccard"
    assert primary["squad"] == primary["record"] == "token_f1"
    assert primary["multirc"] == "multirc_f1"
    assert primary["denoise"] == "token_probability"


def test_every_hub_source_is_pinned_or_a_branch_that_is_named(task):
    if task.source is None:
        assert task.name in {"span"}
        return
    unpinned = {"trec", "disfl_qa", "wellformedness", "multi30k"}
    assert bool(re.fullmatch("[0-9a-f]{40}", task.source.revision)) == (task.name not in unpinned)


@pytest.mark.parametrize("module", ["_format", "denoise", "span", "squad", "wnli", "wsc"])
def test_the_doctests_of_the_tasks_hold(module):
    # Not collected with the package's: pytest would import tasks/ under a second name, and all would register twice.
    result = doctest.testmod(importlib.import_module(f"multitask.tasks.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_importing_the_tasks_imports_nothing_heavy():
    code = (
        "import sys, multitask.tasks; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'pandas', 'scipy', 'sklearn') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------- golden, docstrings


def test_every_task_makes_its_golden_examples(task):
    assert MAKE["golden"]()[task.name] == GOLDEN[task.name]


def test_every_docstring_shows_what_its_row_becomes(task):
    row, (inputs, target) = MAKE["documented"](task)
    made = task.examples(row, split="train")
    assert [(e.inputs, e.target) for e in made] == [(inputs, target)]


# The examples of appendix D of Raffel et al. (2020), without the two in which the paper departs from the code.
PAPER = {
    "cola": (
        {"sentence": "John made Bill master of himself.", "label": 1},
        "cola sentence: John made Bill master of himself.",
        "acceptable",
    ),
    "rte": (
        {
            "sentence1": "A smaller proportion of Yugoslavia's Italians were settled in Slovenia (at the 1991 national "
            "census, some 3000 inhabitants of Slovenia declared themselves as ethnic Italians).",
            "sentence2": "Slovenia has 3,000 inhabitants.",
            "label": 1,
        },
        "rte sentence1: A smaller proportion of Yugoslavia's Italians were settled in Slovenia (at the 1991 national "
        "census, some 3000 inhabitants of Slovenia declared themselves as ethnic Italians). sentence2: Slovenia has "
        "3,000 inhabitants.",
        "not_entailment",
    ),
    "mnli": (
        {
            "premise": "yeah well losing is i mean i'm i'm originally from Saint Louis and Saint Louis Cardinals when "
            "they were there were uh a mostly a losing team but",
            "hypothesis": "The St. Louis Cardinals have always won.",
            "label": 2,
        },
        "mnli hypothesis: The St. Louis Cardinals have always won. premise: yeah well losing is i mean i'm i'm "
        "originally from Saint Louis and Saint Louis Cardinals when they were there were uh a mostly a losing team but",
        "contradiction",
    ),
    "qnli": (
        {
            "question": "Where did Jebe die?",
            "sentence": "Genghis Khan recalled Subutai back to Mongolia soon afterwards, and Jebe died on the road "
            "back to Samarkand.",
            "label": 0,
        },
        "qnli question: Where did Jebe die? sentence: Genghis Khan recalled Subutai back to Mongolia soon afterwards, "
        "and Jebe died on the road back to Samarkand.",
        "entailment",
    ),
    "qqp": (
        {
            "question1": "What attributes would have made you highly desirable in ancient Rome?",
            "question2": "How I GET OPPERTINUTY TO JOIN IT COMPANY AS A FRESHER?",
            "label": 0,
        },
        "qqp question1: What attributes would have made you highly desirable in ancient Rome? question2: How I GET "
        "OPPERTINUTY TO JOIN IT COMPANY AS A FRESHER?",
        "not_duplicate",
    ),
    "mrpc": (
        {
            "sentence1": "We acted because we saw the existing evidence in a new light , through the prism of our "
            'experience on 11 September , " Rumsfeld said .',
            "sentence2": 'Rather , the US acted because the administration saw " existing evidence in a new light , '
            'through the prism of our experience on September 11 " .',
            "label": 1,
        },
        "mrpc sentence1: We acted because we saw the existing evidence in a new light , through the prism of our "
        'experience on 11 September , " Rumsfeld said . sentence2: Rather , the US acted because the administration '
        'saw " existing evidence in a new light , through the prism of our experience on September 11 " .',
        "equivalent",
    ),
    "sst2": (
        {
            "sentence": "it confirms fincher 's status as a film maker who artfully bends technical know-how to the "
            "service of psychological insight . ",
            "label": 1,
        },
        "sst2 sentence: it confirms fincher 's status as a film maker who artfully bends technical know-how to the "
        "service of psychological insight .",
        "positive",
    ),
    "stsb": (
        {
            "sentence1": "Representatives for Puretunes could not immediately be reached for comment Wednesday.",
            "sentence2": "Puretunes representatives could not be located Thursday to comment on the suit.",
            "label": 3.25,
        },
        "stsb sentence1: Representatives for Puretunes could not immediately be reached for comment Wednesday. "
        "sentence2: Puretunes representatives could not be located Thursday to comment on the suit.",
        "3.2",
    ),
    "cb": (
        {
            "premise": "Valence the void-brain, Valence the virtuous valet. Why couldn't the figger choose his own "
            "portion of titanic anatomy to shaft? Did he think he was helping?",
            "hypothesis": "Valence was helping",
            "label": 1,
        },
        "cb hypothesis: Valence was helping premise: Valence the void-brain, Valence the virtuous valet. Why couldn't "
        "the figger choose his own portion of titanic anatomy to shaft? Did he think he was helping?",
        "contradiction",
    ),
    "wsc": (
        {
            "text": "The stable was very roomy, with four good stalls; a large swinging window opened into the yard , "
            "which made it pleasant and airy.",
            "span1_text": "stable",
            "span1_index": 1,
            "span2_text": "it",
            "span2_index": 18,
            "label": 1,
        },
        "wsc: The stable was very roomy, with four good stalls; a large swinging window opened into the yard , which "
        "made *it* pleasant and airy.",
        "stable",
    ),
}


@pytest.mark.parametrize("name", sorted(PAPER))
def test_the_papers_examples_come_out_as_the_paper_prints_them(name):
    row, inputs, target = PAPER[name]
    example = TASKS[name](row)
    assert (example.inputs, example.target) == (inputs, target)


def test_copa_follows_the_code_where_the_paper_prints_true():
    row = {
        "premise": "Political violence broke out in the nation.",
        "choice1": "Many citizens relocated to the capitol.",
        "choice2": "Many citizens took refuge in other territories.",
        "question": "effect",
        "label": 1,
    }
    example = TASKS["copa"](row)
    assert example.inputs == (
        "copa choice1: Many citizens relocated to the capitol. choice2: Many citizens took refuge in other "
        "territories. premise: Political violence broke out in the nation. question: effect"
    )
    assert example.target == "choice2"


def test_wic_follows_the_code_where_the_paper_names_the_part_of_speech():
    row = {
        "word": "deliberation",
        "sentence1": "It was the deliberation of his act that was insulting .",
        "sentence2": "The deliberations of the jury .",
        "label": 0,
    }
    assert TASKS["wic"](row).inputs == (
        "wic sentence1: It was the deliberation of his act that was insulting . sentence2: The deliberations of the "
        "jury . word: deliberation"
    )
    assert TASKS["wic"](row).target == "False"
