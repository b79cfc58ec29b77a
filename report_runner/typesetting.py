"""PDF from a filled Typst document: PDF/UA-1, the same bytes for the same document.

User text enters a document as string literals, never as markup; the compiler reads nothing
but the theme's folder and the fonts.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from html import unescape
from importlib import resources
from typing import Any

import typst
from jinja2 import Environment, Template
from markupsafe import Markup

from report_runner.charts import LABEL, Chart
from report_runner.errors import ReportDataError
from report_runner.fonts import REPLACEMENT, covered, font_folders
from report_runner.lines import SHORT_TEXT, card_columns, split_words, width
from report_runner.render import template_environment
from report_runner.text import clean_text, shorten

# A word longer than this gets places to break; Typst has none inside a Latin word.
_LONG_WORD = 24
_UNBROKEN = re.compile(rf"[^\s\u1100-\u11ff\u3000-\u9fff\uac00-\ud7a3]{{{_LONG_WORD},}}")
_BREAK = '";#box();#"'
# What a screen reader gets from the picture's alternative text.
_NOT_DRAWN = re.compile(r"<title>.*?</title>|<desc>.*?</desc>", re.DOTALL)
_NO_GLYPH = "could not be displayed"
_PAGE_COUNT = re.compile(rb"/Type\s*/Pages\s*/Count\s+(\d+)")
# In ems; no sentence of ours is longer without what a person wrote.
_LONG_TEXT = 78


class Placed(str):
    """Text of which is known how wide its column may be and what is before it in its paragraph."""

    __slots__ = ("columns", "start")

    columns: tuple[float, ...]
    start: float


def place(value: object, columns: tuple[float, ...], size: float, *before: str) -> object:
    """Return text as Placed, anything else as it is: the filter of compiled templates.

    `columns` are in ems; the text is `size` of one, and follows the texts `before` it.
    """
    if type(value) is not str:
        return value
    placed = Placed(value)
    placed.columns = columns if size == 1.0 else tuple(column / size for column in columns)
    placed.start = sum(width(clean_text(text)) + width(" ") for text in before)
    return placed


def typst_text(value: object) -> Markup:
    """Return `value` as Typst code that shows exactly its characters."""
    if type(value) is Chart:
        return _drawing(value)
    if type(value) is Placed:
        return _literal(value, value.columns, value.start)
    return _literal(str(value))


def dense_typst_text(value: object) -> Markup:
    """Return the same for a smaller size, at which lines end elsewhere."""
    return _drawing(value) if type(value) is Chart else _literal(str(value))


def short_typst_text(value: object) -> Markup:
    """Return `value` cut to a length that only what a person wrote exceeds."""
    if type(value) is Chart:
        return _drawing(value)
    return _literal(shorten(clean_text(str(value)), _LONG_TEXT))


def simple_typst_text(value: object) -> Markup:
    """Return `value`, cut, without joined and combined characters, which may have no glyph."""
    if type(value) is Chart:
        return _drawing(value, simple=True)
    return _literal(_simple(shorten(clean_text(str(value)), _LONG_TEXT)))


# From the size of a comfortable page to the smallest that is still read well.
_TEXTS = (typst_text, dense_typst_text, short_typst_text)


def render_pdf(
    source: str,
    day: date,
    *,
    most_pages: int | None = None,
    wanted_pages: int | None = None,
    **values: Any,
) -> bytes:
    """Return the PDF of a compiled Typst template; `day` is its date of creation.

    What does not fit on `most_pages` is set smaller, at last with long texts cut. What fits on
    `wanted_pages`, which may be fewer, when it is set a little smaller, is set so.

    Raises:
        ReportDataError: Typst refuses the document.
    """
    for density in range(len(_TEXTS)):
        pdf = _render(source, day, density, values)
        if most_pages is None or count_pages(pdf) <= most_pages:
            break
    if density == 0 and wanted_pages is not None and count_pages(pdf) > wanted_pages:
        smaller = _render(source, day, 1, values)
        if count_pages(smaller) <= wanted_pages:
            return smaller
    return pdf


def count_pages(pdf: bytes) -> int:
    """Return the number of pages of a PDF that Typst made."""
    found = _PAGE_COUNT.search(pdf)
    if found is None:
        raise ReportDataError("Typst's PDF does not say how many pages it has")
    return int(found[1])


def _render(source: str, day: date, density: int, values: dict[str, Any]) -> bytes:
    document = _template(source, _TEXTS[density]).render(density=density, **values)
    try:
        return _typeset(document, day)
    except typst.TypstError as error:
        if _NO_GLYPH not in str(error):
            raise ReportDataError(f"the PDF cannot be made: {error}") from error
    # Every character has a glyph, but not in one font with those it is joined to.
    document = _template(source, simple_typst_text).render(density=density, **values)
    try:
        return _typeset(document, day)
    except typst.TypstError as error:
        raise ReportDataError(f"the PDF cannot be made: {error}") from error


def printable(value: str) -> str:
    """Return clean text with a white square for every character that no font has."""
    return _covered(clean_text(value))


def _covered(value: str) -> str:
    if value.isascii():
        return value
    points = covered()
    if points.issuperset(map(ord, set(value))):
        return value
    return "".join(c if ord(c) in points else REPLACEMENT for c in value)


@lru_cache(maxsize=1)
def _compiler() -> typst.Compiler:
    # One per process: fonts are read once.
    return typst.Compiler(
        root=str(resources.files("report_runner") / "templates"),
        font_paths=[str(folder) for folder in font_folders()],
        ignore_system_fonts=True,
    )


def _typeset(document: str, day: date) -> bytes:
    moment = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    pdf = _compiler().compile(
        document.encode("utf-8"), format="pdf", pdf_standards=["ua-1"], timestamp=moment
    )
    if not isinstance(pdf, bytes):
        raise ReportDataError("Typst made no PDF")
    return pdf


@lru_cache(maxsize=32)
def _template(source: str, text: Callable[[object], str]) -> Template:
    return typst_environment(text).from_string(source)


def typst_environment(text: Callable[[object], str] = typst_text) -> Environment:
    """Return the environment in which compiled Typst templates are filled."""
    environment = template_environment(text, trim_blocks=False)
    environment.filters["lines"] = place
    environment.globals["card_columns"] = card_columns
    return environment


@lru_cache(maxsize=16384)
def _literal(value: str, columns: tuple[float, ...] = (), start: float = 0.0) -> Markup:
    text = printable(value)
    if len(text) <= SHORT_TEXT:
        return Markup(f'#"{_quoted(text)}";')  # noqa: S704  quoted
    code = "".join(
        f'#box[#"{_quoted(part)}";];' if is_kept else _plain(part)
        for part, is_kept in split_words(text, columns, start)
    )
    return Markup(code)  # noqa: S704  quoted above


def _plain(text: str) -> str:
    return f'#"{_UNBROKEN.sub(_breakable, _quoted(text))}";'


def _breakable(match: re.Match[str]) -> str:
    # Never between a backslash and what it escapes.
    parts = re.findall(r"(?:\\.|[^\\]){1,8}", match.group(0))
    return _BREAK.join(parts)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _simple(value: str) -> str:
    return "".join(
        REPLACEMENT if unicodedata.category(c) in {"Mn", "Mc", "Me", "Cf", "Sk"} else c
        for c in value
    )


def _drawing(chart: Chart, *, simple: bool = False) -> Markup:
    """Return the chart's shapes as a picture and its words as Typst's own text upon it.

    Typst takes three times as long for words in a picture, and embeds a font of their own for them.
    """
    svg = _simple(chart.wide) if simple else chart.wide
    labels = "".join(
        f'({x}, {y}, {size}, "{fill}", "{anchor}", {"true" if weight else "false"}, '
        f'"{_quoted(_covered(unescape(words)))}"), '
        for x, y, size, fill, anchor, weight, words in LABEL.findall(svg)
    )
    shapes = _quoted(_NOT_DRAWN.sub("", LABEL.sub("", svg)))
    alternative = f"{chart.title}: {chart.description}"
    words = _quoted(printable(_simple(alternative) if simple else alternative))
    return Markup(f'#r.drawing("{shapes}", ({labels}), "{words}");')  # noqa: S704  quoted
