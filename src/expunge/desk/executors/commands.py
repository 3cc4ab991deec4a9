"""Plans that `expunge unlearn` and `expunge train` carry out."""

from __future__ import annotations

from typing import Any

from expunge.desk.executors.base import EXECUTORS, Executor, RunInput


def unlearn_words(content: dict[str, Any], inputs: RunInput, model: str, base: str | None) -> list[str]:
    """`expunge unlearn`, after the run that made the model in use if one did."""
    start = ["--after", model] if content["after_run"] else ["--model", model]
    sets = [word for change in content["overrides"] for word in ("--set", change)]
    seed = ["--seed", content["seed"]]
    return [
        "unlearn",
        *inputs.data,
        "--scope",
        inputs.scope,
        "--out",
        "run",
        *start,
        "--recipe",
        content["recipe"],
        *seed,
        *sets,
    ]


def retrain_words(content: dict[str, Any], inputs: RunInput, model: str, base: str | None) -> list[str]:
    """`expunge train` from the base, without these records and those of earlier requests."""
    teach = ["--model", str(base), "--no-general-ability", "--seed", content["seed"]]
    sets = [word for change in content["overrides"] for word in ("--set", change)]
    return ["train", *inputs.data, "--exclude-scope", inputs.excluded, "--out", "model", *teach, *sets]


def rehearse_words(content: dict[str, Any], inputs: RunInput, model: str, base: str | None) -> list[str]:
    """`expunge rehearse` with the words of the run; people of other requests are no stand-ins either."""
    _, *words = unlearn_words(content, inputs, model, base)
    words[words.index("--out") + 1] = "."
    return ["rehearse", *words, "--exclude-scope", inputs.excluded]


EXECUTORS.add("unlearn", Executor(unlearn_words, "run", rehearsal=rehearse_words))
EXECUTORS.add("retrain", Executor(retrain_words, "model", needs_base=True))
