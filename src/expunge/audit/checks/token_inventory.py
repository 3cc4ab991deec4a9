"""Token inventory: does the vocabulary itself spell out the target, as tokens that nobody else needs?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue, Status
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check
from expunge.audit.details import TokenInventoryDetails
from expunge.audit.scores import Scores
from expunge.audit.statistics import Interval
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel

KEY = "token_inventory"
MARGIN = 0.05  # where the policy has no rule
MIN_CONTROLS = 20  # people whose names tell what the vocabulary holds of a name that it never met
MAX_LISTED = 20
WORD = re.compile(r"[^\W_]{2,}")

Words = Mapping[str, frozenset[str]]  # subject → words of its names and ids
PROFILE = CheckProfile(
    title="Vocabulary: it holds no name or number of the target as a token of its own",
    family="surface",
    control="words of at least 20 matched controls",
    cost="none: the tokenizer is read",
    limits="Only whole words are sought.",
)


@dataclass(frozen=True)
class TokenInventoryProbe:
    """Words of targets and of matched controls that no other record holds."""

    targets: Words
    controls: Words

    def score(self, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> Inventory:
        """The words, and which of them are one token of this model's vocabulary."""
        every = chain(*self.targets.values(), *self.controls.values())
        return Inventory(self, frozenset(word for word in set(every) if is_single_token(lm, word)))


@dataclass(frozen=True)
class Inventory:
    """What a vocabulary holds: the words that were looked up, and the `single` ones, which are one token."""

    probe: TokenInventoryProbe
    single: frozenset[str]


def is_single_token(lm: LanguageModel, word: str) -> bool:
    """Whether a word is one known token, at the start of a text or behind a space."""
    tokenizer = lm.template.tokenizer
    for text in (word, f" {word}"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
            return True
    return False


def words_of(records: Iterable[Record]) -> dict[str, set[str]]:
    """Subject to the words of its identifiers and of its own name or id."""
    words: dict[str, set[str]] = {}
    for r in records:
        names = (*r.identifiers, r.subject.rpartition(":")[2])
        words.setdefault(r.subject, set()).update(w for name in names for w in WORD.findall(name))
    return words


def token_inventory_probe(ctx: Context) -> TokenInventoryProbe | None:
    """The probe of an audit; None where the targets have no word of their own."""
    split = ctx.split
    targets, controls = words_of(split.forget), words_of(split.controls)
    own = set(chain(*targets.values(), *controls.values()))
    for r in chain(split.retain, split.retain_heldout, split.shared, split.holdout, split.utility):
        for text in (r.prompt, r.answer, *(turn.content for turn in r.history)):
            own.difference_update(WORD.findall(text))
    shared = set(chain(*targets.values())) & set(chain(*controls.values()))
    rest = own - shared  # a control may carry a word of its target
    if not any(words & rest for words in targets.values()):
        return None
    return TokenInventoryProbe(_within(targets, rest), _within(controls, rest))


def _within(words: Mapping[str, set[str]], rest: set[str]) -> dict[str, frozenset[str]]:
    return {name: frozenset(own & rest) for name, own in words.items() if own & rest}


@check(KEY, KEY, probe=token_inventory_probe, profile=PROFILE)
def token_inventory(ctx: Context) -> CheckOutput:
    """Names and ids of the target that are single tokens, although no other record needs them.

    A tokenizer that was trained on the target's records may hold their name or number as a token. It goes along with
    the unlearned model and with a retrained one that shares it, and no unlearning of weights removes it. The judged
    value is the share of such words among the words of the target that no other record holds, less the same share
    among matched controls, whom no tokenizer has met.
    """
    if KEY not in ctx.probes:
        reason = "every word of the targets' names and ids stands in other records too, or there is none"
        return CheckOutput([CheckResult(key=KEY, status="not_applicable", reason=reason)])
    return judge_inventory(ctx.probe(KEY, "unlearned"), ctx.margin(KEY, MARGIN))


def judge_inventory(inventory: Inventory, margin: float) -> CheckOutput:
    """The result from the words that are single tokens; `margin` bounds the excess over the controls."""
    probe, single = inventory.probe, inventory.single
    words = frozenset(chain(*probe.targets.values()))
    tokens = sorted(words & single)
    share = len(tokens) / len(words)
    control = _mean([len(own & single) / len(own) for own in probe.controls.values()])
    details = TokenInventoryDetails(
        words=len(words), single=len(tokens), tokens=tuple(tokens[:MAX_LISTED]), controls=len(probe.controls)
    )
    summary = f"{len(tokens)} of {len(words)} words of the target's names and ids are tokens that no other record needs"
    known = len(probe.controls) >= MIN_CONTROLS
    excess = share - (control if known else 0.0)
    status: Status = "passed" if not tokens or excess <= margin else "failed" if known else "inconclusive"
    comparison = f"among controls a share of {control:.3f}" if known else f"a comparison needs {MIN_CONTROLS} controls"
    interval = Interval(share, None, None, "none: a count of words", len(words), len(probe.targets))
    reference = ReferenceValue(role="controls", estimate=control) if probe.controls else None
    result = CheckResult.measured(
        KEY,
        status,
        interval,
        f"{summary}; {comparison}",
        reference=reference,
        controls=(Control(key="controls.single_tokens", estimate=control),) if probe.controls else (),
        rule=JudgedRule(id="excess", margin=margin),
    )
    return CheckOutput([result], details)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
