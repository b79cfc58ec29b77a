"""Settings of the HTTP service, read once from the environment."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from irt_service.errors import InvalidSettingsError
from warehouse.settings import read_settings as read_warehouse_settings

MEGABYTE = 1024 * 1024

# How `serve` tells the processes it starts what its options said.
LOCAL = "IRT_SERVICE_LOCAL"
WITH_WORKER = "IRT_SERVICE_WITH_WORKER"
LINK_KEY = "IRT_SERVICE_LINK_KEY"
# Of prometheus_client: where several processes keep their counters together.
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True)
class ServiceSettings:
    """How the service answers.

    Attributes:
        token: accepted besides the tokens in the database (R_IRT_INTERNAL_TOKEN).
        is_local: no tokens; `serve` then binds to loopback only.
        has_worker: score deliveries in this process too.
        link_key: signs links to reports that the service itself hands out; random where none
            is set.
        reports: folder of the file-system report store.
        link_seconds: how long a link to a report is good for.
        score_body_bytes: largest body of /irt/score and of requests without much to say.
        calibrate_body_bytes: largest body of /irt/calibrate.
        connections: to the database, and threads that use them.
        calibrations: at a time.
        calibrations_waiting: more than so many besides are sent away.
        calibrate_seconds: a calibration that takes longer is ended.
        stop_seconds: what was taken is finished within so long after SIGTERM.
    """

    token: str | None
    is_local: bool
    has_worker: bool
    link_key: str
    reports: Path
    link_seconds: int = 300
    score_body_bytes: int = 4 * MEGABYTE
    calibrate_body_bytes: int = 64 * MEGABYTE
    connections: int = 8
    calibrations: int = 1
    calibrations_waiting: int = 4
    calibrate_seconds: int = 3600
    stop_seconds: int = 25


def read_service_settings(environment: Mapping[str, str] | None = None) -> ServiceSettings:
    """Read R_IRT_INTERNAL_TOKEN, REPORTS_DIR and IRT_SERVICE_*.

    Raises:
        InvalidSettingsError: a number that is none.
    """
    values = os.environ if environment is None else environment
    defaults = ServiceSettings(None, False, False, "", Path())
    return ServiceSettings(
        token=values.get("R_IRT_INTERNAL_TOKEN", "").strip() or None,
        is_local=values.get(LOCAL) == "1",
        has_worker=values.get(WITH_WORKER) == "1",
        # Anybody could sign with an empty one.
        link_key=values.get(LINK_KEY, "").strip() or secrets.token_urlsafe(32),
        reports=Path(values.get("REPORTS_DIR", "").strip() or read_warehouse_settings().state),
        link_seconds=_number(values, "LINK_SECONDS", defaults.link_seconds),
        score_body_bytes=_number(values, "SCORE_BODY_BYTES", defaults.score_body_bytes),
        calibrate_body_bytes=_number(values, "CALIBRATE_BODY_BYTES", defaults.calibrate_body_bytes),
        connections=_number(values, "CONNECTIONS", defaults.connections),
        calibrations=_number(values, "CALIBRATIONS", defaults.calibrations),
        calibrations_waiting=_number(values, "CALIBRATIONS_WAITING", defaults.calibrations_waiting),
        calibrate_seconds=_number(values, "CALIBRATE_SECONDS", defaults.calibrate_seconds),
        stop_seconds=_number(values, "STOP_SECONDS", defaults.stop_seconds),
    )


def _number(values: Mapping[str, str], name: str, default: int) -> int:
    name = f"IRT_SERVICE_{name}"
    text = values.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise InvalidSettingsError(
            "a positive whole number is needed", f"{name}={text!r}", f"{default} is the default"
        )
    return int(text)
