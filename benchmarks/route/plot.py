"""One small picture: bars for mean, median and p95, as SVG that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.report import RESULTS

WIDTH, LEFT, ROW, BAR, HEAD = 720, 190, 54, 13, 58
COLOURS = (("mean", "#1f5f8b"), ("p50", "#7fb3d5"), ("p95", "#d9a441"))


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    mean: float
    p50: float
    p95: float


def drawn(title: str, series: Sequence[Series]) -> str:
    most = max(max(one.mean, one.p50, one.p95) for one in series) or 1.0
    scale = (WIDTH - LEFT - 60) / most
    height = HEAD + ROW * len(series) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="20" font-size="15">{escape(title)}</text>',
    ]
    for number, (name, colour) in enumerate(COLOURS):
        parts.append(f'<rect x="{LEFT + 80 * number}" y="32" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 80 * number + 17}" y="42">{name}</text>')
    for number, one in enumerate(series):
        top = HEAD + ROW * number
        parts.append(f'<text x="{LEFT - 10}" y="{top + 25}" text-anchor="end">{escape(one.name)}</text>')
        for line, (name, colour) in enumerate(COLOURS):
            value = getattr(one, name)
            y, width = top + (BAR + 1) * line, max(1.0, value * scale)
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
            parts.append(f'<text x="{LEFT + width + 5:.1f}" y="{y + 11}">{value:.0f}</text>')
    return "\n".join([*parts, "</svg>", ""])


def bars(name: str, title: str, series: Sequence[Series]) -> None:
    """Into results/NAME."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(drawn(title, series), encoding="utf-8")
