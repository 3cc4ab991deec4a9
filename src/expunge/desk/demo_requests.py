"""The requests of the demo desk: one row per state of the lifecycle, and how far each is taken."""

from __future__ import annotations

from dataclasses import dataclass

from expunge.desk.demo_world import QUICK, DemoPatient

GROUND = "legal obligation (Art. 17(3)(b))"


@dataclass(frozen=True)
class DemoRequest:
    """One request of the demo.

    Attributes:
        state: The state in which the demo leaves it.
        lineage: Whose patient asks: `ward`, `clinic`, or "" for somebody who is nowhere found.
        received: Days before today on which the letter came.
        language: Language of its letters.
        grant_notes: The notes are erased; else they are kept on a ground, and the model alone forgets.
        keeps_all: Everything is kept on a ground, so that nothing is granted.
        model_stays: The model is kept on a ground, so that only copies go.
        same_as: The state of another request of the same person.
        regime: The policy.
    """

    state: str
    lineage: str
    received: int
    language: str = "en"
    grant_notes: bool = False
    keeps_all: bool = False
    model_stays: bool = False
    same_as: str = ""
    regime: str = "gdpr"


REQUESTS: tuple[DemoRequest, ...] = (
    # ended
    DemoRequest("closed", "ward", 47, grant_notes=True),
    DemoRequest("notified", "", 46),
    DemoRequest("purging", "ward", 45, "de", model_stays=True),
    # later runs on the same model
    DemoRequest("promoted", "ward", 24),
    DemoRequest("promotion_approved", "ward", 23, "fr"),
    # runs on the other model
    DemoRequest("audit_passed", "clinic", 22),
    DemoRequest("audit_failed", "clinic", 21, "de"),
    DemoRequest("auditing", "clinic", 20),
    DemoRequest("executing", "clinic", 19),
    DemoRequest("error", "clinic", 18),
    DemoRequest("plan_approved", "clinic", 17),
    DemoRequest("planned", "clinic", 16),
    # before a plan
    DemoRequest("waiting", "clinic", 15, "fr"),
    DemoRequest("approved", "ward", 14, grant_notes=True),
    DemoRequest("partially_approved", "ward", 13),
    DemoRequest("legal_review", "ward", 12, regime=QUICK),
    DemoRequest("scoping", "ward", 11, regime=QUICK),
    DemoRequest("identity_pending", "ward", 10, regime=QUICK),
    # on the side
    DemoRequest("expired", "clinic", 43),
    DemoRequest("on_hold", "clinic", 34),
    DemoRequest("denied", "clinic", 26, keeps_all=True),
    DemoRequest("nothing_held", "", 26, "fr"),
    DemoRequest("cancelled", "clinic", 25, regime="ccpa"),
    DemoRequest("revoked", "clinic", 20),
    DemoRequest("duplicate", "clinic", 9, same_as="waiting"),
)
CONTROLLED = {"ward": 10, "clinic": 8}  # patients of each lineage who get matched controls: those with runs come first


def assign(wards: dict[str, list[DemoPatient]]) -> dict[str, DemoPatient]:
    """State -> who asks: each request another patient of its ward, except for a repeat."""
    rest = {lineage: iter(patients) for lineage, patients in wards.items()}
    own = {one.state: next(rest[one.lineage]) for one in REQUESTS if not one.same_as}
    return {one.state: own[one.same_as or one.state] for one in REQUESTS}
