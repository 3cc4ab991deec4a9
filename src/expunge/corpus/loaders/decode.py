"""Decodes a picture once, to be sure that it can be: what a run would trip over in its third hour is said at load.

Surprising: only formats whose decoder is part of Pillow are tried. Others would start programs (EPS) or need plugins.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from expunge.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

MOST_PIXELS = 50_000_000
ENDINGS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp", "BMP": "bmp", "GIF": "gif", "TIFF": "tif"}


def pillow(where: str) -> ModuleType:
    """`PIL.Image`; `InputError` where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(
            where, "pictures need Pillow, which is not installed", "pip install 'expunge[vision]'"
        ) from error
    return Image


def ending(data: bytes, what: str, where: str) -> str:
    """The usual file ending of this picture's format; `InputError` unless all of it can be decoded.

    The size is taken from the header, before memory is used for pixels.
    """
    image = pillow(where)
    large = InputError(where, f"{what} has more than {MOST_PIXELS // 10**6} megapixels", "make it smaller")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(io.BytesIO(data), formats=tuple(f for f in ENDINGS if f != "MPO")) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise large
                opened.load()
                return ENDINGS[opened.format]
    except InputError:
        raise
    except (image.DecompressionBombWarning, image.DecompressionBombError) as error:
        raise large from error
    except image.UnidentifiedImageError as error:
        raise InputError(
            where, f"{what} is not a picture", f"give one of {', '.join(sorted(set(ENDINGS.values())))}"
        ) from error
    except Exception as error:  # decoders of broken bytes raise whatever they like
        raise InputError(
            where,
            f"{what} cannot be decoded ({' '.join(str(error).split()) or type(error).__name__})",
            "save it again, or remove the row",
        ) from error
