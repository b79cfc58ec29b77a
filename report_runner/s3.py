"""The bucket as artifact store: any server that speaks S3.

An object carries the sha256 of its bytes. A put is conditional: an object with the same bytes
is not sent again, and one that somebody else writes at the same time is never lost unseen.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3  # type: ignore[import-untyped]  # it ships no annotations
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
)
from botocore.handlers import add_expect_header  # type: ignore[import-untyped]

from report_runner.errors import StoreError
from report_runner.places import CONTENT_TYPES, Place

# A report may be replaced when late results arrive, and nobody between may keep it.
CACHE_CONTROL = "private, no-cache"

_AGENT = f"seedtest-reports boto3/{boto3.__version__}"
_CONNECT_SECONDS, _READ_SECONDS = 5, 30
_ATTEMPTS = 4
_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_ALREADY_THERE = {"412", "PreconditionFailed", "ConditionalRequestConflict"}


class S3Store:
    """Objects in a bucket."""

    uploads_at_once = 16

    def __init__(self, place: Place) -> None:
        """Connect to the bucket of `place`; credentials come from boto3's usual chain."""
        self.place = place
        self.bucket = place.bucket or ""
        self.client = boto3.session.Session().client(
            "s3",
            endpoint_url=place.endpoint,
            region_name=place.region,
            config=Config(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                max_pool_connections=self.uploads_at_once,
                signature_version="s3v4",
                # What the library does for every request beyond what is asked here took a sixth
                # of an upload's time: a second checksum beside the signed sha256, a look through
                # parameters that this module writes, and the composing of an agent's name.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                parameter_validation=False,
                user_agent=_AGENT,
                s3={"addressing_style": "path" if place.endpoint else "auto"},
            ),
        )
        # Nor does it ask before it sends: a report is a few packets, a question is one more turn.
        self.client.meta.events.unregister("before-call.s3", add_expect_header)
        self.encryption: dict[str, str] = {}
        if place.encryption:
            self.encryption["ServerSideEncryption"] = place.encryption
        if place.encryption_key:
            self.encryption["SSEKMSKeyId"] = place.encryption_key

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key` unless these bytes are there already.

        Raises:
            StoreError: the server refuses, does not answer, or the object changed meanwhile.
        """
        digest = hashlib.sha256(data).hexdigest()
        request: dict[str, Any] = {
            "Bucket": self.bucket,
            "Key": self.place.prefix + key,
            "Body": data,
            "ContentType": CONTENT_TYPES[key.rpartition(".")[2]],
            "CacheControl": CACHE_CONTROL,
            "Metadata": {"sha256": digest},
            **self.encryption,
        }
        with self.speaking(f"cannot store {key}"):
            if self._put_if(request, IfNoneMatch="*"):
                return
            head = self._head(key)
            if head is None:
                condition = {"IfNoneMatch": "*"}
            elif head["Metadata"].get("sha256") == digest and head["ContentLength"] == len(data):
                return
            else:
                condition = {"IfMatch": head["ETag"]}
            if not self._put_if(request, **condition):
                raise StoreError(f"{key} was changed by somebody else at the same time")

    def size(self, key: str) -> int | None:
        """Return the size of the object in bytes, None when there is none."""
        with self.speaking(f"cannot look for {key}"):
            head = self._head(key)
        return None if head is None else int(head["ContentLength"])

    def holds(self, _key: str, _size: int) -> bool:
        """Say whether the object is there: its row was written after it, so it is.

        Asking costs a request per report; `missing` asks.
        """
        return True

    def delete(self, key: str) -> None:
        """Delete the object, if it is there."""
        with self.speaking(f"cannot delete {key}"):
            self.client.delete_object(Bucket=self.bucket, Key=self.place.prefix + key)

    def location(self, key: str) -> str:
        """Return the object's address in the bucket."""
        return f"s3://{self.bucket}/{self.place.prefix}{key}"

    def link(self, key: str, seconds: int) -> str:
        """Return an address that shows the object to whoever has it, for `seconds`."""
        with self.speaking(f"cannot sign a link to {key}"):
            parameters = {"Bucket": self.bucket, "Key": self.place.prefix + key}
            url: str = self.client.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=seconds
            )
        return url

    def _put_if(self, request: dict[str, Any], **condition: str) -> bool:
        try:
            self.client.put_object(**request, **condition)
        except ClientError as error:
            if _code(error) in _ALREADY_THERE:
                return False
            raise
        return True

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            head: dict[str, Any] = self.client.head_object(
                Bucket=self.bucket, Key=self.place.prefix + key
            )
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        return head

    @contextmanager
    def speaking(self, failure: str) -> Iterator[None]:
        """Raise StoreError, in words that begin with `failure`, for what goes wrong inside."""
        try:
            yield
        except ClientError as error:
            code = _code(error)
            reason = (
                "refuses the credentials or the permission is missing"
                if code in _REFUSED
                else f"answers {code}"
            )
            raise StoreError(f"{failure}: the bucket {self.bucket!r} {reason} ({error})") from error
        except BotoCoreError as error:
            raise StoreError(f"{failure}: {error}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
