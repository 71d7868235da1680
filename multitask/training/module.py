"""The LightningModule: one text-to-text model, one weighted loss, each task's own loss logged.

Legend: E examples of a step, B of a micro-batch, S input tokens, T target tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from multitask.batching.arrays import IGNORED
from multitask.model.adapters import Adapters
from multitask.model.families import decoder_inputs
from multitask.model.packed import packed_losses
from multitask.model.private_generator import seed_of
from multitask.model.unpadded.forward import layout_of, unpadded_loss
from multitask.model.unpadded.layout import send
from multitask.model.unpadded.pointwise import Masks
from multitask.training.conflict import ConflictProbes
from multitask.training.data_module import EvalBatch
from multitask.training.distributed import gathered, is_distributed, summed
from multitask.training.gradients import own_gradients
from multitask.training.nonfinite import LOOK_EVERY, Guard, StepPart, total_norm
from multitask.training.optim import OptimizerSettings, configure
from multitask.training.task_gradients import TaskGradients

Watch = Callable[[Any, EvalBatch], Any]
"""`(model, batch) -> predictions of those rows`: what evaluation during training does with a batch."""
Score = Callable[[Sequence[Any]], Mapping[str, float]]
"""`predictions of all rows -> {"val/TASK/METRIC": value}`."""


class MultitaskModule(pl.LightningModule):
    """Trains `model` on steps of the plan.

    Args:
        model: A Hugging Face encoder-decoder.
        tasks: Names, in the order of the batches' `task_ids`.
        optimizer: What `configure_optimizers` builds.
        seed: Of dropout.
        watch: How a batch of a watched split is decoded; None if nothing is watched.
        score: From all decoded rows to the values that are logged.
        record: Called with [examples, 3] step, task id and row of each step's examples; None to keep no record.
        guard: What happens when a loss or gradient is not finite; by default that ends the training.
        gradients_every: Steps between measurements of each task's own part of the gradient; 0 for none.
        balancer: Weights for the tasks' terms of the loss, from `make_balancer`; None for their plain sum. With one the
            batches are made task by task.
        adapters: Of the model, one a task, if it has such; the batches are made task by task, then.
        conflict: Looks at what each task's part of a step does to the others; it leaves no trace in the training.
    """

    def __init__(
        self,
        model: Any,
        tasks: Sequence[str],
        optimizer: OptimizerSettings,
        *,
        seed: int = 0,
        watch: Watch | None = None,
        score: Score | None = None,
        record: Callable[[Tensor], None] | None = None,
        guard: Guard | None = None,
        gradients_every: int = 0,
        balancer: Any = None,
        adapters: Adapters | None = None,
        conflict: ConflictProbes | None = None,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.model = model
        self.tasks = tuple(tasks)
        self.optimizer_settings = optimizer
        # As functions of their own: weight averaging copies the module deeply, and through a bound method it would copy
        # all that the method's object holds; functions are not copied.
        self._watch = None if watch is None else lambda model, batch: watch(model, batch)
        self._score = None if score is None else lambda watched: score(watched)
        self._watched: list[Any] = []
        self._record = None if record is None else lambda rows: record(rows)
        # What this process trained on, for mix.json; a row a task: examples, input and target tokens, sum of losses.
        # Not a buffer: DDP would overwrite it with the first process's, weight averaging would average it.
        self._seen = torch.zeros(len(self.tasks), 4, dtype=torch.float64)
        # Of the step that is under way: a checkpoint that is saved on an error must not count a step that it repeats.
        self._pending = torch.zeros_like(self._seen)
        self._counted: list[Tensor] = []  # on the device, of the parts of the step; read once, with the gradient's norm
        self._parts: list[StepPart] = []  # of the step that is under way
        self._is_bad = False
        self._step_seed = seed
        self._gradients_every = gradients_every
        self._balancer = balancer
        self._adapters = adapters
        self.conflict = conflict
        self.execution: str | None = None
        """How the batches are computed, for checkpoints: a resumed run goes on with it."""
        self._terms: dict[int, Tensor] = {}  # of the part that is under way, each with its graph
        self._task_gradients: TaskGradients | None = None
        self.guard = guard or Guard(self.tasks, math.log(model.config.vocab_size))

    def on_train_batch_start(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Seed dropout from (seed, process, position in the plan), so that it needs no state to resume.

        What happened before, an evaluation for instance, cannot change it either.
        """
        if self._is_logged(batch["step"]):
            # Lightning repeats the last value of what is not logged in each step, a task's own loss or part of the
            # gradient, in every line after it, and a resumed run could not.
            results = getattr(self.trainer, "_results", None)
            if results is not None:
                results.clear()
        self._step_seed = seed_of(f"{self.seed}/{self.trainer.global_rank}/{batch['index']}")
        torch.manual_seed(self._step_seed)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The weighted sum of the step's token losses; see `batching` for where the weights come from."""
        # Of one step: counts below 2^24 are exact.
        of_task = torch.zeros(len(self.tasks), 4, dtype=torch.float32, device=self.device)
        terms, pieces = step_terms(self.model, batch, self._step_seed, self._activate)
        if self._adapters:
            terms[-1] = self._adapters.unused([self.tasks[t] for t in terms]).to(self.device)
        for piece in pieces:
            self._count(batch["step"], piece, of_task)
        total = self._balanced(batch, terms, of_task.cpu()) if self._balancer else _sum(terms.values())
        self._counted.append(of_task)
        self._parts.append(StepPart(batch, self._step_seed, pieces))
        loss: Tensor = total * batch["scale"]
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=1)
        if self._is_logged(batch["step"]):  # each value costs a tenth of a millisecond, whether it is written or not
            for i, (_, _, tokens, summed) in enumerate(of_task.tolist()):
                if tokens:
                    self.log(f"train/loss/{self.tasks[i]}", summed / tokens, batch_size=1)
        # Other processes learn of a bad loss here without another word: the gradient that all of them get is NaN too.
        # Of itself an infinite loss may have a finite gradient.
        nll = of_task[:, 3].sum()
        if nll.device.type == "cpu":
            return loss if math.isfinite(nll) else loss * math.nan
        return loss * torch.where(nll.isfinite(), 1.0, math.nan)  # a look would wait for it

    def _activate(self, task: int) -> None:
        if self._adapters:
            self._adapters.activate(self.tasks[task])

    def _balanced(self, batch: Mapping[str, Any], terms: dict[int, Tensor], here: Tensor) -> Tensor:
        """The sum of the terms, weighted if the weights are known before a backward pass; else they wait for it."""
        if self._balancer.needs_gradients:
            self._terms = terms
            return _sum(terms.values())
        found = mean_losses(summed(here, self.device))
        # A part of a step may lack a task of it: a method that needs its loss keeps the gradients; see `make_balancer`.
        weights = self._balancer.weights_of_losses({t: found.get(t, 1.0) for t in batch["present"]})
        if self._is_logged(batch["step"]):
            self._log_weights(weights)
        return _sum(weights.get(t, 1.0) * term for t, term in terms.items())

    def _log_weights(self, weights: Mapping[int, float]) -> None:
        for t, weight in weights.items():
            self.log(f"train/weight/{self.tasks[t]}", weight, batch_size=1)

    def on_train_start(self) -> None:
        """With a gradient a task, DDP must not reduce their sum: each is reduced before it is weighted."""
        if self._balancer and self._balancer.needs_gradients:
            self._task_gradients = TaskGradients(self.model.parameters())
            wrapped: Any = self.trainer.strategy.model
            if hasattr(wrapped, "require_backward_grad_sync"):
                wrapped.require_backward_grad_sync = False

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Lightning's own, or a pass for each task's term; after a step's last part their weighted sum is the gradient.

        What comes after is none the wiser: clipping, the guard and the optimiser see one gradient.
        """
        if self._task_gradients is None:
            super().backward(loss, *args, **kwargs)
            return
        part = self._parts[-1]
        parts = self.trainer.accumulate_grad_batches
        # The loss is NaN where a task's is not finite, though its gradient might be; see `training_step`.
        finite = torch.where(loss.detach().isfinite(), 1.0, math.nan)
        factor = part.batch["scale"] / parts * (float(finite) if finite.device.type == "cpu" else finite)
        terms, self._terms = self._terms, {}
        for task, term in terms.items():
            self._task_gradients.add(task, term * factor)
        if (part.batch["index"] + 1) % parts == 0:
            self._combine(self._task_gradients, part)

    def _combine(self, gradients: TaskGradients, part: StepPart) -> None:
        gradients.reduce(part.batch["present"] or gradients.tasks)
        tasks = gradients.tasks
        if hasattr(self._balancer, "weights_of_gramian"):
            gramian = gradients.gramian()
            seed = seed_of(f"{self.seed}/balance/{part.batch['step']}")
            weights = self._balancer.weights_of_gramian(gramian, tasks, seed).tolist()
        else:
            here = self._pending.float() + sum(part.cpu() for part in self._counted)
            weighed = self._balancer.weights_of_losses(mean_losses(summed(here, self.device)))
            weights = [weighed.get(t, 1.0) for t in tasks]
        if self._is_logged(part.batch["step"]):
            self._log_weights(dict(zip(tasks, weights, strict=True)))
        gradients.combine(weights)

    def _is_logged(self, step: int) -> bool:
        """Whether loggers write this step; of what they do not, the sum is in mix.json."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return every > 0 and (step + 1) % every == 0

    def _count(self, step: int, piece: Piece, of_task: Tensor) -> None:
        """Add the examples to what the step holds of each task: one each, tokens and summed losses."""
        of_task += piece.by_task(len(self.tasks))
        if self._record is not None:
            rows = torch.stack([torch.full_like(piece.rows, step), piece.task_ids, piece.rows], 1)
            self._record(rows[piece.real].cpu())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the gradient's norm and what clipping leaves of it; now and then each task's own part of the gradient."""
        part = self._parts[-1]
        step = part.batch["step"]
        if self.conflict is not None and "halves" in part.batch:
            self.conflict.before(self.model, optimizer, part.batch, part.seed, self._loss_of_batch, self._context)
        measured = self._gradients_every > 0 and (step + 1) % self._gradients_every == 0
        if not (measured or self._is_logged(step)) or not self._gradients_are_alike():
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = float(total_norm(parameters))
        if not math.isfinite(norm) or norm == 0:
            return
        clip = self.trainer.gradient_clip_val
        self.log("train/gradient_norm", norm, batch_size=1)
        self.log("train/clip_factor", min(1.0, clip / norm) if clip else 1.0, batch_size=1)
        if measured and self.trainer.world_size == 1:
            for task, own in own_gradients(parameters, self._parts, self._loss_again, norm).items():
                self.log(f"train/own_norm/{self.tasks[task]}", own.norm, batch_size=1)
                self.log(f"train/own_part/{self.tasks[task]}", own.part, batch_size=1)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning's own, which throws away the norm that says whether an update can be made.

        This comes right before the update. It is left out by leaving out the gradients: the weights and the
        optimiser's averages stay what they are, while the schedule and the plan go on to the next step.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = total_norm(parameters)
        alike = self._gradients_are_alike()
        bad = not math.isfinite(self._read(norm))
        if not alike:
            bad = self.trainer.strategy.reduce_boolean_decision(bad, all=False)
        if bad:
            self._is_bad = True
            self.guard.bad(self.model, self._parts, self._loss_again if alike else None)
            for p in parameters:
                p.grad = None
        elif alike and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            torch.nn.utils.clip_grads_with_norm_(parameters, gradient_clip_val, norm)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _read(self, norm: Tensor) -> float:
        """The gradient's norm, and with it what the step's parts counted: the one wait for the device in a step."""
        counted, self._counted = self._counted, []
        if norm.device.type == "cpu":
            for part in counted:
                self._pending += part
            return float(norm)
        *seen, value = torch.cat([*(part.flatten() for part in counted), norm.flatten().float()]).tolist()
        for i in range(0, len(seen), self._pending.numel()):
            self._pending += torch.tensor(seen[i : i + self._pending.numel()]).view_as(self._pending)
        return float(value)

    def _gradients_are_alike(self) -> bool:
        """Whether every process holds the whole gradient, the same one, so that all decide alike by looking at it."""
        return type(self.trainer.strategy).__name__ in ("SingleDeviceStrategy", "DDPStrategy")

    def _loss_again(self, part: StepPart) -> Tensor:
        torch.manual_seed(part.seed)
        with self.trainer.precision_plugin.train_step_context():
            total, _ = step_loss(self.model, part.batch, part.seed, self._activate)
        again: Tensor = total * part.batch["scale"] / self.trainer.accumulate_grad_batches
        return again

    def _loss_of_batch(self, batch: Mapping[str, Any], seed: int) -> tuple[Tensor, list[Piece]]:
        return step_loss(self.model, batch, seed)

    def _context(self) -> Any:
        return self.trainer.precision_plugin.train_step_context()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Lightning's own, and from then on the step counts as seen, unless its update was left out."""
        super().optimizer_step(*args, **kwargs)
        step = self._parts[-1].batch["step"] + 1
        if self.conflict is not None:
            optimizer = self.trainer.optimizers[0]
            self.conflict.after(self.model, optimizer, self._loss_of_batch, self._context, made=not self._is_bad)
        for part in self._counted:  # of a strategy that leaves out the hook of clipping
            self._pending += part.cpu()
        self._counted.clear()
        if self._balancer and not self._is_bad:
            self._learn_weights()
        self._parts.clear()
        if self._is_bad:
            self._is_bad = False
        else:
            self._seen += self._pending
            self.guard.good()
        self._pending.zero_()
        if step % LOOK_EVERY == 0:
            self.guard.look(step, self.seen().numpy())

    def _learn_weights(self) -> None:
        """Tell the balancer of the step's losses: before the update, and if it asks, of the same examples after it."""
        before = mean_losses(summed(self._pending.float(), self.device))
        if hasattr(self._balancer, "learn"):
            self._balancer.learn(before)
        if not self._balancer.looks_back:
            return
        after = torch.zeros(len(self.tasks), 4, dtype=torch.float32, device=self.device)
        with torch.no_grad(), self.trainer.precision_plugin.train_step_context():
            for part in self._parts:
                _, pieces = step_loss(self.model, part.batch, part.seed, self._activate)
                for piece in pieces:
                    after += piece.by_task(len(self.tasks))
        self._balancer.look_back(before, mean_losses(summed(after.cpu(), self.device)))

    def validation_step(self, batch: EvalBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Decode a batch of a watched split, in the model's own numbers as in the final evaluation: not in bf16."""
        if self._watch is not None:
            with torch.autocast(self.device.type, enabled=False):
                self._watched.append(self._watch(self.model, batch))

    def on_validation_epoch_end(self) -> None:
        """Gather the rows of all processes and log each task's metrics and their mean."""
        if self._score is None:
            return
        watched, self._watched = self._watched, []
        # Every process scores all rows and so logs the same value: no reduction, which would average over rows.
        self.log_dict(dict(self._score(gathered(watched))), rank_zero_only=False, sync_dist=False, batch_size=1)

    def on_train_end(self) -> None:
        """Add up over processes while there are still all of them."""
        self.total_seen = self.seen()

    def counted(self) -> np.ndarray:
        """[tasks, 4] as `seen`, of this process alone: no other has to be asked. Not a copy."""
        return self._seen.numpy()

    def seen(self) -> Tensor:
        """[tasks, 4] float64: examples, input tokens, target tokens and summed loss in nats, over all processes."""
        return summed(self._seen.clone(), self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what was seen (every process calls this, so the sum over processes is safe here)."""
        checkpoint["multitask_seen"] = self.seen()
        checkpoint["multitask_guard"] = self.guard.state()
        if self.execution is not None and self.device.type != "cpu":  # on a CPU it follows from the settings
            checkpoint["multitask_execution"] = self.execution
        if self._balancer:
            checkpoint["multitask_balance"] = self._balancer.state()
        if self.conflict is not None:
            checkpoint["multitask_conflict"] = self.conflict.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back: the first process holds the sum, so that it is counted once."""
        if "multitask_guard" in checkpoint:  # of an earlier version it is not
            self.guard.restore(checkpoint["multitask_guard"])
        if self._balancer and "multitask_balance" in checkpoint:
            self._balancer.restore(checkpoint["multitask_balance"])
        if self.conflict is not None and "multitask_conflict" in checkpoint:
            self.conflict.restore(checkpoint["multitask_conflict"])
        if not is_distributed() or torch.distributed.get_rank() == 0:
            self._seen = checkpoint["multitask_seen"].clone()

    def configure_optimizers(self) -> Any:
        """The optimiser and the schedule that the settings name."""
        return configure(self.model.parameters(), self.optimizer_settings)


class Piece(NamedTuple):
    """Examples that were computed together, and what they gave; each [E]."""

    task_ids: Tensor
    rows: Tensor
    real: Tensor
    """False for a zero-weight dummy example."""
    inputs: Tensor
    """Input tokens."""
    targets: Tensor
    """Target tokens."""
    nll: Tensor
    """Summed over the target tokens, in nats; without gradient."""

    def by_task(self, tasks: int) -> Tensor:
        """[tasks, 4] float32: examples, input tokens, target tokens and nll of each; a dummy is not counted."""
        real = self.real.float()
        columns = [real, real * self.inputs.float(), real * self.targets.float(), real * self.nll.float()]
        found = torch.stack(columns, dim=1)
        if found.device.type == "cpu":
            return torch.zeros(tasks, 4, dtype=found.dtype).index_add_(0, self.task_ids, found)
        # index_add_ adds in any order on a GPU: FAMO, which weighs by the losses, did not resume to the bit (measured).
        return F.one_hot(self.task_ids, tasks).float().T @ found


def mean_losses(counted: Tensor) -> dict[int, float]:
    """{task: mean loss a target token, in nats} of the tasks that have examples; `counted` is [tasks, 4] as `seen`."""
    return {t: nll / tokens for t, (_, _, tokens, nll) in enumerate(counted.tolist()) if tokens}


def _sum(terms: Iterable[Tensor]) -> Tensor:
    first, *rest = terms
    return sum(rest, first)


def step_terms(
    model: Any, batch: Mapping[str, Any], seed: int = 0, activate: Callable[[int], None] | None = None
) -> tuple[dict[int, Tensor], list[Piece]]:
    """Each task's term of a step's loss, and what it was made of; of a batch that is not made by task one term, 0.

    Dropout of a task is seeded by (seed, task): it is the same whatever tasks come before it.

    Args:
        model: A Hugging Face encoder-decoder.
        batch: As `StepMaker.batch` makes it.
        seed: Of dropout.
        activate: Called with a task's number before its pass.
    """
    if "by_task" not in batch:
        total, pieces = step_loss(model, batch, seed)
        return {0: total}, pieces
    terms, found = {}, []
    for entry in batch["by_task"]:
        task = int(entry["task"])
        own = (seed * 1_000_003 + task + 1) % 2**63
        torch.manual_seed(own)
        if activate is not None:
            activate(task)
        terms[task], pieces = step_loss(model, entry, own)
        found += pieces
    return terms, found


def step_loss(
    model: Any, batch: Mapping[str, Any], seed: int = 0, activate: Callable[[int], None] | None = None
) -> tuple[Tensor, list[Piece]]:
    """The weighted sum of a step's token losses, ready for one backward pass, and what it was made of.

    All of a step stay in one graph, so Lightning's clipping, accumulation and precision plug-ins work unchanged.

    Args:
        model: A Hugging Face encoder-decoder.
        batch: As `StepMaker.batch` makes it: flat, in micro-batches, or either task by task.
        seed: Of the dropout of unpadded tokens; micro-batches go through the model's own.
        activate: As in `step_terms`.
    """
    if "by_task" in batch:
        terms, pieces = step_terms(model, batch, seed, activate)
        if not terms:  # this part has no examples of the task that it was cut to
            return next(p for p in model.parameters() if p.requires_grad).sum() * 0.0, []
        return _sum(terms.values()), pieces
    if "flat" in batch:
        masks = Masks(model.config.dropout_rate if model.training else 0.0, seed)
        return _flat_loss(model, batch["flat"], masks)
    if "packed" in batch:
        return _packed_loss(model, batch["packed"])
    pieces = []
    total = torch.zeros((), device=next(model.parameters()).device)
    for micro in batch["micro"]:
        losses, counted = token_losses(model, micro)  # [B, T], [B, T]
        nll = losses.sum(1)
        total = total + (nll * micro["weights"]).sum()
        inputs, targets = micro["attention_mask"].sum(1), counted.sum(1)
        pieces.append(Piece(micro["task_ids"], micro["rows"], micro["real"], inputs, targets, nll.detach()))
    return total, pieces


def _flat_loss(model: Any, step: Mapping[str, Any], masks: Masks) -> tuple[Tensor, list[Piece]]:
    total, losses = unpadded_loss(
        model,
        step["input_ids"],
        layout_of(model, step["input_lengths"]),
        step["labels"],
        layout_of(model, step["target_lengths"]),
        step["starts"],
        step["token_weights"],
        masks,
    )
    inputs, targets = (send(np.concatenate(step[side]), losses.device) for side in ("input_lengths", "target_lengths"))
    return total, [Piece(step["task_ids"], step["rows"], step["real"], inputs, targets, _sums(losses, targets))]


def _packed_loss(model: Any, step: Mapping[str, Any]) -> tuple[Tensor, list[Piece]]:
    # Compiling pays on a GPU; a CPU has unpadded tokens, which are faster.
    total, losses = packed_losses(model, step, compiled=step["input_ids"].device.type == "cuda")
    targets = step["target_lengths"]
    nll = _sums(losses, targets)
    return total, [Piece(step["task_ids"], step["rows"], step["real"], step["input_lengths"], targets, nll)]


def _sums(losses: Tensor, lengths: Tensor) -> Tensor:
    """[E] the sums of consecutive stretches of these lengths, added in one order on any device."""
    if losses.device.type == "cpu":
        example = torch.arange(len(lengths)).repeat_interleave(lengths)
        return torch.zeros(len(lengths), dtype=losses.dtype).index_add_(0, example, losses)
    found: Tensor = torch.segment_reduce(losses, "sum", lengths=lengths, unsafe=True)
    return found


def token_losses(model: Any, micro: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood of each target token in nats, 0 at padding; and which tokens count.

    Args:
        model: A Hugging Face encoder-decoder.
        micro: `input_ids` and `attention_mask` [B, S], `labels` [B, T] with -100 at padding.

    Returns:
        [B, T] float32 (float64 of a float64 model) and [B, T] bool.
    """
    labels = micro["labels"]
    logits = model(
        input_ids=micro["input_ids"],
        attention_mask=micro["attention_mask"],
        decoder_input_ids=decoder_inputs(model.config, labels),
        use_cache=False,
    ).logits  # [B, T, V]
    # At least fp32, also under bf16 autocast: a log-sum-exp over 32,000 logits in bf16 has two digits.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    nll = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return nll.view_as(labels), labels != IGNORED
