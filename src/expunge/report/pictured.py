"""What the report reads about pictures: entries of the gallery and cells of cues, checked before they stand in a page.

Surprising: a picture must be base64 of a PNG or JPEG, so that nothing else can be put into a page as a picture.
"""

from __future__ import annotations

import base64
import binascii
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from expunge.audit.check_result import Bounds, Number, Status

MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
MOST = 200_000  # characters of a picture


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Thumbnail(_Read):
    """A small encoded picture."""

    type: Literal["image/png", "image/jpeg"]
    data: str

    @model_validator(mode="after")
    def _is_a_picture(self) -> Thumbnail:
        try:
            found = base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("a picture must be base64") from error
        if not found.startswith(MAGIC[self.type]) or len(self.data) > MOST:
            raise ValueError(f"a picture must be a small {self.type}")
        return self

    @property
    def address(self) -> str:
        """The picture as an address that needs no file."""
        return f"data:{self.type};base64,{self.data}"


class ImageExample(_Read):
    """A record of the gallery: `about` forgotten or sibling, and what each model says."""

    about: Literal["forgotten", "sibling"]
    prompt: str
    answer: str
    kind: str = ""
    credit: str = ""
    picture: Thumbnail
    said: dict[str, str]


class ModalityShare(_Read):
    """A share of exact answers, or a difference of two; `ci` only where there are enough subjects."""

    estimate: Number = None
    ci: Bounds = None


class Crossing(_Read):
    """Records taught with one cue and asked by another; without `status` a control, which nothing judges."""

    taught: str
    asked: str
    n: int
    shares: dict[str, ModalityShare]
    excess: ModalityShare | None = None
    status: Status | None = None


class ModalityTable(_Read):
    """All cells."""

    cells: tuple[Crossing, ...]
