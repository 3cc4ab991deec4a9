"""Roles at the desk, what each may do beside the lifecycle, and who acts.

The lifecycle table says which role may start which event; this table holds the other actions. Both are checked in the
service functions, so no page and no command can go around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from expunge.errors import InputError, unknown

Role = Literal[
    "subject", "clerk", "webhook", "reviewer", "operator", "approver", "auditor", "viewer", "admin", "system"
]
ROLES: tuple[str, ...] = get_args(Role)
PEOPLE: tuple[str, ...] = ("clerk", "reviewer", "operator", "approver", "auditor", "viewer", "admin")
READERS: tuple[str, ...] = ("clerk", "reviewer", "operator", "approver", "auditor", "viewer", "admin", "system")

MAY: dict[str, tuple[str, ...]] = {
    "read": READERS,
    "identify": ("clerk",),
    "match": ("clerk",),
    "search": ("clerk", "system"),
    "propose decision": ("clerk", "reviewer"),
    "decide asset": ("reviewer",),
    "extend": ("reviewer",),
    "reveal": ("auditor", "clerk", "reviewer"),
    "read reasons": ("clerk", "reviewer", "operator", "approver", "auditor"),
    "read letter": ("clerk", "reviewer", "auditor"),  # a reviewer's reason can stand in it
    "edit assets": ("operator", "admin"),
    "plan": ("operator", "system"),
    "cancel run": ("operator", "reviewer"),
    "work": ("system",),
    "purge": ("operator", "system"),
    "tell recipient": ("clerk", "operator"),
    "edit people": ("admin",),
    "edit keys": ("admin",),
    "sign audit": ("auditor",),
}


class Refusal(InputError):
    """The desk does not do this: wrong role, wrong state, or a condition that is not met (exit code 2).

    Attributes:
        kind: `role`, `state`, `guard`, `conflict` or `missing`, from which a web page takes its status.
    """

    def __init__(self, where: str, what: str, hint: str = "", kind: str = "guard") -> None:
        super().__init__(where, what, hint)
        self.kind = kind

    def __reduce__(self) -> tuple[type[Refusal], tuple[str, str, str, str]]:  # type: ignore[override]
        return type(self), (self.where, self.what, self.hint, self.kind)


@dataclass(frozen=True)
class Actor:
    """Who acts, in one role. `person` is an opaque name of the desk, never a name that a subject could have."""

    person: str
    role: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise unknown("role", self.role, ROLES)
        if not self.person or len(self.person) > 80 or not self.person.isprintable():
            raise InputError("actor", "has no usable name", "give 1 to 80 printable characters")

    def check_may(self, action: str) -> None:
        """`Refusal` if the role may not do this."""
        if self.role not in MAY[action]:
            hint = f"roles that may: {', '.join(MAY[action])}"
            raise Refusal(action, f'the role "{self.role}" may not do this', hint, kind="role")


SYSTEM = Actor("system", "system")
