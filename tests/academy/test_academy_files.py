"""Files of a sample: same bytes for the same seed, complete or absent, the options obeyed."""

import dataclasses
import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.academy.reading import Sample, read_rows, read_truth
from warehouse.academy.cli import last_complete_day, main
from warehouse.academy.files import SUMMARY, TABLES, table_path, write_sample
from warehouse.academy.options import AcademyError, AcademyOptions

SMALL = ["--students", "20", "--items", "30", "--days", "20", "--until", "2026-04-15"]


def digests(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_the_same_options_give_the_same_bytes(small_sample: Sample, tmp_path: Path) -> None:
    write_sample(small_sample.options, tmp_path)
    assert digests(tmp_path) == digests(small_sample.out)
    assert len(digests(tmp_path)) == len(TABLES) + 5
    stamps = {table_path(tmp_path, table).read_bytes()[4:8] for table in TABLES}
    assert stamps == {bytes(4)}, "gzip holds the time of writing"


def test_another_seed_gives_other_results(small_sample: Sample, tmp_path: Path) -> None:
    write_sample(dataclasses.replace(small_sample.options, seed=4), tmp_path)
    before, after = digests(small_sample.out), digests(tmp_path)
    assert before.keys() == after.keys()
    same = {name for name in before if before[name] == after[name]}
    assert same == set()


def test_a_default_sample_has_the_promised_size(default_sample: Sample) -> None:
    rows = {table: sum(1 for _ in read_rows(table_path(default_sample.out, table)))
            for table in TABLES}  # fmt: skip
    assert rows == default_sample.summary["rows"]
    assert rows["student_profile"] == 2_000
    assert rows["question"] == 300
    assert 250_000 <= default_sample.summary["answers"] <= 400_000
    assert default_sample.summary["items_with_1000_first_graded"] >= 100


def test_every_row_has_its_key_and_keys_are_unique(default_sample: Sample) -> None:
    keys = {
        "question": ("id",),
        "session": ("id",),
        "classroom": ("id",),
        "student_profile": ("user_id",),
        "interest_goal": ("user_id", "topic_id"),
        "classroom_student": ("classroom_id", "user_id", "from_date"),
        "exam_results": ("session_id", "updated_at"),
    }
    for table, columns in keys.items():
        rows = list(read_rows(table_path(default_sample.out, table)))
        assert len({tuple(row[column] for column in columns) for row in rows}) == len(rows), table


def test_anchors_carry_their_true_parameters_and_others_none(small_sample: Sample) -> None:
    truth = {row["item_id"]: row for row in read_truth(small_sample.out / "truth/items.csv")}
    anchors = 0
    for row in read_rows(table_path(small_sample.out, "question")):
        if "anchor" not in row["meta"]["tags"]:
            assert "irt" not in row["meta"]
            continue
        anchors += 1
        true = truth[row["id"]]
        assert row["meta"]["irt"]["a"] == float(true["discrimination"])
        assert row["meta"]["irt"]["b"] == float(true["difficulty"])
        assert row["meta"]["irt"]["c"] == float(true["guessing"])
    assert anchors == 6


def test_a_default_sample_has_no_anchors(default_sample: Sample) -> None:
    rows = read_rows(table_path(default_sample.out, "question"))
    assert [row["id"] for row in rows if "anchor" in row["meta"]["tags"]] == []


def test_numeric_ids_are_delivered_as_numbers(small_sample: Sample) -> None:
    delivered = set()
    for row in read_rows(table_path(small_sample.out, "exam_results")):
        questions = (row["result_json"] or {}).get("questions")
        for element in questions if isinstance(questions, list) else []:
            if isinstance(element, dict) and element.get("question_id"):
                delivered.add(element["question_id"])
    questions = {row["id"] for row in read_rows(table_path(small_sample.out, "question"))}
    assert {item for item in delivered if isinstance(item, int)} == {5, 10, 15, 20, 25, 30, 35, 40}
    assert {str(item) for item in delivered} == questions


def test_a_complete_sample_is_left_alone_and_a_broken_one_is_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SMALL, "--out", str(tmp_path)]
    assert main(arguments) == 0
    first = digests(tmp_path)
    stamp = (tmp_path / SUMMARY).stat().st_mtime_ns
    capsys.readouterr()
    assert main(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (tmp_path / SUMMARY).stat().st_mtime_ns == stamp
    (tmp_path / "session.jsonl.gz").unlink()
    assert main(arguments) == 0
    assert digests(tmp_path) == first
    assert main([*arguments, "--seed", "8"]) == 0
    assert digests(tmp_path) != first


def test_wrong_usage_exits_2_and_says_what_to_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--students", "3", "--out", str(tmp_path / "a")]) == 2
    assert "--students is 3; give a value from 10" in capsys.readouterr().err
    assert main(["--until", "tomorrow"]) == 2
    assert not (tmp_path / "a").exists()


def test_a_target_that_cannot_be_written_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert main([*SMALL, "--out", str(tmp_path / "file")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_the_last_complete_day_is_that_of_seoul() -> None:
    assert last_complete_day(datetime(2026, 6, 28, 14, 59, tzinfo=UTC)) == date(2026, 6, 27)
    assert last_complete_day(datetime(2026, 6, 28, 15, 0, tzinfo=UTC)) == date(2026, 6, 28)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(AcademyError, match="--seed"):
        AcademyOptions(until=date(2026, 6, 28), seed=-1)
