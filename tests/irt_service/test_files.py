"""Calibration from files: what is written, and a verdict or error for every bad input."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from irt_service.engines import engine_named
from irt_service.engines.base import CalibrationSettings, ItemParameters
from irt_service.errors import IrtServiceError
from irt_service.files import FileRequest, FileRun, calibrate_files
from irt_service.reading import read_anchors, read_responses
from irt_service.settings import GateSettings
from tests.irt_service.simulation import Simulated, simulate

Row = tuple[str, str, object]
HEAD = "student_id,item_id,is_correct"


@pytest.fixture(scope="module")
def school() -> Simulated:
    return simulate(np.random.default_rng(1), 800, 16, 12)


@pytest.fixture(scope="module")
def rows(school: Simulated) -> list[Row]:
    responses = school.responses
    students = np.repeat(responses.person_ids, 12)
    items = responses.item_ids[responses.items]
    return list(zip(students, items, responses.correct.tolist(), strict=True))


def write(path: Path, rows: list[Row], head: str = HEAD) -> Path:
    text = "\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def calibrate(path: Path, out: Path, **plan: Any) -> FileRun:
    request = FileRequest(CalibrationSettings(), GateSettings(), **plan)
    return calibrate_files(path, out, request, engine_named("native"))


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_an_accepted_run_writes_items_abilities_and_the_run(
    school: Simulated, rows: list[Row], tmp_path: Path
) -> None:
    done = calibrate(write(tmp_path / "r.csv", rows), tmp_path / "out")
    assert done.is_accepted
    names = ["item_parameters.csv", "abilities.csv", "item_fit.csv", "run.json"]
    assert [path.name for path in done.written] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    items = cells(tmp_path / "out" / "item_parameters.csv")
    assert [row["item_id"] for row in items] == list(school.responses.item_ids)
    error = [float(row["difficulty"]) for row in items] - school.difficulty
    assert np.sqrt((error**2).mean()) < 0.25
    assert all(0 < float(row["se_discrimination"]) < 0.5 for row in items)
    assert {row["guessing"] for row in items} == {"0"}
    assert {row["se_guessing"] for row in items} == {""}
    abilities = cells(tmp_path / "out" / "abilities.csv")
    assert len(abilities) == 800
    theta = {row["student_id"]: float(row["theta"]) for row in abilities}
    found = [theta[student] for student in school.responses.person_ids]
    assert np.corrcoef(found, school.theta)[0, 1] > 0.8
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert run["status"] == "accepted"
    assert run["converged"] is True
    assert run["log_likelihood"] < 0
    assert run["input"]["responses"] == len(rows)
    assert run["students"] == {"read": 800, "left_out": 0, "with_ability": 800, "calibrated": 800}
    assert run["settings"]["model"] == "2PL"
    assert len(run["log_likelihood_path"]) == run["iterations"]


def test_the_same_rows_in_any_order_and_format_give_the_same_bytes(
    rows: list[Row], tmp_path: Path
) -> None:
    shuffled = [rows[k] for k in np.random.default_rng(2).permutation(len(rows))]
    plain = write(tmp_path / "r.csv", shuffled)
    packed = tmp_path / "r.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    columns = [list(column) for column in zip(*rows, strict=True)]
    parquet = tmp_path / "r.parquet"
    pa_parquet.write_table(pa.table(columns, names=HEAD.split(",")), parquet)
    written = []
    for number, path in enumerate((plain, packed, parquet)):
        out = tmp_path / str(number)
        assert calibrate(path, out).is_accepted
        written.append(
            [(out / name).read_bytes() for name in ("item_parameters.csv", "abilities.csv")]
        )
    assert written[0] == written[1] == written[2]


def test_item_parameters_of_one_run_anchor_the_next(rows: list[Row], tmp_path: Path) -> None:
    first = calibrate(write(tmp_path / "r.csv", rows), tmp_path / "first")
    table = cells(tmp_path / "first" / "item_parameters.csv")[:6]
    kept = [(row["item_id"], row["discrimination"], row["difficulty"]) for row in table]
    head = "item_id,discrimination,difficulty"
    anchors = read_anchors(write(tmp_path / "a.csv", kept, head))
    assert first.fit.calibration is not None
    assert anchors[first.fit.calibration.item_ids[0]] == ItemParameters(
        float(table[0]["discrimination"]), float(table[0]["difficulty"])
    )
    done = calibrate(tmp_path / "r.csv", tmp_path / "second", anchors=anchors)
    assert done.is_accepted
    again = cells(tmp_path / "second" / "item_parameters.csv")
    assert sum(row["is_fixed"] == "1" for row in again) == 6
    assert done.report["prior"]["mean"] == pytest.approx(0.0, abs=0.02)
    assert done.report["prior"]["sd"] == pytest.approx(1.0, abs=0.02)


Change = Callable[[list[Row]], list[Row]]


def reversed_key(rows: list[Row]) -> list[Row]:
    return [(s, q, 1 - int(str(u)) if q == "i0003" else u) for s, q, u in rows]


def all_correct(rows: list[Row]) -> list[Row]:
    return [(s, q, 1 if q == "i0003" else u) for s, q, u in rows]


def one_student_in_a_hundred_solves_it(rows: list[Row]) -> list[Row]:
    students = sorted({s for s, _, _ in rows})
    return rows + [(s, "i0003x", int(k % 100 == 0)) for k, s in enumerate(students)]


@pytest.mark.parametrize(
    ("change", "item", "reasons"),
    [
        (reversed_key, "i0003", {"implausible_discrimination"}),
        (all_correct, "i0003", {"all_correct"}),
        (
            one_student_in_a_hundred_solves_it,
            "i0003x",
            {"implausible_discrimination", "implausible_difficulty"},
        ),
    ],
)
def test_an_impossible_item_is_set_aside_and_the_rest_is_calibrated(
    change: Change, item: str, reasons: set[str], rows: list[Row], tmp_path: Path
) -> None:
    done = calibrate(write(tmp_path / "r.csv", change(rows)), tmp_path / "out")
    assert done.is_accepted
    excluded = {one["item_id"]: one["reason"] for one in done.report["excluded"]}
    assert list(excluded) == [item]
    assert excluded[item] in reasons
    assert item not in {row["item_id"] for row in cells(tmp_path / "out" / "item_parameters.csv")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: [row for row in rows if row[0] in {"s1", "s2", "s3"}], "enough_responses"),
        (lambda rows: [(f"s{k}", f"q{k % 5}", k % 2) for k in range(2000)], "enough_responses"),
        (lambda rows: rows + [(f"x{s}", f"x{q}", u) for s, q, u in rows], "connectedness"),
    ],
    ids=["three students", "one response per student", "disconnected halves"],
)
def test_a_rejected_run_says_why_and_leaves_no_parameters(
    change: Change, reason: str, rows: list[Row], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert calibrate(write(tmp_path / "r.csv", rows), out).is_accepted
    done = calibrate(write(tmp_path / "r.csv", change(rows)), out)
    assert not done.is_accepted
    assert done.reasons[0].startswith(reason)
    assert [path.name for path in out.iterdir()] == ["run.json"]
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert (run["status"], run["converged"], run["log_likelihood"]) == ("rejected", False, None)
    assert run["reasons"] == list(done.reasons)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", r"the file is empty"),
        (f"{HEAD}\n", r"there are no responses"),
        ("a,b\n1,2\n", r"columns are missing: student_id, item_id, is_correct \(r.csv has a, b\)"),
        (f"{HEAD}\ns1,q1,1\ns1,q1,0\n", r"r.csv, first student 's1', item 'q1'"),
        (f"{HEAD}\ns1,q1,1\ns1,q2,yes\n", r"r.csv, first in row 2: 'yes'"),
        (f"{HEAD}\ns1,q1,1\ns1,q2,2\n", r"r.csv, first in row 2: 2"),
        (f"{HEAD}\ns1,q1,\ns1,q2,\n", r"there are no responses"),
        (f"{HEAD}\ns1,q1,\ns1,q2,1\ns1,q3,x\n", r"r.csv, first in row 3: 'x'"),
        (f"{HEAD}\ns1,q1,1\n,q2,1\n", r"student_id is missing"),
        (f"{HEAD}\ns1,q1\n", r"the file cannot be read"),
        ("\x00\x01\x02", r"columns are missing|cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_with_its_place(
    content: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(IrtServiceError, match=words):
        read_responses(path)


def test_a_file_that_is_absent_or_not_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IrtServiceError, match="no such file"):
        read_responses(tmp_path / "absent.csv")
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEAD}\ns\xe9,q,1\n".encode("latin-1"))
    with pytest.raises(IrtServiceError, match=r"cannot be read \(latin.csv"):
        read_responses(latin)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(IrtServiceError, match=r"cannot be read \(broken.parquet"):
        read_responses(broken)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("item_id,discrimination,difficulty\n", "there are no anchors"),
        ("item_id,discrimination,difficulty\nq,1,\n", "an anchor is incomplete"),
        ("item_id,discrimination,difficulty\nq,1,0\nq,1,0\n", "named twice"),
        ("item_id,discrimination,difficulty\nq,one,0\n", "a number is needed"),
        ("item_id,difficulty\nq,0\n", "columns are missing: discrimination"),
    ],
)
def test_anchors_that_cannot_be_used_are_an_error(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "anchors.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(IrtServiceError, match=words):
        read_anchors(path)
