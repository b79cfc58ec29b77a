"""Every line is stored or rejected with its reason, once, however often it is loaded."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Database, DatabaseFactory
from warehouse import loader
from warehouse.errors import WarehouseError
from warehouse.loader import LoadResult, load_file
from warehouse.tables import TABLES

MOMENT = "2026-03-01T09:00:00+09:00"


def _result(session: object, **more: object) -> dict[str, object]:
    return {"session_id": session, "status": "ready", "created_at": MOMENT, **more}


def _load(
    database: Database, folder: Path, lines: list[Any], table: str = "exam_results"
) -> tuple[LoadResult, list[dict[str, Any]]]:
    path, rejects = folder / "lines.jsonl", folder / "rejects.jsonl"
    path.write_bytes(
        b"".join(
            (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n"
            for line in lines
        )
    )
    result = load_file(database.engine, path, TABLES[table], rejects)
    found = [json.loads(line) for line in rejects.open()] if rejects.exists() else []
    return result, found


def _rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]


BAD_LINES = (
    (b"{", "not_json"),
    (b'{"session_id": "s", "x": NaN}', "not_json"),
    (b"[1]", "not_an_object"),
    (b'"text"', "not_an_object"),
    (b'{"session_id": "a\\u0000b"}', "holds_nul"),
    (b'{"session_id": "a\0b"}', "holds_nul"),
    (b'{"session_id": "\xff"}', "not_utf8"),
    (b'{"session_id": "\\ud800"}', "not_json"),
    (b"[" * 200_000, "refused"),
    ({"status": "ready", "created_at": MOMENT}, "missing_session_id"),
    (_result(None), "missing_session_id"),
    (_result(" "), "missing_session_id"),
    (_result(["s"]), "bad_session_id"),
    (_result("s" * 801), "bad_session_id"),
    ({"session_id": "s", "created_at": MOMENT}, "missing_status"),
    ({"session_id": "s", "status": "ready"}, "missing_created_at"),
    (_result("s", created_at="yesterday"), "bad_created_at"),
    (_result("s", created_at="infinity"), "bad_created_at"),
    (_result("s", created_at="2026-02-30T00:00:00Z"), "bad_created_at"),
    (_result("s", created_at="20226-01-01T00:00:00Z"), "bad_created_at"),
    (_result("s", created_at=1772323200), "bad_created_at"),
    (_result("s", score_raw="ten"), "bad_score_raw"),
    (_result("s", score_raw="nan"), "bad_score_raw"),
    (_result("s", score_raw={}), "bad_score_raw"),
    (_result("s", id="17"), "bad_id"),
)


def test_each_bad_line_has_its_reason_and_spares_its_neighbours(
    database: Database, tmp_path: Path
) -> None:
    lines: list[Any] = []
    for line, _ in BAD_LINES:
        lines += [line, _result(f"good {len(lines)}")]
    result, rejects = _load(database, tmp_path, lines)
    assert [(row["line_number"], row["reason"]) for row in rejects] == [
        (2 * position + 1, reason) for position, (_, reason) in enumerate(BAD_LINES)
    ]
    assert (result.inserted, result.rejected) == (len(BAD_LINES), len(BAD_LINES))
    assert _rows(database, "select count(*) from exam.exam_results") == [(len(BAD_LINES),)]


def test_the_rejects_file_holds_the_line_and_goes_when_there_are_none(
    database: Database, tmp_path: Path
) -> None:
    _, rejects = _load(database, tmp_path, [b'{"a": 1'])
    assert rejects[0]["line"] == '{"a": 1'
    assert rejects[0]["detail"].startswith("invalid input syntax for type json")
    assert (tmp_path / "rejects.jsonl").stat().st_mode & 0o777 == 0o600
    _, rejects = _load(database, tmp_path, [_result("s")])
    assert rejects == []
    assert not (tmp_path / "rejects.jsonl").exists()


CONTENTS: tuple[Any, ...] = (
    {"questions": [{"question_id": 0, "is_correct": "yes", "emoji": "🦊"}]},
    {"questions": None},
    {"questions": "none"},
    {"questions": [1, [2, [3]], "x"]},
    "a text",
    17,
    [],
    False,
)


def test_result_json_is_stored_as_it_was_delivered(database: Database, tmp_path: Path) -> None:
    lines = [_result(f"s{n}", result_json=content) for n, content in enumerate(CONTENTS)]
    _load(database, tmp_path, [*lines, _result("s8", result_json=None), _result("s9")])
    stored = _rows(database, "select result_json from exam.exam_results order by session_id")
    assert [row[0] for row in stored] == [*CONTENTS, None, None]
    missing = "select session_id from exam.exam_results where result_json is null order by 1"
    assert _rows(database, missing) == [("s8",), ("s9",)]


def test_numbers_keep_every_digit(database: Database, tmp_path: Path) -> None:
    line = json.dumps(_result("s", result_json="@")).replace('"@"', "1.10000000000000000001e2")
    _load(database, tmp_path, [line.encode()])
    stored = _rows(database, "select result_json::text from exam.exam_results")
    assert stored == [("110.000000000000000001",)]


def test_ids_may_be_numbers_and_times_are_moments(database: Database, tmp_path: Path) -> None:
    _load(
        database,
        tmp_path,
        [
            _result(17, user_id=5, exam_id=1, org_id="o", updated_at="2026-03-02 00:00:00"),
            _result("'; drop table exam.exam_results; --", user_id=""),
        ],
    )
    stored = _rows(
        database,
        "select session_id, user_id, exam_id, created_at::text, updated_at::text "
        "from exam.exam_results order by session_id desc",
    )
    at_nine_in_seoul = "2026-03-01 00:00:00+00"
    assert stored == [
        ("17", "5", "1", at_nine_in_seoul, "2026-03-02 00:00:00+00"),
        ("'; drop table exam.exam_results; --", None, None, at_nine_in_seoul, at_nine_in_seoul),
    ]


def test_loading_again_touches_no_row_and_a_change_touches_one(
    database: Database, tmp_path: Path
) -> None:
    lines = [_result(f"s{n}", result_json={"n": n}, score_raw=n / 3) for n in range(50)]
    _load(database, tmp_path, lines)
    versions = _rows(
        database, "select session_id, xmin::text, ctid::text, id from exam.exam_results"
    )
    result, _ = _load(database, tmp_path, lines)
    assert (result.inserted, result.updated, result.unchanged) == (0, 0, 50)
    statement = "select session_id, xmin::text, ctid::text, id from exam.exam_results"
    assert _rows(database, statement) == versions
    result, _ = _load(database, tmp_path, [*lines[:49], _result("s49", result_json={"n": 50})])
    assert (result.inserted, result.updated, result.unchanged) == (0, 1, 49)


def test_the_last_of_a_key_wins_in_a_batch_and_across_batches(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [_result("s", score_raw=n) for n in range(10)]
    result, _ = _load(database, tmp_path, lines)
    assert (result.inserted, result.superseded) == (1, 9)
    assert _rows(database, "select score_raw from exam.exam_results") == [(9.0,)]
    monkeypatch.setattr(loader, "BATCH_LINES", 3)
    result, _ = _load(database, tmp_path, [_result("s", score_raw=n) for n in range(20, 30)])
    assert (result.updated, result.superseded, result.lines) == (4, 6, 10)
    assert _rows(database, "select score_raw from exam.exam_results") == [(29.0,)]


def test_an_id_that_belongs_to_another_session_is_rejected(
    database: Database, tmp_path: Path
) -> None:
    one = "00000000-0000-0000-0000-000000000001"
    two = "00000000-0000-0000-0000-000000000002"
    _load(database, tmp_path, [_result("a", id=one)])
    result, rejects = _load(
        database,
        tmp_path,
        [_result("b", id=one), _result("c", id=two), _result("d", id=two), _result("a", id=one)],
    )
    assert [(row["line_number"], row["reason"]) for row in rejects] == [
        (1, "duplicate_id"),
        (3, "duplicate_id"),
    ]
    assert (result.inserted, result.unchanged) == (1, 1)


ROWS: dict[str, list[dict[str, object]]] = {
    "session": [
        {"id": 1, "user_id": "u", "started_at": MOMENT, "ended_at": None, "status": "done"}
    ],
    "question": [
        {"id": "q_17", "content": "1 + 1?", "topic_id": "t", "meta": {"tags": ["anchor"]}}
    ],
    "interest_goal": [
        {"user_id": "u", "topic_id": None, "target_level": 0.5},
        {"user_id": "u", "topic_id": "t", "target_level": 1, "priority": 100},
    ],
    "classroom": [{"id": 3, "org_id": "o", "name": "가반", "grade": 10}],
    "classroom_student": [{"classroom_id": 3, "user_id": "u", "from_date": "2026-03-01"}],
    "student_profile": [{"user_id": "u", "display_name": "김민준", "group_labels": {"sex": "f"}}],
}


@pytest.mark.parametrize("table", ROWS)
def test_every_table_loads_and_loads_again_without_a_change(
    table: str, database: Database, tmp_path: Path
) -> None:
    rows = ROWS[table]
    result, _ = _load(database, tmp_path, rows, table)
    assert (result.inserted, result.rejected, result.unknown_columns) == (len(rows), 0, set())
    result, _ = _load(database, tmp_path, rows, table)
    assert (result.inserted, result.updated, result.unchanged) == (0, 0, len(rows))


def test_a_priority_out_of_range_is_rejected(database: Database, tmp_path: Path) -> None:
    goal = {"user_id": "u", "target_level": 0}
    lines = [{**goal, "topic_id": n, "priority": n} for n in (-1, 0, 100, 101, 1.5)]
    _, rejects = _load(database, tmp_path, lines, "interest_goal")
    assert [row["line_number"] for row in rejects] == [1, 4, 5]


def test_gzip_blank_lines_line_ends_and_a_byte_order_mark_are_read(
    database: Database, tmp_path: Path
) -> None:
    lines = [json.dumps(_result(name)).encode() for name in ("a", "b", "c")]
    path = tmp_path / "packed"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + b"\r\n\r\n".join(lines)))
    result = load_file(database.engine, path, TABLES["exam_results"], tmp_path / "r")
    assert (result.lines, result.inserted, result.blank) == (5, 3, 2)


def test_a_damaged_file_loads_nothing(database: Database, tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(_result(f"s{n}")) for n in range(2000)).encode()
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(lines)[:-2000])
    with pytest.raises(WarehouseError, match="nothing of it was loaded"):
        load_file(database.engine, path, TABLES["exam_results"], tmp_path / "r")
    assert _rows(database, "select count(*) from exam.exam_results") == [(0,)]


def test_long_lines_are_loaded_and_too_long_ones_cut_off(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = _result("long", result_json={"questions": ["x" * 10_000_000]})
    assert _load(database, tmp_path, [long, _result("next")])[0].inserted == 2
    monkeypatch.setattr(loader, "LINE_MAX_BYTES", 1000)
    result, rejects = _load(database, tmp_path, [_result("x", org_id="y" * 5000), _result("last")])
    assert [(row["line_number"], row["reason"]) for row in rejects] == [(1, "line_too_long")]
    assert (result.lines, result.inserted) == (2, 1)


def test_columns_that_do_not_exist_are_named(database: Database, tmp_path: Path) -> None:
    result, _ = _load(database, tmp_path, [_result("s", resultjson=1)])
    assert result.unknown_columns == {"resultjson"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)
ids: st.SearchStrategy[object] = st.sampled_from(
    ["a", "b", 1, 1.5, "", None, "가", "\0", [], "x" * 900]
)
moments: st.SearchStrategy[object] = st.sampled_from(
    [MOMENT, "2026-03-01", "now", 5, None, "0000-00-00T00:00:00Z"]
)
result_lines = st.fixed_dictionaries(
    {},
    optional={
        "session_id": ids,
        "user_id": json_values,
        "status": st.sampled_from(["ready", "failed", 3, None, {}]),
        "created_at": moments,
        "updated_at": moments,
        "result_json": json_values,
        "score_raw": json_values,
        "other": json_values,
    },
).map(lambda line: json.dumps(line).encode())
any_lines = st.lists(
    result_lines
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")),
    max_size=12,
)


@pytest.fixture(scope="module")
def shared(new_database: DatabaseFactory) -> Database:
    return new_database()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=any_lines)
def test_any_lines_at_all_add_up_and_load_twice_as_once(
    lines: list[bytes], shared: Database, tmp_path: Path
) -> None:
    statement = "select * from exam.exam_results order by session_id"
    with shared.engine.begin() as connection:
        connection.execute(sa.text("truncate exam.exam_results"))
    result, rejects = _load(shared, tmp_path, lines)
    assert result.accepted + result.rejected + result.blank == result.lines == len(lines)
    assert result.rejected == len(rejects)
    once = _rows(shared, statement)
    assert len(once) == result.inserted
    again, rejects_again = _load(shared, tmp_path, lines)
    assert _rows(shared, statement) == once
    assert (again.inserted, rejects_again) == (0, rejects)
