"""The PDF: accessible, the same every time, and nobody's text is code in it."""

import dataclasses
import re
import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from report_runner import fonts
from report_runner.catalogue import language
from report_runner.compile import compile_template
from report_runner.errors import ReportDataError
from report_runner.sections import build_report
from report_runner.text import clean_text
from report_runner.typesetting import count_pages, printable, render_pdf, typst_environment
from report_runner.wording import say
from tests.report_runner.marts import SUNDAY, WEEK
from tests.report_runner.pdf import needs_pdftotext, text_of, words_of
from tests.report_runner.records import THIS_WEEK, bank, goal_row, record, topic_row, week_row
from tests.report_runner.test_injection import HOSTILE

TEXT = st.lists(
    st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12)), min_size=1, max_size=4
).map("".join)
# One text a line on a page as wide as it needs to be.
LINES = """#import "report.typ" as r
#set document(title: [x])
#set page(width: auto, height: auto)
#set text(font: r.faces, fallback: false)
{% for text in texts %}
[{{ text }}]

{% endfor %}"""


def _pdf(code: str = "ko", **profile: Any) -> bytes:
    student = record(
        weeks=[week_row(WEEKS[0], theta=0.1), week_row()],
        profile={"display_name": "김하늘", **profile},
        topics=[topic_row("삼각비", 18, 4, strength="weak")],
        goals=[goal_row(topic_id="삼각비")],
    )
    template = compile_template("weekly_report", code, "pdf")
    report = say(build_report(student, THIS_WEEK, bank()), template.language)
    return render_pdf(template.source, SUNDAY, report=report)


WEEKS = [THIS_WEEK.week_start.replace(day=1)]


@pytest.mark.parametrize("code", ["ko", "en"])
def test_a_pdf_is_tagged_has_a_title_and_a_language_and_embeds_its_fonts(code: str) -> None:
    pdf = _pdf(code)
    assert b"<pdfuaid:part>1</pdfuaid:part>" in pdf
    assert f"/Lang({code})".encode() in pdf
    assert b"/MarkInfo" in pdf
    names = set(re.findall(rb"/BaseFont\s*/([A-Z]{6}\+[A-Za-z-]+)", pdf))
    assert {name.split(b"+")[1][:10] for name in names} == {b"NotoSansKR"}


def test_the_same_report_gives_the_same_bytes() -> None:
    assert _pdf() == _pdf()
    assert _pdf() != _pdf(display_name="김하눌")


@needs_pdftotext
def test_a_pdf_says_what_the_page_says() -> None:
    text = words_of(_pdf())
    for sentence in (
        "김하늘 학생",
        "실제 실력은 524점에서 572점 사이에 있을 가능성이 큽니다.",
        "18문항 중 4문항 정답 (22%)",
        "2026년 7월 31일까지 · 47일 남았습니다",
        "점은 한 주가 끝날 때의 실력 점수",
        "\N{MINUS SIGN}1에서 1까지",
    ):
        assert sentence.replace(" ", "") in text


@needs_pdftotext
def test_hostile_text_is_read_back_from_the_pdf_as_it_was_written() -> None:
    template = LINES

    @settings(
        max_examples=50,  # of forty texts each
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(TEXT, min_size=40, max_size=40))
    def check(texts: list[str]) -> None:
        read = "".join(text_of(render_pdf(template, SUNDAY, texts=texts)).split())
        # The simple form is what is shown where a combination has no glyph.
        expected = "".join(f"[{printable(text)}]" for text in texts)
        assert _letters(read) == _letters(expected)

    check()


def _letters(text: str) -> str:
    """Without white space, and without what a font may join or reorder."""
    kept = (c for c in text if unicodedata.category(c)[0] not in "MCZ")
    return unicodedata.normalize("NFKC", "".join(kept).replace(fonts.REPLACEMENT, ""))


@needs_pdftotext
@pytest.mark.parametrize(
    "name",
    [
        '#import "@preview/x:1.0.0": *',
        '#read("/etc/passwd")',
        '"; #panic() "',
        '\\"; #panic()',
        "\\",
        "] #panic() [",
        "{{ 7 * 7 }}",
        "*a* _b_ $x$ <c> @d // e",
        "👩‍🎓 Nguyễn Łukasz Ж \N{MINUS SIGN}1",
    ],
)
def test_a_name_is_text_in_the_pdf(name: str) -> None:
    assert "".join(name.split()) in words_of(_pdf(display_name=name))


def test_a_character_that_no_font_has_becomes_a_square() -> None:
    assert printable("김 ก 漢 é 😀") == "김 □ 漢 é 😀"
    assert all(ord(c) in fonts.covered() for c in "\N{MINUS SIGN}□…·“”가힣뷁ſłđЯΩ①👩")


def test_a_combination_without_a_glyph_is_set_in_its_simple_form() -> None:
    assert _pdf(display_name="가\u0301나\u20dd").startswith(b"%PDF")


