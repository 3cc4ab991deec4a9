"""Why a sign-in at an identity provider is refused. The visitor reads a line; the log keeps one word, never a value."""

from __future__ import annotations

from typing import Literal

from expunge.desk.roles import Refusal

Why = Literal["provider", "state", "denied", "token", "assurance", "unknown"]
AGAIN = "begin again at the sign-in page"
LINES: dict[Why, tuple[str, str]] = {
    "provider": ("the identity provider does not answer as it should", "try again in a minute, or tell the operator"),
    "state": ("was not begun in this browser, was used before, or took longer than ten minutes", AGAIN),
    "denied": ("the identity provider did not let you in", AGAIN),
    "token": ("the answer of the identity provider does not hold here", "begin again, or tell the operator"),
    "assurance": ("was weaker, or longer ago, than this desk asks for", "sign in there anew, with your second factor"),
    "unknown": ("the identity provider knows you, and this desk does not", "ask an admin to bind your account"),
}


class OidcRefusal(Refusal):
    """A sign-in that is refused, always with status 403.

    Attributes:
        why: Key of what the visitor reads.
        detail: One word for the log of the operator, such as `nonce`.
    """

    def __init__(self, why: Why, detail: str = "") -> None:
        super().__init__("sign-in", *LINES[why], kind="role")
        self.why, self.detail = why, detail or why

    def __reduce__(self) -> tuple[type[OidcRefusal], tuple[Why, str]]:  # type: ignore[override]
        return type(self), (self.why, self.detail)
