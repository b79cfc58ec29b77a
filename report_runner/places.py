"""Where finished reports are kept: a setting that every process of a run reads the same."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from report_runner.errors import ReportError
from warehouse.settings import read_settings

CONTENT_TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}
_ENCRYPTIONS = ("AES256", "aws:kms")


@dataclass(frozen=True)
class Place:
    """A folder, or a bucket when `bucket` is set."""

    root: Path | None = None
    bucket: str | None = None
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    encryption: str | None = None
    encryption_key: str | None = None

    def __str__(self) -> str:
        """Return the place as the ledger records it."""
        return f"s3://{self.bucket}/{self.prefix}" if self.bucket else str(self.root)


def read_place(environment: Mapping[str, str] = os.environ, out: Path | None = None) -> Place:
    """Return `out` as a folder, else what the environment names, else the local folder.

    S3_BUCKET makes it a bucket; S3_PREFIX, S3_ENDPOINT_URL, S3_REGION, S3_SSE (AES256 or
    aws:kms) and S3_SSE_KMS_KEY_ID describe it. Credentials are boto3's own business.

    Raises:
        ReportError: a setting that no bucket has.
    """
    bucket = environment.get("S3_BUCKET")
    if out is not None or not bucket:
        folder = out or environment.get("REPORTS_DIR") or read_settings().state
        return Place(root=Path(folder))
    encryption = environment.get("S3_SSE") or None
    if encryption and encryption not in _ENCRYPTIONS:
        raise ReportError(f"S3_SSE is {encryption!r}; it is one of {', '.join(_ENCRYPTIONS)}")
    prefix = environment.get("S3_PREFIX", "").strip("/")
    return Place(
        bucket=bucket,
        prefix=f"{prefix}/" if prefix else "",
        endpoint=environment.get("S3_ENDPOINT_URL") or None,
        region=environment.get("S3_REGION") or environment.get("AWS_REGION") or None,
        encryption=encryption,
        encryption_key=environment.get("S3_SSE_KMS_KEY_ID") or None,
    )
