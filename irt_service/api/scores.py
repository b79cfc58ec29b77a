"""Scores requests with the code, grid and prior N(0, 1) of every other ability."""

from __future__ import annotations

import re
from itertools import chain

import numpy as np
import numpy.typing as npt

from irt_service.api.bodies import parse, refuse_repeated_names
from irt_service.api.errors import ApiError
from irt_service.api.requests import (
    SCORE_MANY,
    SCORE_ONE,
    ListedParameters,
    Parameters,
    ScoreMany,
    ScoreOne,
)
from irt_service.scoring import eap

_SHAPE = re.compile(rb'"item_params"\s*:\s*\{')
_NOT_ANSWERED = -1


def score(body: bytes) -> dict[str, object]:
    """Answer a request in the shape that it came in.

    Raises:
        ApiError: 400, 422.
    """
    if _SHAPE.search(body):
        return score_one(parse(SCORE_ONE, body), body)
    return score_many(parse(SCORE_MANY, body))


def score_one(request: ScoreOne, body: bytes) -> dict[str, object]:
    """Score one student; answers that are null count as not given."""
    place = {item: position for position, item in enumerate(request.item_params)}
    # Each object of parameters names b once, so another number may mean that one was named twice.
    if body.count(b'"b"') != len(place):
        refuse_repeated_names(body)
    seen = {response.item_id for response in request.responses}
    if len(seen) < len(request.responses):
        raise ApiError(422, "invalid_request", "responses name the same item twice")
    unknown = seen - place.keys()
    if unknown:
        raise ApiError(
            422, "invalid_request", f"{len(unknown)} responses are to items without item_params"
        )
    answered = [one for one in request.responses if one.is_correct is not None]
    a, b, c = _bank(list(request.item_params.values()))
    theta, standard_error = eap(
        a,
        b,
        c,
        [0, len(answered)],
        [place[one.item_id] for one in answered],
        [int(bool(one.is_correct)) for one in answered],
    )
    value, se = float(theta[0]), float(standard_error[0])
    return {"status": "ok", "theta": value, "se": se, "standard_error": se}


def score_many(request: ScoreMany) -> dict[str, object]:
    """Score a row of answers per student."""
    width = len(request.item_params)
    for number, row in enumerate(request.responses):
        if len(row) != width:
            raise ApiError(
                422,
                "invalid_request",
                f"responses.{number} holds {len(row)} answers to {width} items: "
                "write null for a question that was not answered",
            )
    _refuse_repeated_items(request.item_params)
    grades = np.fromiter(
        (_NOT_ANSWERED if one is None else one for one in chain.from_iterable(request.responses)),
        dtype=np.int8,
        count=width * len(request.responses),
    ).reshape(-1, width)
    answered = grades != _NOT_ANSWERED
    a, b, c = _bank(request.item_params)
    theta, standard_error = eap(
        a,
        b,
        c,
        np.concatenate([[0], np.cumsum(answered.sum(axis=1))]),
        np.nonzero(answered)[1],
        grades[answered],
    )
    return {
        "status": "ok",
        "abilities": [
            {"theta": one, "se": se}
            for one, se in zip(theta.tolist(), standard_error.tolist(), strict=True)
        ],
    }


def _refuse_repeated_items(items: list[ListedParameters]) -> None:
    names = [name for one in items if (name := one.item_id or one.item) is not None]
    if len(set(names)) < len(names):
        raise ApiError(422, "invalid_request", "item_params name the same item twice")


def _bank(items: list[Parameters] | list[ListedParameters]) -> npt.NDArray[np.float64]:
    return np.array([(one.a, one.b, one.c or 0.0) for one in items], dtype=np.float64).T
