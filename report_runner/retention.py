"""Deletes reports of weeks that ended too long ago, of students and of cohorts."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy.engine import Engine

from report_runner import artifacts
from report_runner.places import read_place
from report_runner.s3 import S3Store
from report_runner.store import FileStore, Store, open_store

_BATCH = 200
_WEEK = timedelta(days=7)


def prune(engine: Engine, before: date, out: Path | None = None, *, dry_run: bool = False) -> int:
    """Delete reports whose week ended before a day, objects before rows; return how many.

    With `dry_run` they are only counted.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    store = open_store(read_place(out=out))
    last_week = before - _WEEK
    with engine.connect() as connection:
        old = artifacts.read_recorded(connection, date.min, last_week)
    cohorts = [key for key in _keys(store, "cohorts/") if _is_old(key, last_week)]
    if not dry_run:
        for start in range(0, len(old), _BATCH):
            batch = old[start : start + _BATCH]
            for artifact in batch:
                store.delete(artifact.object_key)
            with engine.begin() as connection:
                artifacts.forget_artifacts(connection, batch)
        for key in cohorts:
            store.delete(key)
    return len(old) + len(cohorts)


def _is_old(key: str, last_week: date) -> bool:
    """Whether cohorts/{kind}/{cohort}/{week}/report.{format} is of that week or before."""
    parts = key.split("/")
    try:
        return date.fromisoformat(parts[-2]) <= last_week
    except (IndexError, ValueError):
        return False


def _keys(store: Store, prefix: str) -> Iterator[str]:
    if isinstance(store, FileStore):
        for path in (store.root / prefix).rglob("*"):
            if path.is_file():
                yield path.relative_to(store.root).as_posix()
    elif isinstance(store, S3Store):
        with store.speaking(f"cannot list {prefix}"):
            pages = store.client.get_paginator("list_objects_v2").paginate(
                Bucket=store.bucket, Prefix=store.place.prefix + prefix
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield entry["Key"].removeprefix(store.place.prefix)
