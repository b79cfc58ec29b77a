"""The compile step: the source's tags arrive, nothing else is a tag, nothing is fetched."""

import re

import pytest

from report_runner import compile as compiler
from report_runner.catalogue import LANGUAGES, language
from report_runner.charts import Chart
from report_runner.errors import TemplateError
from report_runner.render import render_html

SOURCE = compiler._read("weekly_report.qmd")


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_tag_of_the_source_stands_once_in_the_template(code: str) -> None:
    tags = re.findall(r"\{\{.*?\}\}|\{%.*?%\}", re.sub(r"<!--.*?-->", "", SOURCE, flags=re.S))
    compiled = compiler.compile_template("weekly_report", code).source
    page_tags = ["{{ report.document_title }}"]
    assert sorted(re.findall(r"\{\{.*?\}\}|\{%.*?%\}", compiled)) == sorted(tags + page_tags)


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_template_has_no_open_places_and_fetches_nothing(code: str) -> None:
    compiled = compiler.compile_template("weekly_report", code).source
    assert "[[" not in compiled
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)|url\(|@import|<script", compiled)
    assert "default-src 'none'" in compiled
    assert f'<html lang="{code}">' in compiled


def test_compiling_again_gives_the_same_bytes() -> None:
    first = compiler.compile_template("weekly_report", "ko")
    compiler.compile_template.cache_clear()
    assert compiler.compile_template("weekly_report", "ko").source == first.source


def test_texts_of_the_catalogue_are_text_and_not_markdown() -> None:
    text = "*a* [b](c) `d` # e <f> ~g~ ^h^ {i} \\j 1. k"
    assert compiler._pandoc(compiler.as_markdown(text), "html5").strip() == (
        "<p>*a* [b](c) `d` # e &lt;f&gt; ~g~ ^h^ {i} \\j 1. k</p>"
    )


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% raw %}", "JVALUE0X", "JSTATEMENT12X"])
def test_a_text_that_looks_like_a_tag_or_a_token_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        compiler.as_markdown(text)


def test_a_document_that_loses_a_tag_is_refused() -> None:
    with pytest.raises(TemplateError, match="lost or repeated"):
        compiler._pandoc("[a]: {{ report.link }}\n\nNothing refers to it.", "html5")


def test_the_version_differs_between_languages_and_is_stable() -> None:
    versions = {compiler.template_version("weekly_report", code) for code in LANGUAGES}
    assert len(versions) == 2
    assert compiler.compile_template("weekly_report", "ko").version in versions
    assert language("ko").code == "ko"


@pytest.mark.parametrize("source", ["{{ x }}", "{{ x | safe }}", "{{ x | safe | trim }}"])
def test_no_template_can_leave_a_value_unescaped(source: str) -> None:
    assert render_html(source, x="<b>\u202e&") == b"&lt;b&gt;&amp;"


def test_only_own_charts_pass_and_unknown_names_fail() -> None:
    assert render_html("{{ x }}", x=Chart("<svg/>", "<svg></svg>", "", "")) == b"<svg/><svg></svg>"
    with pytest.raises(Exception, match="'nobody' is undefined"):
        render_html("{{ nobody }}")


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_typst_template_holds_every_tag_but_those_of_attributes(code: str) -> None:
    shown = re.sub(r"<!--.*?-->| data-[a-z]+=\"[^\"]*\"", "", SOURCE, flags=re.S)
    tags = re.findall(r"\{\{.*?\}\}|\{%.*?%\}", shown + compiler._read("page.typ"))
    compiled = compiler.compile_template("weekly_report", code, "pdf").source
    found = re.findall(r"\{\{.*?\}\}|\{%.*?%\}", compiled)
    own = [tag for tag in found if not tag.startswith(('{{ "', "{% set "))]
    assert sorted(re.sub(r" \| lines\(.*\)", "", tag) for tag in own) == sorted(tags)
    # What is before a value in its paragraph is known.
    gap = "{{ goal.gap | lines(cards, 1.0, goal.words) }}"
    assert f"{{{{ goal.words | lines(cards, 1.0) }}}} {gap}" in compiled
    assert "[[" not in re.sub(r"#r\.[a-z-]+(\([^()]*\))?\[\[", "", compiled)
    assert f'language: "{code}"' in compiled
