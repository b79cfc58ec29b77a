"""Decides what to write: only results that differ from those that count already."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from irt_service.sessions import Histories, SessionAbilities
from irt_service.store.abilities import TopicAbility, Winner, WinnerKey

# Two scorings of the same responses may differ by rounding; they are one result.
SAME = 1e-9

NO_LONGER_THEIRS = "the session is no longer a ready one of this student"
NOTHING_USABLE = "no response to use, or the run is not in force when its ability counts"


@dataclass(frozen=True)
class Change:
    """Rows to append.

    Attributes:
        abilities: columns of irt.mirt_ability.
        topics: columns of irt.mirt_topic_ability.
        retractions: columns of irt.mirt_ability_retraction.
        scored: positions of the sessions that have an ability under some run.
    """

    abilities: pa.Table
    topics: pa.Table
    retractions: pa.Table
    scored: set[int]


@dataclass
class _Rows:
    """Columns under construction; whole arrays are added, not rows."""

    abilities: list[dict[str, Any]] = field(default_factory=list)
    topics: list[dict[str, Any]] = field(default_factory=list)


def plan_changes(
    histories: Histories,
    students: range,
    scores: Sequence[SessionAbilities],
    winners: Mapping[WinnerKey, Winner],
    now: int,
    next_ids: Callable[[int], np.typing.NDArray[np.int64]],
) -> Change:
    """Compare the abilities of a range of students with those that count.

    Args:
        students: positions in histories.student_ids.
        scores: one entry per run, of all sessions in `histories`.
        winners: everything that counts for these students, under any run.
        now: microseconds since 1970, later than any row of these students.
        next_ids: reserves ids.
    """
    sessions = range(
        int(histories.session_indptr[students.start]), int(histories.session_indptr[students.stop])
    )
    owners = histories.student_ids[
        np.repeat(
            np.arange(students.start, students.stop),
            np.diff(histories.session_indptr[students.start : students.stop + 1]),
        )
    ]
    rows = _Rows()
    scored: set[int] = set()
    met: set[WinnerKey] = set()
    for one in scores:
        first, last = np.searchsorted(one.session, [sessions.start, sessions.stop])
        part = np.arange(first, last)
        scored.update(one.session[part].tolist())
        if winners:
            is_new = [
                _is_new(histories, one, k, owners[one.session[k] - sessions.start], winners, met)
                for k in part.tolist()
            ]
            part = part[np.array(is_new, dtype=np.bool_)]
        if len(part):
            _add(rows, histories, one, part, owners[one.session[part] - sessions.start])
    known = set(zip(owners.tolist(), histories.session_ids[sessions.start : sessions.stop].tolist(),
                    strict=True)) if winners else set()  # fmt: skip
    retracted = sorted(key for key in winners if key not in met)
    count = sum(len(block["session_id"]) for block in rows.abilities)
    ids = next_ids(count + len(retracted))
    return Change(
        *_number(rows, ids[:count], now),
        _retractions(retracted, known, ids[count:], now),
        scored,
    )


def _is_new(
    histories: Histories,
    one: SessionAbilities,
    k: int,
    owner: str,
    winners: Mapping[WinnerKey, Winner],
    met: set[WinnerKey],
) -> bool:
    """Whether result k differs from what counts; `met` learns which winner it answers to."""
    session = one.session[k]
    key = (owner, histories.session_ids[session], one.run.run_id)
    winner = winners.get(key)
    if winner is None:
        return True
    met.add(key)
    return not (
        winner.n_responses == one.n_responses[k]
        and winner.effective_at == histories.effective_at[session]
        and _same(winner.theta, one.theta[k])
        and _same(winner.standard_error, one.standard_error[k])
        and _same_topics(winner.topics, _topics_of(histories, one, k))
    )


def _topics_of(histories: Histories, one: SessionAbilities, k: int) -> dict[str, TopicAbility]:
    first, last = np.searchsorted(one.topic_row, [k, k + 1])
    return {
        histories.topic_ids[one.topic[m]]: (
            one.topic_theta[m],
            one.topic_standard_error[m],
            one.topic_n_responses[m],
        )
        for m in range(first, last)
    }


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=0.0, abs_tol=SAME)


def _same_topics(one: Mapping[str, TopicAbility], other: Mapping[str, TopicAbility]) -> bool:
    return one.keys() == other.keys() and all(
        _same(theta, other[topic][0])
        and _same(standard_error, other[topic][1])
        and count == other[topic][2]
        for topic, (theta, standard_error, count) in one.items()
    )


def _add(
    rows: _Rows,
    histories: Histories,
    one: SessionAbilities,
    part: np.typing.NDArray[np.int64],
    owners: np.typing.NDArray[np.object_],
) -> None:
    """Add the results `part` of one run, and their topics."""
    sessions = one.session[part]
    rows.abilities.append(
        {
            "user_id": owners,
            "theta": one.theta[part],
            "se": one.standard_error[part],
            "model": np.full(len(part), one.run.model, dtype=object),
            "version": np.full(len(part), one.run.version, dtype=object),
            "run_id": np.full(len(part), one.run.run_id, dtype=object),
            "session_id": histories.session_ids[sessions],
            "effective_at": histories.effective_at[sessions],
            "n_responses": one.n_responses[part],
        }
    )
    place = np.full(len(one.session), -1, dtype=np.int64)
    place[part] = np.arange(len(part))
    first, last = np.searchsorted(one.topic_row, [part[0], part[-1] + 1])
    chosen = np.arange(first, last)
    chosen = chosen[place[one.topic_row[chosen]] >= 0]
    at = place[one.topic_row[chosen]]
    offset = sum(len(block["session_id"]) for block in rows.abilities[:-1])
    rows.topics.append(
        {
            "ability": at + offset,
            "user_id": owners[at],
            "topic_id": histories.topic_ids[one.topic[chosen]],
            "theta": one.topic_theta[chosen],
            "se": one.topic_standard_error[chosen],
            "run_id": np.full(len(chosen), one.run.run_id, dtype=object),
            "session_id": histories.session_ids[sessions[at]],
            "effective_at": histories.effective_at[sessions[at]],
            "n_responses": one.topic_n_responses[chosen],
        }
    )


_TEXTS = ("user_id", "topic_id", "model", "version", "run_id", "session_id")


def _table(blocks: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name in names:
        values = np.concatenate([block[name] for block in blocks]) if blocks else np.empty(0)
        if name in _TEXTS:
            columns[name] = pa.array(values.tolist(), pa.string())
        elif name == "effective_at":
            columns[name] = _moments(values)
        else:
            columns[name] = pa.array(values)
    return columns


def _moments(microseconds: np.typing.NDArray[Any]) -> pa.Array:
    return pa.array(microseconds.astype(np.int64), pa.timestamp("us", tz="UTC"))


def _number(
    rows: _Rows, numbers: np.typing.NDArray[np.int64], now: int
) -> tuple[pa.Table, pa.Table]:
    """Give abilities their ids and topics those of their abilities."""
    abilities = _table(
        rows.abilities,
        ("user_id", "theta", "se", "model", "version", "run_id", "session_id", "effective_at",
         "n_responses"),
    )  # fmt: skip
    topics = _table(
        rows.topics,
        ("user_id", "topic_id", "theta", "se", "run_id", "session_id", "effective_at",
         "n_responses"),
    )  # fmt: skip
    place = (
        np.concatenate([block["ability"] for block in rows.topics])
        if rows.topics
        else np.empty(0, np.int64)
    )
    return (
        pa.table({"id": numbers, **abilities, "fitted_at": _moments(np.full(len(numbers), now))}),
        pa.table(
            {
                "ability_id": numbers[place],
                **topics,
                "fitted_at": _moments(np.full(len(place), now)),
            }
        ),
    )


def _retractions(
    retracted: Sequence[WinnerKey],
    known: set[tuple[str, str]],
    ids: np.typing.NDArray[np.int64],
    now: int,
) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "user_id": pa.array([key[0] for key in retracted], pa.string()),
            "session_id": pa.array([key[1] for key in retracted], pa.string()),
            "run_id": pa.array([key[2] for key in retracted], pa.string()),
            "reason": pa.array(
                [
                    NOTHING_USABLE if (key[0], key[1]) in known else NO_LONGER_THEIRS
                    for key in retracted
                ],
                pa.string(),
            ),
            "fitted_at": _moments(np.full(len(retracted), now)),
        }
    )
