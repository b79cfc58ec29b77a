"""Charts of groups and of scales: heat map, histogram, curves, Wright map, scatter.

As in `charts`: same input, same bytes; two forms; nothing is said by colour alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from report_runner.charts import (
    ACCENT,
    ACCENT_SOFT,
    FORMS,
    INK,
    QUIET,
    RULE,
    Chart,
    Form,
    document,
    label,
)
from report_runner.text import clean_text, shorten

# Line styles that stay apart in grey.
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "1 5")
_MOST_TICKS = 6
# The width of a mark's name with the space beside it, in ems, and what stands between two names.
_MARK_EMS, _JOINT = 2.6, "\N{EN DASH}"
# The least share of a shade, and how pale it is; no shade lies where no text is readable.
_SHADES = ((0.8, 1.0), (0.6, 0.75), (0.4, 0.5), (0.2, 0.15), (0.0, 0.0))


@dataclass(frozen=True)
class Series:
    """One line: its name and its points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Frame:
    """A plotting area: data coordinates to places in the drawing."""

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: int = 44
    right: int = 16
    top: int = 16
    bottom: int = 44

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (self.width - self.left - self.right) * (value - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.top + (self.height - self.top - self.bottom) * (high - value) / (high - low)

    def axes(self, x_title: str, y_title: str, font: int) -> list[str]:
        """Return rules, ticks and titles."""
        parts = []
        for tick in _ticks(*self.y_range):
            parts.append(_line(self.left, self.y(tick), self.width - self.right, self.y(tick)))
            parts.append(
                label(
                    self.left - 6, self.y(tick) + font / 3, _number(tick), font, QUIET, anchor="end"
                )
            )
        base = self.height - self.bottom
        for tick in _ticks(*self.x_range):
            parts.append(_line(self.x(tick), base, self.x(tick), base + 4))
            parts.append(
                label(self.x(tick), base + 6 + font, _number(tick), font, QUIET, anchor="middle")
            )
        middle = (self.left + self.width - self.right) / 2
        parts.append(label(middle, base + 38, x_title, font, QUIET, anchor="middle"))
        parts.append(label(2, font, y_title, font, QUIET))
        return parts


def heat_map(
    rows: Sequence[tuple[str, Sequence[float | None]]],
    columns: Sequence[str],
    title: str,
    description: str,
) -> Chart:
    """Return shares in [0, 1] by row and column, each also written in its field, in percent."""

    def draw(form: Form) -> str:
        is_wide = form == "wide"
        width, font, left = (660, 13, 190) if is_wide else (340, 11, 104)
        field, height = (width - left) / max(len(columns), 1), 28
        parts = [
            label(left + field * (index + 0.5), 14, name, font, QUIET, anchor="middle")
            for index, name in enumerate(columns)
        ]
        for number, (name, shares) in enumerate(rows):
            top = 22 + number * height
            shown = shorten(clean_text(name), (left - 10) / font)
            parts.append(label(0, top + 18, shown, font, INK))
            for index, share in enumerate(shares):
                x = left + field * index
                if share is None:
                    parts.append(label(x + field / 2, top + 18, "·", font, QUIET, anchor="middle"))
                    continue
                fill, ink = _shade(share)
                parts.append(
                    f'<rect x="{x + 1:.1f}" y="{top}" width="{field - 2:.1f}" '
                    f'height="{height - 2}" rx="3" fill="{fill}"/>'
                    + label(
                        x + field / 2, top + 18, f"{100 * share:.0f}", font, ink, anchor="middle"
                    )
                )
        return document(width, 26 + len(rows) * height, form, title, description, parts)

    return _both(draw, title, description)


def histogram(
    bins: Sequence[tuple[float, float, int]],
    marks: Sequence[tuple[str, float]],
    titles: tuple[str, str],
    title: str,
    description: str,
) -> Chart:
    """Return counts by interval, with marked values such as percentiles."""

    def draw(form: Form) -> str:
        width, font = (660, 12) if form == "wide" else (340, 11)
        most = max((count for _low, _high, count in bins), default=0) or 1
        frame = _Frame(width, 230, (bins[0][0], bins[-1][1]), (0, 1.25 * most), top=24)
        parts = frame.axes(*titles, font)
        for low, high, count in bins:
            top = frame.y(count)
            parts.append(
                f'<rect x="{frame.x(low) + 0.5:.1f}" y="{top:.1f}" '
                f'width="{frame.x(high) - frame.x(low) - 1:.1f}" '
                f'height="{frame.y(0) - top:.1f}" fill="{ACCENT_SOFT}"/>'
            )
        first, last = bins[0][0], bins[-1][1]
        places = [(name, frame.x(min(max(value, first), last))) for name, value in marks]
        parts += [_line(x, frame.top + font + 4, x, frame.y(0), ACCENT) for _name, x in places]
        for name, x in _joined(places, _MARK_EMS * font):
            # Half a label of two names, so that it stays in the picture.
            middle = min(x, width - _MARK_EMS * font) if _JOINT in name else x
            parts.append(label(middle, frame.top + font, name, font, INK, anchor="middle"))
        return document(width, 230, form, title, description, parts)

    return _both(draw, title, description)


def _joined(places: Sequence[tuple[str, float]], apart: float) -> list[tuple[str, float]]:
    """Return names and where they stand, of those that would overlap the first and the last."""
    groups: list[list[tuple[str, float]]] = []
    for name, x in places:
        if groups and x - groups[-1][-1][1] < apart:
            groups[-1].append((name, x))
        else:
            groups.append([(name, x)])
    return [
        (_JOINT.join(dict.fromkeys((group[0][0], group[-1][0]))), (group[0][1] + group[-1][1]) / 2)
        for group in groups
    ]


def curves(
    series: Sequence[Series], titles: tuple[str, str], title: str, description: str
) -> Chart:
    """Return lines over a common axis, several of them told apart by dashes and named below."""

    def draw(form: Form) -> str:
        width, font = (660, 12) if form == "wide" else (340, 11)
        xs = [x for line in series for x, _y in line.points]
        top = max(y for line in series for _x, y in line.points)
        base = 196
        # A line by itself is what the chart's caption says.
        below = 62 + 18 * len(series) if len(series) > 1 else 46
        height = base + below
        frame = _Frame(width, height, (min(xs), max(xs)), (0, 1.08 * top or 1.0), bottom=below)
        parts = frame.axes(titles[0], titles[1], font)
        for number, line in enumerate(series):
            path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in line.points)
            style = f'stroke="{ACCENT}" stroke-width="2" fill="none"'
            dash = f' stroke-dasharray="{_DASHES[number % len(_DASHES)]}"'
            parts.append(f'<polyline points="{path}" {style}{dash}/>')
            if len(series) == 1:
                break
            y = base + 58 + 18 * number
            parts.append(
                f'<polyline points="{frame.left},{y - 4} {frame.left + 34},{y - 4}" {style}{dash}/>'
            )
            parts.append(label(frame.left + 42, y, shorten(clean_text(line.name), 34), font, INK))
        return document(width, height, form, title, description, parts)

    return _both(draw, title, description)


