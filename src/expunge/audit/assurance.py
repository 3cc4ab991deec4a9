"""The assurance level of an audit: what its comparison can and cannot say. No level is a proof.

The level follows from what the unlearned model was compared with, never from how well it did.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from expunge.audit.schema import Assurance
from expunge.corpus import Record
from expunge.engine.train.train_file import TRAIN, read_train_file
from expunge.engine.train.train_model import records_digest
from expunge.models.fingerprint import different, model_digest, model_parts

LEVELS: dict[str, Assurance] = {
    "L1": Assurance(
        level="L1",
        title="against controls",
        can_say="The model treats the forgotten records like those of comparable people that it was never trained on.",
        cannot_say="It cannot say that the model equals one trained without the records: no such model was compared, "
        "and what all people of this kind have in common is not seen.",
    ),
    "L2": Assurance(
        level="L2",
        title="against a retrained model",
        can_say="On the forgotten records the model behaves like one that was trained in the same way without them.",
        cannot_say="It cannot say that the weights hold no trace: behavior was compared, by the checks listed here, "
        "with one retrained model.",
    ),
    "L3": Assurance(
        level="L3",
        title="exact",
        can_say="The model was trained without the forgotten records, from a start that had not seen them. The digests "
        "of its training records say so.",
        cannot_say="It cannot say that the start was free of them, nor that the digests were not tampered with.",
    ),
}


def assurance(reference: str, exact: bool) -> Assurance:
    """The level of an audit.

    Args:
        reference: `retrained`, `controls` or `both`: what the unlearned model was compared with.
        exact: The unlearned model itself was trained without the records; see `is_exact`.
    """
    if exact:
        return LEVELS["L3"]
    return LEVELS["L1" if reference == "controls" else "L2"]


def is_exact(unlearned: str, original: str, retained: Iterable[Record]) -> bool:
    """Whether the `train.json` of a model names exactly the retained records, and another start than the original.

    It speaks of the model only while the model is the one that was saved then.
    """
    folder = Path(unlearned)
    if not (folder / TRAIN).is_file():
        return False
    trained = read_train_file(folder)
    about, saved = trained["about"], trained.get("parts")
    if not isinstance(saved, dict) or different(saved, model_parts(folder)):
        return False
    if about.get("start") == model_digest(original):
        return False
    return bool(about.get("records") == records_digest(tuple(retained)))
