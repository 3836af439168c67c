"""Charts as inline SVG that takes its colours from the page's style sheet."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 380, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 26
LONGEST = 300


@dataclass(frozen=True)
class Series:
    """A named line; `x` and `y` of equal length."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def line_chart(series: Sequence[Series], logarithmic: bool = False) -> str:
    """A line chart with ticks and, through the page's script, values under the pointer. "" without points."""
    series = [_thinned(_finite(line, logarithmic)) for line in series]
    series = [line for line in series if len(line.x) > 1]
    if not series:
        return ""
    xs = [value for line in series for value in line.x]
    ys = [_scale(value, logarithmic) for line in series for value in line.y]
    x0, x1 = min(xs), max(xs)
    y0, y1 = _padded(min(ys), max(ys))
    across = (WIDTH - LEFT - RIGHT) / ((x1 - x0) or 1)
    up = (HEIGHT - TOP - BOTTOM) / ((y1 - y0) or 1)

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + (x - x0) * across, HEIGHT - BOTTOM - (_scale(y, logarithmic) - y0) * up

    parts = []
    for tick in _y_ticks(y0, y1, logarithmic):
        _, y = place(x0, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{short(tick)}</text>'
        )
    for tick in _nice(x0, x1, 4):
        x, _ = place(tick, series[0].y[0])
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{short(tick)}</text>'
        )
    data = []
    for place_of, line in enumerate(series):
        points = [place(x, y) for x, y in zip(line.x, line.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line c{place_of}" points="{path}"/>')
        rows = [
            [round(x, 1), round(y, 1), a, _rounded(b)]
            for (x, y), a, b in zip(points, line.x, line.y, strict=True)
        ]
        data.append({"name": line.name, "points": rows})
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'data-series="{escape(json.dumps(data, separators=(",", ":")), quote=True)}">{"".join(parts)}</svg>'
    )


def interval_bar(
    value: float | None,
    low: float | None,
    high: float | None,
    control: float | None,
    span: tuple[float, float],
) -> str:
    """A dot with its interval on a common axis `span`, and the control as a hollow tick."""
    if value is None or not math.isfinite(value):
        return ""
    begin, end = span
    width = (end - begin) or 1.0

    def place(number: float) -> float:
        return 4 + 132 * min(max((number - begin) / width, 0.0), 1.0)

    parts = ['<line class="grid" x1="4" x2="136" y1="10" y2="10"/>']
    if begin < 0 < end:
        parts.append(f'<line class="zero" x1="{place(0):.1f}" x2="{place(0):.1f}" y1="3" y2="17"/>')
    if control is not None and math.isfinite(control):
        x = place(control)
        parts.append(f'<path class="control" d="M{x:.1f} 4l5 6-5 6-5-6z"/>')
    if low is not None and high is not None:
        parts.append(f'<line class="whisker" x1="{place(low):.1f}" x2="{place(high):.1f}" y1="10" y2="10"/>')
    parts.append(f'<circle class="dot" cx="{place(value):.1f}" cy="10" r="4"/>')
    return f'<svg class="interval" viewBox="0 0 140 20" role="img">{"".join(parts)}</svg>'


def trace(lines: dict[str, Sequence[float | None]], seconds: float) -> str:
    """Lips' opening and loudness over time, each in its own range; the page moves a playhead over it."""
    width, height = 900, 110
    parts = []
    for name, values in lines.items():
        kept = [value for value in values if value is not None and math.isfinite(value)]
        if len(kept) < 2:
            continue
        low, high = min(kept), max(kept)
        scale = (height - 14) / ((high - low) or 1)
        step = width / max(len(values) - 1, 1)
        points: list[str] = []
        for index, value in enumerate(values):
            if value is not None and math.isfinite(value):
                points.append(f"{index * step:.1f},{height - 7 - (value - low) * scale:.1f}")
        if name == "sound":
            parts.append(f'<polygon class="sound" points="0,{height} {" ".join(points)} {width},{height}"/>')
        else:
            parts.append(f'<polyline class="line t-{name}" points="{" ".join(points)}"/>')
    if not parts:
        return ""
    parts.append(f'<line class="playhead" x1="0" x2="0" y1="0" y2="{height}"/>')
    return (
        f'<svg class="trace" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'data-seconds="{seconds:g}">{"".join(parts)}</svg>'
    )


def short(value: Any) -> str:
    """A number for people: 1200 → 1.2k, 0.0312 → 0.031, None → –."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return "∞" if value > 0 else ("−∞" if value < 0 else "–")
    size = abs(value)
    if size >= 10_000:
        text = f"{value / 1000:.0f}k"
    elif float(value).is_integer() and size < 10_000 or size >= 100:
        text = f"{value:.0f}"
    elif size >= 10:
        text = f"{value:.1f}"
    elif size >= 0.1:
        text = f"{value:.3f}".rstrip("0").rstrip(".") if size < 1 else f"{value:.2f}"
    elif size >= 0.001:
        text = f"{value:.4f}".rstrip("0")
    else:
        text = f"{value:.1e}"
    return text.replace("-", "−")


def _finite(line: Series, logarithmic: bool) -> Series:
    pairs = [
        (x, y)
        for x, y in zip(line.x, line.y, strict=True)
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not logarithmic)
    ]
    return Series(line.name, [x for x, _ in pairs], [y for _, y in pairs])


def _thinned(line: Series) -> Series:
    if len(line.x) <= LONGEST:
        return line
    step = len(line.x) / LONGEST
    rows = sorted({int(i * step) for i in range(LONGEST)} | {len(line.x) - 1})
    return Series(line.name, [line.x[i] for i in rows], [line.y[i] for i in rows])


def _scale(value: float, logarithmic: bool) -> float:
    return math.log10(value) if logarithmic else value


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _y_ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if not logarithmic:
        return _nice(low, high, 4)
    decades = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    return decades if len(decades) > 1 else [float(f"{10**value:.2g}") for value in _nice(low, high, 4)]


def _nice(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers inside [low, high]."""
    raw = (high - low) / count
    if raw <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]
