"""The controls of the stop rule: never-trained people, asked what the forget records ask.

A surrogate takes the subject's place in the question. The answer stays: how likely it is depends on the answer far more
than on the person, and a model that never met the subject finds it as likely for the one as for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expunge.corpus import Record
from expunge.corpus.record_store import take
from expunge.corpus.surrogates import can_ask_about_another, make_surrogates
from expunge.engine.stop_rule import ControlRange
from expunge.errors import InputError
from expunge.models.documents import split_documents
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import Nats
from expunge.random import stream

SURROGATES = 8  # controls that are made


def sample(records: Sequence[Record], count: int, rng: np.random.Generator) -> list[Record]:
    """Up to `count` records, in their order."""
    if len(records) <= count:
        return list(records)
    return list(take(records, sorted(rng.choice(len(records), count, replace=False).tolist())))


@dataclass(frozen=True)
class StopControls:
    """Never-trained subjects and what they are asked.

    Attributes:
        records: per control its questions, with the true answers.
        of_probe: for each forget row of the probe its position among a control's questions; None where it has none.
        source: what the controls are, for the output.
    """

    records: list[list[Record]]
    of_probe: list[int | None]
    source: str

    def range(self, nll: Nats) -> ControlRange:
        """Where the controls stand; nll: [records of all controls, in their order], nats per token."""
        cuts = np.cumsum([len(r) for r in self.records])[:-1]
        return ControlRange.of(np.split(nll, cuts), self.of_probe)


def choose_controls(
    lm: LanguageModel,
    probes: Sequence[Record],
    retain: Sequence[Record],
    controls: Sequence[Record],
    seed: int,
    rows: int = 32,
) -> StopControls:
    """The controls of a run.

    Surrogates where they can be made, so that the controls of a later audit decide nothing; else the given controls.

    Args:
        lm: the model, for the windows of documents.
        probes: forget records that the run looks at.
        retain: retain records, the material of surrogates.
        controls: records of never-trained subjects.
        seed: seed of all draws.
        rows: most records of a control.

    Raises:
        InputError: the records name no identifiers and show no image, and fewer than two controls are given.
    """
    if made := surrogate_controls(probes, retain, seed, rows):
        position = {r.id: k for k, r in enumerate(made[0])}
        return StopControls(made, [position.get(r.id) for r in probes], f"{len(made)} surrogates")
    by_subject: dict[str, list[Record]] = {}
    for r in controls:
        by_subject.setdefault(r.subject or r.id, []).append(r)
    groups = [
        sample(split_documents(records, lm.template), rows, stream(seed, "stop control", name))
        for name, records in by_subject.items()
    ]
    if len(groups) < 2:
        raise InputError(
            "recipe: stop.when",
            "needs controls: no surrogates can be made for the forget records, and fewer than two controls are given",
            "add the column identifiers or controls (split: control), or set stop.when=null",
        )
    return StopControls(groups, [None] * len(probes), f"{len(groups)} controls")


def has_surrogate(record: Record) -> bool:
    """Whether the record's question can be asked about somebody else; a document asks none."""
    return record.kind != "document" and can_ask_about_another(record)


def surrogate_controls(
    forget: Sequence[Record], retain: Sequence[Record], seed: int, rows: int = 32
) -> list[list[Record]]:
    """Questions of the forget records about surrogates, with the true answers; one list a surrogate.

    At most `rows` questions a surrogate. Records that nothing can be replaced in are left out.
    """
    named = sample([r for r in forget if has_surrogate(r)], rows, stream(seed, "stop forget"))
    made: list[list[Record]] = [[] for _ in range(SURROGATES)]
    for subject in sorted({r.subject for r in named}):
        own = [r for r in named if r.subject == subject]
        for number, surrogate in enumerate(make_surrogates(own, retain, SURROGATES, seed)):
            made[number] += [surrogate.substitute(r) for r in own]
    return [records for records in made if records]
