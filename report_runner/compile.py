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
from report_runner.fonts import font_files
from report_runner.lines import mark_columns

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_TOKEN = re.compile(r"J(?:STATEMENT|VALUE)(\d+)X")
_PLACE = re.compile(r"\[\[([a-z][a-z0-9_.]*)\]\]")
_STATEMENT_LINE = re.compile(r"^[ \t]*((?:\{%[^\n]*?%\})+)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_METADATA = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
# What a program reads beside a number; on paper there is no such place.
_DATA_ATTRIBUTE = re.compile(r'[ ]data-[a-z]+="[^"]*"')
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~^$@&\"':=])")
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
# format -> pandoc's writer, the page around the body, theme files, further engines
_WRITERS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "html": ("html5", "page.html", ("report.css",), ()),
    "pdf": ("typst", "page.typ", ("report.typ",), ("typst",)),
}


@dataclass(frozen=True)
class CompiledTemplate:
    """A Jinja2 template for one language, and the version of everything it came from."""

    language: Language
    source: str
    version: str


@lru_cache
def compile_template(name: str, code: str, file_format: str = "html") -> CompiledTemplate:
    """Compile `templates/<name>.qmd` for a language: a page, or a Typst document for PDF.

    Raises:
        TemplateError: a text the catalogue does not have, or markup that pandoc mangled.
    """
    words = language(code)
    writer, page, _files, _engines = _WRITERS[file_format]
    markdown = _prepare(_read(f"{name}.qmd"), words)
    if writer == "typst":
        markdown = _DATA_ATTRIBUTE.sub("", markdown)
    body = _pandoc(markdown, writer)
    if writer == "typst":
        body = mark_columns(body)
    texts = {"lang": code, "body": body}
    if file_format == "html":
        texts["css"] = _CSS_FILLER.sub(" ", _read("report.css"))
    source = _fill_places(_read(page), lambda key: texts[key])
    return CompiledTemplate(words, source, template_version(name, code, file_format))


@lru_cache
def template_version(name: str, code: str, file_format: str = "html") -> str:
    """Return a short hash of the template, theme, catalogue, fonts, code and engines."""
    _writer, page, files, engines = _WRITERS[file_format]
    digest = hashlib.sha256()
    package = resources.files("report_runner")
    parts: list[Traversable] = [
        _folder() / file for file in (f"{name}.qmd", "report.lua", page, *files)
    ]
    parts += [package / "languages" / f"{code}.toml"]
    parts += [package / f"{module}.py" for module in _SOURCES]
    if file_format == "pdf":
        parts += [package / f"{module}.py" for module in ("typesetting", "lines", "fonts")]
        parts += font_files()
    for part in parts:
        digest.update(hashlib.sha256(part.read_bytes()).digest())
    for engine in (*_ENGINES, *engines):
        digest.update(f"{engine} {metadata.version(engine)}\n".encode())
    return digest.hexdigest()[:16]


def quarto_source(name: str, code: str) -> str:
    """Return the document for `quarto render`: the catalogue's texts in, Jinja2's tags left."""
    document = _read(f"{name}.qmd")
    head = _METADATA.match(document)
    words = language(code)
    title = re.sub(r'[\\"]', "", words.text(_PLACE.findall(document)[0]))
    metadata = _PLACE.sub(
        lambda match: code if match[1] == "lang" else title, head[0] if head else ""
    )
    return metadata + _prepare(document, words)


def _prepare(document: str, words: Language) -> str:
    """Return the document's body with the catalogue's texts, tags alone in paragraphs."""

    def text(key: str) -> str:
        return as_markdown(words.text(key))

    body = _COMMENT.sub("", _METADATA.sub("", document))
    return _STATEMENT_LINE.sub(r"\n\1\n", _fill_places(body, text))


def as_markdown(value: str) -> str:
    """Return a text of the catalogue as Markdown that shows exactly it."""
    if _TOKEN.search(value) or _TAG.search(value):
        raise TemplateError(f"a text of the catalogue looks like a template tag: {value!r}")
    return markdown_text(value)


def markdown_text(value: str) -> str:
    """Return `value` with every character that Markdown or Quarto could read as markup escaped."""
    return _MARKUP.sub(r"\\\1", value)


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
