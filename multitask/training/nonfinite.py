"""A guard of the numbers of a training: losses and gradients that are not finite, and tasks whose loss explodes.

Words
    finite    neither infinite nor NaN
    bad step  one whose loss or gradient is not finite: no update can be made of it
    window    as many steps as it takes to see `WINDOW` target tokens of a task

A good step pays for one comparison of two numbers that are there anyway: its loss, which is counted for mix.json, and
the gradient's norm, which clipping needs. Whose fault a bad one is gets worked out then, with a backward pass a task.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from multitask.errors import UserError
from multitask.training.distributed import gathered

IN_A_ROW = 10
"""Bad steps one after another that end a run that skips them: it would not come back."""
WINDOW = 500
"""Target tokens of a task that its loss is averaged over before it is judged."""
LOOK_EVERY = 25
"""Steps between two looks at the tasks' losses."""
EXPLODED = 3.0
"""How many times its own lowest mean a task's loss has to reach; see `Guard.look`."""
SHOWN = 5
"""Examples, or parameters, that a sentence names."""
KEPT = 100
"""Skipped steps that are listed; all are counted."""


class NonFiniteError(UserError):
    """A bad step, before anything was updated with it.

    Args:
        said: What happened.
        skippable: Whether the run would go on without the update.
    """

    def __init__(self, said: str, *, skippable: bool = False) -> None:
        super().__init__(said)
        self.skippable = skippable


class StepPart(NamedTuple):
    """An accumulated part of the step that is under way."""

    batch: Mapping[str, Any]
    seed: int
    """Of its dropout."""
    pieces: Sequence[Any]
    """`module.Piece`s: what was computed, and each example's loss."""


