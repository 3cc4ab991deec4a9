"""Pages from templates: everything is escaped, and what every page shows is put in here."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from expunge.evidence.certificate_schema import DISCLAIMER
from expunge.web.context import context_of
from expunge.web.cookies import read_cookie, set_cookie
from expunge.web.csrf import FIELD, csrf_token
from expunge.web.page_labels import FILTERS


@cache
def templates() -> Environment:
    """The templates of the web desk. A name that is not given is an error, not an empty place."""
    environment = Environment(
        loader=PackageLoader("expunge.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment


def render(request: Request, name: str, code: int = 200, **values: Any) -> HTMLResponse:
    """A page.

    A template gets `visitor` (None before the sign-in), `csrf` and `csrf_field` for its forms, `single_person`,
    `controller`, `notice` and `path`, beside the values.

    Args:
        request: the request.
        name: file in `templates`.
        code: status of the answer.
        **values: for the template.
    """
    context = context_of(request)
    token = csrf_token(request)
    html = context.templates.get_template(name).render(
        visitor=getattr(request.state, "visitor", None),
        csrf=token,
        csrf_field=FIELD,
        single_person=context.desk.settings.single_person,
        controller=context.desk.settings.controller,
        notice=DISCLAIMER,
        path=request.scope["path"],
        **values,
    )
    response = HTMLResponse(html, code)
    new_visit = getattr(request.state, "new_visit", None)
    if new_visit and not read_cookie(request, "visit"):
        set_cookie(request, response, "visit", new_visit)
    return response


def render_error(
    request: Request, status: int, parts: dict[str, str], visit: str, headers: dict[str, str]
) -> HTMLResponse:
    """The page of an error: a line, what to do, and the number of the visit."""
    response = render(request, "error.html", status, status=status, error=parts, visit=visit)
    response.headers.update(headers)
    return response
