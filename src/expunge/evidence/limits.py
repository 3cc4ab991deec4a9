"""What a certificate does not show: fixed sentences, and those that a run brings with it."""

from __future__ import annotations

from collections.abc import Sequence

FIXED = (
    "The evidence is of resistance to the attacks run; attacks that were not run may find more.",
    "Behavior was compared, not the weights: the evidence does not say that the weights hold no trace.",
    "What the base model learned in its pre-training is outside this certificate.",
    "Whoever holds the model from before the run can compare both; old weights, bases of adapters, checkpoints and "
    "caches need their own purge.",
    "An operator who trains one model and audits another is not found by signatures; only whoever repeats the plan or "
    "runs the audit with an own key can tell.",
)
SINGLE_PERSON = "It was made in single-person mode: one person planned, ran and approved."
NO_ATTEMPTS = "How many audits were made before this one was not counted."
NO_COMMITMENT = "The records are named by digests of the whole sets only, in which no single record can be looked up."
FEW_SUBJECTS = "With fewer than ten subjects a judgement is by estimates or ranks, without an interval."
NOISE = "Noise in the unlearning run does not bound what was memorized before the run."
ADAPTER = "The files are an adapter; its base model still knows the records, and whoever drops the adapter has it."
CHAIN = "The run stands on earlier runs; earlier requests need their own audit of the present model."
TRIGGERS = (
    "another precision (dtype)",
    "quantization",
    "another serving engine or configuration",
    "fine-tuning",
    "merging with other weights",
    "a newly required attack",
    "a failed regression audit",
    "the date",
)


def run_limits(
    *,
    single_person: bool,
    attempts: int | None,
    committed: bool,
    controls: bool,
    few: bool,
    noise: bool,
    adapter: bool,
    chain: bool,
    not_tested: Sequence[str],
) -> tuple[str, ...]:
    """The fixed limits, and those that the facts of a run bring."""
    specific = (
        (single_person, SINGLE_PERSON),
        (attempts is None, NO_ATTEMPTS),
        (not committed, NO_COMMITMENT),
        (controls, "The reference is matched controls: no model trained without the records was compared."),
        (few, FEW_SUBJECTS),
        (noise, NOISE),
        (adapter, ADAPTER),
        (chain, CHAIN),
    )
    untested = (f"Not tested: {'; '.join(not_tested)}.",) if not_tested else ()
    return (*FIXED, *(text for holds, text in specific if holds), *untested)
