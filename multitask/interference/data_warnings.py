"""Facts about a study's data and model that its reader should know: facts.json."""

from __future__ import annotations

from typing import Any

from multitask.interference.execution.runs import resolve_settings
from multitask.interference.setup import StudySetup
from multitask.mixing.summary import data_notes
from multitask.mixing.warnings import find_never_sampled
from multitask.model.contamination import contamination
from multitask.storage.paths import tilde


def find_data_facts(setup: StudySetup) -> dict[str, Any]:
    """`{"warnings": […], "notes": […]}`: generated, skipped and leaked rows, contamination, an older vocabulary."""
    from multitask.checks.overlap import find_overlaps
    from multitask.checks.warnings import overlap_sentences

    tasks, mix = setup.request.tasks, setup.mix
    lines = data_notes(mix)
    generated = lines[:1] if mix.generated else []
    lines = lines[len(generated) :]
    warnings = generated + [line.removeprefix("WARNING: ") for line in lines if line.startswith("WARNING: ")]
    warning = contamination(setup.base.model, setup.request.design.tasks)
    if warning:
        warnings.append(f"CONTAMINATED: {warning}")
    if len(tasks) > 1:
        between = [o for o in find_overlaps(tasks, mix.data) if o.train != o.validation]
        warnings += [f"LEAKAGE: {sentence}" for o in between for sentence in overlap_sentences(o)]
    warnings += find_never_sampled(mix.plan, mix.steps)
    if setup.vocab is not None and setup.has_vocabulary:
        from multitask.tokenization.vocabulary import mixture_tokenizer, older_vocabulary

        tokenizer = mixture_tokenizer(resolve_settings(setup.base), mix)
        older = older_vocabulary(tokenizer, mix.data, setup.vocabulary)
        anew = len(setup.request.design.needed()) * len(setup.request.design.seeds)
        again = f"Another --out, or --overwrite, trains one on all tasks, and all {anew:,} models anew."
        warnings += [f"VOCABULARY: {older} {again}"] if older else []
    notes = [line for line in lines if not line.startswith("WARNING: ")]
    facts: dict[str, Any] = tilde({"warnings": warnings, "notes": notes})
    return facts
