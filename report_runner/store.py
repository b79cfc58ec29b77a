"""Where finished reports go, under the keys `reports/{student}/{week}/report.{format}`."""

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from report_runner.artifacts import find_artifact
from report_runner.errors import StoreError
from report_runner.places import CONTENT_TYPES, Place, read_place

# Ids of this form stay as they are; everything else is named by a readable stub and a hash.
# A dot never occurs in a plain id, so the two forms cannot meet; upper case is hashed because
# two ids may differ by case alone and not every file system keeps such names apart.
_PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_UNSAFE = re.compile(r"[^a-z0-9_-]+")
_STUB_LENGTH = 40
_HASH_LENGTH = 32

LINK_SECONDS = 900


class Store(Protocol):
    """A place for objects: a folder here, a bucket elsewhere."""

    uploads_at_once: int

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, whole or not at all, replacing what was there."""

    def size(self, key: str) -> int | None:
        """Return the size of the object in bytes, None when there is none."""

    def holds(self, key: str, size: int) -> bool:
        """Say whether an object that was recorded is there, as far as that is cheap to know."""

    def delete(self, key: str) -> None:
        """Delete the object, if it is there."""

    def location(self, key: str) -> str:
        """Return where a person finds the object."""

    def link(self, key: str, seconds: int) -> str:
        """Return an address at which the object can be read for `seconds`."""


class FileStore:
    """Objects as files below a folder."""

    # Threads would cost a third of a page's time; the disk's cache takes a file at once.
    uploads_at_once = 1

    def __init__(self, root: Path) -> None:
        """Keep objects below `root`; folders are made when they are needed."""
        self.root = root

    def put(self, key: str, data: bytes) -> None:
        """Write beside the target and rename, so that a reader never sees half a report.

        A file torn by a power cut is found by its size on the next run.

        Raises:
            StoreError: the folder cannot be written, or the disk is full.
        """
        folder, _slash, name = f"{self.root}/{key}".rpartition("/")
        unfinished = f"{folder}/.{name}.unfinished"
        try:
            self._write(folder, unfinished, data)
            os.replace(unfinished, f"{folder}/{name}")  # noqa: PTH105  see _write
        except OSError as error:
            with suppress(OSError):
                Path(unfinished).unlink()
            raise StoreError(f"cannot store {folder}/{name}: {error.strerror}") from error

    @staticmethod
    def _write(folder: str, path: str, data: bytes) -> None:
        # Strings and a second attempt: pathlib and a look for the folder double the time.
        try:
            file = open(path, "wb")  # noqa: PTH123, SIM115
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            file = open(path, "wb")  # noqa: PTH123, SIM115
        with file:
            file.write(data)

    def size(self, key: str) -> int | None:
        """Return the file's size in bytes, None when there is no such file."""
        try:
            return os.stat(f"{self.root}/{key}").st_size  # noqa: PTH116  asked for every report
        except FileNotFoundError:
            return None

    def holds(self, key: str, size: int) -> bool:
        """Say whether the file is there with this size: one look at the folder."""
        return self.size(key) == size

    def delete(self, key: str) -> None:
        """Delete the file, and the folders that it leaves empty."""
        path = self.root / key
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root or not folder.exists() or any(folder.iterdir()):
                break
            folder.rmdir()

    def link(self, key: str, _seconds: int) -> str:
        """Return the file's URI; the folder's permissions say who can read it."""
        return (self.root / key).resolve().as_uri()

    def location(self, key: str) -> str:
        """Return the path, from the working directory where it lies below it."""
        path = (self.root / key).resolve()
        here = Path.cwd()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)


def safe_id(identifier: str) -> str:
    """Return `identifier` as one segment of a key; different ids give different segments."""
    if _PLAIN_ID.fullmatch(identifier):
        return identifier
    stub = _UNSAFE.sub("-", identifier.lower()).strip("-")[:_STUB_LENGTH] or "id"
    # surrogatepass: an id that is no valid text still gets a key.
    digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{stub}.{digest[:_HASH_LENGTH]}"


def report_key(student_id: str, week_start: date, file_format: str) -> str:
    """Return the key of one student's report of one week."""
    return f"reports/{safe_id(student_id)}/{week_start.isoformat()}/report.{file_format}"


def open_store(place: Place) -> Store:
    """Return the store at `place`."""
    if not place.bucket:
        return FileStore(place.root or Path())
    # The client of S3 takes a third of a second to load, in every process.
    from report_runner.s3 import S3Store  # noqa: PLC0415

    return S3Store(place)


@dataclass(frozen=True)
class Link:
    """An address at which one report can be read until it expires."""

    url: str
    expires_at: datetime
    content_type: str
    sha256: str


def link(
    connection: Connection,
    student_id: str,
    week_start: date,
    file_format: str = "html",
    *,
    store: Store | None = None,
    seconds: int = LINK_SECONDS,
) -> Link | None:
    """Return a link to a student's report of a week, None when there is no such report.

    Without `store` the one of the environment is opened; a service keeps its own.

    Raises:
        StoreError: the store cannot sign.
    """
    artifact = find_artifact(connection, student_id, week_start, file_format)
    if artifact is None:
        return None
    opened = open_store(read_place()) if store is None else store
    return Link(
        url=opened.link(artifact.object_key, seconds),
        expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
        content_type=CONTENT_TYPES[artifact.format],
        sha256=artifact.sha256,
    )
