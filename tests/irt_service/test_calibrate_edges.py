"""Data that break calibrations, by the command: a verdict or one line each, by both routes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from irt_service.cli import main
from tests.conftest import Database
from tests.irt_service.school import (
    DAY_ONE,
    Command,
    Done,
    build,
    deliver,
    open_school,
    regrade,
    scalar,
)

Row = tuple[str, str, object]
N_STUDENTS, N_ITEMS = 300, 10
HEAD = "student_id,item_id,is_correct"


@pytest.fixture
def files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`calibrate --responses` on given lines, into tmp_path / 'out'."""

    def run(lines: list[str], *options: str) -> Done:
        path = tmp_path / "responses.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        capsys.readouterr()
        arguments = ["calibrate", "--responses", str(path), "--out", str(tmp_path / "out")]
        try:
            code = main([*arguments, *options])
        except SystemExit as ended:
            code = int(str(ended.code))
        return Done(code, *capsys.readouterr())

    return run


def answers(n_students: int = N_STUDENTS, n_items: int = N_ITEMS, prefix: str = "") -> list[Row]:
    """Every student answers every item of a 2PL."""
    generator = np.random.default_rng(5)
    theta = generator.normal(size=(n_students, 1))
    difficulty = np.linspace(-1.5, 1.5, n_items)
    right = generator.random((n_students, n_items)) < 1 / (1 + np.exp(-1.2 * (theta - difficulty)))
    return [
        (f"{prefix}s{i}", f"{prefix}q_{j}", int(right[i, j]))
        for i in range(n_students)
        for j in range(n_items)
    ]


def lines(rows: list[Row]) -> list[str]:
    """A file of these rows."""
    return [HEAD, *(",".join(map(str, row)) for row in rows)]


def report(tmp_path: Path) -> dict[str, Any]:
    """The content of run.json."""
    found: dict[str, Any] = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    return found


def at_b_12(rows: list[Row]) -> list[Row]:
    """One more item that is far too hard for everybody."""
    generator = np.random.default_rng(6)
    chance = 1 / (1 + np.exp(12.0))
    return [*rows, *((f"s{i}", "hard", int(generator.random() < chance)) for i in range(300))]


@pytest.mark.parametrize(
    ("change", "item", "reason"),
    [
        (lambda rows: [(s, q, 1 - u if q == "q_4" else u) for s, q, u in rows], "q_4",
         "implausible_discrimination"),
        (lambda rows: [(s, q, 1 if q == "q_4" else u) for s, q, u in rows], "q_4", "all_correct"),
        (at_b_12, "hard", "all_incorrect"),
    ],
    ids=["mis-keyed", "all correct", "b = 12"],
)  # fmt: skip
def test_a_file_with_an_impossible_item_is_calibrated_without_it(
    change: Callable[[list[Row]], list[Row]],
    item: str,
    reason: str,
    files: Callable[..., Done],
    tmp_path: Path,
) -> None:
    done = files(lines(change(answers())))
    assert done.returncode == 0, done.stderr
    assert f"1 {reason}" in done.stdout
    found = report(tmp_path)
    assert [(one["item_id"], one["reason"]) for one in found["excluded"]] == [(item, reason)]
    fit = (tmp_path / "out" / "item_fit.csv").read_text(encoding="utf-8").splitlines()
    assert len(fit) == 1 + N_ITEMS - (item != "hard")


