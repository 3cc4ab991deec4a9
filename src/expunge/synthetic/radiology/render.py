"""Draws a chest radiograph: bones, heart and film grain of a person, and the sign of the finding.

Left and right are the patient's, as on a real film: left lies in the right half of the image. Only sums, products,
quotients and square roots are used, which round alike on every platform, so pixels are equal everywhere.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from expunge.errors import InputError, install_hint
from expunge.random import SPAN, draw
from expunge.synthetic.hospital.vocabulary import POOLS
from expunge.synthetic.radiology.findings import AIR, BRIGHT, DARK, FINDINGS_BY_NAME, Grid, box, disc

Pixels = NDArray[np.uint8]

PLACES = {
    "left apex": (0.42, -0.52),
    "right apex": (-0.42, -0.52),
    "left base": (0.46, 0.5),
    "right base": (-0.46, 0.5),
    "midline": (0.0, -0.34),
    "upper lobe": (-0.56, -0.1),
    "lower lobe": (0.56, 0.02),
    "hilum": (-0.12, 0.14),
}  # x to the right, y down, in an image from -1 to 1
RADII = dict(zip(POOLS["size"], (0.09, 0.108, 0.13, 0.156, 0.187, 0.224, 0.269, 0.322), strict=True))
TILTS = {view: (2 * k - 7) / 80 for k, view in enumerate(POOLS["view"])}  # tangent of half the angle: 1.4 to 10 degrees
GRAIN = ((6, 12.0), (14, 16.0))  # cells and strength of the grain of a person's films
INK, AIRY = 0.94, 14.0


def radiograph(seed: int, person: int, finding: str, site: str, extent: str, view: str, size: int = 96) -> Pixels:
    """The image [size, size] of a study of this person, 8 bits a pixel."""
    at = (2.0 * np.arange(size) + 1.0 - size) / size
    x, y = np.meshgrid(at, at)
    grain = _grain(seed, person, x, y)
    t = TILTS[view]
    cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    x, y = cos * x + sin * y, cos * y - sin * x
    soft = 2.5 / size
    film = _body(seed, person, x, y, soft)
    radius, (right, down) = RADII[extent], PLACES[site]
    inside = FINDINGS_BY_NAME[finding]((x - right) / radius, (y - down) / radius) * radius
    film = _over(film, DARK if finding == AIR else BRIGHT, INK * _within(inside, soft))
    pixels: Pixels = np.clip(np.rint(film + grain), 0, 255).astype(np.uint8)
    return pixels


def png(pixels: Pixels) -> bytes:
    """The image as a grayscale PNG; `InputError` without Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("pictures", "the package Pillow is not installed", install_hint("vision")) from error
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _body(seed: int, person: int, x: Grid, y: Grid, soft: float) -> Grid:
    """The chest without a finding; the proportions are a function of the person."""

    def own(what: str, low: float, high: float) -> float:
        return low + (high - low) * (draw(seed, person, purpose=f"body {what}") / SPAN)

    width, lean = own("width", 0.78, 0.95), own("lean", -0.06, 0.06)
    side = np.abs(x)
    torso = 1.0 - _square(_square(x / width)) - _square(_square((y - 0.35) / 1.28))
    film = _over(np.full_like(x, AIRY), own("tissue", 92, 122), _within(torso * 0.3, soft))
    across = np.minimum(*(np.abs(x - sign * 0.45 * width) for sign in (-1, 1))) / (own("lung", 0.33, 0.4) * width)
    along = np.abs(y + own("height", 0.02, 0.1)) / own("length", 0.7, 0.82)
    lungs = 1.0 - _square(across) - along * _square(along)
    film = _over(film, own("air", 38, 62), _within(lungs * 0.2, 2 * soft))
    gap = own("gap", 0.17, 0.25)
    wave = (y + own("slope", 0.25, 0.5) * side * side + own("phase", 0, 0.25)) / gap
    rib = own("rib", 0.13, 0.2) - np.abs(wave - np.rint(wave))
    chest = np.minimum(width - 0.04 - side, np.minimum(side - 0.1, 0.66 - y))
    film = _over(film, 150.0, own("bone", 0.2, 0.34) * _within(np.minimum(rib * gap, chest), soft))
    collar = box(x, y + own("collar", 0.74, 0.84) - own("shoulder", 0.1, 0.25) * side, width, 0.035)
    film = _over(film, 170.0, 0.45 * _within(collar, soft))
    for sign in (-1, 1):
        dome = y - own(f"dome {sign}", 0.58, 0.74) - 0.9 * _square(x - sign * 0.45)
        film = _over(film, own("belly", 118, 140), _within(np.minimum(np.minimum(dome, sign * x), torso), 2 * soft))
    heart = disc((x - own("apex", 0.1, 0.2) - 0.25 * (y - 0.3)) / own("heart", 0.9, 1.3), (y - 0.34) / 0.95, 0.27)
    film = _over(film, own("blood", 128, 148), 0.9 * _within(heart, 3 * soft))
    middle = own("middle", 0.09, 0.14) + 0.05 * _square(y + 0.6) - np.abs(x - lean * y)
    film = _over(film, 132.0, 0.75 * _within(np.minimum(middle, torso), 3 * soft))
    discs = np.abs(y / 0.15 - np.rint(y / 0.15)) * 0.15 - 0.018
    spine = np.minimum(np.minimum(own("spine", 0.055, 0.08) - np.abs(x - lean * y), discs), torso)
    return _over(film, 168.0, 0.5 * _within(spine, soft))


def _grain(seed: int, person: int, x: Grid, y: Grid) -> Grid:
    """Grain of all films of a person; it does not turn with the body."""
    total = np.zeros_like(x)
    for cells, strength in GRAIN:
        drawn = [draw(seed, person, cells, purpose="grain", k=k) / SPAN for k in range((cells + 1) ** 2)]
        grid = np.array(drawn).reshape(cells + 1, cells + 1)
        column, row = (x + 1) * cells / 2, (y + 1) * cells / 2
        i, j = np.floor(row).astype(int), np.floor(column).astype(int)
        down, right = _smooth(row - i), _smooth(column - j)
        upper = grid[i, j] * (1 - right) + grid[i, j + 1] * right
        lower = grid[i + 1, j] * (1 - right) + grid[i + 1, j + 1] * right
        total += strength * (2 * (upper * (1 - down) + lower * down) - 1)
    return total


def _square(t: Grid) -> Grid:
    return t * t


def _smooth(t: Grid) -> Grid:
    return t * t * (3 - 2 * t)


def _within(depth: Grid, soft: float) -> Grid:
    """1 inside, 0 outside, with an edge of width `soft`."""
    return _smooth(np.clip(0.5 + depth / soft, 0, 1))


def _over(film: Grid, light: float, cover: Grid) -> Grid:
    return film * (1 - cover) + light * cover
