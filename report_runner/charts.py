"""Charts as small SVG documents of our own: same input, same bytes.

Every chart comes in a wide and a narrow form, has a title and a description for screen
readers, and says nothing by colour alone: bands and bars differ in lightness, and every
number that matters is also written.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeVar

from report_runner.text import clean_text, shorten

Form = Literal["wide", "narrow"]
FORMS: tuple[Form, ...] = ("wide", "narrow")
T = TypeVar("T")

INK, QUIET, RULE = "#1f2a37", "#566273", "#dfe4ea"
ACCENT, ACCENT_SOFT, ACCENT_PALE = "#1d4f91", "#7fa3cf", "#dbe6f4"

_TICK_STEPS = (10, 20, 25, 50, 100, 200, 250, 500, 1000)
_TICKS_WANTED = 4
_MINIMUM_SPAN = 60.0


@dataclass(frozen=True)
class Chart:
    """An SVG document in its two forms, and what it says to those who cannot see it."""

    wide: str
    narrow: str
    title: str
    description: str


@dataclass(frozen=True)
class TrendPoint:
    """A score with its range, at a position on the time axis counted in weeks."""

    week: int
    label: str
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Bar:
    """A share in [0, 1] with its name and the words that stand beside it."""

    name: str
    share: float
    value: str
    mark: str | None
    is_strong: bool
    is_weak: bool


def trend_chart(points: Sequence[TrendPoint], title: str, description: str) -> Chart:
    """Return the trend in both forms."""
    return _both(trend_svg, points, title, description)


def bar_chart(bars: Sequence[Bar], title: str, description: str) -> Chart:
    """Return the bars in both forms."""
    return _both(bar_svg, bars, title, description)


def _both(
    draw: Callable[[Sequence[T], Form, str, str], str],
    values: Sequence[T],
    title: str,
    description: str,
) -> Chart:
    wide, narrow = (draw(values, form, title, description) for form in FORMS)
    return Chart(wide, narrow, title, description)


def trend_svg(points: Sequence[TrendPoint], form: Form, title: str, description: str) -> str:
    """Return a line of scores in a band of one standard error, at least two points."""
    width, height, font = (660, 240, 13) if form == "wide" else (340, 220, 12)
    left, right, top, bottom = 44, 46, 16, 30
    ticks = _ticks(min(point.low for point in points), max(point.high for point in points))
    lowest, highest = ticks[0], ticks[-1]
    first, weeks = points[0].week, max(points[-1].week - points[0].week, 1)
    across = (width - left - right) / weeks
    along = (height - top - bottom) / (highest - lowest)

    def y(score: float) -> float:
        return top + along * (highest - score)

    xs = [f"{left + across * (point.week - first):.1f}" for point in points]
    ys = [f"{y(point.score):.1f}" for point in points]
    parts = []
    for tick in ticks:
        parts.append(
            f'<line x1="{left}" x2="{width - right + 8}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="{RULE}"/>'
            + label(left - 8, y(tick) + font / 3, f"{tick:.0f}", font, QUIET, anchor="end")
        )
    band = [f"{x},{y(point.high):.1f}" for x, point in zip(xs, points, strict=True)]
    band += [f"{x},{y(point.low):.1f}" for x, point in zip(xs[::-1], points[::-1], strict=True)]
    line = " ".join(map(",".join, zip(xs, ys, strict=True)))
    parts.append(f'<polygon points="{" ".join(band)}" fill="{ACCENT_PALE}"/>')
    parts.append(
        f'<polyline points="{line}" fill="none" stroke="{ACCENT}" stroke-width="2.5" '
        'stroke-linejoin="round"/>'
    )
    labelled = _labelled(points, most=7 if form == "wide" else 4)
    final = len(points) - 1
    for index, point in enumerate(points):
        parts.append(
            f'<circle cx="{xs[index]}" cy="{ys[index]}" r="{5 if index == final else 3}" '
            f'fill="{ACCENT}" stroke="#fff" stroke-width="1.5"/>'
        )
        if index in labelled:
            at = left + across * (point.week - first)
            parts.append(label(at, height - 8, point.label, font, QUIET, anchor="middle"))
    last = points[-1]
    parts.append(
        label(
            width - right + 9,
            y(last.score) + font / 3,
            f"{last.score:.0f}",
            font + 2,
            INK,
            bold=True,
        )
    )
    return document(width, height, form, title, description, parts)


def bar_svg(bars: Sequence[Bar], form: Form, title: str, description: str) -> str:
    """Return horizontal bars; the names stand left of them, or above in the narrow form."""
    is_wide = form == "wide"
    width, font = (660, 13) if is_wide else (340, 13)
    row = 27 if is_wide else 50
    left, right = (196, 150) if is_wide else (0, 0)
    height = row * len(bars) + 6
    parts = []
    for index, bar in enumerate(bars):
        top = index * row + 4
        bar_top = top + (4 if is_wide else 24)
        track = width - left - right
        fill = ACCENT if bar.is_strong else "#fff" if bar.is_weak else ACCENT_SOFT
        filled = max(track * bar.share, 3.0)
        value = f"{bar.value} · {bar.mark}" if bar.mark else bar.value
        name = shorten(clean_text(bar.name), (left - 12) / font if is_wide else 13.0)
        text_y = bar_top + 12 if is_wide else top + 15
        value_x, anchor = (width - right + 10, "start") if is_wide else (width, "end")
        # A weak topic's bar is hollow, so that it stays apart from the others in grey.
        parts.append(
            label(0, text_y, name, font, INK)
            + f'<rect x="{left}" y="{bar_top}" width="{track}" height="14" rx="3" '
            f'fill="#eef1f5"/><rect x="{left + 1}" y="{bar_top + 1}" width="{filled - 2:.1f}" '
            f'height="12" rx="2" fill="{fill}" stroke="{ACCENT}" '
            f'stroke-width="{2 if bar.is_weak else 0}"/>'
            + label(value_x, text_y, value, font, INK, anchor=anchor, bold=bar.mark is not None)
        )
    return document(width, height, form, title, description, parts)


def _ticks(low: float, high: float) -> list[float]:
    middle = (low + high) / 2
    span = max(high - low, _MINIMUM_SPAN)
    low, high = middle - span / 2, middle + span / 2
    step = next((step for step in _TICK_STEPS if span / step <= _TICKS_WANTED), _TICK_STEPS[-1])
    first, last = math.floor(low / step), math.ceil(high / step)
    return [float(step * number) for number in range(first, last + 1)]


def _labelled(points: Sequence[TrendPoint], most: int) -> set[int]:
    every = math.ceil(len(points) / most)
    return {len(points) - 1 - offset for offset in range(0, len(points), every)}


# What `label` writes: x, y, size, fill, anchor, weight if bold, text.
LABEL = re.compile(
    r'<text x="([\d.-]+)" y="([\d.-]+)" font-size="(\d+)" fill="(#\w+)" text-anchor="(\w+)"'
    r'( font-weight="600")?>([^<]*)</text>'
)


def label(
    x: float,
    y: float,
    value: str,
    size: int,
    fill: str,
    *,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    """Return one line of text; `anchor` is the side of it that stands at `x`."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
        f'text-anchor="{anchor}"{weight}>{escape(value)}</text>'
    )


def document(
    width: int, height: int, form: Form, title: str, description: str, parts: Sequence[str]
) -> str:
    """Return the whole SVG document."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{form}" role="img" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{escape(clean_text(title))}</title>"
        f"<desc>{escape(clean_text(description))}</desc>{''.join(parts)}</svg>"
    )
