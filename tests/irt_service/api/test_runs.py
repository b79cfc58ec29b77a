"""Runs over HTTP: listed, looked into, published, and asked for by clients."""

import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from irt_service.api import requested_runs
from tests.conftest import DatabaseFactory
from tests.irt_service.api.site import ITEMS, Site, open_site
from tests.irt_service.api.test_older_clients import answers
from tests.irt_service.school import publish_parameters

SECOND = {item: (a, b + 0.5, c) for item, (a, b, c) in ITEMS.items()}


def test_runs_are_listed_with_the_one_in_force(site: Site) -> None:
    runs = {one["run_id"]: one for one in site.ask("GET", "/v1/runs").json()["runs"]}
    one = runs["run_1"]
    assert (one["status"], one["is_in_force"], one["in_force_from"]) == (
        "accepted",
        True,
        "0001-01-01",
    )
    page = site.ask("GET", "/v1/runs?limit=1").json()
    assert len(page["runs"]) == 1
    assert page["next_before"] is not None
    assert site.ask("GET", "/v1/runs?status=failed").json()["runs"] == []


def test_items_of_a_run_are_read_in_pages(site: Site) -> None:
    first = site.ask("GET", "/v1/runs/run_1/items?limit=3").json()
    second = site.ask("GET", f"/v1/runs/run_1/items?after={first['next_after']}").json()
    assert second["next_after"] is None
    found = {
        one["item_id"]: tuple(one["params"][name] for name in "abc")
        for one in first["items"] + second["items"]
    }
    assert found == ITEMS


def test_a_run_tells_its_details_and_an_unknown_one_is_unknown(site: Site) -> None:
    content = site.ask("GET", "/v1/runs/run_1").json()
    assert (content["run_id"], content["prior_mean"], content["prior_sd"]) == ("run_1", 0.0, 1.0)
    assert site.ask("GET", "/v1/runs/none").status_code == 404
    assert site.ask("GET", "/v1/runs/none/items").status_code == 404


def test_a_run_that_may_not_come_into_force_is_a_conflict(site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(
            sa.text(
                "insert into irt.mirt_fit_meta (run_id, bank, model, engine, status) values"
                " ('run_rejected', 'all', '2PL', 'given', 'rejected'),"
                " ('run_topic', 'topic:x', '2PL', 'given', 'accepted') on conflict do nothing"
            )
        )
    rejected = site.ask("POST", "/v1/runs/run_rejected/publish")
    topic = site.ask("POST", "/v1/runs/run_topic/publish")
    assert (rejected.status_code, rejected.json()["error"]) == (409, "not_accepted")
    assert (topic.status_code, topic.json()["error"]) == (409, "not_default_bank")
    assert site.ask("GET", "/readyz", who=None).json()["run_id"] == "run_1"


def test_publishing_rescores_and_switches_once(
    new_database: DatabaseFactory, tmp_path: Path
) -> None:
    site = open_site(new_database(), tmp_path)
    try:
        before = site.ask("GET", "/v1/students/kim/ability").json()
        publish_parameters(site.engine, "run_2", SECOND, in_force_from=None)
        answer = site.ask("POST", "/v1/runs/run_2/publish")
        assert answer.status_code == 200, answer.text
        assert answer.json()["has_changed"] is True
        assert site.ask("POST", "/v1/runs/run_2/publish").json()["has_changed"] is False
        after = site.ask("GET", "/v1/students/kim/ability").json()
        assert after["run_id"] == "run_2"
        # Harder items, the same answers.
        assert after["theta"] == pytest.approx(before["theta"] + 0.3, abs=0.3)
        assert after["theta"] > before["theta"]
        assert site.ask("GET", "/readyz", who=None).json()["run_id"] == "run_2"
    finally:
        site.service.stop()


def test_a_calibration_that_takes_long_is_polled_by_who_asked_for_it(site: Site) -> None:
    answer = site.post(
        "/irt/calibrate",
        {"responses": answers(200)},
        who="north",
        headers={"Prefer": "respond-async, wait=0"},
    )
    assert answer.status_code == 202, answer.text
    poll = answer.json()["poll"]
    assert answer.headers["Location"] == poll
    assert site.ask("GET", poll, who="south").status_code == 404
    deadline = time.monotonic() + 60
    while (content := site.ask("GET", poll, who="north").json())["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert content["status"] == "succeeded"
    assert len(content["result"]["abilities"]) == 200
    assert content["result"]["fit_meta"]["run_id"] == content["run_id"]


def test_a_calibration_that_is_done_at_once_is_answered_at_once(site: Site) -> None:
    answer = site.post(
        "/irt/calibrate",
        {"responses": answers(100), "model": "Rasch"},
        headers={"Prefer": "wait=30, respond-async"},
    )
    assert answer.status_code == 200
    assert site.ask("GET", f"/v1/runs/{answer.json()['fit_meta']['run_id']}").status_code == 200


def test_a_polled_calibration_whose_service_was_killed_has_failed(site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(
            sa.text(
                "insert into irt.requested_runs (run_id, alive_at) values"
                " ('fit-lost', clock_timestamp() - make_interval(secs => :seconds))"
            ),
            {"seconds": requested_runs.LOST_AFTER_SECONDS + 1},
        )
    content = site.ask("GET", "/v1/runs/fit-lost").json()
    assert (content["status"], content["error"]) == ("failed", "interrupted")