class Guard:
    """Ends a training at a bad step, or counts it; says when a task's loss explodes.

    Args:
        tasks: Names, in the order of the batches' task ids.
        chance: The loss of a guess that takes all tokens for equally likely, in nats: ln V.
        skip: Leave the update of a bad step out and go on.
        identify: (task id, row) → the example's id.
        warn: Told what a user should know at once.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        chance: float,
        *,
        skip: bool = False,
        identify: Callable[[int, int], str] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.tasks, self.chance, self.skip = tuple(tasks), chance, skip
        # Functions of their own, as in `MultitaskModule`: weight averaging copies this object deeply.
        self._identify: Callable[[int, int], str] = lambda t, row: identify(t, row) if identify else f"row {row}"
        self._warn: Callable[[str], None] = lambda line: warn(line) if warn else None
        self.skipped = 0
        """Steps whose update was left out."""
        self.in_a_row = 0
        self.steps: list[dict[str, Any]] = []
        """Of the first `KEPT` of them: step (from 1), tasks and reason."""
        self.warnings: list[str] = []
        self._begun = np.zeros((len(self.tasks), 2))  # target tokens and summed loss when the window began
        self._lowest = np.full(len(self.tasks), np.inf)

    # ---- bad steps -----------------------------------------------------------------------------------------------

    def bad(self, model: Any, parts: Sequence[StepPart], loss_of: Callable[[StepPart], Tensor] | None) -> None:
        """Tell whose fault the step is, and count it as skipped. Every process must call this at the same step.

        Args:
            model: Before the update, with the step's gradients.
            parts: All that this process computed of the step.
            loss_of: The loss of a part again, with a graph; None where the model cannot be run on its own.

        Raises:
            NonFiniteError: Unless bad steps are skipped; also if there were too many one after another, or if it is the
                weights that are not finite, so that every other step would be bad too.
        """
        step = parts[-1].batch["step"] + 1
        self.check_weights(model, step - 1)
        tasks, reason = self._bad_loss(parts) or self._bad_gradient(model, parts, loss_of)
        told = f"step {step:,}: {reason}"
        if not self.skip:
            raise NonFiniteError(told, skippable=True)
        if self.in_a_row + 1 >= IN_A_ROW:
            raise NonFiniteError(f"{told}; the {self.in_a_row} steps before it were skipped for the like")
        self.skipped += 1
        self.in_a_row += 1
        if len(self.steps) < KEPT:
            self.steps.append({"step": step, "tasks": tasks, "reason": reason})
        self._warn(f"{told}; its update is left out.")

    def check_weights(self, model: Any, step: int) -> None:
        """Refuse weights that are not finite, and so whatever would be computed with them.

        Raises:
            NonFiniteError: Names them.
        """
        broken = [name for name, p in model.named_parameters() if not bool(torch.isfinite(p.detach()).all())]
        if broken:
            raise NonFiniteError(f"after step {step:,} the weights are not finite: {_some(broken)}")

    def good(self) -> None:
        """The step's update was made."""
        self.in_a_row = 0

    def _bad_loss(self, parts: Sequence[StepPart]) -> tuple[list[str], str] | None:
        here = [
            (int(t), int(row), math.isfinite(nll))
            for part in parts
            for piece in part.pieces
            for t, row, real, nll in zip(
                *(column.tolist() for column in (piece.task_ids, piece.rows, piece.real, piece.nll)), strict=True
            )
            if real
        ]
        seen = gathered(here)
        named = []
        for t in sorted({t for t, _, finite in seen if not finite}):
            ids = [self._identify(t, row) for of, row, finite in seen if of == t and not finite]
            of = sum(of == t for of, _, _ in seen)
            named.append((self.tasks[t], f"task '{self.tasks[t]}' ({len(ids)} of {of} examples: {_some(ids)})"))
        if not named:
            return None
        return [name for name, _ in named], f"the loss is not finite in {', '.join(told for _, told in named)}"

    def _bad_gradient(
        self, model: Any, parts: Sequence[StepPart], loss_of: Callable[[StepPart], Tensor] | None
    ) -> tuple[list[str], str]:
        bad = [n for n, p in model.named_parameters() if p.grad is not None and not math.isfinite(_norm([p.grad]))]
        told = "the gradient is not finite, though every example's loss is: " + (
            f"in {_some(bad)}" if bad else "as a whole"
        )
        if loss_of is None:
            return [], told
        parameters = [p for p in model.parameters() if p.requires_grad]
        norms: list[tuple[int, float]] = []
        for t in sorted({int(t) for part in parts for piece in part.pieces for t in piece.task_ids[piece.real]}):
            total: list[Tensor | None] = [None] * len(parameters)
            for part in parts:
                with torch.enable_grad():
                    loss = loss_of(part._replace(batch=only(part.batch, t)))
                grads = torch.autograd.grad(loss, parameters, allow_unused=True)
                total = [a if b is None else b if a is None else a + b for a, b in zip(total, grads, strict=True)]
            norms.append((t, _norm([g for g in total if g is not None])))
        everywhere = gathered(norms)
        names = [self.tasks[t] for t in sorted({t for t, norm in everywhere if not math.isfinite(norm)})]
        source = " and ".join(f"task '{name}'" for name in names)
        if not names and everywhere:  # each is finite, their sum is not
            names = [self.tasks[max(everywhere, key=lambda of: of[1])[0]]]
            source = f"the sum of the tasks', of which that of '{names[0]}' is largest"
        return names, f"{told}; it comes from {source}"

    # ---- tasks whose loss explodes -------------------------------------------------------------------------------

    def look(self, step: int, seen: np.ndarray) -> None:
        """Warn, once a task, of a loss that explodes.

        It does if its mean over a window is more than `EXPLODED` times the lowest of its windows before, and above
        ln V: the model knew the task better, and now guesses worse than one that takes all tokens for equally likely.
        A loss that only rises, as that of a task that is forgotten or drawn less, is an effect to be measured, not a
        fault. Below ln V a threefold rise may be one of a loss near 0.

        Args:
            step: Steps made.
            seen: [tasks, 4] as `MultitaskModule.seen`, over all processes.
        """
        now = seen[:, 2:]
        tokens, losses = (now - self._begun).T
        for t in np.flatnonzero(tokens >= WINDOW).tolist():
            mean = losses[t] / tokens[t]
            if mean > max(EXPLODED * self._lowest[t], self.chance):
                self._once(
                    t,
                    f"the loss of task '{self.tasks[t]}' explodes: {mean:.2f} nats a token by step {step:,}, after "
                    f"{self._lowest[t]:.2f} at its best; guessing is {self.chance:.2f}. Try a lower --lr or --clip.",
                )
            self._lowest[t] = min(self._lowest[t], mean)
            self._begun[t] = now[t]

    def _once(self, task: int, line: str) -> None:
        start = f"the loss of task '{self.tasks[task]}' explodes"
        if not any(w.startswith(start) for w in self.warnings):
            self.warnings.append(line)
            self._warn(line)

    # ---- resuming ------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that a resumed run has to know, in plain numbers and strings.

        The bad step that ends a run is not in it: it is made again, and counted then.
        """
        return {
            "skipped": self.skipped,
            "in_a_row": self.in_a_row,
            "steps": self.steps,
            "warnings": self.warnings,
            "begun": self._begun.tolist(),
            "lowest": self._lowest.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self.skipped, self.in_a_row = int(state["skipped"]), int(state["in_a_row"])
        self.steps, self.warnings = list(state["steps"]), list(state["warnings"])
        self._begun, self._lowest = np.array(state["begun"], float), np.array(state["lowest"], float)


def only(batch: Mapping[str, Any], task: int) -> dict[str, Any]:
    """The batch with the weights of all other tasks' losses 0: the same numbers, one task's part of the gradient."""
    if "by_task" in batch:
        return {**batch, "by_task": [entry for entry in batch["by_task"] if entry["task"] == task]}
    if "micro" in batch:
        micros = [{**m, "weights": torch.where(m["task_ids"] == task, m["weights"], 0.0)} for m in batch["micro"]]
        return {**batch, "micro": micros}
    if "packed" in batch:
        packed = batch["packed"]
        here = torch.zeros_like(packed["labels"], dtype=torch.bool).flatten()
        of_task = packed["task_ids"] == task
        here[packed["slots"]] = of_task.repeat_interleave(packed["target_lengths"])
        weights = torch.where(here.view_as(packed["labels"]), packed["token_weights"], 0.0)
        return {**batch, "packed": {**packed, "token_weights": weights}}
    flat = batch["flat"]
    lengths = torch.from_numpy(np.concatenate(flat["target_lengths"])).to(flat["task_ids"].device)
    here = (flat["task_ids"] == task).repeat_interleave(lengths)
    return {**batch, "flat": {**flat, "token_weights": torch.where(here, flat["token_weights"], 0.0)}}


def total_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The norm of the parameters' gradients as one vector."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.nn.utils.get_total_norm(list(tensors)))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
