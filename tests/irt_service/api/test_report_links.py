"""Links to reports in a bucket: the service signs, a real S3 server hands out, until they end."""

import time
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from irt_service.api.report_links import FileLinks
from report_runner.places import read_place
from report_runner.s3 import S3Store
from tests.conftest import DatabaseFactory
from tests.irt_service.api.site import SHARED_TOKEN, ServiceProcess
from tests.report_runner.seaweed import Seaweed

CONTENT = "<html>수고했어요</html>".encode()
KEY = "reports/kim/2026-11-16/report.html"
ROW = (
    "insert into reports.report_artifacts (student_id, week_start, format, object_key, size_bytes,"
    " sha256, content_hash, template_version, language) values"
    " ('kim', '2026-11-16', 'html', :key, 1, 'x', 'x', '1', 'ko')"
)
_PATIENCE_SECONDS = 60.0


def _first_link(service: ServiceProcess) -> httpx.Response:
    return httpx.get(
        f"{service.url}/v1/reports/kim/2026-11-16",
        headers={"Authorization": f"Bearer {SHARED_TOKEN}"},
    )


def test_a_presigned_link_shows_the_report_until_it_ends(
    new_database: DatabaseFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = new_database()
    with database.engine.begin() as connection:
        connection.execute(sa.text(ROW), {"key": KEY})
    (tmp_path / "s3").mkdir()
    seaweed = Seaweed(tmp_path / "s3")
    services = []
    try:
        seaweed.start()
        for name, value in seaweed.env.items():
            monkeypatch.setenv(name, value)
        S3Store(read_place()).put(KEY, CONTENT)
        services = [
            ServiceProcess(database, tmp_path, **{**seaweed.env, **options})
            for options in ({"IRT_SERVICE_LINK_SECONDS": "3"}, {"AWS_ACCESS_KEY_ID": ""})
        ]
        answer = _first_link(services[0].ready())
        (link,) = answer.json()["reports"]
        shown = httpx.get(link["url"])
        assert (shown.status_code, shown.content) == (200, CONTENT)
        assert shown.headers["Content-Type"] == "text/html; charset=utf-8"
        changed = httpx.get(link["url"].replace("report.html", "report.pdf"))
        assert changed.status_code == 403
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (ended := httpx.get(link["url"])).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert ended.status_code == 403
        # Without a key there is nothing to sign with, and that is said.
        refused = _first_link(services[1].ready())
        assert (refused.status_code, refused.json()["error"]) == (503, "no_store")
    finally:
        for service in services:
            service.stop()
        seaweed.stop()


def test_a_blank_key_is_none_that_others_could_sign_with(
    new_database: DatabaseFactory, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_bytes(CONTENT)
    service = ServiceProcess(new_database(), tmp_path, IRT_SERVICE_LINK_KEY=" ")
    try:
        service.ready()
        for key in (" ", ""):
            forged = FileLinks(tmp_path, key, 300).link("report.html")
            assert forged is not None
            assert httpx.get(f"{service.url}{forged.url}").status_code == 404
    finally:
        service.stop()
