"""Which words of the PDF get a box: those that may lie across the end of a line."""

import pytest

from report_runner.lines import mark_columns, split_words, width

TEXT = "가나다 라마바 사아자 차카타"
# Of three syllables and of a space.
WORD, SPACE = width("가나다"), width(" ")


def _kept(*columns: float, start: float = 0.0, text: str = TEXT) -> list[str]:
    parts = split_words(text, columns, start)
    assert "".join(part for part, _is_kept in parts) == text
    return [part for part, is_kept in parts if is_kept]


def test_widths_are_those_of_the_font() -> None:
    assert pytest.approx(3 * 0.92) == WORD
    assert pytest.approx(0.224) == SPACE


def test_without_a_column_every_word_is_kept() -> None:
    assert _kept() == TEXT.split()


def test_what_fits_on_the_line_is_not_kept() -> None:
    assert _kept(20.0) == []


def test_the_word_across_the_end_of_each_line_is_kept() -> None:
    # Two words and a bit on a line.
    assert _kept(2 * WORD + SPACE + 1) == ["사아자"]
    # A word and a bit.
    assert _kept(WORD + SPACE + 1) == ["라마바", "사아자", "차카타"]


def test_what_is_before_a_text_moves_the_end_of_its_line() -> None:
    assert _kept(20.0, start=9.0) == ["차카타"]


def test_a_word_that_just_fits_or_not_counts_both_ways() -> None:
    # The second ends at the line's end: whether it wraps decides where the third begins.
    assert _kept(2 * WORD + SPACE + 0.1) == ["라마바", "사아자", "차카타"]


def test_every_width_that_a_column_may_have_counts() -> None:
    assert _kept(20.0, WORD + SPACE + 1) == ["라마바", "사아자", "차카타"]


def test_a_word_that_breaks_itself_leaves_the_rest_unknown() -> None:
    assert _kept(5.0, text="긴" * 20 + " 가나다 라마바") == ["가나다", "라마바"]


def test_a_document_tells_its_texts_their_columns() -> None:
    body = """#r.panel[
== 지표
다른 학생과 견준 것이 아니라, 자신의 값입니다.
#r.cards(
{% for kpi in report.kpis %}
r.card[
#r.meaning[{{ kpi.meaning }}];
],
{% endfor %}
)
]"""
    marked = mark_columns(body)
    assert '{{ "다른 학생과 견준 것이 아니라, 자신의 값입니다." | lines((48.6,), 1.0) }}' in marked
    assert "{% set cards = card_columns(loop.length) %}" in marked
    assert "#r.meaning[{{ kpi.meaning | lines(cards, 0.85) }}];" in marked
