"""Removes every object of a student from the store, and the cohort reports that name one.

Nothing is looked up in `report_artifacts`: an object whose row was lost, an unfinished file and
an older version in the bucket go as well.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from report_runner.s3 import S3Store
from report_runner.store import FileStore, Store, safe_id

# Nobody is told about a place that cannot be emptied but by an error.
_NO_VERSIONS = {"NotImplemented", "MethodNotAllowed"}


def delete_students(store: Store, student_ids: Iterable[str]) -> int:
    """Delete all reports of some students; return how many objects there were.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    return sum(_empty(store, f"reports/{safe_id(student_id)}/") for student_id in student_ids)


def delete_cohorts(store: Store, cohorts: Iterable[tuple[str, str]]) -> int:
    """Delete all reports of some cohorts, given by kind and id; return how many there were."""
    return sum(_empty(store, f"cohorts/{kind}/{safe_id(name)}/") for kind, name in cohorts)


def delete_all_cohorts(store: Store) -> int:
    """Delete the reports of every cohort; return how many there were."""
    return _empty(store, "cohorts/")


def _empty(store: Store, prefix: str) -> int:
    if isinstance(store, FileStore):
        return _empty_folder(store.root, prefix)
    if isinstance(store, S3Store):
        return _empty_prefix(store, prefix)
    raise TypeError(f"{type(store).__name__} cannot be emptied")


def _empty_folder(root: Path, prefix: str) -> int:
    folder = root / prefix
    if not folder.is_dir():
        return 0
    count = sum(path.is_file() for path in folder.rglob("*"))
    shutil.rmtree(folder)
    return count


def _empty_prefix(store: S3Store, prefix: str) -> int:
    """Delete the objects below a prefix with all their versions; return how many objects."""
    full = store.place.prefix + prefix
    with store.speaking(f"cannot erase below {prefix}"):
        found = list(_versions(store, full))
        for key, version in found:
            version_of = {} if version is None else {"VersionId": version}
            store.client.delete_object(Bucket=store.bucket, Key=key, **version_of)
    return len({key for key, _ in found})


def _versions(store: S3Store, prefix: str) -> Iterator[tuple[str, str | None]]:
    """Every object below a prefix with each of its versions, delete markers included."""
    try:
        pages = list(_pages(store, "list_object_versions", prefix))
    except store.client.exceptions.ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _NO_VERSIONS:
            raise
        pages = []
    entries = [
        (entry["Key"], entry["VersionId"])
        for page in pages
        for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
    ]
    yield from entries
    listed = {key for key, _ in entries}
    for page in _pages(store, "list_objects_v2", prefix):
        for entry in page.get("Contents", ()):
            if entry["Key"] not in listed:
                yield entry["Key"], None


def _pages(store: S3Store, operation: str, prefix: str) -> Iterator[dict[str, Any]]:
    yield from store.client.get_paginator(operation).paginate(Bucket=store.bucket, Prefix=prefix)
