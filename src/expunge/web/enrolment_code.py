"""The secret of one-time codes in the form that phones read: a URI, and a picture of it."""

from __future__ import annotations

from markupsafe import Markup

ISSUER = "expunge desk"


def code_uri(secret: str, person: str) -> str:
    """The `otpauth:` URI of a secret."""
    import pyotp

    return str(pyotp.TOTP(secret).provisioning_uri(name=person, issuer_name=ISSUER))


def code_image(uri: str) -> Markup:
    """A QR code as inline SVG, dark on white in any theme, without styles."""
    import segno

    code = segno.make(uri, error="m", micro=False)
    svg = code.svg_inline(scale=5, border=4, dark="#000", light="#fff", svgclass=None, lineclass=None)
    return Markup(svg.replace("<svg ", '<svg role="img" aria-label="QR code of the secret" ', 1))
