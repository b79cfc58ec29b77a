"""A client of the IRT service for the exam application; it needs httpx and nothing else of ours.

    with IrtClient.from_environment() as irt:
        ability = irt.finish_session("s_1", wait_seconds=1.0)

Settings: R_IRT_BASE_URL, R_IRT_INTERNAL_TOKEN, R_IRT_TIMEOUT_SECS.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self
from urllib.parse import quote

import httpx

_DEFAULT_TIMEOUT_SECONDS = 15.0
_RETRIES = 3
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_TRY_AGAIN = (429, 503)
_ACCEPTED = 202
_NOT_FOUND = 404
_FIRST_ERROR = 400


class IrtError(Exception):
    """The service could not be asked, or did not do what it was asked."""


class IrtUnavailableError(IrtError):
    """No answer, or only answers to try later, after every retry."""


class IrtAnswerError(IrtError):
    """An answer that is not a success.

    Attributes:
        status: of HTTP.
        error: a code that stays the same.
        detail: a sentence for people.
        request_id: by which the service logged it.
    """

    def __init__(self, status: int, error: str, detail: str, request_id: str | None) -> None:
        """Keep what the service said."""
        super().__init__(f"{status} {error}: {detail}")
        self.status = status
        self.error = error
        self.detail = detail
        self.request_id = request_id


@dataclass(frozen=True)
class Score:
    """An ability and its standard error."""

    theta: float
    standard_error: float


@dataclass(frozen=True)
class SessionAbility:
    """What came of a session; theta is None when it held nothing to score."""

    session_id: str
    student_id: str | None
    theta: float | None
    standard_error: float | None
    run_id: str | None
    reason: str | None


@dataclass(frozen=True)
class Ability:
    """An ability of a student after a session."""

    theta: float
    standard_error: float
    n_responses: int
    run_id: str
    session_id: str
    effective_at: datetime


@dataclass(frozen=True)
class StudentAbility(Ability):
    """The current ability, with those of the topics that have one."""

    topics: Mapping[str, Score]


@dataclass(frozen=True)
class ReportLink:
    """Where a report is to be had until it expires, without a token."""

    format: str
    url: str
    expires_at: datetime


class IrtClient:
    """Synchronous and safe to share between threads.

    Connection errors, 429 and 503 are tried again, with pauses that grow and differ; every
    request of this client may be repeated without harm. Any other answer is final.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        timeout_seconds: float = _DEFAULT_TIMEOUT_SECONDS,
        *,
        retries: int = _RETRIES,
    ) -> None:
        """Connect on first use; the timeout is for each part of each try."""
        self._retries = retries
        self._base_url = base_url.rstrip("/")
        self._http = httpx.Client(
            base_url=self._base_url,
            timeout=timeout_seconds,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """A client with the settings of the environment.

        Raises:
            IrtError: R_IRT_BASE_URL is not set, or the timeout is no number of seconds.
        """
        values = os.environ if environment is None else environment
        base_url = values.get("R_IRT_BASE_URL", "").strip()
        if not base_url:
            raise IrtError("R_IRT_BASE_URL is not set: give the address of the IRT service")
        text = values.get("R_IRT_TIMEOUT_SECS", "").strip()
        try:
            timeout = float(text) if text else _DEFAULT_TIMEOUT_SECONDS
        except ValueError:
            timeout = 0.0
        if not 0 < timeout < float("inf"):
            raise IrtError(f"R_IRT_TIMEOUT_SECS={text!r} is no number of seconds above 0")
        return cls(base_url, values.get("R_IRT_INTERNAL_TOKEN", "").strip() or None, timeout)

    def __enter__(self) -> Self:
        """Use it in a with statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def is_ready(self) -> bool:
        """Whether the service has a database and a run in force; asked once."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def score(
        self,
        item_params: Mapping[str, Mapping[str, float]],
        responses: Mapping[str, bool | None],
    ) -> Score:
        """The ability of one student from parameters {item: {a, b, c}} and grades {item: grade}."""
        found = self._post(
            "/irt/score",
            {
                "item_params": {item: dict(one) for item, one in item_params.items()},
                "responses": [
                    {"item_id": item, "is_correct": grade} for item, grade in responses.items()
                ],
            },
        )
        return Score(found["theta"], found["standard_error"])

    def score_rows(
        self,
        item_params: Sequence[Mapping[str, float]],
        rows: Sequence[Sequence[int | None]],
    ) -> list[Score]:
        """An ability per row of 1, 0 and None, in the order of the parameters."""
        found = self._post(
            "/irt/score",
            {
                "item_params": [dict(one) for one in item_params],
                "responses": [list(row) for row in rows],
            },
        )
        return [Score(one["theta"], one["se"]) for one in found["abilities"]]

    def calibrate(
        self,
        observations: Sequence[Mapping[str, Any]],
        model: str = "2PL",
        anchors: Sequence[Mapping[str, Any]] = (),
        *,
        poll_seconds: float = 2.0,
    ) -> dict[str, Any]:
        """Calibrate and wait for the result, polling where it takes long.

        Raises:
            IrtAnswerError: the data allow no calibration; with status 0 when a run failed later.
        """
        payload: dict[str, Any] = {"model": model, "observations": [dict(o) for o in observations]}
        if anchors:
            payload["anchors"] = [dict(one) for one in anchors]
        answer = self._send(
            "POST", "/irt/calibrate", json=payload, headers={"Prefer": "respond-async"}
        )
        content: dict[str, Any] = answer.json()
        if answer.status_code != _ACCEPTED:
            return content
        poll = content["poll"]
        while content["status"] == "running":
            time.sleep(poll_seconds)
            content = self._get(poll)
        if content["status"] != "succeeded":
            raise IrtAnswerError(0, content["error"], content["detail"], None)
        result: dict[str, Any] = content["result"]
        return result

    def finish_session(self, session_id: str, wait_seconds: float = 0.0) -> SessionAbility | None:
        """Tell that a session has finished; None when it is queued and not scored yet.

        Raises:
            IrtAnswerError: 404 when its result is not in the database, 409 when it was given up.
        """
        headers = {"Prefer": f"wait={round(wait_seconds)}"} if wait_seconds > 0 else {}
        answer = self._send("POST", f"/v1/sessions/{_part(session_id)}/finish", headers=headers)
        if answer.status_code == _ACCEPTED:
            return None
        one = answer.json()
        return SessionAbility(
            one["session_id"],
            one["student_id"],
            one["theta"],
            one["standard_error"],
            one["run_id"],
            one["reason"],
        )

    def ability(self, student_id: str) -> StudentAbility | None:
        """A student's current ability; None when there is none that counts."""
        try:
            one = self._get(f"/v1/students/{_part(student_id)}/ability")
        except IrtAnswerError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        topics = {
            topic["topic_id"]: Score(topic["theta"], topic["standard_error"])
            for topic in one["topics"]
        }
        return StudentAbility(**_ability(one), topics=topics)

    def ability_history(self, student_id: str, limit: int = 100) -> list[Ability]:
        """A student's abilities under the run in force, the latest first."""
        try:
            found = self._get(
                f"/v1/students/{_part(student_id)}/ability/history", params={"limit": limit}
            )
        except IrtAnswerError as error:
            if error.status == _NOT_FOUND:
                return []
            raise
        return [Ability(**_ability(one)) for one in found["abilities"]]

    def report_links(self, student_id: str, week_start: date) -> list[ReportLink]:
        """Links to a student's reports of the week that begins on a Monday."""
        found = self._get(f"/v1/reports/{_part(student_id)}/{week_start.isoformat()}")
        return [
            ReportLink(
                one["format"],
                str(httpx.URL(self._base_url).join(one["url"])),
                datetime.fromisoformat(one["expires_at"]),
            )
            for one in found["reports"]
        ]

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        content: dict[str, Any] = self._send("GET", path, params=params).json()
        return content

    def _post(self, path: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = self._send("POST", path, json=payload).json()
        return content

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send until there is a final answer.

        Raises:
            IrtUnavailableError: no final answer after every retry.
            IrtAnswerError: the answer is not a success.
        """
        for retry in range(self._retries + 1):
            is_last = retry == self._retries
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if is_last or not _is_worth_retrying(error):
                    raise IrtUnavailableError(f"{method} {path}: {error!r}") from error
                _pause(retry, None)
                continue
            if answer.status_code in _TRY_AGAIN:
                if is_last:
                    raise IrtUnavailableError(f"{method} {path}: {_describe(answer)}")
                _pause(retry, answer.headers.get("Retry-After"))
                continue
            if answer.status_code >= _FIRST_ERROR:
                raise _describe(answer)
            return answer
        raise AssertionError("the last try returns or raises")


def _is_worth_retrying(error: httpx.TransportError) -> bool:
    """Errors of the connection; a service that is too slow would only be asked more."""
    return not isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout)


def _pause(retry: int, asked: str | None) -> None:
    """Wait longer each time, and never in step with other clients."""
    longest = min(_FIRST_PAUSE_SECONDS * 2**retry, _LONGEST_PAUSE_SECONDS)
    if asked is not None and asked.isdecimal():
        longest = max(longest, min(float(asked), _LONGEST_PAUSE_SECONDS))
    time.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def _describe(answer: httpx.Response) -> IrtAnswerError:
    try:
        content = answer.json()
        error, detail = str(content["error"]), str(content["detail"])
    except (ValueError, KeyError, TypeError):
        # Something in between answered.
        error, detail = "unknown", answer.reason_phrase
    return IrtAnswerError(answer.status_code, error, detail, answer.headers.get("X-Request-ID"))


def _ability(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "theta": one["theta"],
        "standard_error": one["standard_error"],
        "n_responses": one["n_responses"],
        "run_id": one["run_id"],
        "session_id": one["session_id"],
        "effective_at": datetime.fromisoformat(one["effective_at"]),
    }


def _part(identifier: str) -> str:
    return quote(identifier, safe="")
