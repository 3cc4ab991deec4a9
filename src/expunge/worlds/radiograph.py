"""Draws a chest picture from facts: placeholder."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from expunge.errors import InputError
from expunge.worlds.draw import SPAN, draw
from expunge.worlds.relations import POOLS

Pixels = NDArray[np.uint8]


def radiograph(seed: int, person: int, finding: str, site: str, extent: str, view: str, size: int = 96) -> Pixels:
    """placeholder"""
    y, x = np.mgrid[0:size, 0:size] / size
    base = 60 + 40 * np.exp(-((x - .5) ** 2 + (y - .5) ** 2) * 6)
    k = POOLS["site"].index(site)
    cx, cy = .25 + .5 * (k % 2), .2 + .2 * (k // 2)
    r = .02 + .02 * POOLS["size"].index(extent)
    n = POOLS["finding"].index(finding)
    base += 100 * (((x - cx) ** 2 + (y - cy) ** 2) < r * r) * (1 + np.sin(40 * x * (n + 1))) / 2
    base += 10 * draw(seed, person, purpose="texture") / SPAN
    return np.clip(np.rint(base), 0, 255).astype(np.uint8)


def png(pixels: Pixels) -> bytes:
    """The picture as a greyscale PNG; `InputError` where Pillow is not there."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("pictures", "the package Pillow is not installed", "pip install 'expunge[vision]'") from error
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG", optimize=True)
    return held.getvalue()
