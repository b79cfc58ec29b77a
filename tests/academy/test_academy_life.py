"""Life at the school: rhythm, season, farewells, returns, and what goes wrong on the way."""

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.academy.reading import Row, Sample, latest_by_session, read_rows, read_truth

SEOUL = ZoneInfo("Asia/Seoul")


def local(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp).astimezone(SEOUL)


@pytest.fixture(scope="module")
def sessions(default_sample: Sample) -> list[Row]:
    return list(read_rows(default_sample.out / "session.jsonl.gz"))


@pytest.fixture(scope="module")
def latest(results: list[Row]) -> dict[str, Row]:
    return latest_by_session(results)


@pytest.fixture(scope="module")
def results(default_sample: Sample) -> list[Row]:
    return list(read_rows(default_sample.out / "exam_results.jsonl.gz"))


def elements(rows: list[Row]) -> list[object]:
    return [
        element
        for row in rows
        if row["result_json"] and isinstance(row["result_json"]["questions"], list)
        for element in row["result_json"]["questions"]
    ]


@pytest.mark.parametrize("size", ["default_sample", "small_sample"])
def test_activity_fills_the_period_and_nothing_happens_after_it(
    size: str, request: pytest.FixtureRequest
) -> None:
    sample: Sample = request.getfixturevalue(size)
    days, stamps = set(), []
    for row in read_rows(sample.out / "session.jsonl.gz"):
        days.add(local(row["started_at"]).date())
        stamps.append(row["ended_at"] or row["started_at"])
    rows = list(read_rows(sample.out / "exam_results.jsonl.gz"))
    stamps += [row["updated_at"] for row in rows]
    for table in ("question", "interest_goal"):
        stamps += [row["created_at"] for row in read_rows(sample.out / f"{table}.jsonl.gz")]
    assert min(days) == sample.options.first_day
    assert max(days) == sample.options.until
    assert max(local(stamp).date() for stamp in stamps) == sample.options.until
    answered = [
        element["answered_at"]
        for element in elements(rows)
        if isinstance(element, dict) and not element["answered_at"].startswith("20226")
    ]
    assert max(local(stamp).date() for stamp in answered) == sample.options.until


def test_weekends_are_busy_fridays_quiet_and_weekday_practice_is_in_the_evening(
    sessions: list[Row],
) -> None:
    starts = [local(row["started_at"]) for row in sessions if row["exam_id"] == "practice"]
    by_weekday = Counter(start.weekday() for start in starts)
    assert min(by_weekday, key=lambda day: by_weekday[day]) == 4
    assert max(by_weekday, key=lambda day: by_weekday[day]) == 6
    assert by_weekday[6] > 1.4 * by_weekday[0]
    hours = [start.hour + start.minute / 60 for start in starts if start.weekday() < 5]
    assert 19.5 < float(np.median(hours)) < 20.5
    assert min(hours) >= 15.5


