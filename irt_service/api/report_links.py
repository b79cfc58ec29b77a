"""Links to stored reports, made on request and good for a short time."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from irt_service.api.settings import ServiceSettings
from report_runner.places import read_place

if TYPE_CHECKING:
    from report_runner.s3 import S3Store

FILES = "/v1/report-files"


class Link(NamedTuple):
    """Where an object is to be had, and until when."""

    url: str
    expires_at: datetime


class ReportLinks(Protocol):
    """A store that hands out links to its objects."""

    def link(self, key: str) -> Link | None:
        """A link that needs no token; None when there is no such object."""


def open_links(settings: ServiceSettings) -> ReportLinks:
    """The store in which the report runner keeps reports: the same settings name it."""
    place = read_place()
    if not place.bucket:
        return FileLinks(settings.reports, settings.link_key, settings.link_seconds)
    # The client of S3 takes a third of a second to load, which a service without it spares.
    from report_runner.s3 import S3Store  # noqa: PLC0415

    return BucketLinks(S3Store(place), settings.link_seconds)


@dataclass(frozen=True)
class BucketLinks:
    """Reports in a bucket, handed out by its server to who holds a presigned link.

    Attributes:
        store: the bucket.
        seconds: how long a link is good for.
    """

    store: S3Store
    seconds: int

    def link(self, key: str) -> Link | None:
        """A presigned address. Nobody asks the server whether the object is there: its record
        was written after it.

        Raises:
            StoreError: there are no credentials to sign with.
        """
        expires = int(time.time()) + self.seconds
        url = self.store.link(key, self.seconds)
        return Link(url, datetime.fromtimestamp(expires, UTC))


@dataclass(frozen=True)
class FileLinks:
    """Reports below a folder, served by the service itself to who holds a signed link.

    Attributes:
        root: the folder.
        key: signs links; all processes of a service share it.
        seconds: how long a link is good for.
    """

    root: Path
    key: str
    seconds: int

    def link(self, key: str) -> Link | None:
        """A signed path of this service; None when there is no such file."""
        if self._path(key) is None:
            return None
        expires = int(time.time()) + self.seconds
        query = urlencode({"expires": expires, "signature": self._sign(key, expires)})
        return Link(f"{FILES}/{quote(key)}?{query}", datetime.fromtimestamp(expires, UTC))

    def find(self, key: str, expires: int, signature: str) -> Path | None:
        """The file that a link leads to; None when it was not signed here or has expired."""
        is_signed = hmac.compare_digest(
            self._sign(key, expires).encode(), signature.encode("utf-8", "surrogateescape")
        )
        return self._path(key) if is_signed and expires >= time.time() else None

    def _sign(self, key: str, expires: int) -> str:
        return hmac.new(self.key.encode(), f"{expires}:{key}".encode(), hashlib.sha256).hexdigest()

    def _path(self, key: str) -> Path | None:
        root = self.root.resolve()
        path = (root / key).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None
