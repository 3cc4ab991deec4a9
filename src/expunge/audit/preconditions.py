"""Before anything is judged: are the models comparable, is the yardstick one, and did the original know the records?

Each function raises one line (exit code 2), because a verdict against a wrong yardstick is worse than none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge._io import digest
from expunge.audit.metrics.exact_match import matches
from expunge.audit.policy import Policy
from expunge.audit.record_sets import FORGET, HELDOUT, RETAIN, TEXT
from expunge.audit.schema import KnownShare
from expunge.audit.scores import Scores, Values
from expunge.audit.token_mismatch import mismatch
from expunge.corpus import Record
from expunge.errors import InputError
from expunge.models.fingerprint import model_digest, weights_digest
from expunge.models.language_model import LanguageModel
from expunge.models.run_file import run_facts

CONTRADICTION = 0.5  # shares by text and by tokens that lie further apart cannot both be right
ENOUGH = 8  # answers given as text, of which at least half must be given by tokens too
SAME = 1e-6  # nats: models whose token log-probs are this close everywhere are one model
AS_MADE = "leave --template out: a run is asked by the template that it was made with, and so are all models"
KEEP_IT = "give a model trained in the same way without the records, or leave --retrained out"

Sets = Mapping[str, Scores]


@dataclass(frozen=True)
class Comparable:
    """What must be equal in all models of an audit, each with its name in messages.

    Attributes:
        architecture: Family and sizes.
        vocabulary: Digest over tokens, ids and merges (or scores) of the tokenizer.
        template: Kind, and digest of the chat template.
        precision: Of the input embeddings, as loaded.
        context: Longest sequence in tokens.
        rendering: Digest over the token ids of given records, and over the ids that end a generation.
    """

    architecture: str
    vocabulary: str
    template: str
    precision: str = ""
    context: int = 0
    rendering: str = ""

    @classmethod
    def of(cls, lm: LanguageModel, records: Iterable[Record] = ()) -> Comparable:
        """Of a loaded model, which is asked for the token ids of `records` without their images."""
        config: Any = getattr(lm.module, "config", None)
        config = config.get_text_config() if hasattr(config, "get_text_config") else config
        sizes = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        architecture = " ".join(f"{name} {getattr(config, name, None)}" for name in sizes)
        written = getattr(lm.tokenizer, "chat_template", None) if lm.template.kind == "chat" else None
        items = lm.template.encode_all(replace(r, image=None) for r in records)
        return cls(
            architecture,
            digest([sorted(lm.tokenizer.get_vocab().items()), _merges(lm.tokenizer)]),
            f"{lm.template.kind} {digest(written)[:8]}",
            str(lm.module.get_input_embeddings().weight.dtype).removeprefix("torch."),
            lm.context,
            digest([sorted(lm.template.stops), [(item.prompt, item.answer) for item in items]]),
        )


def _merges(tokenizer: Any) -> Any:
    """Merges or scores of a tokenizer, as its library writes them; None for one in Python alone."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return None if backend is None else json.loads(backend.to_str())["model"]


def check_comparable(role: str, source: str, model: Comparable, original: Comparable) -> None:
    """`InputError` for a model that differs from the original in anything that `Comparable` names."""
    if model.architecture != original.architecture:
        what = f"is of another architecture ({model.architecture}) than the original model ({original.architecture})"
        raise InputError(source, what, f"give the {role} model that belongs to this original")
    if model.vocabulary != original.vocabulary:
        hint = "train it with the tokenizer of the original (--tokenizer-from)" if role == "retrained" else ""
        raise InputError(source, f"the {role} model has another tokenizer than the original model", hint)
    if model.template != original.template:
        what = f"the {role} model puts questions by another template than the original model"
        hint = "give its tokenizer the chat template of the original, or, if the unlearned model is no run, use "
        raise InputError(source, what, AS_MADE if run_facts(source) else f"{hint}--template plain")
    if model.precision != original.precision:
        what = f"the {role} model is loaded in {model.precision}, the original model in {original.precision}"
        raise InputError(source, what, "load all models alike, for example with --dtype float32")
    if model.context != original.context:
        what = f"the {role} model reads {model.context} tokens, the original model {original.context}"
        raise InputError(source, what, "give all models the same max_position_embeddings")
    if model.rendering != original.rendering:
        what = f"the {role} model writes the records in other tokens, or ends an answer elsewhere, than the original"
        raise InputError(source, what, "give it the tokenizer files and the generation_config.json of the original")


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


def check_agreement(
    source: str, sets: Sets, records: Mapping[str, Record], lm: LanguageModel | None = None
) -> dict[str, KnownShare]:
    """What the original knows of the forget set and of the held-out retain set, by text and by tokens.

    Args:
        source: Of the original model, for messages.
        sets: Its scores by set.
        records: The records by row id.
        lm: The original model, which is asked for the token at which text and tokens part.

    Raises:
        InputError: text and tokens contradict each other, so that no figure of the audit could be trusted.
    """
    known: dict[str, KnownShare] = {}
    for name, key in (("forget", FORGET), ("retained", TEXT)):
        scores = _trained_wordings(sets[key], records) if key in sets else None
        if scores is None or not len(scores) or scores.text is None:
            continue
        rows = tuple(records[i] for i in scores.ids)
        by_text, by_tokens = matches(scores, rows) == 1, _exact(scores, records) == 1
        inner = scores.sum(~scores.hit) == 0  # whole answers, whether or not the model stops
        share = KnownShare(n=len(rows), by_text=float(by_text.mean()), by_tokens=float(by_tokens.mean()))
        known[name] = share
        if _contradicts(by_text, by_tokens):
            what = f"gives {share.by_text:.0%} of {len(rows)} answers as text, but {share.by_tokens:.0%} by tokens"
            hint = "its tokenizer splits prompt and answer differently than it was trained with; try --template"
            raise InputError(source, what + _fact(lm, rows, by_text & ~by_tokens), hint)
        if _contradicts(inner, by_text):
            what = f"knows {inner.mean():.0%} of {len(rows)} answers by tokens, but gives {share.by_text:.0%} as text"
            hint = "it does not stop where its template ends an answer; check eos_token and the chat template"
            raise InputError(source, what + _fact(lm, rows, inner & ~by_text), hint)
    return known


def _contradicts(many: NDArray[np.bool_], few: NDArray[np.bool_]) -> bool:
    """True where `many` holds far oftener than `few`, or `ENOUGH` times and `few` in less than half of them."""
    apart = float(many.mean() - few.mean()) > CONTRADICTION
    return apart or (int(many.sum()) >= ENOUGH and 2 * int((many & few).sum()) < int(many.sum()))


def _fact(lm: LanguageModel | None, rows: Sequence[Record], which: NDArray[np.bool_]) -> str:
    """What parts text and tokens in the first of these records, as a clause behind a colon."""
    clause = mismatch(lm, rows[int(np.flatnonzero(which)[0])]) if lm and which.any() else ""
    return f": {clause}" if clause else ""


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