@pytest.mark.parametrize(
    ("rows", "gate"),
    [
        (answers(3), "enough_responses"),
        ([(f"s{k}", f"q_{k % 5}", k % 2) for k in range(1500)], "enough_responses"),
        (answers() + answers(prefix="x"), "connectedness"),
    ],
    ids=["three students", "one response each", "disconnected"],
)
def test_a_file_that_a_gate_rejects_leaves_its_verdict_and_no_numbers(
    rows: list[Row], gate: str, files: Callable[..., Done], tmp_path: Path
) -> None:
    done = files(lines(rows))
    assert done.returncode == 1
    assert f"reason          {gate}: " in done.stdout
    assert "Traceback" not in done.stderr
    found = report(tmp_path)
    assert (found["status"], found["converged"], found["log_likelihood"]) == (
        "rejected", False, None,
    )  # fmt: skip
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "the file is empty"),
        ([HEAD], "there are no responses"),
        ([HEAD, "s1,q1,1", "s1,q1,1"], "1 responses repeat a student and an item"),
        ([HEAD, "s1,q1,2"], "first in row 1: 2"),
        ([HEAD, "s1,q1,0.5"], "first in row 1: 0.5"),
        ([HEAD, "s1,q1,-1"], "first in row 1: -1"),
        ([HEAD, "s1,q1,NA", "s1,q2,NaN"], "there are no responses"),
    ],
)
def test_a_file_with_wrong_values_is_one_line(
    content: list[str], words: str, files: Callable[..., Done], tmp_path: Path
) -> None:
    done = files(content)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert (done.stderr.count("\n"), words in done.stderr) == (1, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("a", ["-1", "0", "inf", "nan"])
def test_an_anchor_with_impossible_parameters_is_one_line(
    a: str, files: Callable[..., Done], tmp_path: Path
) -> None:
    anchors = tmp_path / "anchors.csv"
    anchors.write_text(f"item_id,discrimination,difficulty\nq_1,{a},0\n", encoding="utf-8")
    done = files(lines(answers()), "--anchors", str(anchors))
    assert done.returncode == 1
    assert "anchor" in done.stderr
    assert "q_1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_questions_not_answered_are_missing_or_wrong_as_asked(
    files: Callable[..., Done], tmp_path: Path
) -> None:
    rows = [(s, q, "" if s in {"s0", "s1"} and q == "q_0" else u) for s, q, u in answers()]
    missing = files(lines(rows))
    assert "2 rows, counted as missing" in missing.stdout
    assert report(tmp_path)["input"]["responses"] == len(rows) - 2
    wrong = files(lines(rows), "--not-answered", "wrong")
    assert "2 rows, counted as wrong" in wrong.stdout
    assert report(tmp_path)["input"]["responses"] == len(rows)
    assert report(tmp_path)["settings"]["not_answered"] == "wrong"


@pytest.mark.parametrize(
    "options",
    [
        ["--guessing-prior", "flat"],
        ["--guessing-prior", "beta:0.5,17"],
        ["--discrimination-prior", "lognormal:0,0"],
        ["--linking", "haebara"],
        ["--linking", "by eye"],
        ["--dry-run"],
        ["--bank", "topic:algebra"],
        ["--engine", "abacus"],
        ["--not-answered", "perhaps"],
    ],
)
def test_options_that_cannot_be_meant_end_with_two(
    options: list[str], files: Callable[..., Done]
) -> None:
    assert files(lines(answers(20)), *options).returncode == 2


