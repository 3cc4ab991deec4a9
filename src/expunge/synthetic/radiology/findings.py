"""Twelve signs that a radiograph can show, one for each finding; the shapes are distinct, not anatomical.

A sign is a signed distance: how far a point lies inside its outline, in units of the sign's radius. One formula serves
every size, and the edge is soft without resampling.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float64]

BRIGHT, DARK = 240.0, 4.0
AIR = "free air"  # the only sign that is darker than its surroundings


def disc(x: Grid, y: Grid, radius: float = 1.0) -> Grid:
    """Depth inside a disc around the origin."""
    return radius - np.sqrt(x * x + y * y)


def box(x: Grid, y: Grid, width: float, height: float) -> Grid:
    """Depth inside an upright rectangle of these half-widths."""
    return np.minimum(width - np.abs(x), height - np.abs(y))


def _broken(x: Grid, y: Grid) -> Grid:
    along, across = 0.7 * (x + y), 0.7 * (y - x)
    shifted = across + np.where(along > 0, 0.3, -0.3)
    return np.minimum(box(along, shifted, 1.1, 0.26), np.abs(along) - 0.12)


def _heart(x: Grid, y: Grid) -> Grid:
    lobes = np.maximum(disc(x - 0.5, y + 0.4, 0.55), disc(x + 0.5, y + 0.4, 0.55))
    return np.maximum(lobes, np.minimum(0.64 * (1.0 - y - 1.2 * np.abs(x)), y + 0.3))


def _slabs(x: Grid, y: Grid) -> Grid:
    outer = np.maximum(box(x + 0.15, y + 0.75, 0.8, 0.21), box(x + 0.15, y - 0.75, 0.8, 0.21))
    return np.maximum(outer, box(x - 0.25, y, 0.8, 0.21))


def _third(t: Grid) -> Grid:
    """Distance from the nearest of three positions in a row."""
    return np.minimum(np.abs(t), np.abs(np.abs(t) - 0.72))


def _pouch(x: Grid, y: Grid) -> Grid:
    frame = 0.17 - np.abs(box(x, y, 0.8, 0.8))
    return np.maximum(frame, np.minimum(box(x, y, 0.8, 0.8), y))


FINDINGS_BY_NAME: dict[str, Callable[[Grid, Grid], Grid]] = {
    "pleural effusion": lambda x, y: np.minimum(disc(x, y + 0.35, 1.15), y + 0.1),
    "enlarged heart": _heart,
    "rib fracture": _broken,
    "lung nodule": lambda x, y: disc(x, y, 0.85),
    "kidney stone": lambda x, y: np.minimum(0.3 - np.minimum(np.abs(x), np.abs(y)), box(x, y, 1.0, 1.0)),
    "disc prolapse": _slabs,
    "liver cyst": lambda x, y: 0.2 - np.abs(disc(x, y, 0.82)),
    "joint effusion": lambda x, y: np.maximum(disc(x - 0.62, y, 0.45), disc(x + 0.62, y, 0.45)),
    AIR: lambda x, y: disc(x, y, 0.95),
    "pulmonary oedema": lambda x, y: disc(_third(x), _third(y), 0.28),
    "aortic sclerosis": lambda x, y: np.minimum(0.22 - np.abs(disc(x, y - 0.2, 0.9)), 0.3 - y),
    "hiatal hernia": _pouch,
}
