"""Label tasks: every label's log-likelihood from one decoder pass over the tree of the labels' tokens.

Labels that begin alike share their beginning, and none is padded: "positive", "negative" and "neutral" are a tree of
four tokens in T5's vocabulary, the start token among them.

Legend: B inputs, L labels, n tokens of the tree, E its edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from multitask.decoding.chains import Chains
from multitask.decoding.padded_scorer import PaddedScorer
from multitask.decoding.unpadded_scorer import UnpaddedScorer


class LabelTree(NamedTuple):
    """The labels' beginnings as decoder tokens, and the steps from one to the next.

    >>> tree = LabelTree.of([[7, 1], [7, 8, 1]], start=0)
    >>> tree.tokens.tolist(), tree.rows.tolist(), tree.asked.tolist()
    ([0, 7, 8], [0, 1, 1, 2], [7, 1, 8, 1])
    """

    tokens: np.ndarray
    """[n] int64, a token a beginning; the first is the start token."""
    positions: np.ndarray
    """[n] int64, tokens before it."""
    sees: np.ndarray
    """[n, n] bool, whether the column's token stands before the row's, or is it."""
    rows: np.ndarray
    """[E] int64, rising: where an edge begins."""
    asked: np.ndarray
    """[E] int64, the token it leads to; an end of sequence leads out of the tree."""
    paths: np.ndarray
    """[L, E] bool, which edges spell a label."""

    @classmethod
    def of(cls, labels: Sequence[Sequence[int]], start: int) -> LabelTree:
        """The tree of these token ids, end of sequence included."""
        parents, tokens, edges = [-1], [start], dict[tuple[int, int], int]()
        nodes: dict[tuple[int, int], int] = {}
        ways = []
        for ids in labels:
            at, way = 0, []
            for i, token in enumerate(ids):
                way.append(edges.setdefault((at, token), len(edges)))
                if i + 1 < len(ids):
                    node = nodes.setdefault((at, token), len(tokens))
                    if node == len(tokens):
                        parents.append(at)
                        tokens.append(token)
                    at = node
            ways.append(way)
        sees = np.eye(len(tokens), dtype=bool)
        for node, parent in enumerate(parents[1:], 1):
            sees[node] |= sees[parent]
        order = sorted(edges, key=lambda edge: edge[0])  # stable: in the order of the labels
        rank = {edges[edge]: i for i, edge in enumerate(order)}
        paths = np.zeros((len(labels), len(order)), bool)
        for label, way in enumerate(ways):
            paths[label, [rank[e] for e in way]] = True
        rows, asked = (np.array([edge[i] for edge in order], np.int64) for i in (0, 1))
        return cls(np.array(tokens, np.int64), sees.sum(1) - 1, sees, rows, asked, paths)


def label_scores(scorer: UnpaddedScorer | PaddedScorer, labels: Sequence[Sequence[int]]) -> np.ndarray:
    """[B, L] summed log-probability of each label's tokens, end of sequence included."""
    if isinstance(scorer, UnpaddedScorer):
        tree = LabelTree.of(labels, scorer.start)
        told = scorer.tree_log_probabilities(tree.tokens, tree.positions, tree.sees, tree.rows, tree.asked)  # [B, E]
        return np.stack([told[:, path].sum(1) for path in tree.paths], 1)
    return np.stack([log_likelihoods(scorer, [label] * len(scorer.inputs)) for label in labels], 1)


def log_likelihoods(
    scorer: UnpaddedScorer | PaddedScorer,
    targets: Sequence[Sequence[int] | np.ndarray],
    owners: np.ndarray | None = None,
) -> np.ndarray:
    """[C] summed log-probability of each target, as an answer to each input or to those of `owners` (rising)."""
    chains = target_chains(scorer.start, targets, np.arange(len(targets)) if owners is None else owners)
    told = scorer.log_probabilities(chains)
    return np.add.reduceat(told, np.cumsum(chains.lengths) - chains.lengths) if len(told) else np.zeros(0)


def target_chains(start: int, targets: Sequence[Sequence[int] | np.ndarray], owners: np.ndarray) -> Chains:
    """The chains whose queries are the targets' tokens, in order."""
    lengths = np.array([len(t) for t in targets], np.int64)
    asked = np.concatenate([np.asarray(t, np.int64) for t in targets]) if len(targets) else np.zeros(0, np.int64)
    tokens = np.empty_like(asked)
    tokens[1:] = asked[:-1]
    tokens[np.cumsum(lengths) - lengths] = start
    return Chains(owners, lengths, tokens, np.arange(len(asked)), asked)
