"""The route through Quarto: said clearly when it is absent, and nobody's text is markup in it."""

import stat
import sys
from pathlib import Path

import pypandoc  # type: ignore[import-untyped]
import pytest

from report_runner import quarto
from report_runner.catalogue import language
from report_runner.cli import main
from report_runner.errors import ReportError
from report_runner.sections import build_report
from report_runner.text import clean_text
from report_runner.views import WeeklyReportText
from report_runner.wording import say
from tests.report_runner.records import THIS_WEEK, bank, record, topic_row, week_row
from tests.report_runner.test_injection import HOSTILE


def _words(name: str) -> WeeklyReportText:
    student = record(
        weeks=[week_row(THIS_WEEK.week_start.replace(day=1)), week_row()],
        profile={"display_name": name},
        topics=[topic_row(name, 18, 4, strength="weak")],
    )
    return say(build_report(student, THIS_WEEK, bank()), language("en"))


def test_without_quarto_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["weekly", "--renderer", "quarto"]) == 1
    assert "needs `quarto` on PATH" in capsys.readouterr().err


def test_user_text_in_the_source_is_text_for_pandoc(tmp_path: Path) -> None:
    for start in range(0, len(HOSTILE), 12):
        text = " a".join(HOSTILE[start : start + 12]) + "b"
        source = quarto.fill_source("weekly_report", "en", tmp_path, report=_words(text))
        plain = pypandoc.convert_text(
            source, "plain", format="markdown-smart", extra_args=["--wrap=none"], sandbox=True
        )
        assert clean_text(text) in plain.replace("\N{NO-BREAK SPACE}", " ")
    assert (tmp_path / "chart-0.svg").read_text().startswith("<svg")


def test_the_document_is_what_quarto_leaves_and_its_refusal_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "quarto"
    stand_in.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        "assert pathlib.Path('report.lua').exists() and pathlib.Path('chart-0.svg').exists()\n"
        "sys.exit('no typst') if 'typst' in sys.argv else None\n"
        "pathlib.Path('report.html').write_bytes(pathlib.Path('report.qmd').read_bytes())\n"
    )
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    made = quarto.render_quarto("weekly_report", "en", "html", report=_words("Kim"))
    assert b'lang: "en"' in made
    assert b"[Kim]{.name}" in made
    with pytest.raises(ReportError, match="quarto refuses the document: no typst"):
        quarto.render_quarto("weekly_report", "en", "pdf", report=_words("Kim"))
