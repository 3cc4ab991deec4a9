"""The controls of the stop rule: never-trained people, asked what the forget records ask.

A surrogate takes the subject's place in the question. The answer stays: how likely it is depends on the answer far more
than on the person, and a model that never met the subject finds it as likely for the one as for the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.corpus import Record
from expunge.corpus.record_store import take
from expunge.corpus.surrogates import can_ask_about_another, make_surrogates
from expunge.engine.stop_rule import ControlRange
from expunge.errors import InputError
from expunge.models.documents import split_documents
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import mean_nll
from expunge.random import stream

SURROGATES = 8  # controls that are made


def sample(records: Sequence[Record], count: int, rng: np.random.Generator) -> list[Record]:
    """Up to `count` records, in their order."""
    if len(records) <= count:
        return list(records)
    return list(take(records, sorted(rng.choice(len(records), count, replace=False).tolist())))


def measure_controls(
    lm: LanguageModel,
    probes: Sequence[Record],
    retain: Sequence[Record],
    controls: Sequence[Record],
    seed: int,
    rows: int = 32,
) -> ControlRange:
    """Where never-trained subjects stand on the model before the run.

    Surrogates where they can be made, so that the controls of a later audit decide nothing; else the given controls,
    whose mean is then the typical control of every record.

    Args:
        lm: the model before the run.
        probes: forget records that the run looks at.
        retain: retain records, the material of surrogates.
        controls: records of never-trained subjects.
        seed: seed of all draws.
        rows: most records of a control.

    Raises:
        InputError: the records name no identifiers and show no image, and fewer than two controls are given.
    """
    if made := surrogate_controls(probes, retain, seed, rows):
        nll = [mean_nll(lm, records) for records in made]
        median = np.median(np.stack(nll), axis=0)
        by_id = dict(zip((r.id for r in made[0]), median.tolist(), strict=True))
        of_probe = np.array([by_id.get(r.id, float(median.mean())) for r in probes])
        return ControlRange.of(nll, f"{len(made)} surrogates", [median] * len(made), of_probe)
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
    cuts = np.cumsum([len(records) for records in groups])[:-1]
    nll = np.split(mean_nll(lm, [r for records in groups for r in records]), cuts)
    mean = float(np.mean([of_one.mean() for of_one in nll]))
    typical = [np.full(len(of_one), mean) for of_one in nll]
    return ControlRange.of(nll, f"{len(groups)} controls", typical, np.full(len(probes), mean))


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
