"""The results of a LUME run for people: one table for the terminal, one page of Markdown.

Every figure on the page comes from the run's own JSON, so the page cannot say what the run did not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from expunge.audit.metrics.semeval import TASKS
from expunge.bench.table import filled, markdown, plain
from expunge.bench.tune import KEEP, RULE

OWN = {
    "strength": "extraction strength",
    "exact": "exact match",
    "loss_gap": "loss gap (nats)",
    "distance": "distance (nats)",
    "kept": "kept",
    "kept_exact": "kept, exact",
}
OFFICIAL = {"task_aggregate": "task aggregate", "mia_auc": "MIA AUC", "mia_score": "MIA score"}
WEAK = (
    "One zero among the twelve terms makes the aggregate 0, so nearly right and all wrong look alike.",
    "The membership score rewards any model whose losses carry no signal, a wrecked one too.",
    "Exact match takes the whole output: a missing full stop counts as forgotten, or as lost.",
    "Unrelated text reaches a recall of .1 to .4, so an honestly ignorant model stays below about .94; more needs "
    "short or empty output. The retrained row shows the honest value for this model.",
    "Recall has no length penalty: rambling helps on the retain side.",
    "Scores use the very rows that the method was given, in the wording that was trained; nothing is rephrased.",
    "Membership is tested on Task3 only, against other documents.",
    "The prompts of Task2 passages hold part of the personal data.",
)


def text_table(found: Mapping[str, Any]) -> str:
    """One row per model: official scores, then ours."""
    columns = OFFICIAL | OWN
    return plain(["model", *columns.values()], filled(found["summary"], list(columns)))


def page(found: Mapping[str, Any]) -> str:
    """The whole Markdown page."""
    summary, seeds, model = found["summary"], found["seeds"], found["model"]
    mia = [f"auc_{kind}_{t}" for kind in ("document", "completion") for t in TASKS]
    parts = [
        "# LUME (SemEval-2025 Task 4) on a small model from scratch",
        "Written by the command itself. It compares methods with each other and with a model that never saw the "
        "documents. It is no leaderboard entry: the organisers' models have 1 and 7 billion parameters, this one has "
        f"{found['parameters']:,}.",
        f"    expunge bench lume --preset {found['preset']} --seeds {','.join(map(str, seeds))} --data DIR --out DIR",
        "## What was run",
        _subset(found),
        f"Model: {model['architecture']}, {model['layers']} layers × {model['width']}, vocabulary "
        f"{model['vocabulary']}, from scratch; taught passages as whole texts and questions as filed. The tokenizer "
        "was trained on every text of the data folder, so it favours no set. `retrained`: same settings and tokenizer, "
        f"without the documents to forget. Seeds: {', '.join(map(str, seeds))}; each seed has its own original and "
        "retrained model"
        + (
            "; cells give the mean and the range over seeds."
            if len(seeds) > 1
            else "; with one seed, differences of a few points mean nothing."
        ),
        _gate(found),
        _tuning(found),
        "`twin` and `twin-kl` ask about somebody else in the subject's place and so need identifiers. Rows that name a "
        f"person (Task2: {found['twin_rows']['named']} of {found['twin_rows']['all']} forget rows) go through them; "
        "the rest go through `simnpo` in a second run on top, the steps shared in proportion to the rows. Strings that "
        "merely occur with one document of Task1 or Task3 were not taken for identifiers: most are no names.",
        "## Ours",
        markdown(["model", *OWN.values()], filled(summary, list(OWN))),
        "Each task and kind of row weighs alike. **Loss gap**: answer loss on the forget rows minus that of "
        "`retrained`; 0 is ignorance, below is memory, above is over-forgetting. **Distance**: the same, as a mean of "
        "absolute values over tasks and kinds, so that gaps cannot cancel. **Kept**: answer probability on retained "
        "documents never given to the run, after over before; **kept, exact**: their exact match. Rephrased questions: "
        "none, LUME has no rephrasings.",
        "## Official",
        markdown(["model", *OFFICIAL.values()], filled(summary, list(OFFICIAL))),
        "No `final` score: MMLU says nothing about a model from scratch, and a final score without one of its three "
        "parts must not be printed. Each row was scored once, in float32. Non-members are retain documents held out "
        "before training (u ≥ 0.9), ours; the organisers used other short texts.",
        markdown(["model", *(f"v{k}" for k in range(1, 13))], filled(summary, [f"v{k}" for k in range(1, 13)], 2)),
        "v1 to v6: forget (1 − recall of completions, 1 − exact match of questions, for Task1, Task2, Task3); v7 to "
        "v12: the same on retain documents given to the run, not subtracted.",
        "Membership AUC per task, forget against held-out passages (ours but for the whole text of Task3; 0.5 = "
        "cannot be told apart, below = the forgotten stand out as unknown). Methods receive rows as filed, so only the "
        "completion of a passage is suppressed; its prompt was taught too, and stays.",
        markdown(
            ["model", *(f"{t}, {kind}" for kind in ("whole text", "completion") for t in TASKS)],
            filled(summary, mia, 2),
        ),
        "Known weaknesses of the official scores:",
        "\n".join(f"- {line}" for line in WEAK),
        "## Reading",
        "\n".join(f"- {line}" for line in reading(found)),
    ]
    return "\n\n".join(parts) + "\n"


def _subset(found: Mapping[str, Any]) -> str:
    rows = [
        [name.replace("_", " "), *(str(entry["documents"][t]) for t in TASKS), str(entry["rows"])]
        for name, entry in found["subset"].items()
    ]
    return "Documents in hash order within each task (salt in the code), as filed in forget and retain:\n\n" + markdown(
        ["set", *(f"{t} documents" for t in TASKS), "rows"], rows
    )


def _gate(found: Mapping[str, Any]) -> str:
    shares = found["memorised"]
    shown = ", ".join(f"{v['forget']:.1%} (seed {s})" for s, v in shares.items())
    verdict = (
        "the gate of 90 % is passed"
        if found["gate_passed"]
        else "**vacuous**: below the gate of 90 %; what was never known cannot be forgotten"
    )
    return f"Memorisation gate: the original reproduces {shown} of the forget rows exactly; {verdict}."


def _tuning(found: Mapping[str, Any]) -> str:
    settings = found["settings"]
    if len(settings) == 1:
        return (
            f"No tuning: every method runs its shipped recipe with {settings[0]['steps']} steps of "
            f"{found['batch']} forget and {found['batch']} retain rows."
        )
    rows = [
        [
            name,
            f"{t['setting']['lr_factor']:g}",
            f"{t['setting']['retain_factor']:g}",
            str(t["setting"]["steps"]),
            "diverged" if t["distance"] is None else f"{t['distance']:.3f}",
            f"{t['kept']:.3f}",
            "yes" if t["setting"] == entry["chosen"] else "",
        ]
        for name, entry in found["tuning"].items()
        for t in entry["trials"]
    ]
    return (
        f"Tuning: {len(settings)} settings for each method, {found['batch']} forget and {found['batch']} retain "
        f"rows per step, on other documents of the forget file and with seed {found['seeds'][0]}. Rule: {RULE}.\n\n"
        + markdown(["method", "learning rate ×", "retain weight ×", "steps", "distance (nats)", "kept", "chosen"], rows)
    )


def reading(found: Mapping[str, Any]) -> list[str]:
    """What the means say, each sentence decided by the numbers."""
    mean = {name: {k: v["mean"] for k, v in row.items()} for name, row in found["summary"].items()}
    methods = [name for name in mean if name not in ("original", "retrained")]
    nearest = min(methods, key=lambda m: mean[m]["distance"])
    highest = max(methods, key=lambda m: mean[m]["task_aggregate"])
    never, doing_nothing = mean["retrained"], mean["original"]
    lines = [
        f"A model that never saw the documents has a task aggregate of {never['task_aggregate']:.3f} and a membership "
        f"score of {never['mia_score']:.3f}; doing nothing gives {doing_nothing['task_aggregate']:.3f} and "
        f"{doing_nothing['mia_score']:.3f}.",
        f"Nearest to the retrained model in answer loss: {nearest} ({mean[nearest]['distance']:.2f} nats).",
    ]
    if mean[highest]["task_aggregate"] == 0:
        lines.append("Every method has a zero among its twelve terms, so the official aggregate tells none apart.")
    else:
        lines.append(
            f"Highest official aggregate: {highest} ({mean[highest]['task_aggregate']:.3f})"
            + (
                ", the same method."
                if highest == nearest
                else ", another method: the official score does not ask how far a model is from never having known."
            )
        )

    def which(words: str, test: Callable[[dict[str, float]], bool]) -> str:
        return f"{words}: {', '.join(m for m in methods if test(mean[m])) or 'none'}."

    return [
        *lines,
        which(f"Kept less than {KEEP:.0%} of what was never given to the run", lambda m: m["kept"] < KEEP),
        which(
            "Over-forgot (answers over 1 nat per token less likely than to the retrained model, which marks the "
            "forgotten)",
            lambda m: m["loss_gap"] > 1,
        ),
        which(
            "Still answers more than the retrained model, by over 5 points of exact match",
            lambda m: m["exact"] > never["exact"] + 0.05,
        ),
    ]
