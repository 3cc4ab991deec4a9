"""Who visits a page: a person who signed in, in the one role that they chose."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from fastapi import Depends
from starlette.requests import Request

from expunge.desk.desk import Desk, DeskSession
from expunge.desk.people import people
from expunge.desk.roles import MAY, SYSTEM, Actor
from expunge.web.accounts import stamps_of
from expunge.web.context import WebContext, context_of
from expunge.web.cookies import read_cookie
from expunge.web.errors import Turned
from expunge.web.sessions import WebSession

SIGN_IN = "/sign-in"
POLLS = "/progress"  # end of paths that a page loads by itself: they are no sign that somebody is there


@dataclass(frozen=True)
class Visitor:
    """A person in one role.

    Attributes:
        person: Name at the desk.
        role: The role in which they act; the desk checks what it may.
        roles: All their roles, of which they can choose another.
        context: What the application works with.
        session: Of somebody who signed in; None for a program with a token.
    """

    person: str
    role: str
    roles: tuple[str, ...]
    context: WebContext
    session: WebSession | None = None

    @property
    def actor(self) -> Actor:
        """Who acts, for functions of the desk."""
        return Actor(self.person, self.role)

    @property
    def desk(self) -> Desk:
        """The desk, for functions that take it and an actor."""
        return self.context.desk

    def reading(self) -> AbstractContextManager[DeskSession]:
        """A transaction that reads."""
        return self.desk.reading(self.actor)

    def acting(self) -> AbstractContextManager[DeskSession]:
        """A transaction that writes."""
        return self.desk.session(self.actor)

    def may(self, action: str) -> bool:
        """Whether to offer an action of `roles.MAY`; whether it is done is for the desk to say."""
        return self.role in MAY[action]


def visitor_or_none(request: Request) -> Visitor | None:
    """Who visits; None for somebody who has not signed in, or whose session, account or role has ended."""
    context = context_of(request)
    session = context.sessions.find(read_cookie(request, "session"), renew=not request.scope["path"].endswith(POLLS))
    if session is None:
        return None
    with context.desk.reading(SYSTEM) as s:
        roles = tuple(people(s).get(session.person, ()))
        stamps = stamps_of(s, session.person)
    if session.stamp not in stamps or session.role not in roles:
        context.sessions.end(session)
        return None
    who = Visitor(session.person, session.role, roles, context, session)
    request.state.visitor = who
    return who


def visitor(who: Visitor | None = Depends(visitor_or_none)) -> Visitor:
    """Who visits; whoever has not signed in is sent to do so."""
    if who is None:
        raise Turned(303, "needs somebody who signed in", location=SIGN_IN)
    return who
