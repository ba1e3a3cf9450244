"""Small line charts beside one another as one SVG: cost against size, sizes on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 430, 230
"""Of one panel, in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 60, 16, 34, 40
INK, LINE, GRID = "#333", "#1f6fb2", "#ddd"


@dataclass(frozen=True)
class Panel:
    title: str
    values: Sequence[float]
    limit: float | None = None
    """What the value is to stay below."""


def svg(sizes: Sequence[int], unit: str, panels: Sequence[Panel]) -> str:
    """Two panels a row; all have the same sizes."""
    rows = math.ceil(len(panels) / 2)
    size = f'width="{2 * WIDTH}" height="{rows * HEIGHT}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" fill="{INK}">']
    lines.append('<rect width="100%" height="100%" fill="white"/>')
    for number, panel in enumerate(panels):
        row, column = divmod(number, 2)
        lines.append(f'<g transform="translate({column * WIDTH} {row * HEIGHT})">')
        lines += _panel(sizes, unit, panel)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


def _panel(sizes: Sequence[int], unit: str, panel: Panel) -> Iterator[str]:
    step = _step(max(*panel.values, panel.limit or 0.0))
    top = step * math.ceil(max(*panel.values, panel.limit or 0.0) / step)
    low, high = math.log(sizes[0]), math.log(sizes[-1])

    def x(size: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(size) - low) / (high - low)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    yield f'<text x="{LEFT}" y="20" font-weight="bold">{escape(panel.title)}</text>'
    for tick in range(round(top / step) + 1):
        value = tick * step
        yield f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>'
        yield f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,g}</text>'
    for size in sizes:
        yield f'<text x="{x(size):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{size:,}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(unit)}</text>'
    if panel.limit is not None:
        yield f'<path d="M{LEFT} {y(panel.limit):.1f}H{WIDTH - RIGHT}" stroke="#c33" stroke-dasharray="5 4"/>'
    points = [(x(size), y(value)) for size, value in zip(sizes, panel.values, strict=True)]
    path = "L".join(f"{px:.1f} {py:.1f}" for px, py in points)
    yield f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-width="2"/>'
    for px, py in points:
        yield f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{LINE}"/>'


def _step(highest: float) -> float:
    """1, 2 or 5 times a power of ten, so that four to eight of them reach the highest value."""
    raw = highest / 5
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
