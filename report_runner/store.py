"""Where finished reports go, under the keys `reports/{student}/{week}/report.{format}`."""

import hashlib
import re
from datetime import date
from pathlib import Path
from typing import Protocol

# Ids of this form stay as they are; everything else is named by a readable stub and a hash.
# A dot never occurs in a plain id, so the two forms cannot meet; upper case is hashed because
# two ids may differ by case alone and not every file system keeps such names apart.
_PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_UNSAFE = re.compile(r"[^a-z0-9_-]+")
_STUB_LENGTH = 40
_HASH_LENGTH = 32

CONTENT_TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}


class Store(Protocol):
    """A place for objects: a folder here, a bucket elsewhere."""

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, whole or not at all, replacing what was there."""

    def size(self, key: str) -> int | None:
        """Return the size of the object in bytes, None when there is none."""

    def location(self, key: str) -> str:
        """Return where a person finds the object."""


class FileStore:
    """Objects as files below a folder."""

    def __init__(self, root: Path) -> None:
        """Keep objects below `root`; folders are made when they are needed."""
        self.root = root

    def put(self, key: str, data: bytes) -> None:
        """Write beside the target and rename, so that a reader never sees half a report.

        A file torn by a power cut is found by its size on the next run.
        """
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_bytes(data)
        unfinished.replace(path)

    def size(self, key: str) -> int | None:
        """Return the file's size in bytes, None when there is no such file."""
        try:
            return (self.root / key).stat().st_size
        except FileNotFoundError:
            return None

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
