"""What a run was made from: a fingerprint of its responses, settings, versions."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from irt_service.engines.base import CalibrationSettings, ItemParameters
from irt_service.responses import ResponseMatrix

_PACKAGES = ("numba", "numpy", "psycopg", "pyarrow", "scipy", "sqlalchemy")
# Their number changes no bit of a result.
_WITHOUT_EFFECT = ("threads", "fixed_items")


def fingerprint(responses: ResponseMatrix) -> str:
    """SHA-256 of the responses in canonical order: the order of arrival does not matter."""
    digest = hashlib.sha256()
    for ids in (responses.person_ids, responses.item_ids):
        # PostgreSQL's texts hold no NUL, so it separates without doubt.
        digest.update("\0".join(ids).encode())
        digest.update(b"\0\0")
    digest.update(responses.indptr.astype("<i8").data)
    digest.update(responses.items.astype("<i4").data)
    digest.update(np.ascontiguousarray(responses.correct, dtype=np.int8).data)
    return digest.hexdigest()


def describe_engine_settings(settings: CalibrationSettings) -> dict[str, Any]:
    """What the engine is told, apart from anchors, as JSON."""
    plain = {name: value for name, value in vars(settings).items() if name not in _WITHOUT_EFFECT}
    plain["model"] = settings.model.value
    plain["guessing_prior"] = repr(settings.guessing_prior)
    plain["discrimination_prior"] = (
        None if settings.discrimination_prior is None else repr(settings.discrimination_prior)
    )
    return plain


def describe_anchors(anchors: Mapping[str, ItemParameters]) -> dict[str, list[float]]:
    """Anchors by item id: discrimination, difficulty, guessing."""
    return {
        item: [one.discrimination, one.difficulty, one.guessing]
        for item, one in sorted(anchors.items())
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers pass through."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def package_version() -> str:
    """The version of this package, which the native engine's results depend on."""
    try:
        return version("seedtest-analytics")
    except PackageNotFoundError:
        # Run from a checkout that was not installed.
        return "unknown"