def test_a_folder_that_cannot_be_written_to_is_one_line(
    files: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    done = files(lines(answers(20)))
    assert done.returncode == 1
    assert "cannot be written to" in done.stderr


@pytest.mark.parametrize("method", ["fixed", "stocking-lord", "haebara", "mean-sigma", "mean-mean"])
def test_a_new_form_lands_on_the_scale_of_the_old_one(
    method: str, files: Callable[..., Done], tmp_path: Path
) -> None:
    known = tmp_path / "known.csv"
    values = "".join(
        f"q_{j},0.6,{2 * b + 1}\n" for j, b in enumerate(np.linspace(-1.5, 1.5, 10)[:8])
    )
    known.write_text(f"item_id,discrimination,difficulty\n{values}", encoding="utf-8")
    rows = answers(1500)
    done = files(lines(rows), "--anchors", str(known), "--linking", method)
    assert done.returncode == 0, done.stderr
    found = report(tmp_path)
    assert (found["prior"]["mean"], found["prior"]["sd"]) == pytest.approx((1.0, 2.0), abs=0.25)
    linking = found["linking"]
    assert linking["n_anchors_used"] + len(linking["dropped"]) == 8
    assert len(linking["residuals"]) == 8
    assert linking["rmsd_expected_score"] < 0.02


def store(database: Database, rows: list[Row]) -> None:
    """Deliver a session per student, and build the marts."""
    open_school(database.engine)
    sessions: dict[str, list[tuple[str, bool | None]]] = {}
    for student, item, grade in rows:
        sessions.setdefault(student, []).append((item, bool(grade)))
    with database.engine.begin() as connection:
        for student, given in sessions.items():
            deliver(connection, f"session {student}", student, DAY_ONE, given)
    build(database.engine)


@pytest.mark.parametrize(
    ("change", "item", "reason"),
    [
        (lambda database: regrade(database.engine, "q_4", "not was"), "q_4",
         "implausible_discrimination"),
        (lambda database: regrade(database.engine, "q_4", "true"), "q_4", "all_correct"),
        (lambda database: None, "hard", "all_incorrect"),
    ],
    ids=["mis-keyed", "all correct", "b = 12"],
)  # fmt: skip
def test_a_warehouse_with_an_impossible_item_is_calibrated_without_it(
    change: Callable[[Database], None],
    item: str,
    reason: str,
    command: Command,
    database: Database,
) -> None:
    store(database, at_b_12(answers()) if item == "hard" else answers())
    change(database)
    build(database.engine)
    done = command("calibrate", "--no-publish")
    assert done.returncode == 0, done.stderr
    with database.engine.connect() as connection:
        excluded = connection.execute(sa.text("select item_id, reason from irt.excluded_items"))
        assert [tuple(row) for row in excluded] == [(item, reason)]
    assert scalar(database.engine, "select count(*) from irt.item_fit") == N_ITEMS - (
        item != "hard"
    )


@pytest.mark.parametrize(
    ("rows", "gate"),
    [
        (answers(3), "enough_responses"),
        ([(f"s{k}", f"q_{k % 5}", k % 2) for k in range(600)], "enough_responses"),
        (answers(120) + answers(120, prefix="x"), "connectedness"),
    ],
    ids=["three students", "one response each", "disconnected"],
)
def test_a_warehouse_that_a_gate_rejects_keeps_its_verdict_and_no_numbers(
    rows: list[Row], gate: str, command: Command, database: Database
) -> None:
    store(database, rows)
    done = command("calibrate")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    with database.engine.connect() as connection:
        run = connection.execute(sa.text("select * from irt.mirt_fit_meta")).one()
    assert (run.status, run.is_converged, run.log_likelihood) == ("rejected", None, None)
    assert run.reasons[0].startswith(gate)
    assert scalar(database.engine, "select count(*) from irt.mirt_item_params") == 0
    assert scalar(database.engine, "select count(*) from irt.publications") == 0


def test_an_item_answered_again_counts_by_its_first_answer(
    command: Command, database: Database
) -> None:
    store(database, answers(120))
    with database.engine.begin() as connection:
        deliver(connection, "again", "s0", DAY_ONE.replace(hour=20), [("q_0", True)] * 3)
    build(database.engine)
    done = command("calibrate", "--no-publish")
    assert done.returncode == 0, done.stderr
    assert scalar(database.engine, "select n_responses from irt.mirt_fit_meta") == 120 * N_ITEMS


@pytest.mark.parametrize(
    ("options", "found"),
    [((), ("no_responses", 0)), (("--not-answered", "wrong"), ("too_few_responses", 1))],
)
def test_a_question_left_without_an_answer_counts_only_where_asked(
    options: tuple[str, ...], found: tuple[str, int], command: Command, database: Database
) -> None:
    store(database, answers(120))
    with database.engine.begin() as connection:
        deliver(connection, "blank", "s0", DAY_ONE, [("q_blank", None)])
    build(database.engine)
    done = command("calibrate", "--no-publish", *options)
    assert done.returncode == 0, done.stderr
    with database.engine.connect() as connection:
        (row,) = connection.execute(sa.text("select * from irt.excluded_items"))
    assert (row.item_id, row.reason, row.n_responses) == ("q_blank", *found)