def wright_map(
    abilities: Sequence[tuple[float, float, int]],
    items: Sequence[tuple[float, float, int]],
    titles: tuple[str, str],
    title: str,
    description: str,
) -> Chart:
    """Return students and items on one scale: abilities to the left, difficulties to the right."""

    def draw(form: Form) -> str:
        width, font = (660, 12) if form == "wide" else (340, 11)
        row, top, middle = 14, 24, width / 2
        most_left = max((count for *_range, count in abilities), default=0) or 1
        most_right = max((count for *_range, count in items), default=0) or 1
        parts = [
            label(middle - 30, 14, titles[0], font, INK, anchor="end"),
            label(middle + 30, 14, titles[1], font, INK),
        ]
        for number, ((low, high, left), (_low, _high, right)) in enumerate(
            zip(reversed(abilities), reversed(items), strict=True)
        ):
            y = top + row * number
            parts.append(
                label(
                    middle,
                    y + 11,
                    f"{(low + high) / 2:+.2f}".replace("-", "\N{MINUS SIGN}"),
                    11,
                    QUIET,
                    anchor="middle",
                )
            )
            for count, most, side, colour in (
                (left, most_left, -1, ACCENT_SOFT),
                (right, most_right, 1, ACCENT),
            ):
                length = (middle - 70) * count / most
                x = middle - 26 - length if side < 0 else middle + 26
                parts.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{row - 2}" '
                    f'fill="{colour}"/>'
                )
                if count:
                    at = x - 4 if side < 0 else x + length + 4
                    anchor = "end" if side < 0 else "start"
                    parts.append(label(at, y + 10, str(count), 10, QUIET, anchor=anchor))
        return document(width, top + row * len(items) + 6, form, title, description, parts)

    return _both(draw, title, description)


def scatter(
    points: Sequence[tuple[float, float, bool]],
    titles: tuple[str, str],
    title: str,
    description: str,
) -> Chart:
    """Return points about the line of equality; marked ones are hollow squares."""

    def draw(form: Form) -> str:
        width, font = (420, 12) if form == "wide" else (340, 11)
        values = [value for x, y, _marked in points for value in (x, y)]
        span = (math.floor(min(values)), math.ceil(max(values) + 1e-9))
        frame = _Frame(width, width - 40, span, span)
        parts = frame.axes(*titles, font)
        parts.append(_line(frame.x(span[0]), frame.y(span[0]), frame.x(span[1]), frame.y(span[1])))
        for x, y, is_marked in points:
            at_x, at_y = frame.x(x), frame.y(y)
            parts.append(
                f'<rect x="{at_x - 4:.1f}" y="{at_y - 4:.1f}" width="8" height="8" fill="#fff" '
                f'stroke="{INK}" stroke-width="1.5"/>'
                if is_marked
                else f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="3" fill="{ACCENT}"/>'
            )
        return document(width, width - 40, form, title, description, parts)

    return _both(draw, title, description)


def _both(draw: Callable[[Form], str], title: str, description: str) -> Chart:
    wide, narrow = (draw(form) for form in FORMS)
    return Chart(wide, narrow, title, description)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = RULE) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{escape(colour)}"/>'
    )


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _shade(share: float) -> tuple[str, str]:
    """Return the fill of a share and a text colour that stays readable on it (4.5 to 1)."""
    step = next(mix for least, mix in _SHADES if share >= least)
    dark, pale = (0x1D, 0x4F, 0x91), (0xEA, 0xF1, 0xFA)
    mixed = (round(low + (high - low) * step) for low, high in zip(dark, pale, strict=True))
    fill = "#" + "".join(f"{value:02x}" for value in mixed)
    return fill, INK if step > _SHADES[-2][1] else "#ffffff"


def _ticks(low: float, high: float) -> list[float]:
    span = high - low
    step = 10 ** math.floor(math.log10(span / _MOST_TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= _MOST_TICKS)
    first = math.ceil(low / step - 1e-9)
    return [round(step * number, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]