@needs_pdftotext
def test_a_long_word_breaks_inside_the_page() -> None:
    lines = text_of(_pdf(display_name="W" * 200)).splitlines()
    widest = max(line.count("W") for line in lines)
    assert sum(line.count("W") for line in lines) == 200
    assert widest < 60


def test_a_document_that_typst_refuses_is_an_error_of_that_report() -> None:
    with pytest.raises(ReportDataError, match="the PDF cannot be made"):
        render_pdf("#unknown", SUNDAY)


@pytest.mark.parametrize("source", ["{{ x }}", "{{ x | safe }}", "{{ x | safe | trim }}"])
def test_no_typst_template_can_leave_a_value_as_code(source: str) -> None:
    filled = typst_environment().from_string(source).render(x='#a"\\')
    assert filled == '#"#a\\"\\\\";'
    assert clean_text('#a"\\') == '#a"\\'


@needs_pdftotext
@pytest.mark.parametrize("cards", [1, 2, 3, 4])
def test_korean_words_stay_whole_at_the_end_of_a_line(cards: int) -> None:
    template = compile_template("weekly_report", "ko", "pdf")
    student = record(weeks=[week_row(WEEKS[0], theta=0.9), week_row()])
    report = say(build_report(student, THIS_WEEK, bank()), template.language)
    report = dataclasses.replace(report, kpis=report.kpis[:cards])
    assert report.score is not None
    read = text_of(render_pdf(template.source, SUNDAY, report=report)).split()
    words = set(read)
    sentences = [report.score.range, report.score.change]
    sentences += [text for kpi in report.kpis for text in (kpi.words, kpi.meaning)]
    assert {word for sentence in sentences for word in sentence.split()} <= words
    # Of what the catalogue says on every page, this is longer than a line.
    assert language("ko").text("reading.scale") in " ".join(read)


@pytest.mark.parametrize("code", ["ko", "en"])
@pytest.mark.parametrize("length", [4, 40, 400])
def test_the_fullest_report_of_the_longest_names_fits_on_one_sheet(code: str, length: int) -> None:
    def name(number: int) -> str:
        return f"{number}" + "이차함수의 그래프 " * (length // 10) + "가" * (length % 10)

    items = [(f"i{number}", name(number % 8), -0.4) for number in range(16)]
    exercises = dataclasses.replace(bank(items), contents=tuple(name(n) for n in range(16)))
    student = record(
        weeks=[week_row(WEEKS[0], theta=0.1), week_row(WEEK - timedelta(weeks=1)), week_row()],
        profile={"display_name": name(0), "grade": name(1), "classroom_name": name(2)},
        topics=[
            topic_row(name(n), 18, 9 + n, strength="weak" if n < 4 else "strong") for n in range(9)
        ],
        goals=[goal_row(topic_id=name(n), probability=0.01) for n in range(6)],
        detail={
            "recovery_attempt_count": 30,
            "median_time_recent_ms": 40000.0,
            "median_time_previous_ms": 60000.0,
        },
    )
    template = compile_template("weekly_report", code, "pdf")
    report = say(build_report(student, THIS_WEEK, exercises), template.language)
    assert (len(report.goals), bool(report.more_goals)) == (4, True)
    pdf = render_pdf(template.source, SUNDAY, most_pages=2, report=report)
    assert count_pages(pdf) == 2
    assert count_pages(render_pdf(template.source, SUNDAY, report=report)) >= 2


@needs_pdftotext
# Sentences with which the page ends just after the chart.
@pytest.mark.parametrize(("topics", "sentences"), [(3, 11), (5, 8), (7, 6)])
def test_what_is_said_of_the_topics_stands_on_the_page_of_their_chart(
    topics: int, sentences: int
) -> None:
    student = record(
        weeks=[week_row(WEEK - timedelta(weeks=6), theta=0.1), week_row()],
        topics=[topic_row(f"단원{n}", 18, 9) for n in range(topics)],
    )
    template = compile_template("weekly_report", "ko", "pdf")
    report = say(build_report(student, THIS_WEEK, bank()), template.language)
    report = dataclasses.replace(report, kpis=report.kpis[:2], lead=("공부",) * sentences)
    pages = text_of(render_pdf(template.source, SUNDAY, report=report)).split("\f")
    (page,) = [page for page in pages if template.language.text("topics.heading") in page]
    assert template.language.text("topics.even") in page


@pytest.mark.parametrize(("sentences", "pages"), [(2, 1), (20, 2)])
def test_a_few_lines_alone_do_not_get_a_second_page(sentences: int, pages: int) -> None:
    template = compile_template("weekly_report", "ko", "pdf")
    student = record(weeks=[week_row(WEEK - timedelta(weeks=6), theta=0.1), week_row()])
    report = say(build_report(student, THIS_WEEK, bank()), template.language)
    report = dataclasses.replace(report, lead=("공부 " * 15,) * sentences)
    comfortable = render_pdf(template.source, SUNDAY, most_pages=2, report=report)
    pdf = render_pdf(template.source, SUNDAY, most_pages=2, wanted_pages=1, report=report)
    assert (count_pages(comfortable), count_pages(pdf)) == (2, pages)
