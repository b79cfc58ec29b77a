"""Readiness, metrics, logs and a stop that finishes what was taken."""

import json
import subprocess
import threading
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from tests.conftest import Database
from tests.irt_service.api.site import (
    SHARED_TOKEN,
    ServiceProcess,
    Site,
    deliver_for,
)
from tests.irt_service.api.test_older_clients import KEYED, answers
from tests.irt_service.school import open_school, publish_parameters
from tests.warehouse.waiting import wait_until


def test_it_is_ready_once_a_run_is_published(database: Database, tmp_path: Path) -> None:
    open_school(database.engine)
    service = ServiceProcess(database, tmp_path).ready()
    try:
        site = Site(database, service, tmp_path, {"all": SHARED_TOKEN})
        not_yet = site.ask("GET", "/readyz", who=None)
        assert (not_yet.status_code, not_yet.json()["error"]) == (503, "no_run_in_force")
        publish_parameters(database.engine, "run_1", {"q_1": (1.0, 0.0, 0.0)})
        assert site.ask("GET", "/readyz", who=None).json() == {
            "status": "ready",
            "run_id": "run_1",
        }
    finally:
        assert service.stop() == 0


def test_without_a_database_it_is_alive_scores_and_is_not_ready(
    database: Database, tmp_path: Path
) -> None:
    service = ServiceProcess(
        database, tmp_path, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing"
    ).ready()
    try:
        site = Site(database, service, tmp_path, {"all": SHARED_TOKEN})
        assert site.ask("GET", "/healthz", who=None).status_code == 200
        assert site.post("/irt/score", KEYED).status_code == 200
        for path in ("/readyz", "/v1/runs", "/v1/students/kim/ability"):
            answer = site.ask("GET", path)
            assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")
            assert answer.headers["Retry-After"] == "1"
        # A token of the database cannot be looked up, which is no verdict on it.
        unknown = "irt_000000000000_" + "A" * 43
        assert site.ask("GET", "/v1/runs", who=unknown).status_code == 503
        assert "irt_backlog_up 0.0" in site.ask("GET", "/metrics", who=None).text
    finally:
        assert service.stop() == 0


def test_a_database_that_comes_back_is_found_again(site: Site) -> None:
    assert site.ask("GET", "/readyz", who=None).status_code == 200
    with site.engine.begin() as connection:
        connection.execute(
            sa.text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'irt-service' and datname = current_database()"
            )
        )
    assert site.ask("GET", "/readyz", who=None).status_code == 200


def test_metrics_count_requests_and_tell_of_the_queue(site: Site) -> None:
    def read() -> dict[str, float]:
        text = site.ask("GET", "/metrics", who=None).text
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    name = 'irt_http_requests_total{method="POST",route="/irt/score",status="200"}'
    before = read()
    site.post("/irt/score", KEYED)
    after = read()
    assert after[name] == before.get(name, 0.0) + 1
    assert after['irt_run_in_force_info{run_id="run_1"}'] == 1.0
    assert "irt_queue_depth" in after
    assert "irt_queue_oldest_seconds" in after
    seconds = 'irt_http_request_seconds_count{method="POST",route="/irt/score"}'
    assert after[seconds] == before.get(seconds, 0.0) + 1
    # Whatever is asked for, the routes stay few.
    site.ask("GET", "/some/invented/path")
    assert not any("invented" in line for line in read())


def test_logs_are_json_with_ids_and_without_answers_or_tokens(site: Site) -> None:
    request_id = "of-the-exam-application.1"
    answer = site.post("/irt/score", KEYED, headers={"X-Request-ID": request_id})
    assert answer.headers["X-Request-ID"] == request_id
    site.post("/irt/score", {**KEYED, "responses": [{"item_id": "very_secret_item"}]})
    site.ask("GET", "/v1/students/very_secret_student/ability")
    calibrated = site.post("/irt/calibrate", {"responses": answers(50), "model": "Rasch"}).json()
    line = site.service.logged("request_id", request_id)
    assert (line["route"], line["status"], line["method"]) == ("/irt/score", 200, "POST")
    assert line["milliseconds"] > 0
    assert site.service.logged("run_id", calibrated["fit_meta"]["run_id"])["status"] == 200
    text = site.service.log_file.read_text()
    for secret in (*site.tokens.values(), SHARED_TOKEN, "very_secret"):
        assert secret not in text
    assert "is_correct" not in text


def test_a_stop_finishes_what_was_taken(site: Site) -> None:
    """A calibration under way is answered, one that is polled has ended, new ones are refused."""
    service = ServiceProcess(site.database, site.folder).ready()
    stopping = Site(site.database, service, site.folder, site.tokens)
    body = json.dumps({"responses": answers(3000), "model": "2PL"}).encode()
    found: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: found.append(stopping.post("/irt/calibrate", body)))
    waiting.start()
    # The process that calibrates.
    wait_until(lambda: _processes_of(service) > 1)
    # One at a time: this one begins when the other is answered.
    polled = stopping.post(
        "/irt/calibrate", body, headers={"Prefer": "respond-async, wait=0"}
    ).json()
    assert service.stop() == 0
    waiting.join()
    assert found[0].status_code == 200
    assert site.ask("GET", polled["poll"]).json()["status"] == "succeeded"
    with pytest.raises(httpx.ConnectError):
        stopping.ask("GET", "/healthz")


@pytest.mark.drill
def test_killed_in_a_calibration_it_leaves_no_process_and_nothing_half_written(
    site: Site,
) -> None:
    service = ServiceProcess(site.database, site.folder).ready()
    killed = Site(site.database, service, site.folder, site.tokens)
    body = json.dumps({"responses": answers(20_000), "model": "3PL"}).encode()
    poll = killed.post("/irt/calibrate", body, headers={"Prefer": "respond-async, wait=0"}).json()[
        "poll"
    ]
    service.process.kill()
    service.process.wait()
    content = site.ask("GET", poll).json()
    assert (content["status"], content["result"]) == ("running", None)
    wait_until(lambda: _processes_of(service) == 0)


def _processes_of(service: ServiceProcess) -> int:
    """How many processes there are of the session that the service leads, or led."""
    listed = subprocess.run(["ps", "-eo", "sess="], capture_output=True, text=True, check=True)
    return listed.stdout.split().count(str(service.process.pid))


def test_a_schema_of_another_version_is_refused(database: Database, tmp_path: Path) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            sa.text("update ops.schema_version set version_num = '0001' where version_num <> 'x'"
                    " and version_num not like 'exam%'")
        )  # fmt: skip
    service = ServiceProcess(database, tmp_path)
    assert service.process.wait(60) == 1
    assert "run python -m warehouse migrate" in service.log_file.read_text()


@pytest.mark.drill
def test_several_processes_count_together(site: Site) -> None:
    service = ServiceProcess(site.database, site.folder, "--processes", "2").ready()
    try:
        two = Site(site.database, service, site.folder, site.tokens)
        for _ in range(20):
            assert two.post("/irt/score", KEYED).status_code == 200
        name = 'irt_http_requests_total{method="POST",route="/irt/score",status="200"} 20.0'
        assert name in two.ask("GET", "/metrics", who=None).text
    finally:
        assert service.stop() == 0


def test_a_finished_session_is_logged_by_its_id(site: Site) -> None:
    deliver_for(site.engine, "s_logged", "logged", "north")
    site.ask("POST", "/v1/sessions/s_logged/finish")
    assert site.service.logged("session_id", "s_logged")["status"] == 202
