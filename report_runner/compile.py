"""Quarto documents to Jinja2 templates, once per language and template version.

Jinja2's tags travel through pandoc as words that it leaves alone; the catalogue's texts are
put in before, the page and its styles around it after. Nobody's data is there yet, so nothing
that a student or a school wrote is ever read as Markdown.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

import pypandoc  # type: ignore[import-untyped]  # it ships no annotations

from report_runner.catalogue import Language, language
from report_runner.errors import TemplateError

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_TOKEN = re.compile(r"J(?:STATEMENT|VALUE)(\d+)X")
_PLACE = re.compile(r"\[\[([a-z][a-z0-9_.]*)\]\]")
_STATEMENT_LINE = re.compile(r"^[ \t]*((?:\{%[^\n]*?%\})+)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_METADATA = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_CSS_FILLER = re.compile(r"/\*.*?\*/|\s+", re.DOTALL)

# Extensions that would read meaning into our text: quotes, dashes, ids, formulas, raw markup.
_READER = (
    "markdown-smart-auto_identifiers-tex_math_dollars-raw_html-raw_tex-raw_attribute"
    "-subscript-superscript-strikeout-citations-yaml_metadata_block-implicit_figures"
)
# What a report's bytes depend on besides its inputs.
_SOURCES = (
    "sections",
    "practice",
    "wording",
    "views",
    "charts",
    "catalogue",
    "text",
    "render",
    "compile",
)
_ENGINES = ("jinja2", "babel", "pypandoc_binary")


@dataclass(frozen=True)
class CompiledTemplate:
    """A Jinja2 template for one language, and the version of everything it came from."""

    language: Language
    source: str
    version: str


@lru_cache
def compile_html(name: str, code: str) -> CompiledTemplate:
    """Compile `templates/<name>.qmd` for a language into a page.

    Raises:
        TemplateError: a text the catalogue does not have, or markup that pandoc mangled.
    """
    words = language(code)
    document = _read(f"{name}.qmd")
    body = _pandoc(_prepare(document, words), "html5")
    texts = {"lang": code, "css": _CSS_FILLER.sub(" ", _read("report.css")), "body": body}
    page = _fill_places(_read("page.html"), lambda key: texts[key])
    return CompiledTemplate(words, page, template_version(name, code))


@lru_cache
def template_version(name: str, code: str) -> str:
    """Return a short hash of the template, its theme, the catalogue, the code and engines."""
    digest = hashlib.sha256()
    package = resources.files("report_runner")
    parts = [_folder() / f"{name}.qmd"]
    parts += [_folder() / file for file in ("report.lua", "report.css", "page.html")]
    parts += [package / "languages" / f"{code}.toml"]
    parts += [package / f"{module}.py" for module in _SOURCES]
    for part in parts:
        digest.update(hashlib.sha256(part.read_bytes()).digest())
    for engine in _ENGINES:
        digest.update(f"{engine} {metadata.version(engine)}\n".encode())
    return digest.hexdigest()[:16]


def _prepare(document: str, words: Language) -> str:
    """Return the document's body with the catalogue's texts, tags alone in paragraphs."""

    def text(key: str) -> str:
        return _as_markdown(words.text(key))

    body = _COMMENT.sub("", _METADATA.sub("", document))
    return _STATEMENT_LINE.sub(r"\n\1\n", _fill_places(body, text))


def _as_markdown(value: str) -> str:
    if _TOKEN.search(value) or _TAG.search(value):
        raise TemplateError(f"a text of the catalogue looks like a template tag: {value!r}")
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~^$@&\"':])", r"\\\1", value)


def _fill_places(source: str, text: Callable[[str], str]) -> str:
    return _PLACE.sub(lambda match: text(match.group(1)), source)


def _pandoc(markdown: str, writer: str) -> str:
    tags: list[str] = []

    def tokenise(match: re.Match[str]) -> str:
        tags.append(match.group(0))
        kind = "STATEMENT" if match.group(0).startswith("{%") else "VALUE"
        return f"J{kind}{len(tags) - 1}X"

    if _TOKEN.search(markdown):
        raise TemplateError("the document contains a word of the form JVALUE0X")
    tokenised = _TAG.sub(tokenise, markdown)
    with resources.as_file(_folder() / "report.lua") as filter_path:
        output = str(
            pypandoc.convert_text(
                tokenised,
                writer,
                format=_READER,
                extra_args=["--wrap=none", f"--lua-filter={Path(filter_path)}"],
                sandbox=True,
            )
        )
    if _TAG.search(output) or "{{" in output or "{%" in output:
        raise TemplateError("pandoc's output contains template marks of its own")
    found = sorted(int(match.group(1)) for match in _TOKEN.finditer(output))
    if found != list(range(len(tags))):
        raise TemplateError("pandoc lost or repeated a template tag")
    return _TOKEN.sub(lambda match: tags[int(match.group(1))], output)


def _folder() -> Traversable:
    return resources.files("report_runner") / "templates"


def _read(name: str) -> str:
    return (_folder() / name).read_text(encoding="utf-8")
