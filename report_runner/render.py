"""Filling a compiled template for one student: every value is escaped, none can be forgotten.

Escaping happens in Jinja2's `finalize`, which sees each value of each expression, whatever
the template says about it; only a `Chart`, markup that this package made itself, passes.
"""

from collections.abc import Callable
from functools import lru_cache
from html import escape
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from report_runner.charts import Chart
from report_runner.text import clean_text


def html_text(value: object) -> str:
    """Return `value` as visible text of an HTML document or of an attribute in quotes.

    A string that a template called safe is escaped like any other.
    """
    if type(value) is Chart:
        return value.wide + value.narrow
    return _escaped(str(value))


@lru_cache(maxsize=16384)
def _escaped(value: str) -> str:
    # Most of a page is the catalogue's sentences, the same on every page.
    return escape(clean_text(value))


def template_environment(finalize: Callable[[object], str], *, trim_blocks: bool) -> Environment:
    """Return an environment in which every value of a template goes through `finalize`.

    Jinja2's own escaping would look again at what is escaped already. The comment marks are ones
    that no document contains: the usual `{#` opens an id in Quarto. Line ends after tags are
    dropped from HTML only; elsewhere an empty line means something.
    """
    return Environment(
        autoescape=False,  # noqa: S701  `finalize` escapes, for HTML as for Typst
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=trim_blocks,
        comment_start_string="\x02comment",
        comment_end_string="comment\x03",
        keep_trailing_newline=True,
    )


@lru_cache(maxsize=16)
def template(source: str) -> Template:
    """Return the compiled `source`, once per process."""
    return template_environment(html_text, trim_blocks=True).from_string(source)


def render_html(source: str, **values: Any) -> bytes:
    """Return the finished document as UTF-8."""
    return template(source).render(**values).encode("utf-8")
