"""Finished sessions, abilities and reports over HTTP."""

import hashlib
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa

from tests.irt_service.api.site import (
    NOW,
    SIX_DECIMALS,
    WORKED_STANDARD_ERROR,
    WORKED_THETA,
    ServiceProcess,
    Site,
    deliver_for,
    score_deliveries,
)
from tests.irt_service.school import scalar
from tests.warehouse.waiting import wait_until


def test_a_scored_session_is_answered_with_its_ability_each_time(site: Site) -> None:
    answers = [site.ask("POST", "/v1/sessions/s_kim/finish") for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    content = answers[0].json()
    assert content == answers[1].json()
    assert content["status"] == "scored"
    assert (content["session_id"], content["student_id"]) == ("s_kim", "kim")
    assert content["theta"] == pytest.approx(WORKED_THETA, abs=SIX_DECIMALS)
    assert content["standard_error"] == pytest.approx(WORKED_STANDARD_ERROR, abs=SIX_DECIMALS)
    assert (content["n_responses"], content["run_id"]) == (3, "run_1")


def test_a_session_is_queued_until_it_is_scored_and_again_when_it_is_delivered_again(
    site: Site,
) -> None:
    deliver_for(site.engine, "s_new", "new", "north")
    queued = site.ask("POST", "/v1/sessions/s_new/finish")
    assert (queued.status_code, queued.json()["status"]) == (202, "queued")
    assert scalar(site.engine, "select count(*) from irt.mirt_ability where user_id = 'new'") == 0
    score_deliveries(site.engine)
    first = site.ask("POST", "/v1/sessions/s_new/finish")
    assert first.status_code == 200
    deliver_for(site.engine, "s_new", "new", "north", [("q_1", False)])
    assert site.ask("POST", "/v1/sessions/s_new/finish").status_code == 202
    score_deliveries(site.engine)
    second = site.ask("POST", "/v1/sessions/s_new/finish")
    assert second.json()["theta"] < first.json()["theta"]


def test_a_session_with_nothing_to_score_says_so(site: Site) -> None:
    deliver_for(site.engine, "s_empty", "new", "north", [("unknown_item", True)])
    score_deliveries(site.engine)
    content = site.ask("POST", "/v1/sessions/s_empty/finish").json()
    # An earlier session of the student may still give an ability.
    assert content["status"] in {"nothing_to_score", "scored"}
    deliver_for(site.engine, "s_empty_2", "empty", "north", [("unknown_item", True)])
    score_deliveries(site.engine)
    content = site.ask("POST", "/v1/sessions/s_empty_2/finish").json()
    assert (content["status"], content["theta"]) == ("nothing_to_score", None)
    assert content["reason"]


def test_a_parked_session_is_a_conflict(site: Site) -> None:
    deliver_for(site.engine, "s_parked", "parked", "north")
    with site.engine.begin() as connection:
        connection.execute(
            sa.text(
                "insert into irt.deliveries"
                " (session_id, result_version, result_updated_at, status, reason, tries)"
                " select session_id, xmin::text, updated_at, 'parked', 'secret words', 3"
                " from exam.exam_results where session_id = 's_parked'"
            )
        )
    answer = site.ask("POST", "/v1/sessions/s_parked/finish")
    assert (answer.status_code, answer.json()["error"]) == (409, "parked")
    with site.engine.begin() as connection:
        connection.execute(sa.text("delete from exam.exam_results where session_id = 's_parked'"))


def test_a_service_with_a_worker_scores_what_it_is_told_of_within_a_second(site: Site) -> None:
    service = ServiceProcess(site.database, site.folder, "--with-worker").ready()
    try:
        working = Site(site.database, service, site.folder, site.tokens)
        # A worker's first score waits for its kernels.
        deliver_for(site.engine, "s_first", "first", "south")
        first = ("POST", "/v1/sessions/s_first/finish")
        wait_until(lambda: working.ask(*first).status_code == 200)
        deliver_for(site.engine, "s_told", "told", "south")
        started = time.monotonic()
        answer = working.ask("POST", "/v1/sessions/s_told/finish", headers={"Prefer": "wait=20"})
        assert answer.status_code == 200
        assert answer.json()["theta"] == pytest.approx(WORKED_THETA, abs=SIX_DECIMALS)
        assert time.monotonic() - started < 15
        metrics = working.ask("GET", "/metrics", who=None).text
        assert "irt_worker_sessions_total 0.0" not in metrics
    finally:
        assert service.stop() == 0


def test_the_current_ability_comes_with_its_topics(site: Site) -> None:
    content = site.ask("GET", "/v1/students/kim/ability").json()
    assert (content["student_id"], content["session_id"]) == ("kim", "s_kim_2")
    assert content["n_responses"] == 5
    [topic] = content["topics"]
    assert (topic["topic_id"], topic["n_responses"]) == ("algebra", 5)
    assert topic["standard_error"] < content["standard_error"]
    few = site.ask("GET", "/v1/students/lee/ability").json()
    assert few["theta"] == pytest.approx(WORKED_THETA, abs=SIX_DECIMALS)
    assert few["topics"] == []


def test_an_ability_of_more_than_ninety_days_ago_does_not_count_and_is_history(
    site: Site,
) -> None:
    assert site.ask("GET", "/v1/students/old/ability").status_code == 404
    [one] = site.ask("GET", "/v1/students/old/ability/history").json()["abilities"]
    assert one["session_id"] == "s_old"


def test_a_history_is_read_in_pages_from_the_latest_on(site: Site) -> None:
    path = "/v1/students/kim/ability/history"
    first = site.ask("GET", path, params={"limit": 1}).json()
    assert [one["session_id"] for one in first["abilities"]] == ["s_kim_2"]
    second = site.ask("GET", path, params={"before": first["next_before"]}).json()
    assert [one["session_id"] for one in second["abilities"]] == ["s_kim"]
    assert second["next_before"] is None
    other = site.ask("GET", path, params={"run_id": "no_such_run"})
    assert other.status_code == 404


def test_ids_with_slashes_and_letters_of_any_alphabet_are_ids(site: Site) -> None:
    deliver_for(site.engine, "시험/1", "김/ability", "north", at=NOW - timedelta(hours=1))
    score_deliveries(site.engine)
    assert site.ask("POST", "/v1/sessions/시험%2F1/finish").json()["student_id"] == "김/ability"
    assert site.ask("GET", "/v1/students/김%2Fability/ability").status_code == 200
    assert site.ask("GET", "/v1/students/김%2Fability/ability/history").status_code == 200


@pytest.fixture
def report(site: Site) -> bytes:
    """A report of kim's, stored."""
    content = "<html>수고했어요</html>".encode()
    key = "reports/kim/2026-11-16/report.html"
    path: Path = site.folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with site.engine.begin() as connection:
        connection.execute(
            sa.text(
                "insert into reports.report_artifacts (student_id, week_start, format, object_key,"
                " size_bytes, sha256, content_hash, template_version, language) values"
                " ('kim', '2026-11-16', 'html', :key, :size, :sha256, 'x', '1', 'ko'),"
                " ('kim', '2026-11-16', 'pdf', 'reports/kim/2026-11-16/report.pdf', 1, 'x', 'x',"
                " '1', 'ko') on conflict do nothing"
            ),
            {"key": key, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()},
        )
    return content


def test_a_report_is_had_through_a_link_that_needs_no_token(site: Site, report: bytes) -> None:
    content = site.ask("GET", "/v1/reports/kim/2026-11-16", who="north").json()
    # Of the other format there is a record and no file.
    [link] = content["reports"]
    assert (link["format"], link["language"], link["size_bytes"]) == ("html", "ko", len(report))
    got = httpx.get(site.service.url + link["url"])
    assert (got.status_code, got.content) == (200, report)
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    assert hashlib.sha256(got.content).hexdigest() == link["sha256"]
    pdf = site.ask("GET", "/v1/reports/kim/2026-11-16?format=pdf")
    assert pdf.status_code == 404
    assert "file is not in this service's store" in pdf.json()["detail"]


@pytest.mark.usefixtures("report")
def test_a_link_leads_nowhere_once_it_is_changed(site: Site) -> None:
    content = site.ask("GET", "/v1/reports/kim/2026-11-16").json()
    url = urlsplit(site.service.url + content["reports"][0]["url"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    later = {**query, "expires": str(int(query["expires"]) + 1)}
    base = f"{url.scheme}://{url.netloc}"
    assert httpx.get(base + url.path, params=query).status_code == 200
    assert httpx.get(base + url.path, params=later).status_code == 404
    assert httpx.get(base + url.path + "x", params=query).status_code == 404
    assert httpx.get(base + url.path).status_code == 422


@pytest.mark.usefixtures("report")
def test_a_report_of_another_organisation_is_unknown(site: Site) -> None:
    foreign = site.ask("GET", "/v1/reports/kim/2026-11-16", who="south")
    assert foreign.status_code == 404
    assert site.ask("GET", "/v1/reports/lee/2026-11-16").status_code == 404
