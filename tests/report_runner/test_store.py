"""Keys are safe and never shared; files are whole or not there."""

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report_runner.store import FileStore, report_key, safe_id

_ID = st.one_of(st.text(min_size=1, max_size=300), st.from_regex(r"[a-zA-Z0-9./_-]{1,6}"))


@given(_ID, _ID)
def test_ids_become_safe_segments_and_different_ids_stay_apart(first: str, second: str) -> None:
    for identifier in (first, second):
        assert re.fullmatch(r"[a-z0-9_-][a-z0-9_.-]{0,120}", safe_id(identifier))
    # Some file systems do not tell upper from lower case.
    assert (safe_id(first).lower() == safe_id(second).lower()) == (first == second)


@pytest.mark.parametrize(
    "identifier", ["17", "a09-1", "0b0e7f8c-7d6a-4f64-8c0b-3a4d1e0f2a11", "q_1"]
)
def test_plain_ids_stay_readable(identifier: str) -> None:
    assert safe_id(identifier) == identifier


@pytest.mark.parametrize("identifier", ["..", ".", "../../etc/passwd", "a/b", "", "\ud800", "학생"])
def test_hostile_ids_cannot_leave_their_folder(identifier: str, tmp_path: Path) -> None:
    key = report_key(identifier, date(2026, 6, 8), "html")
    assert key.count("/") == 3
    FileStore(tmp_path).put(key, b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["reports"]


def test_the_key_is_student_week_and_format() -> None:
    assert report_key("s1", date(2026, 6, 8), "html") == "reports/s1/2026-06-08/report.html"


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    assert store.size("a/b.html") is None
    store.put("a/b.html", b"long text")
    store.put("a/b.html", b"short")
    assert (store.size("a/b.html"), (tmp_path / "a/b.html").read_bytes()) == (5, b"short")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.html"]
