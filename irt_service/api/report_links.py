"""Links to stored reports, made on request and good for a short time."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import quote, urlencode

FILES = "/v1/report-files"
GOOD_FOR_SECONDS = 300


class Link(NamedTuple):
    """Where an object is to be had, and until when."""

    url: str
    expires_at: datetime


class ReportLinks(Protocol):
    """A store that hands out links to its objects."""

    def link(self, key: str) -> Link | None:
        """A link that needs no token; None when there is no such object."""


@dataclass(frozen=True)
class FileLinks:
    """Reports below a folder, served by the service itself to who holds a signed link.

    Attributes:
        root: the folder.
        key: signs links; all processes of a service share it.
    """

    root: Path
    key: str

    def link(self, key: str) -> Link | None:
        """A signed path of this service; None when there is no such file."""
        if self._path(key) is None:
            return None
        expires = int(time.time()) + GOOD_FOR_SECONDS
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
