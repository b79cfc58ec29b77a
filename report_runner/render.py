"""Filling a compiled template for one student: every value is escaped, none can be forgotten.

Escaping happens in Jinja2's `finalize`, which sees each value of each expression, whatever
the template says about it; only a `Fragment`, markup that this package made itself, passes.
"""

from functools import lru_cache
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from report_runner.text import clean_text


class Fragment:
    """Markup that this package made: the only thing a template writes without escaping."""

    __slots__ = ("markup",)

    def __init__(self, markup: str) -> None:
        """Trust `markup`; whoever builds it has escaped every text in it."""
        self.markup = markup

    def __html__(self) -> str:
        """Return the markup; this is what Jinja2 asks for."""
        return self.markup


def html_text(value: object) -> Fragment | Markup:
    """Return `value` as visible text of an HTML document or of an attribute in quotes.

    A string that a template called safe is escaped like any other.
    """
    return value if type(value) is Fragment else _escaped(str(value))


@lru_cache(maxsize=16384)
def _escaped(value: str) -> Markup:
    # Most of a page is the catalogue's sentences, the same on every page.
    return escape(clean_text(value))


def environment() -> Environment:
    """Return the environment in which compiled HTML templates are filled.

    Its comment marks are ones that no document contains: the usual `{#` opens an id in Quarto.
    """
    return Environment(
        autoescape=True,
        finalize=html_text,
        undefined=StrictUndefined,
        trim_blocks=True,
        comment_start_string="\x02comment",
        comment_end_string="comment\x03",
        keep_trailing_newline=True,
    )


@lru_cache(maxsize=16)
def template(source: str) -> Template:
    """Return the compiled `source`, once per process."""
    return environment().from_string(source)


def render_html(source: str, **values: Any) -> bytes:
    """Return the finished document as UTF-8."""
    return template(source).render(**values).encode("utf-8")
