"""Before anything is judged: are the models comparable, is the yardstick one, and did the original know the records?

Each function raises one line (exit code 2), because a verdict against a wrong yardstick is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expunge._io import digest
from expunge.audit.metrics.exact_match import matches
from expunge.audit.policy import Policy
from expunge.audit.record_sets import FORGET, HELDOUT, RETAIN, TEXT
from expunge.audit.schema import KnownShare
from expunge.audit.scores import Scores, Values
from expunge.corpus import Record
from expunge.errors import InputError
from expunge.models.fingerprint import model_digest, weights_digest
from expunge.models.language_model import LanguageModel

CONTRADICTION = 0.5  # shares by text and by tokens that lie further apart cannot both be right
SAME = 1e-6  # nats: models whose token log-probs are this close everywhere are one model
KEEP_IT = "give a model trained in the same way without the records, or leave --retrained out"

Sets = Mapping[str, Scores]


@dataclass(frozen=True)
class Comparable:
    """What must be equal in all models of an audit, each with its name in messages."""

    architecture: str
    vocabulary: str
    template: str

    @classmethod
    def of(cls, lm: LanguageModel) -> Comparable:
        """Of a loaded model. The vocabulary is a digest over tokens and ids."""
        config: Any = getattr(lm.module, "config", None)
        config = config.get_text_config() if hasattr(config, "get_text_config") else config
        sizes = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        architecture = " ".join(f"{name} {getattr(config, name, None)}" for name in sizes)
        written = getattr(lm.tokenizer, "chat_template", None) if lm.template.kind == "chat" else None
        vocabulary = digest(sorted(lm.tokenizer.get_vocab().items()))
        return cls(architecture, vocabulary, f"{lm.template.kind} {digest(written)[:8]}")


def check_comparable(role: str, source: str, model: Comparable, original: Comparable) -> None:
    """`InputError` for a model of another architecture, tokenizer or prompt template than the original's."""
    if model.architecture != original.architecture:
        what = f"is of another architecture ({model.architecture}) than the original model ({original.architecture})"
        raise InputError(source, what, f"give the {role} model that belongs to this original")
    if model.vocabulary != original.vocabulary:
        hint = "train it with the tokenizer of the original (--tokenizer-from)" if role == "retrained" else ""
        raise InputError(source, f"the {role} model has another tokenizer than the original model", hint)
    if model.template != original.template:
        what = f"the {role} model puts questions by another template than the original model"
        raise InputError(source, what, "give both tokenizers the same chat template, or use --template plain")


def check_sources(sources: Mapping[str, str]) -> None:
    """`InputError` if the retrained model is another model of the audit, by the digest of its files."""
    if "retrained" not in sources:
        return
    own = _identities(sources["retrained"])
    for role in ("unlearned", "original"):
        if own & _identities(sources[role]):
            raise InputError(sources["retrained"], f"is the {role} model itself, so it is no yardstick", KEEP_IT)


def _identities(source: str) -> set[str]:
    folder = Path(source)
    weights = {weights_digest(folder)} if any(folder.glob("*.safetensors")) else set()
    return {model_digest(source)} | weights


def check_scores_differ(source: str, retrained: Sets, other: Sets, role: str) -> None:
    """`InputError` if the retrained model scores every token of every set as another model does."""
    pairs = [(retrained[name], other[name]) for name in (FORGET, HELDOUT) if len(retrained[name])]
    if pairs and all(a.logp.shape == b.logp.shape and np.abs(a.logp - b.logp).max() <= SAME for a, b in pairs):
        what = f"answers every question exactly as the {role} model does, so it is no yardstick"
        raise InputError(source, what, KEEP_IT)


def check_yardstick(source: str, original: Sets, retrained: Sets, records: Mapping[str, Record], policy: Policy) -> str:
    """What a retrained model knows of the retained records beside the original, in a line.

    Exact match by tokens on held-out retain records, and on retain records where those are few.

    Raises:
        InputError: the retrained model knows fewer by more than the policy's `yardstick_margin`.
    """
    shares = []
    for sets in (original, retrained):
        values = np.concatenate([_exact(sets[name], records) for name in (HELDOUT, RETAIN) if name in sets])
        shares.append((float(values.mean()) if len(values) else float("nan"), len(values)))
    (before, n), (ours, _) = shares
    line = f"of {n} retained records the original model gives {before:.1%}, the retrained model {ours:.1%}"
    if n and ours < before - policy.yardstick_margin:
        raise InputError(
            source,
            f"does not know what it should: {line} (at most {policy.yardstick_margin:.0%} less is allowed)",
            "train it to the end on all records that are not to be forgotten",
        )
    return line if n else ""


def check_agreement(source: str, sets: Sets, records: Mapping[str, Record]) -> dict[str, KnownShare]:
    """What the original knows of the forget set and of the held-out retain set, by text and by tokens.

    Raises:
        InputError: text and tokens contradict each other, so that no figure of the audit could be trusted.
    """
    known: dict[str, KnownShare] = {}
    for name, key in (("forget", FORGET), ("retained", TEXT)):
        scores = _trained_wordings(sets[key], records) if key in sets else None
        if scores is None or not len(scores) or scores.text is None:
            continue
        rows = tuple(records[i] for i in scores.ids)
        share = KnownShare(
            n=len(rows), by_text=float(matches(scores, rows).mean()), by_tokens=float(_exact(scores, records).mean())
        )
        known[name] = share
        inner = float((scores.sum(~scores.hit) == 0).mean())  # whole answers, whether or not the model stops
        if share.by_text - share.by_tokens > CONTRADICTION:
            what = f"gives {share.by_text:.0%} of {len(rows)} answers as text, but {share.by_tokens:.0%} by tokens"
            hint = "its tokenizer splits prompt and answer differently than it was trained with; try --template"
            raise InputError(source, what, hint)
        if inner - share.by_text > CONTRADICTION:
            what = f"knows {inner:.0%} of {len(rows)} answers by tokens, but gives {share.by_text:.0%} as text"
            hint = "it does not stop where its template ends an answer; check eos_token and the chat template"
            raise InputError(source, what, hint)
    return known


def _trained_wordings(scores: Scores, records: Mapping[str, Record]) -> Scores:
    return scores.select([i for i in scores.ids if not records[i].wording])


def _exact(scores: Scores, records: Mapping[str, Record]) -> Values:
    """Exact match by tokens alone, [N], the end token included."""
    stopped = scores.eos_hit | np.isnan(scores.eos_logp)
    return np.asarray((scores.sum(~scores.hit) == 0) & stopped, dtype=np.float64)


def knowledge_lines(known: Mapping[str, KnownShare]) -> Sequence[str]:
    """What the original knew, in lines for people."""
    names = {"forget": "records to be forgotten", "retained": "held-out records that must stay"}
    return [
        f"the original model gives {s.by_text:.0%} of {s.n} {names[key]} as text, {s.by_tokens:.0%} by tokens"
        for key, s in known.items()
    ]
