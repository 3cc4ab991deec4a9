"""Sign in and out, set up an account, choose a role, and show the token of the desk."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from expunge.desk.roles import Refusal
from expunge.web.accounts import begin_enrolment, finish_enrolment, sign_in
from expunge.web.context import context_of
from expunge.web.cookies import drop_cookie, set_cookie
from expunge.web.enrolment_code import code_image, code_uri
from expunge.web.errors import Turned, redirect
from expunge.web.oidc_sign_out import lead_to_sign_out
from expunge.web.render import render
from expunge.web.security import client_address, gate_pass, is_desk_token
from expunge.web.visitor import SIGN_IN, Visitor, visitor, visitor_or_none

router = APIRouter()
HOME = "/"
Text = Annotated[str, Form(max_length=300)]
MaybeVisitor = Annotated[Visitor | None, Depends(visitor_or_none)]


def slow_down(request: Request) -> None:
    """`Turned` for an address that tries too often."""
    context = context_of(request)
    key = f"sign-in {client_address(context, request)}"
    if wait := context.limiter.take(key, context.settings.sign_ins_per_minute):
        raise Turned(429, "too many attempts", f"wait {wait} seconds", "sign-in", retry_after=wait)


def passwords_are_on(request: Request) -> None:
    """`Turned` where people sign in at the identity provider alone."""
    if not context_of(request).settings.passwords:
        raise Turned(403, "this desk takes no passwords", "sign in at the identity provider", "sign-in")


@router.get(SIGN_IN)
def sign_in_page(request: Request, who: MaybeVisitor) -> Response:
    """The form to sign in."""
    if who is not None:
        return redirect(request, HOME)
    settings = context_of(request).settings
    oidc = settings.oidc.button if settings.oidc else None
    return render(request, "sign_in.html", oidc=oidc, passwords=settings.passwords)


@router.post(SIGN_IN, dependencies=[Depends(slow_down), Depends(passwords_are_on)])
def sign_in_now(request: Request, person: Text, password: Text, code: Text) -> Response:
    """Begin a session in the first role of the person."""
    context = context_of(request)
    known = sign_in(context.desk, person.strip(), password, code)
    response = redirect(request, HOME)
    set_cookie(request, response, "session", context.sessions.begin(known.person, known.roles[0], known.stamp))
    drop_cookie(request, response, "visit")
    return response


@router.post("/sign-out")
def sign_out(request: Request, who: MaybeVisitor) -> Response:
    """End the session, and lead to the sign-out of the identity provider if it began there."""
    response = None
    if who is not None and who.session is not None:
        who.context.sessions.end(who.session)
        request.state.visitor = None
        response = lead_to_sign_out(request, who.session)
    response = response or redirect(request, SIGN_IN)
    drop_cookie(request, response, "session")
    return response


@router.post("/role")
def choose_role(request: Request, role: Text, visits: Visitor = Depends(visitor)) -> Response:
    """Act in another role of one's own; pages say in which one."""
    if role not in visits.roles or visits.session is None:
        raise Refusal("role", "is none of yours", f"roles: {', '.join(visits.roles)}", kind="role")
    visits.session.role = role
    visits.session.revealed = None
    return redirect(request, HOME)


@router.get("/set-up", dependencies=[Depends(passwords_are_on)])
def set_up_page(request: Request) -> Response:
    """The form to set up an account with the token of an admin."""
    return render(request, "set_up.html", image=None, key=None, person="")


@router.post("/set-up", dependencies=[Depends(slow_down), Depends(passwords_are_on)])
def set_up(
    request: Request, person: Text, token: Text, password: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """Choose a password, and show the secret of the one-time codes."""
    name = person.strip()
    secret = begin_enrolment(context_of(request).desk, name, token, password)
    return render(request, "set_up.html", image=code_image(code_uri(secret, name)), key=secret, person=name)


@router.post("/set-up/code", dependencies=[Depends(slow_down), Depends(passwords_are_on)])
def set_up_code(request: Request, person: Text, token: Text, code: Text) -> Response:
    """Show a first code; then the account is ready."""
    finish_enrolment(context_of(request).desk, person.strip(), token, code)
    return redirect(request, SIGN_IN)


@router.get("/gate")
def gate_page(request: Request) -> Response:
    """The form for the token of the desk."""
    return render(request, "gate.html")


@router.post("/gate", dependencies=[Depends(slow_down)])
def gate(request: Request, token: Text) -> Response:
    """Let a browser in that shows the token."""
    context = context_of(request)
    if not is_desk_token(context, token.strip()):
        raise Turned(403, "the token is wrong", "ask the operator of the desk", "token")
    response = redirect(request, SIGN_IN)
    set_cookie(request, response, "gate", gate_pass(context))
    return response
