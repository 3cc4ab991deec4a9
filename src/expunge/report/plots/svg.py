"""Inline SVG: scales, ticks, and shapes as escaped markup.

Panels are narrow (about 340 units), and the page sets them side by side. So letters keep their size on a phone and
on paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from markupsafe import Markup, escape

# Colors after Okabe and Ito, distinct for color-blind readers; every color comes with its own shape or dash
INK, SOFT, RULE = "#1b1f24", "#57606a", "#d0d7de"
RETAIN, FORGET, HOLDOUT = "#0072b2", "#c2410c", "#57606a"


@dataclass(frozen=True)
class Scale:
    """Value -> coordinate; values outside [low, high] map to the border. `log` needs `low` above 0."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        low, high, x = (
            (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return self.start + (x - low) / (high - low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values in [low, high], at most `most` + 1 of them, steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw - 1e-12)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten in [low, high]."""
    return [10.0**k for k in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


@dataclass
class Drawing:
    """Shapes in reading order; `label` is the text for screen readers."""

    width: float
    height: float
    label: str
    parts: list[Markup] = field(default_factory=list)

    def shape(self, tag: str, **attributes: object) -> None:
        """Any element; `stroke_width=2` becomes `stroke-width="2"`, numbers are rounded to a tenth."""
        text = "".join(f' {key.replace("_", "-")}="{escape(_plain(value))}"' for key, value in attributes.items())
        self.parts.append(Markup(f"<{tag}{text}/>"))

    def line(
        self, x1: float, y1: float, x2: float, y2: float, stroke: str = RULE, width: float = 1, dash: str = "none"
    ) -> None:
        self.shape("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, stroke_width=width, stroke_dasharray=dash)

    def path(
        self,
        points: list[tuple[float, float]],
        stroke: str,
        width: float = 1.5,
        dash: str = "none",
        fill: str = "none",
        opacity: float = 0.2,
    ) -> None:
        """A line through points; with `fill` the area under it is tinted too."""
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.shape(
            "path",
            d=d,
            stroke=stroke,
            stroke_width=width,
            stroke_dasharray=dash,
            stroke_linejoin="round",
            fill=fill,
            fill_opacity=opacity,
        )

    def text(
        self,
        x: float,
        y: float,
        content: str,
        anchor: str = "start",
        color: str = SOFT,
        bold: bool = False,
        size: float = 12,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            Markup('<text x="{}" y="{}" text-anchor="{}" fill="{}" font-size="{}"{}>{}</text>').format(
                _plain(x), _plain(y), anchor, color, _plain(size), Markup(weight), content
            )
        )

    def markup(self) -> Markup:
        return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            _plain(self.width), _plain(self.height), self.label, Markup("").join(self.parts)
        )


def _plain(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
