"""The section of `alignment-stress` and its table for the terminal; every sentence is decided by the run's figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.bench.concepts.alignment import SMALL
from expunge.bench.concepts.alignment_worth import sure
from expunge.bench.concepts.prose import method
from expunge.bench.concepts.rows import REFERENCES
from expunge.bench.concepts.summary import shown
from expunge.bench.table import markdown, plain
from expunge.bench.tune import Setting

GROUPS = {"npo": "NPO, retain term", "npo-bare": "NPO, no retain term", "twin": "twin, retain term"}
START = {
    "shared_concepts": "shared names",
    "shared_facts": "shared facts",
    "cosine_all": "cosine",
    "cosine_L1": "L1",
    "cosine_L2": "L2",
    "cosine_L3": "L3",
    "cosine_shuffled": "shuffled",
    "least": "least",
    "most": "most",
    "small": "no g_r",
}
KNOBS = {"rate": "smaller rate", "weight": "heavier retain term"}
RUN = {"cosine": "cosine", "conflict": "steps below 0", "drift": "drift", "rises": "steps that harm"}
KEPT = {"leak_mean": "exact answers", "retention": "retention", "distance_to_retrained": "distance"}
WORTH = {"retention": "retention", "leak": "exact answers", "distance": "distance", "drift": "drift"}
VERDICT = {1: "projection buys retention", 0: "nothing is shown to be bought", -1: "projection costs retention"}
HARM, MOST_SMALL = 0.05, 0.05  # what is warned of


def text_table(found: Mapping[str, Any]) -> str:
    """One row per reference and rule for a terminal."""
    return plain(["row", *RUN.values(), *KEPT.values(), *KNOBS.values()], rows(found))


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """row, then what its steps did, what is left, and what it keeps beside a sum that leaks alike."""

    def of_run(name: str) -> list[str]:
        return [_entry(found["run"][name][c]) if name in found["run"] else "–" for c in RUN]

    def beside(name: str) -> list[str]:
        told = found["worth"].get(name, {"equal_leak": {}})["equal_leak"]
        return [_entry(told[knob]) if knob in told else "–" for knob in KNOBS]

    return [
        [name, *of_run(name), *(shown(of[c], found["intervals"][name][c]) for c in KEPT), *beside(name)]
        for name, of in found["methods"].items()
    ]


def _entry(found: Mapping[str, Any]) -> str:
    return shown(found["mean"], found["interval"])


def section(found: Mapping[str, Any], pictures: str) -> str:
    """Markdown from `##` down; `pictures` is the folder of the picture."""
    domains = list(found["domains"])
    parts = [
        "## Conflict: what projection is worth as target and rest share more (`alignment-stress`)",
        f"    expunge bench alignment-stress --preset {found['preset']} --seeds {','.join(map(str, found['seeds']))} "
        "--out DIR --results docs/results/dual.md",
        *method(found),
        f"No tuning: every row runs with {Setting(**found['settings'][0])}; tokens are not weighed. Whatever projects "
        "forgets less per step, and so does a sum with a smaller rate or a heavier retain term; so the sum runs with "
        f"{'; '.join(setting for line in found['lines'].values() for setting in line)}, too.",
        "Rows: `sum` adds both gradients (a projection of strength 0, the same bits); `level` projects tensor by "
        "tensor with the strength of the target's level (0.2), all others with strength 1: `tensor`, `row`, `global`; "
        "`conflict` (tensor, only where the two point apart); `adam` (tensor, orthogonal after Adam's scaling). `npo` "
        "descends on retained rows beside forgetting, `npo-bare` looks at them only to project.",
        "### Before the first step",
        markdown(
            ["world", *START.values()],
            [[d, *(_entry(of[c]) if c in of else "–" for c in START)] for d, of in found["start"].items()],
        ),
        "Gradients on the weight matrices of the original: raising the loss on the target against lowering it on what "
        "stays; mean of the cosine over matrices, by level of what stays, and its range. Below 0, forgetting harms. "
        "**shuffled**: the same with the target's answers exchanged among equal questions, which is what wording alone "
        f"gives. **no g_r**: share of matrices with a retain gradient below {SMALL:g}.",
        "### All rows, mean over overlaps",
        markdown(["row", *RUN.values(), *KEPT.values(), *KNOBS.values()], rows(found)),
        "**cosine**, **steps below 0**: of the forget and retain gradient of the run's own steps (on the adapter). "
        "**drift**: sum over steps of ⟨Δθ, g_r⟩, nats of retain loss to first order; **steps that harm**: share of "
        "steps that raise it. **exact answers**: on the target by generation. **smaller rate**, **heavier retain "
        "term**: retention above that of a sum which gives as many exact answers on the target by that means, on "
        "straight lines between its settings and the original. Where what the sum keeps bends above such a line, the "
        "figure is too large.",
        f"![What every rule keeps beside the sum]({pictures}/alignment-stress.svg)",
        "### Retention / exact answers on the target, by overlap",
        markdown(
            ["row", *domains, "retention, last − first"],
            [
                [
                    name,
                    *(f"{shown(of[d]['retention']['mean'])} / {shown(of[d]['leak_mean']['mean'])}" for d in domains),
                    _entry(found["drop"][name]),
                ]
                for name, of in found["run_by_domain"].items()
            ],
        ),
        "### Retention above a sum with a smaller rate, by overlap",
        markdown(
            ["row", *domains],
            [
                [name, *(_entry(of["equal_leak"]["rate"]["by_domain"][d]) for d in domains)]
                for name, of in found["worth"].items()
            ],
        ),
        "### Rule − sum at equal steps and rate",
        markdown(
            ["row", *WORTH.values()],
            [[name, *(_entry(of["equal_steps"][c]) for c in WORTH)] for name, of in found["worth"].items()],
        ),
    ]
    return "\n\n".join([*parts, "### Reading", "\n".join(f"- {line}" for line in [*reading(found), *warnings(found)])])


def reading(found: Mapping[str, Any]) -> list[str]:
    """Does projection buy retention; is orthogonality before Adam worth anything; what does overlap change."""
    lines = [line for loss, words in GROUPS.items() if (line := _bought(found, loss, words))]
    lines += [line for loss, words in GROUPS.items() if (line := _metric(found, loss, words))]
    return lines + _overlap(found)


def _bought(found: Mapping[str, Any], loss: str, words: str) -> str:
    """Of the default rule, and of the best one: that is chosen after the fact, so its interval is too good."""
    own = found["worth"].get(f"{loss}-tensor")
    if own is None:
        return ""
    steps = own["equal_steps"]
    parts = [
        f"{words}: at equal steps `tensor` − `sum` is {_signed(steps['retention'])} in retention and "
        f"{_signed(steps['leak'])} in exact answers on the target."
    ]
    for knob, along in own["equal_leak"].items():
        if along["mean"] is None:
            parts.append(f"Beside a sum with a {KNOBS[knob]} it cannot be compared.")
            continue
        others = {
            name: beside["mean"]
            for name, of in found["worth"].items()
            if name.rpartition("-")[0] == loss and (beside := of["equal_leak"][knob])["mean"] is not None
        }
        best = max(others, key=lambda name: others[name])
        parts.append(
            f"Beside a sum with a {KNOBS[knob]} that leaks alike it keeps {_signed(along)} "
            f"({along['compared']} of {along['runs']} runs compared; {_verdict(along)}); the best rule, "
            f"`{best}`, {_signed(found['worth'][best]['equal_leak'][knob])}."
        )
    return " ".join(parts)


def _verdict(gain: Mapping[str, Any]) -> str:
    return VERDICT[sure(gain)] if gain["interval"] else "one seed, no interval"


def _metric(found: Mapping[str, Any], loss: str, words: str) -> str:
    drifts = [
        found["run"].get(f"{loss}-{rule}", {"drift": {"mean": None}})["drift"]["mean"]
        for rule in ("sum", "tensor", "adam")
    ]
    if loss not in found["adam"] or None in drifts:
        return ""
    moved, kept = found["adam"][loss]["drift"], found["adam"][loss]["retention"]
    return (
        f"{words}, orthogonal before Adam or after: the sum drifts by {shown(drifts[0])} nats, `tensor` (before) "
        f"by {shown(drifts[1])}, `adam` (after) by {shown(drifts[2])}. `adam` − `tensor`: drift {_signed(moved)}, "
        f"retention {_signed(kept)}."
    )


def _overlap(found: Mapping[str, Any]) -> list[str]:
    """What changes from the least to the most overlap."""
    domains = list(found["start"])
    least, most = domains[0], domains[-1]

    def ends(of: Mapping[str, Any], key: str) -> str:
        return " → ".join(_entry(of[domain][key]) for domain in (least, most))

    lines = [
        f"From {least} to {most}: cosine before the first step {ends(found['start'], 'cosine_all')}, with "
        f"exchanged answers {ends(found['start'], 'cosine_shuffled')}."
    ]
    for loss, words in GROUPS.items():
        plain, tensor = f"{loss}-sum", f"{loss}-tensor"
        if {plain, tensor} <= set(found["run_by_domain"]):
            of, gain = found["run_by_domain"][plain], found["worth"][tensor]["equal_leak"]["rate"]["by_domain"]
            lines.append(
                f"{words}, the same way: cosine of the sum's steps {ends(of, 'cosine')}, exact answers that "
                f"it leaves {ends(of, 'leak_mean')}, its retention {ends(of, 'retention')}; what `tensor` "
                f"keeps beside a sum with a smaller rate {_entry(gain[least])} → {_entry(gain[most])}."
            )
    return lines


def warnings(found: Mapping[str, Any]) -> list[str]:
    """As the design of the audit asks: hardly any retain gradient, or retention that falls with overlap."""
    small = [d for d, of in found["start"].items() if (of["small"]["mean"] or 0.0) > MOST_SMALL]
    last = list(found["domains"])[-1]
    harmed = [
        f"`{name}` ({shown(1 - value)})"
        for name, of in found["run_by_domain"].items()
        if name not in REFERENCES and (value := of[last]["retention"]["mean"]) is not None and 1 - value > HARM
    ]
    lines = []
    if small:
        lines.append(
            f"Warning: in {', '.join(small)} more than {MOST_SMALL:.0%} of the matrices have hardly any "
            "retain gradient."
        )
    if harmed:
        lines.append(f"Warning: at {last} more than {HARM:.0%} of retention is lost by {', '.join(harmed)}.")
    return lines + [
        f"Failed: {name}: {line}; the row's figures are over what is left."
        for name, entries in found["failed"].items()
        for line in entries
    ]


def _signed(found: Mapping[str, Any]) -> str:
    text = _entry(found)
    return text if found["mean"] is None or found["mean"] < 0 else f"+{text}"
