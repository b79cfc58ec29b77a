"""Whatever a name, a topic or a goal holds, a reader reads exactly that, and nothing runs."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from report_runner.compile import compile_template
from report_runner.render import render_html
from report_runner.sections import build_report
from report_runner.text import clean_text
from report_runner.wording import say
from tests.report_runner.page import Element, parse
from tests.report_runner.records import THIS_WEEK, bank, goal_row, record, topic_row

HOSTILE = (
    "<script>alert(1)</script>", "</style>", "</title>", "<!--", "-->", "<img src=x onerror=a()>",
    "\"'><svg onload=a()>", "&lt;b&gt;", "&#60;", "{{7*7}}", "{{ report.student }}", "{% raw %}",
    "{% endif %}", "{#", "#}", "<#", "JVALUE0X", "JSTATEMENT3X", "[[page.title]]", "[[css]]",
    '#import "@preview/x"', '#eval("1")', "$x$", "\\", "```{r}\n1\n```", "`r 1`", "{{< meta x >}}",
    "**b**", "_i_", "[a](http://x)", "![](x)", "::: {.x}", "# h", "~", "^", "|", "---", "{=html}",
    "\u202eevil\u2066", "\u200b", "\x00", "\x1b[31m", "{name}", "{0}", "%s", "{topic:을를}", "';--",
    "\u2028", "👩‍🎓", "김하늘", "ﷺ", "é", "\u0301", "\udcff", "\ufffe",
)  # fmt: skip
_TEXT = st.lists(
    st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12)), min_size=1, max_size=5
).map("".join)
_VISIBLE = _TEXT.filter(clean_text)
_TAGS = re.compile(
    "html|head|meta|link|title|style|body|main|header|section|footer|figure|figcaption|aside|"
    "h[123]|p|span|div|data|ul|li|svg|desc|line|polygon|polyline|circle|rect|text"
)


def _page(code: str, **values: Any) -> Element:
    items = bank([(values["item"], values["weak"], -0.4), ("q", values["strong"], -0.4)])
    student = record(
        profile={
            "display_name": values["name"],
            "grade": values["grade"],
            "classroom_name": values["classroom"],
        },
        topics=[
            topic_row(values["weak"], 18, 4, strength="weak"),
            topic_row(values["strong"], 20, 19, strength="strong"),
        ],
        goals=[goal_row(topic_id=values["goal"])],
    )
    template = compile_template("weekly_report", code)
    report = say(build_report(student, THIS_WEEK, items), template.language)
    return parse(render_html(template.source, report=report))


def _elements(page: Element) -> list[Element]:
    return [page, *page.find()]


@pytest.mark.parametrize("code", ["ko", "en"])
def test_hostile_text_is_read_back_as_it_was_written(code: str) -> None:
    @settings(
        max_examples=250,  # of seven texts each
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        name=_VISIBLE,
        grade=_TEXT,
        classroom=_TEXT,
        weak=_VISIBLE,
        strong=_VISIBLE,
        goal=_VISIBLE,
        item=_VISIBLE,
    )
    def check(**values: str) -> None:
        page = _page(code, **values)
        clean = {key: clean_text(value) for key, value in values.items()}
        suffix = " 학생" if code == "ko" else ""
        assert page.find("h1")[0].text == clean["name"] + suffix
        group = " · ".join(part for part in (clean["grade"], clean["classroom"]) if part)
        assert [span.text for span in page.find("span", "group")] == ([group] if group else [])
        names = [span.text for span in page.find("li", "item") if span.find("span", "name")]
        assert any(text.strip().startswith(clean["weak"]) for text in names)
        assert any(text.strip().startswith(clean["strong"]) for text in names)
        unit = " 단원" if code == "ko" else ""
        headings = [heading.text for heading in page.find("h3")]
        assert clean["goal"] + unit in headings
        assert clean["weak"] + unit in headings
        label = "문항 " if code == "ko" else "Question "
        assert label + clean["item"] in [span.text for span in page.find("span", "content")]
        (description, _narrow) = page.find("figure")[-1].find("desc")
        assert clean["weak"] in description.text
        for element in _elements(page)[1:]:
            assert _TAGS.fullmatch(element.tag)
            assert not any(attribute.startswith("on") for attribute in element.attributes)

    check()


def test_a_name_of_nothing_visible_falls_back_to_the_id() -> None:
    student = record(profile={"display_name": "\u200b\u3164 \x00"})
    template = compile_template("weekly_report", "ko")
    report = say(build_report(student, THIS_WEEK, bank()), template.language)
    assert parse(render_html(template.source, report=report)).find("h1")[0].text == "학생 s1"