def test_exams_are_sat_on_saturday_mornings_in_every_third_of_the_period(
    sessions: list[Row], default_sample: Sample
) -> None:
    exams = [row for row in sessions if row["exam_id"] != "practice"]
    starts = [local(row["started_at"]) for row in exams]
    assert {start.weekday() for start in starts} == {5}
    assert {start.hour for start in starts} == {10}
    first = default_sample.options.first_day
    assert {(start.date() - first).days // 40 for start in starts} == {0, 1, 2}
    assert len({row["exam_id"] for row in exams}) == 9


def test_the_exam_season_is_busier_than_the_weeks_before(
    sessions: list[Row], default_sample: Sample
) -> None:
    first = default_sample.options.first_day
    by_day = Counter(
        (local(row["started_at"]).date() - first).days
        for row in sessions
        if row["exam_id"] == "practice"
    )
    season = sum(by_day[day] for day in range(73, 87)) / 14
    before = sum(by_day[day] for day in range(56, 70)) / 14
    assert 1.3 < season / before < 1.9


def test_who_stops_never_comes_back_and_who_returns_was_away(
    sessions: list[Row], default_sample: Sample
) -> None:
    days: dict[str, set[date]] = defaultdict(set)
    for row in sessions:
        days[row["user_id"]].add(local(row["started_at"]).date())
    truth = read_truth(default_sample.out / "truth/students.csv")
    patterns = Counter(row["pattern"] for row in truth)
    assert 0.15 < patterns["stopped"] / 2_000 < 0.21
    assert 0.09 < patterns["returned"] / 2_000 < 0.15
    came_back = 0
    for row in truth:
        active = days[row["student_id"]]
        if row["pattern"] == "stopped":
            assert max(active, default=date.min).isoformat() <= row["to_date"]
        if row["pattern"] == "returned":
            away = (row["away_from"], row["away_to"])
            assert not any(away[0] <= day.isoformat() <= away[1] for day in active)
            came_back += any(day.isoformat() > away[1] for day in active)
    assert came_back > 0.9 * patterns["returned"]


def test_abilities_grow_with_practice_and_ever_less(default_sample: Sample) -> None:
    by_student: dict[str, list[float]] = defaultdict(list)
    for row in read_truth(default_sample.out / "truth/abilities.csv"):
        by_student[row["student_id"]].append(float(row["theta"]))
    long = [thetas for thetas in by_student.values() if len(thetas) >= 20]
    gains = np.array([[t[9] - t[0], t[19] - t[9]] for t in long]).mean(axis=0)
    assert gains[0] > 1.5 * gains[1] > 0
    assert all(np.all(np.diff(thetas) >= 0) for thetas in long)
    starts = [thetas[0] for thetas in by_student.values()]
    assert abs(float(np.mean(starts))) < 0.08
    assert abs(float(np.std(starts)) - 1.0) < 0.06


def test_faults_of_results_come_in_their_shares(
    results: list[Row], latest: dict[str, Row], default_sample: Sample
) -> None:
    count = len(latest)
    assert count == default_sample.summary["results"]
    delays = {
        row["session_id"]: local(row["created_at"]) - last_answer(row)
        for row in results
        if row["result_json"] and isinstance(row["result_json"]["questions"], list)
    }
    late = sum(delay >= timedelta(days=1) for delay in delays.values())
    assert 0.02 < late / count < 0.035
    assert sum(row["user_id"] is None for row in latest.values()) / count == pytest.approx(
        0.003, abs=0.001
    )
    assert sum(row["status"] == "failed" for row in latest.values()) / count == pytest.approx(
        0.006, abs=0.0015
    )
    shapes = Counter(
        type(row["result_json"]["questions"]).__name__
        for row in latest.values()
        if row["result_json"]
    )
    assert set(shapes) == {"list", "NoneType", "str", "dict"}
    old = sum('"correct"' in str(row["result_json"]).replace("'", '"') for row in latest.values())
    assert 0.04 < old / count < 0.06


def last_answer(row: Row) -> datetime:
    stamps = [
        element["answered_at"]
        for element in row["result_json"]["questions"]
        if isinstance(element, dict) and not element["answered_at"].startswith("20226")
    ]
    return max((local(stamp) for stamp in stamps), default=local(row["created_at"]))


def test_redelivered_results_are_corrected_shortened_recovered_or_repeated(
    results: list[Row], default_sample: Sample
) -> None:
    versions: dict[str, list[Row]] = defaultdict(list)
    for row in results:
        versions[row["session_id"]].append(row)
    twice = [rows for rows in versions.values() if len(rows) > 1]
    assert 0.02 < len(twice) / len(versions) < 0.03
    kinds: Counter[str] = Counter()
    for first, second in twice:
        assert first["updated_at"] < second["updated_at"]
        assert first["created_at"] == second["created_at"]
        before, after = elements([first]), elements([second])
        if first["status"] == "failed":
            kinds["recovered"] += 1
            assert second["status"] == "ready"
        elif len(after) < len(before):
            kinds["shortened"] += 1
            assert after == before[1:]
        elif after != before:
            kinds["corrected"] += 1
        else:
            kinds["repeated"] += 1
    told = default_sample.summary["redeliveries"]
    assert kinds["recovered"] == told["recovered"]
    assert kinds["shortened"] == told["shortened"]
    assert kinds["corrected"] + kinds["repeated"] == told["corrected"] + told["repeated"]
    assert kinds["corrected"] > 0.95 * told["corrected"]


def test_broken_elements_come_in_their_share(latest: dict[str, Row]) -> None:
    found = elements(list(latest.values()))
    records = [element for element in found if isinstance(element, dict)]
    counts = {
        "not_an_object": len(found) - len(records),
        "null": sum(element is None for element in found),
        "yes": sum(e.get("is_correct", e.get("correct")) == "yes" for e in records),
        "no_item": sum("question_id" not in e for e in records),
        "empty_item": sum(e.get("question_id") == "" for e in records),
        "negative_time": sum(e["time_spent_sec"] < 0 for e in records),
        "hints": sum(e.get("used_hints", 0) > 1_000 for e in records),
        "year_20226": sum(e["answered_at"].startswith("20226") for e in records),
    }
    assert all(count > 20 for count in counts.values()), counts
    broken = sum(counts.values()) - counts["null"]
    assert broken / len(found) == pytest.approx(0.003, abs=0.0005)
    blank = sum("user_answer" in e and e["user_answer"] is None for e in records)
    assert 0.008 < blank / len(found) < 0.03
    ungraded = sum(e.get("is_correct", e.get("correct")) is None for e in records)
    assert ungraded / len(found) == pytest.approx(0.002, abs=0.0005)


def test_some_sessions_lack_a_row_and_some_rows_lack_a_result(
    sessions: list[Row], latest: dict[str, Row], default_sample: Sample
) -> None:
    rows = {row["id"]: row for row in sessions}
    assert len(latest.keys() - rows.keys()) / len(latest) == pytest.approx(0.01, abs=0.002)
    without = [rows[key] for key in rows.keys() - latest.keys()]
    abandoned = [row for row in without if row["status"] == "abandoned"]
    assert 0.02 < len(abandoned) / len(rows) < 0.035
    assert all(row["ended_at"] is None for row in abandoned)
    assert len(without) - len(abandoned) <= default_sample.summary["results_not_delivered_yet"]


def test_a_student_is_in_one_class_at_a_time(default_sample: Sample) -> None:
    spans: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in read_rows(default_sample.out / "classroom_student.jsonl.gz"):
        spans[row["user_id"]].append((row["from_date"], row["to_date"] or "9999-12-31"))
    assert len(spans) == 2_000
    moved = [sorted(each) for each in spans.values() if len(each) > 1]
    assert 40 < len(moved) < 160
    assert all(first[1] < second[0] for first, second in moved)
    assert all(start <= end for each in spans.values() for start, end in each)
