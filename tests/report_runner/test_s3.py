"""The bucket: what an object carries, what is sent when, and who may read it."""

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from moto import mock_aws

from report_runner.artifacts import read_recorded
from report_runner.cli import main
from report_runner.errors import ReportError, StoreError
from report_runner.places import Place, read_place
from report_runner.s3 import S3Store
from report_runner.store import LINK_SECONDS, link
from tests.conftest import Database
from tests.report_runner.marts import STUDENTS, WEEK, fill
from tests.report_runner.seaweed import BUCKET, Seaweed

KEY = "reports/s1/2026-06-08/report.html"
PLACE = Place(bucket="own", prefix="school/", region="us-east-1", encryption="AES256")


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Iterator["boto3.client"]:
    """A client of a bucket `own` that keeps every version that was sent."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="own")
        client.put_bucket_versioning(Bucket="own", VersioningConfiguration={"Status": "Enabled"})
        yield client


def test_an_object_carries_its_type_its_hash_and_what_the_settings_ask_for(
    versions: "boto3.client",
) -> None:
    S3Store(PLACE).put(KEY, b"page")
    head = versions.head_object(Bucket="own", Key=f"school/{KEY}")
    assert head["ContentType"] == "text/html; charset=utf-8"
    assert head["CacheControl"] == "private, no-cache"
    assert head["Metadata"] == {"sha256": hashlib.sha256(b"page").hexdigest()}
    assert head["ServerSideEncryption"] == "AES256"


def test_the_same_bytes_are_sent_once_and_others_replace_them(versions: "boto3.client") -> None:
    store = S3Store(PLACE)
    for content in (b"page", b"page", b"other page", b"other page"):
        store.put(KEY, content)
    sent = versions.list_object_versions(Bucket="own")["Versions"]
    assert [version["Size"] for version in sent] == [10, 4]
    assert store.size(KEY) == 10
    store.delete(KEY)
    assert store.size(KEY) is None


def test_a_report_is_sent_without_asking_first(versions: "boto3.client") -> None:
    store, sent = S3Store(PLACE), []
    store.client.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: sent.append(dict(request.headers))
    )
    store.put(KEY, b"page")
    assert ["Expect" in headers for headers in sent] == [False]


def test_an_object_that_changed_between_look_and_put_is_not_overwritten(
    versions: "boto3.client", monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store(PLACE)
    store.put(KEY, b"page")
    stale = store._head(KEY)
    store.put(KEY, b"somebody else's")
    monkeypatch.setattr(store, "_head", lambda _key: stale)
    with pytest.raises(StoreError, match="changed by somebody else"):
        store.put(KEY, b"mine")
    assert (
        versions.get_object(Bucket="own", Key=f"school/{KEY}")["Body"].read() == b"somebody else's"
    )


def test_the_settings_name_a_bucket_and_an_explicit_folder_wins(tmp_path: Path) -> None:
    settings = {"S3_BUCKET": "b", "S3_PREFIX": "/a/", "S3_SSE": "aws:kms", "AWS_REGION": "ap-1"}
    place = read_place(settings)
    assert (place.prefix, place.region, place.encryption) == ("a/", "ap-1", "aws:kms")
    assert str(place) == "s3://b/a/"
    assert read_place(settings, out=tmp_path) == Place(root=tmp_path)
    assert read_place({"REPORTS_DIR": "/r"}) == Place(root=Path("/r"))
    with pytest.raises(ReportError, match="S3_SSE is 'rot13'"):
        read_place({"S3_BUCKET": "b", "S3_SSE": "rot13"})


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def marts(database: Database, seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Database:
    with database.engine.begin() as connection:
        fill(connection)
    for name, value in {**seaweed.env, "DATABASE_URL": database.url}.items():
        monkeypatch.setenv(name, value)
    return database


def _objects(seaweed: Seaweed) -> dict[str, tuple[str, object]]:
    pages = seaweed.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {
        item["Key"]: (item["ETag"], item["LastModified"])
        for page in pages
        for item in page.get("Contents", [])
    }


def test_a_week_goes_into_a_real_bucket_once(
    marts: Database, seaweed: Seaweed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weekly", "--format", "html"]) == 0
    before = _objects(seaweed)
    with marts.engine.connect() as connection:
        rows = read_recorded(connection, WEEK, WEEK)
        opened = link(connection, "rich", WEEK, seconds=5)
        ends_at = time.monotonic() + 6
        absent = link(connection, "rich", date(2020, 1, 6))
    assert set(before) == {f"school/{row.object_key}" for row in rows}
    assert len(rows) == len(STUDENTS)
    for row in rows:
        found = seaweed.client().get_object(Bucket=BUCKET, Key=f"school/{row.object_key}")
        assert hashlib.sha256(found["Body"].read()).hexdigest() == row.sha256
        assert found["Metadata"]["sha256"] == row.sha256
    assert absent is None
    assert opened is not None
    with urllib.request.urlopen(opened.url) as answer:  # noqa: S310  the server of this test
        assert hashlib.sha256(answer.read()).hexdigest() == opened.sha256
        assert answer.headers["Content-Type"] == opened.content_type
    assert LINK_SECONDS <= 3600
    # Rows that were lost with a kill: the objects are there, and are not sent again.
    with marts.engine.begin() as connection:
        connection.exec_driver_sql("delete from reports.report_artifacts")
    assert main(["weekly", "--format", "html"]) == 0
    assert main(["weekly", "--format", "html"]) == 0
    assert f"0 written, {len(STUDENTS)} unchanged" in capsys.readouterr().out
    assert _objects(seaweed) == before
    time.sleep(max(0.0, ends_at - time.monotonic()))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(opened.url)  # noqa: S310  the server of this test
    seaweed.client().delete_object(Bucket=BUCKET, Key=f"school/{rows[0].object_key}")
    assert main(["missing", "--format", "html"]) == 1
    assert f"{rows[0].student_id}\thtml\tnot in the store" in capsys.readouterr().out


def test_a_wrong_key_is_refused_in_words_and_leaves_no_row(
    marts: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert main(["weekly", "--format", "html"]) == 1
    assert "refuses the credentials" in capsys.readouterr().err
    with marts.engine.connect() as connection:
        assert read_recorded(connection, WEEK, WEEK) == []


def test_reports_older_than_the_retention_are_deleted_with_their_rows(
    marts: Database,
    seaweed: Seaweed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["weekly", "--format", "html", "--student", "rich", "--student", "poor"]) == 0
    assert main(["cohort", "--format", "html"]) == 0
    with marts.engine.begin() as connection:
        connection.exec_driver_sql(
            "update reports.report_artifacts set week_start = '2020-05-25' "
            "where student_id = 'rich'"
        )
    cohort = next(key for key in _objects(seaweed) if "/cohorts/" in key)
    client = seaweed.client()
    old = cohort.replace(str(WEEK), "2020-05-25")
    client.put_object(Bucket=BUCKET, Key=old, Body=b"old")
    monkeypatch.setenv("RETAIN_REPORTS_DAYS", "forever")
    assert main(["prune"]) == 0
    assert main(["prune", "--keep-days", "2000", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "nothing to delete" in said
    assert "2 would be deleted" in said
    assert old in _objects(seaweed)
    monkeypatch.setenv("RETAIN_REPORTS_DAYS", "2000")
    assert main(["prune"]) == 0
    assert "2 deleted" in capsys.readouterr().out
    with marts.engine.connect() as connection:
        assert [row.student_id for row in read_recorded(connection, date.min, WEEK)] == ["poor"]
    keys = set(_objects(seaweed))
    assert cohort in keys
    assert old not in keys
    assert not any("/rich/" in key for key in keys)
