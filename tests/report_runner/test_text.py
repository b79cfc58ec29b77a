"""What is done to text that students and schools wrote."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report_runner.text import Noun, clean_text, shorten, with_particle


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("김하늘", "김하늘"),
        ("  two\n\tlines  ", "two lines"),
        ("a\u202eb\u2066c\u200f", "abc"),
        ("nul\x00 and bell\x07", "nul and bell"),
        ("\ud55c", "한"),
        ("\u1112\u1161\u11ab", "한"),
        ("👩‍🎓 🇰🇷", "👩‍🎓 🇰🇷"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
        ("\u3164\u200b", ""),
        ("\ud800x", "x"),
    ],
)
def test_text_loses_only_what_no_reader_sees(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@given(st.text())
def test_cleaning_twice_changes_nothing_and_leaves_no_control_characters(raw: str) -> None:
    clean = clean_text(raw)
    assert clean_text(clean) == clean
    assert not {unicodedata.category(character) for character in clean} & {"Cc", "Cs", "Co"}


@pytest.mark.parametrize(
    ("word", "particle", "expected"),
    [
        ("확률", "을를", "확률을"),
        ("이차함수", "을를", "이차함수를"),
        ("수열", "은는", "수열은"),
        ("함수", "이가", "함수가"),
        ("확률", "으로", "확률로"),
        ("집합", "으로", "집합으로"),
        ("함수", "으로", "함수로"),
        ("미적분 2", "은는", "미적분 2는"),
        ("미적분 3", "은는", "미적분 3은"),
        ("수학(상)", "이가", "수학(상)이"),
        ("DNA", "은는", "DNA는"),
        ("ATM", "은는", "ATM은"),
        ("algebra", "을를", "algebra을(를)"),
        ("??", "과와", "??와(과)"),
    ],
)
def test_a_particle_follows_how_the_word_is_read(word: str, particle: str, expected: str) -> None:
    assert with_particle(word, particle) == expected
    assert f"{Noun(word):{particle}}" == expected


def test_long_text_is_cut_to_a_width_and_short_text_is_not() -> None:
    assert shorten("확률과 통계", 8.0) == "확률과 통계"
    assert shorten("가" * 20, 8.0) == "가" * 7 + "…"
    assert shorten("i" * 12, 8.0) == "i" * 12
