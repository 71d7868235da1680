"""Metrics of free text and of spans: the prediction is compared with each gold answer, and the best one counts.

Words
    gold        all right answers of an example; see `outputs`
    normalised  as SQuAD v1.1's script does: lower case, without ASCII punctuation and articles, single spaces
"""

from __future__ import annotations

import functools
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from multitask.metrics.outputs import Floats, Outputs


def best_over_gold(score: Callable[[str, str], float], outputs: Outputs) -> Floats:
    """[N] the largest `score(prediction, answer)` over the gold answers of each example."""
    pairs = zip(outputs.predictions, outputs.gold, strict=True)
    best = (max(score(prediction, answer) for answer in gold) for prediction, gold in pairs)
    return np.fromiter(best, dtype=np.float64, count=len(outputs))


def word_jaccard(prediction: str, answer: str) -> float:
    """Shared words over all words, as sets of lower-cased words, in [0, 1] (Kaggle: Tweet Sentiment Extraction).

    Kaggle's script divides by zero where neither string has a word; two empty answers agree here, 1.0.

    >>> word_jaccard("so very happy", "Happy happy day")  # happy / so very happy day
    0.25
    """
    a, b = set(prediction.lower().split()), set(answer.lower().split())
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared) if a or b else 1.0


def jaccard(outputs: Outputs) -> Floats:
    """[N] `word_jaccard`."""
    return best_over_gold(word_jaccard, outputs)


_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


@functools.lru_cache(maxsize=65536)  # the gold answers are the same in every evaluation of a run
def normalised(text: str) -> str:
    """`text` as SQuAD v1.1's evaluation script compares it (Rajpurkar et al. 2016).

    >>> normalised("The  Norman's, a people")
    'normans people'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _same_normalised(prediction: str, answer: str) -> float:
    return float(normalised(prediction) == normalised(answer))


def exact_match(outputs: Outputs) -> Floats:
    """[N] 1.0 where the prediction is a gold answer, both normalised."""
    return best_over_gold(_same_normalised, outputs)


def word_f1(prediction: str, answer: str) -> float:
    """F1 of the normalised words with their counts, in [0, 1], as SQuAD's script.

    Where both have no word left ("the" and "The!") it is 1.0, as in SQuAD v2.0's script; v1.1's gives 0 there although
    its exact match is 1.

    >>> word_f1("the red red car", "a red bicycle")  # one shared of 3 and of 2
    0.4
    """
    a, b = normalised(prediction).split(), normalised(answer).split()
    if not a and not b:
        return 1.0
    # one division: 2 / (1/precision + 1/recall) = 2 shared / (words there + words here)
    return 2 * sum((Counter(a) & Counter(b)).values()) / (len(a) + len(b))


def token_f1(outputs: Outputs) -> Floats:
    """[N] `word_f1`."""
    return best_over_gold(word_f1, outputs)


def _same(prediction: str, answer: str) -> float:
    return float(prediction == answer)


def sequence_accuracy(outputs: Outputs) -> Floats:
    """[N] 1.0 where the prediction is a gold answer, character for character."""
    return best_over_gold(_same, outputs)


@functools.cache
def _rouge_scorer(kind: str, stem: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

    return RougeScorer([kind], tokenizer=_tokenizer()) if stem else RougeScorer([kind])


class _Tokenizer:
    """`rouge_score`'s own, but each word is stemmed once: that was most of ROUGE's time."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer  # type: ignore[import-untyped]
        from rouge_score.tokenize import tokenize  # type: ignore[import-untyped]

        self.stem = functools.lru_cache(maxsize=65536)(PorterStemmer().stem)
        self._tokenize = tokenize

    def tokenize(self, text: str) -> list[str]:
        """The text's words."""
        words: list[str] = self._tokenize(text, self)
        return words


@functools.cache
def _tokenizer() -> _Tokenizer:
    return _Tokenizer()


def _rouge(kind: str, outputs: Outputs, stem: bool) -> Floats:
    scorer = _rouge_scorer(kind, stem)
    return best_over_gold(lambda prediction, answer: scorer.score(answer, prediction)[kind].fmeasure, outputs)


def rouge_1(outputs: Outputs, *, stem: bool = True) -> Floats:
    """[N] ROUGE-1 F-measure in [0, 1] (Lin 2004), `rouge_score` with the Porter stemmer.

    That is what papers on summaries report (the stemmer is on in their scripts). T5's own code uses none, which gives
    lower numbers: 27.42 where this gave 28.25 on real text. Its numbers are those of `rouge_1_unstemmed`, and so on.

    `rouge_score` sees the letters a-z and digits only: a text without any scores 0, even against itself.
    """
    return _rouge("rouge1", outputs, stem)


def rouge_2(outputs: Outputs, *, stem: bool = True) -> Floats:
    """[N] ROUGE-2 F-measure, as `rouge_1`; a text of one word scores 0."""
    return _rouge("rouge2", outputs, stem)


