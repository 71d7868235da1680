"""The tokens that may come next when a span of the input is spelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class Automaton:
    """All pieces of a source as a machine that reads tokens: its suffix automaton (Blumer et al. 1985).

    A state stands for pieces that occur at the same places, 0 for nothing read yet; from it one may go on with the
    tokens that follow at any of these places. It is made in time linear in the source.

    Args:
        ids: Token ids of the source.
        first: Tokens that stand before every answer (`special_tokens`); the states before 0 read them.
        nothing: Whether the answer may end before it has begun.

    >>> pieces = Automaton([5, 6, 5, 7])
    >>> pieces.allowed(pieces.state([5]), 1), pieces.allowed(pieces.state([5, 6]), 1), pieces.state([6, 7])
    ([1, 6, 7], [1, 5], -1)
    """

    def __init__(self, ids: Sequence[int], *, first: Sequence[int] = (), nothing: bool = False) -> None:
        self.arrows: list[dict[int, int]] = [{}]
        """Of each state {token: the state it leads to}."""
        links, lengths, last = [-1], [0], 0
        for token in ids:
            new = self._add({}, lengths[last] + 1, links, lengths)
            at, last = last, new
            while at >= 0 and token not in self.arrows[at]:
                self.arrows[at][token] = new
                at = links[at]
            if at < 0:
                continue
            old = self.arrows[at][token]
            if lengths[old] == lengths[at] + 1:
                links[new] = old
                continue
            # Some of the old state's pieces now occur at one more place than the others: they get a state of their own.
            clone = self._add(dict(self.arrows[old]), lengths[at] + 1, links, lengths)
            links[clone], links[old], links[new] = links[old], clone, clone
            while at >= 0 and self.arrows[at].get(token) == old:
                self.arrows[at][token] = clone
                at = links[at]
        self.start, self.nothing, self.pieces = 0, nothing, len(self.arrows)
        for token in reversed(first):
            self.arrows.append({token: self.start})
            self.start = len(self.arrows) - 1

    def _add(self, arrows: dict[int, int], length: int, links: list[int], lengths: list[int]) -> int:
        self.arrows.append(arrows)
        links.append(0)
        lengths.append(length)
        return len(links) - 1

    def step(self, state: int, token: int) -> int:
        """The state after one more token; -1 if that is no piece."""
        return self.arrows[state].get(token, -1) if state >= 0 else -1

    def state(self, ids: Sequence[int]) -> int:
        """The state after `ids`; -1 if they are no piece."""
        state = self.start
        for token in ids:
            state = self.step(state, token)
        return state

    def allowed(self, state: int, eos: int) -> list[int]:
        """The tokens that keep what was read a piece, rising, with the end of sequence once it may be the answer."""
        arrows = self.arrows[state] if state >= 0 else {}
        unended = state >= self.pieces or (state == 0 and bool(arrows) and not self.nothing)
        return sorted(arrows) if unended else sorted([*arrows, eos])
