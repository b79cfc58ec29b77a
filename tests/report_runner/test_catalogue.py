"""The catalogues of messages: complete, alike, and free of words that are not for students."""

import re
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from report_runner.catalogue import LANGUAGES, Language, half_up, language
from report_runner.errors import ReportError, TemplateError

_PLACE = re.compile(r"\{(\w+)")

# Labels and jargon that no student or parent is to read.
FORBIDDEN = re.compile(
    r"theta|\bEAP\b|\bSE\b|standard error|churn|inactiv|dormant|at risk|drop ?out|"
    r"세타|표준 ?오차|이탈|휴면|비활동|비활성|미접속|위험|미등록",
    re.IGNORECASE,
)


def _forms(words: Language, key: str) -> list[str]:
    message = words.messages[key]
    return [message] if isinstance(message, str) else list(message.values())


def test_all_languages_have_the_same_messages_with_the_same_values() -> None:
    korean, english = language("ko"), language("en")
    assert korean.messages.keys() == english.messages.keys()
    for key in korean.messages:
        places = {
            frozenset(_PLACE.findall(form))
            for words in (korean, english)
            for form in _forms(words, key)
        }
        assert len(places) == 1, key


# Reports that only tutors and psychometricians read.
STAFF = ("cohort.", "calibration.")


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_message_holds_jargon_or_a_label_that_is_not_for_students(code: str) -> None:
    words = language(code)
    student_keys = [key for key in words.messages if not key.startswith(STAFF)]
    found = [key for key in student_keys for form in _forms(words, key) if FORBIDDEN.search(form)]
    assert found == []


def test_numbers_are_rounded_as_people_round() -> None:
    korean = language("ko")
    assert [korean.percent(value) for value in (0.625, 0.125, 0.0, 1.0)] == [
        "63%", "13%", "0%", "100%",
    ]  # fmt: skip
    assert [korean.signed(value) for value in (0.138552, -0.138552, 0.0, -0.001)] == [
        "+0.14", "\N{MINUS SIGN}0.14", "+0.00", "+0.00",
    ]  # fmt: skip
    assert korean.number(12344.5) == "12,345"
    assert str(half_up(-0.4)) == "0"
    values = list(np.random.default_rng(7).uniform(-3, 3, 300))
    values += [value / 8 for value in range(-20, 20)] + [1.005, 2.675, 1e15 + 0.5, -1e12]
    for value in values:
        exact = Decimal(repr(float(value))).quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert half_up(float(value), places=2) == exact * 100


def test_dates_are_written_as_the_language_writes_them() -> None:
    week = date(2026, 6, 8), date(2026, 6, 14)
    assert language("ko").interval(*week) == "2026년 6월 8일~14일"
    assert language("en").interval(*week).split("\u2009") == ["Jun 8", "\N{EN DASH}", "14, 2026"]
    assert language("ko").day(week[0]) == "2026년 6월 8일"


def test_english_counts_in_singular_and_plural() -> None:
    english = language("en")
    assert english.text("unit.days", count=1) == "1 day"
    assert english.text("goals.days_left", count="1,200") == "1,200 days left"


def test_unknown_languages_messages_and_values_are_refused() -> None:
    with pytest.raises(ReportError, match="no language 'fr'; there are: ko, en"):
        language("fr")
    with pytest.raises(TemplateError, match=r"no message 'page\.nothing'"):
        language("ko").text("page.nothing")
    with pytest.raises(TemplateError, match="does not fit its values: 'name'"):
        language("ko").text("page.student")