def rouge_l(outputs: Outputs, *, stem: bool = True) -> Floats:
    """[N] ROUGE-L F-measure, as `rouge_1`: the longest common subsequence of the whole text."""
    words = _rouge_scorer("rougeL", stem)._tokenizer.tokenize

    def score(prediction: str, answer: str) -> float:
        said, gold = words(prediction), words(answer)
        shared = longest_common_subsequence(said, gold)
        if not shared:
            return 0.0
        precision, recall = shared / len(said), shared / len(gold)
        return 2 * precision * recall / (precision + recall)

    return best_over_gold(score, outputs)


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence, a row of the table at once as the bits of one number (Hyyrö 2004).

    `rouge_score` fills the table cell by cell, a second for two texts of 1,500 words; this takes a millisecond.

    >>> longest_common_subsequence("the cat sat".split(), "the old cat sat down".split())
    3
    """
    if len(first) > len(second):
        first, second = second, first
    places = dict.fromkeys(first, 0)
    for i, word in enumerate(second):
        if word in places:
            places[word] |= 1 << i
    whole = row = (1 << len(second)) - 1
    for word in first:
        step = row & places[word]
        row = ((row + step) | (row - step)) & whole
    return len(second) - row.bit_count()


def rouge_lsum(outputs: Outputs, *, stem: bool = True) -> Floats:
    r"""[N] ROUGE-L F-measure by sentences (the ROUGE-L of summarisation papers), as `rouge_1`.

    Sentences end at a line break and, as in T5's code, at " . ": T5's vocabulary has no line break to predict.
    """
    scorer = _rouge_scorer("rougeLsum", stem)

    def score(prediction: str, answer: str) -> float:
        return float(scorer.score(_sentences(answer), _sentences(prediction))["rougeLsum"].fmeasure)

    return best_over_gold(score, outputs)


def _sentences(text: str) -> str:
    return text.replace(" . ", " .\n")


def _streams(outputs: Outputs) -> list[list[str | None]]:
    """The gold answers as sacrebleu wants them: the first of each example, the second of each, …; None if missing."""
    gold = outputs.gold
    most = max(len(answers) for answers in gold)
    return [[answers[i] if i < len(answers) else None for answers in gold] for i in range(most)]


def bleu(outputs: Outputs, *, tokenize: str = "13a") -> float:
    """Corpus BLEU in [0, 100], sacreBLEU with its default settings (tokenizer 13a), against all references.

    T5's own code tokenizes with `intl`, which is `bleu_intl` here; the default is what papers since Post 2018 report.
    It needs a shared 4-gram to be above the floor of its smoothing, so a corpus of shorter texts scores 0.
    """
    from sacrebleu.metrics.bleu import BLEU

    return float(BLEU(tokenize=tokenize).corpus_score(list(outputs.predictions), _streams(outputs)).score)  # type: ignore[arg-type]


def bleu_sums(outputs: Outputs, *, tokenize: str = "13a") -> Floats:
    """[N, 10] words of the prediction, words of the closest reference, matched 1- to 4-grams, all 1- to 4-grams."""
    from sacrebleu.metrics.bleu import BLEU

    # force: only that it does not warn of predictions that end in " ."; the numbers are the same
    return _statistics(BLEU(force=True, tokenize=tokenize), outputs)


def bleu_of(sums: Floats) -> Floats:
    """BLEU in [0, 100] of [..., 10] totals, sacreBLEU's `compute_bleu` with its exponential smoothing.

    >>> float(bleu_of(np.array([8.0, 8.0, 8.0, 6.0, 4.0, 2.0, 8.0, 6.0, 4.0, 2.0])))
    100.0
    """
    words, reference, matched, grams = sums[..., 0], sums[..., 1], sums[..., 2:6], sums[..., 6:10]
    halvings = np.cumsum(matched == 0, axis=-1)  # an order without a match has half the precision of "one match less"
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(matched > 0, matched / grams, 0.5**halvings / grams)
        brevity = np.where(words < reference, 1.0 - reference / words, 0.0)
        score = 100.0 * np.exp(np.log(precision).mean(axis=-1) + brevity)
    there = (matched > 0).any(axis=-1) & (grams > 0).all(axis=-1)
    return np.where(there, score, 0.0)


def chrf(outputs: Outputs) -> float:
    """Corpus chrF2 in [0, 100] (Popović 2015), sacreBLEU with its default settings, against all references."""
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().corpus_score(list(outputs.predictions), _streams(outputs)).score)  # type: ignore[arg-type]


def chrf_sums(outputs: Outputs) -> Floats:
    """[N, 18] for each of 1 to 6 characters: n-grams of the prediction, of the best reference, and shared ones."""
    from sacrebleu.metrics.chrf import CHRF

    return _statistics(CHRF(), outputs)


def chrf_of(sums: Floats) -> Floats:
    """chrF2 in [0, 100] of [..., 18] totals, sacreBLEU's `_compute_f_score`: orders missing on a side are left out.

    >>> float(chrf_of(np.array([4.0, 4.0, 4.0, *[0.0] * 15])))
    100.0
    """
    there, gold, shared = np.moveaxis(sums.reshape(*sums.shape[:-1], 6, 3), -1, 0)
    counted = (there > 0) & (gold > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    precision = np.divide(shared, there, out=np.zeros_like(shared), where=counted).sum(axis=-1) / orders
    recall = np.divide(shared, gold, out=np.zeros_like(shared), where=counted).sum(axis=-1) / orders
    below = 4 * precision + recall  # β² = 4
    return np.asarray(np.divide(500 * precision * recall, below, out=np.zeros_like(below), where=below > 0))


def _statistics(metric: Any, outputs: Outputs) -> Floats:
    """[N, K] sacreBLEU's statistics of each sentence, whose totals are those of the corpus."""
    rows = metric._extract_corpus_statistics(list(outputs.predictions), _streams(outputs))
    return np.array(rows, dtype=np.float64)


def sentence_chrf(outputs: Outputs) -> Floats:
    """[N] chrF2 of each prediction by itself, in [0, 100]. Its mean is not the corpus score."""
    from sacrebleu.metrics.chrf import CHRF

    scorer = CHRF()
    scores = (
        scorer.sentence_score(prediction, list(answers)).score
        for prediction, answers in zip(outputs.predictions, outputs.gold, strict=True)
    )
    return np.fromiter(scores, dtype=np.float64, count=len(outputs))
