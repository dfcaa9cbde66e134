"""Plots as SVG: one file that needs nothing else, readable on light and on dark ground and at the width of a
phone. What a colour tells, a word or a shape tells too. Pure functions over `report.Plot`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from html import escape

from benchmarks.axes import Axis, axis, tick_text
from benchmarks.report import Plot, Series, shown

WIDTH, EDGE = 440, 12
TEXT, SMALL, TITLE = 12, 11, 14  # sizes of letters; at the width of a phone they are four fifths of it
LETTER = 0.56  # width of a letter by its size, a little more than is usual
BAR, GAP = 14, 4
LABEL_MAX = 120
LINES_HEIGHT = 230
FEW_POINTS = 6  # so many values of x are written below by themselves
MARKED_MAX = 25  # a line of more points has no marks
COLOURS = (
    ("#1f5fbf", "#7db0ff"),
    ("#b8500b", "#ff9f5a"),
    ("#25784a", "#5fcf93"),
    ("#8347b0", "#cf9ff5"),
    ("#8a6d00", "#e0c04d"),
    ("#b0305f", "#f58fb4"),
    ("#0f7c85", "#58ccd5"),
    ("#59626d", "#aab3be"),
)
# Servers that take part often have the same colour in every plot.
_OWN = {"edgeproxy": 0, "nginx": 1, "haproxy": 2, "varnish": 3, "squid": 4, "trafficserver": 5, "direct": 7}
OTHERS_COLOUR = 7  # of bars that stand beside ours
LOG_BARS_FROM = 20.0  # the greatest by the least: nearer together a bar's length on such an axis misleads
_DASHES = ("", "7 3", "2 3", "9 3 2 3")


def style() -> str:
    """The rules that all plots share. Their names begin with "p-": within a page they hold for all."""
    light, dark = [], []
    for number, (on_light, on_dark) in enumerate(COLOURS):
        light.append(f".p-{number}{{fill:{on_light};stroke:{on_light}}}")
        dark.append(f".p-{number}{{fill:{on_dark};stroke:{on_dark}}}")
    return (
        ".p-ground{fill:#fff}.p-text{fill:#1b2430}.p-soft{fill:#55606e}.p-grid{stroke:#dde2e8}"
        ".p-range{stroke:#1b2430;fill:none}.p-line{fill:none;stroke-width:2}.p-bar{stroke:none}"
        + "".join(light)
        + ".p-line{fill:none}@media(prefers-color-scheme:dark){.p-ground{fill:#161b22}.p-text{fill:#e8edf3}"
        ".p-soft{fill:#a4afbc}.p-grid{stroke:#323b46}.p-range{stroke:#e8edf3}"
        + "".join(dark)
        + ".p-line{fill:none}}"
    )


def colours(labels: Sequence[str]) -> list[int]:
    """A number for each label: its own if the label is, or begins with, a name that has one; else the next
    that nobody has, and when all are given out they come again."""
    chosen: dict[int, int] = {}
    for place, label in enumerate(labels):
        own = _OWN.get(label, _OWN.get(label.split(" ", 1)[0]))
        if own is not None and own not in chosen.values():
            chosen[place] = own
    free = iter([number for number in range(len(COLOURS)) if number not in chosen.values()])
    for place in range(len(labels)):
        if place not in chosen:
            chosen[place] = next(free, place % len(COLOURS))
    return [chosen[place] for place in range(len(labels))]


def svg(plot: Plot) -> str:
    """The whole picture; its height follows from what is in it. Values that are no finite numbers, and such
    below 0 on a logarithmic axis, are left out."""
    parts, top = _heading(plot)
    draw = _lines if plot.kind == "lines" else _bars
    if any(math.isfinite(y) for series in plot.series for _, y in series.points):
        drawn, height = draw(plot, top)
        parts += drawn
    else:
        parts.append(_text(EDGE, top + TEXT, "no figures", "soft"))
        height = top + 2 * TEXT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img" aria-label="{escape(plot.title)}" '
        f'font-family="system-ui,sans-serif" font-size="{TEXT}"><title>{escape(plot.title)}</title>'
        f"<style>{style()}</style>"
        f'<rect class="p-ground" width="{WIDTH}" height="{height:.0f}"/>' + "".join(parts) + "</svg>\n"
    )


def wrapped(text: str, width: float, size: float) -> list[str]:
    """`text` in lines of at most `width`, as far as that can be told without a font; at least one line."""
    return textwrap.wrap(text, max(4, int(width / (LETTER * size)))) or [""]


def _heading(plot: Plot) -> tuple[list[str], float]:
    parts, top = [], EDGE + TITLE - 2.0
    for line in wrapped(plot.title, WIDTH - 2 * EDGE, TITLE * 1.08):  # bold letters are wider
        parts.append(_text(EDGE, top, line, "text", size=TITLE, is_bold=True))
        top += TITLE + 4
    return parts, top


def _text(
    x: float, y: float, text: str, kind: str, *, anchor: str = "", size: int = TEXT, is_bold: bool = False
) -> str:
    more = (f' text-anchor="{anchor}"' if anchor else "") + (f' font-size="{size}"' if size != TEXT else "")
    more += ' font-weight="600"' if is_bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="p-{kind}"{more}>{escape(text)}</text>'


def _axis_label(label: str, is_log: bool) -> str:
    return f"{label} (logarithmic)".strip() if is_log else label


def _width(text: str, size: int = TEXT) -> float:
    return len(text) * LETTER * size


def _bars(plot: Plot, top: float) -> tuple[list[str], float]:
    """A group for each name; in it a bar for each series, its label at the left and its value at the end.
    With one series the names are the labels."""
    names = list(dict.fromkeys(str(x) for series in plot.series for x, _ in series.points))
    is_grouped = len(plot.series) > 1
    labels = [series.label for series in plot.series] if is_grouped else names
    left = EDGE + min(LABEL_MAX, max(_width(label) for label in labels)) + 6
    values = [y for series in plot.series for _, y in series.points]
    values += [end for series in plot.series for pair in series.ranges for end in pair]
    right = WIDTH - EDGE - max(_width(shown(value)) for value in values if math.isfinite(value)) - 8
    positive = [value for value in values if math.isfinite(value) and value > 0]
    is_wide = bool(positive) and max(positive) >= LOG_BARS_FROM * min(positive)
    along = axis(values, left, right, is_log=plot.is_y_log and is_wide)
    numbers = colours(labels) if is_grouped else _highlighted(names)
    body: list[str] = []
    bottom = top + 4
    for name in names:
        if is_grouped:
            for line in wrapped(name, WIDTH - 2 * EDGE, TEXT):
                body.append(_text(EDGE, bottom + TEXT, line, "text", is_bold=True))
                bottom += TEXT + 4
        for place, series in enumerate(plot.series):
            number = numbers[place if is_grouped else names.index(name)]
            drawn, bottom = _bar(series, name, number, is_grouped, along, bottom)
            body += drawn
        bottom += 6 if is_grouped else 0
    grid, height = _scale_below(along, top, bottom, _axis_label(plot.y_label, along.is_log))
    return grid + body, height


def _highlighted(names: Sequence[str]) -> list[int]:
    """Colours of a single series: ours stands out from the others, if it is among them."""
    is_beside = any("edgeproxy" in name for name in names)
    return [OTHERS_COLOUR if is_beside and "edgeproxy" not in name else 0 for name in names]


def _bar(
    series: Series, name: str, number: int, is_grouped: bool, along: Axis, top: float
) -> tuple[list[str], float]:
    """One bar, and where the next begins; nothing where the series has no such name."""
    place = next((i for i, (x, y) in enumerate(series.points) if str(x) == name and math.isfinite(y)), None)
    if place is None:
        return [], top
    value = series.points[place][1]
    label = wrapped(series.label if is_grouped else name, along.start - EDGE - 4, TEXT)
    height = max(BAR, len(label) * TEXT)
    middle = top + height / 2
    parts = [
        _text(along.start - 6, middle + 4 + (line - (len(label) - 1) / 2) * TEXT, text, "text", anchor="end")
        for line, text in enumerate(label)
    ]
    zero, end = along.at(0.0), along.at(value)
    parts.append(
        f'<rect class="p-{number} p-bar" x="{min(zero, end):.1f}" y="{middle - BAR / 2:.1f}" '
        f'width="{max(1.0, abs(end - zero)):.1f}" height="{BAR}"/>'
    )
    reach = max(zero, end)
    if (spread := _range(series.ranges, place)) is not None:
        low, high = (along.at(one) for one in spread)
        parts.append(
            f'<path class="p-range" d="M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8'
            f'M{high:.1f} {middle - 4:.1f}v8"/>'
        )
        reach = max(reach, high)
    parts.append(_text(reach + 5, middle + 4, shown(value), "text"))
    return parts, top + height + GAP


def _range(ranges: Sequence[tuple[float, float]], place: int) -> tuple[float, float] | None:
    """The range of the point at `place`, if it has one of finite numbers."""
    if place >= len(ranges) or not all(map(math.isfinite, ranges[place])):
        return None
    return ranges[place]


def _scale_below(along: Axis, top: float, bottom: float, label: str) -> tuple[list[str], float]:
    """Lines of the grid from `top` to `bottom` with their values under them, and the height then reached."""
    parts = []
    for value in along.ticks(5):
        x = along.at(value)
        parts.append(f'<path class="p-grid" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
        parts.append(_text(x, bottom + TEXT + 2, tick_text(value), "soft", anchor="middle", size=SMALL))
    bottom += TEXT + 4
    if label:
        for line in wrapped(label, WIDTH - 2 * EDGE, TEXT):
            bottom += TEXT + 3
            parts.append(_text((along.start + along.end) / 2, bottom, line, "soft", anchor="middle"))
    return parts, bottom + EDGE


def _lines(plot: Plot, top: float) -> tuple[list[str], float]:
    names = list(dict.fromkeys(x for one in plot.series for x, _ in one.points if isinstance(x, str)))
    shown_series = [_placed(one, names) for one in plot.series]
    numbers = colours([one.label for one in plot.series])
    parts, top = _legend(plot.series, numbers, top)
    parts.append(_text(EDGE, top + TEXT, _axis_label(plot.y_label, plot.is_y_log), "soft"))
    top += TEXT + 12
    bottom = top + LINES_HEIGHT
    heights = [y for one in shown_series for _, y, *_ in one]
    heights += [end for one in plot.series for pair in one.ranges for end in pair]
    up = axis(heights, bottom, top, is_log=plot.is_y_log).rounded()
    left = EDGE + max(_width(tick_text(value), SMALL) for value in up.ticks()) + 6
    xs = [x for one in shown_series for x, *_ in one]
    right = WIDTH - EDGE - 8.0
    along = axis(xs, left, right, is_log=plot.is_x_log and not names, with_zero=False)
    for value in up.ticks():
        y = up.at(value)
        parts.append(f'<path class="p-grid" d="M{left:.1f} {y:.1f}H{right:.1f}"/>')
        parts.append(_text(left - 5, y + 4, tick_text(value), "soft", anchor="end", size=SMALL))
    for number, points, one in zip(numbers, shown_series, plot.series, strict=True):
        parts += _line(points, number, along, up, one.ranges)
    few = sorted(set(xs)) if len(set(xs)) <= FEW_POINTS else along.ticks(5)
    marks = [(along.at(float(place)), name) for place, name in enumerate(names)] or [
        (along.at(value), tick_text(value)) for value in few
    ]
    parts += _marks_below(marks, bottom)
    parts.append(
        _text(
            (left + right) / 2,
            bottom + 2 * TEXT + 10,
            _axis_label(plot.x_label, along.is_log),
            "soft",
            anchor="middle",
        )
    )
    return parts, bottom + 2 * TEXT + 10 + EDGE


def _placed(series: Series, names: list[float | str]) -> list[tuple[float, float, int]]:
    """Points as numbers, each with its place in the series; a name is at the number it has among all."""
    numbered = [
        (float(names.index(x)) if isinstance(x, str) else float(x), y, place)
        for place, (x, y) in enumerate(series.points)
    ]
    return [point for point in numbered if math.isfinite(point[0]) and math.isfinite(point[1])]


def _line(
    points: Sequence[tuple[float, float, int]],
    number: int,
    along: Axis,
    up: Axis,
    ranges: Sequence[tuple[float, float]],
) -> list[str]:
    drawn = [
        (along.at(x), up.at(y), place)
        for x, y, place in points
        if not (up.is_log and y <= 0) and not (along.is_log and x <= 0)
    ]
    if not drawn:
        return []
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in drawn)
    parts = [f'<path class="p-{number} p-line"{_dashed(number)} d="M{path}"/>']
    for x, _, place in drawn:
        if (spread := _range(ranges, place)) is not None:
            low, high = (up.at(one) for one in spread)
            parts.append(f'<path class="p-range" d="M{x:.1f} {low:.1f}V{high:.1f}"/>')
    if len(drawn) <= MARKED_MAX:
        parts += [_mark(x, y, number) for x, y, _ in drawn]
    return parts


def _dashed(number: int) -> str:
    dashes = _DASHES[number % len(_DASHES)]
    return f' stroke-dasharray="{dashes}"' if dashes else ""


def _mark(x: float, y: float, number: int) -> str:
    """A disc, a square, a triangle or a diamond."""
    kind = f'class="p-{number}"'
    match number % 4:
        case 0:
            return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
        case 1:
            return f'<rect {kind} x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'
        case 2:
            return f'<path {kind} d="M{x:.1f} {y - 4:.1f}l4 7h-8z"/>'
        case _:
            return f'<path {kind} d="M{x:.1f} {y - 4.5:.1f}l4.5 4.5l-4.5 4.5l-4.5 -4.5z"/>'


def _legend(series: Sequence[Series], numbers: Sequence[int], top: float) -> tuple[list[str], float]:
    """Each series as a piece of its line with its label, as many in a row as fit; nothing for one series
    without a label."""
    if len(series) == 1 and not series[0].label:
        return [], top
    parts, x, y = [], float(EDGE), top + TEXT
    for number, one in zip(numbers, series, strict=True):
        for line, text in enumerate(wrapped(one.label, WIDTH - 2 * EDGE - 34, TEXT)):
            wide = 34 + _width(text) + 16
            if line or (x > EDGE and x + wide > WIDTH - EDGE):
                x, y = float(EDGE), y + TEXT + 6
            if not line:
                stroke = f'<path class="p-{number} p-line"{_dashed(number)}'
                parts.append(f'{stroke} d="M{x:.1f} {y - 4:.1f}h26"/>{_mark(x + 13, y - 4, number)}')
            parts.append(_text(x + 32, y, text, "text"))
        x += wide
    return parts, y + 8


def _marks_below(marks: Sequence[tuple[float, str]], bottom: float) -> list[str]:
    """What fits under the axis of (place, text): one that would touch the one before is left out."""
    parts, free = [], 0.0
    for x, text in marks:
        half = _width(text, SMALL) / 2
        center = min(max(x, half + 2), WIDTH - half - 2)
        parts.append(f'<path class="p-grid" d="M{x:.1f} {bottom:.1f}v4"/>')
        if center - half >= free:
            parts.append(_text(center, bottom + TEXT + 5, text, "soft", anchor="middle", size=SMALL))
            free = center + half + 6
    return parts
