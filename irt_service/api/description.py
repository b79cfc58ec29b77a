"""What OpenAPI says beyond the routes: bodies, examples, tokens, and one shape of errors."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from irt_service.api.requests import (
    CalibrateMatrix,
    CalibrateObservations,
    ScoreMany,
    ScoreOne,
)

DESCRIPTION = """
Abilities of students and calibrations of items by item response theory.

The metric is logistic with D = 1: P(correct) = c + (1 - c) / (1 + exp(-a (theta - b))).
An error is always JSON with `error`, a code that stays the same, and `detail`, a sentence.

A token goes into `Authorization: Bearer ...` (or `X-Internal-Token`). A token of an organisation
sees the students who have sat an exam for it; for any other student, session or report it gets
the same 404 as for one that does not exist.
"""

_REFERENCE = "#/components/schemas/{model}"
_OPEN = ("/healthz", "/readyz", "/metrics", "/v1/report-files/{key}")
_PARAMETERS = {"a": 1.0, "b": 0.0, "c": 0.0}
_SCORE_EXAMPLES = {
    "one": {
        "summary": "One student, items by id",
        "value": {
            "item_params": {
                "q_1": _PARAMETERS,
                "q_2": {"a": 1.5, "b": 0.5, "c": 0.0},
                "q_3": {"a": 0.8, "b": -1.0, "c": 0.2},
            },
            "responses": [
                {"item_id": "q_1", "is_correct": True},
                {"item_id": "q_2", "is_correct": False},
                {"item_id": "q_3", "is_correct": True},
            ],
        },
    },
    "many": {
        "summary": "Two students, items by column",
        "value": {
            "item_params": [
                _PARAMETERS,
                {"a": 1.5, "b": 0.5, "c": 0.0},
                {"a": 0.8, "b": -1.0, "c": 0.2},
            ],
            "responses": [[1, 0, 1], [0, None, 1]],
        },
    },
}
_ANSWERS = [(1, 1, 0), (0, 1, 1), (1, 0, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0), (1, 0, 1), (0, 1, 0)]
_CALIBRATE_EXAMPLES = {
    "observations": {
        "summary": "One row per answer, two anchors",
        "value": {
            "model": "2PL",
            "observations": [
                {"user_id": f"u_{i}", "item_id": f"q_{j + 1}", "is_correct": bool(answer)}
                for i, row in enumerate(_ANSWERS)
                for j, answer in enumerate(row)
            ],
            "anchors": [
                {"item_id": "q_1", "params": {"a": 1.2, "b": -0.1, "c": 0.0}, "fixed": True},
                {"item_id": "q_2", "params": {"a": 0.9, "b": 0.2, "c": 0.0}, "fixed": True},
            ],
        },
    },
    "matrix": {
        "summary": "A row per student, a column per item",
        "value": {"model": "Rasch", "responses": [list(row) for row in _ANSWERS]},
    },
}
_WAIT = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 100, "pattern": "^[ -~]*$"},
    "examples": {"wait": {"value": "wait=2"}, "poll": {"value": "respond-async"}},
    "description": "RFC 7240: how long to wait, and whether to poll instead",
}
_WAITING = (
    "/v1/sessions/{session_id}/finish", "/irt/calibrate", "/v1/runs/{run_id}/publish",
)  # fmt: skip


def describe(app: FastAPI) -> None:
    """Have the application describe itself so."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, definitions = models_json_schema(
        [
            (model, "validation")
            for model in (ScoreOne, ScoreMany, CalibrateObservations, CalibrateMatrix)
        ],
        ref_template=_REFERENCE,
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions["$defs"])
    # FastAPI's own shape of a 422, which this service does not answer with.
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "internal": {"type": "apiKey", "in": "header", "name": "X-Internal-Token"},
    }
    for path, item in document["paths"].items():
        for operation in item.values():
            if path not in _OPEN:
                operation["security"] = [{"bearer": []}, {"internal": []}]
            if path in _WAITING:
                operation.setdefault("parameters", []).append(_WAIT)
            unprocessable = operation["responses"].get("422", {})
            unprocessable["content"] = {
                "application/json": {"schema": {"$ref": _REFERENCE.format(model="ErrorBody")}}
            }
    _add_body(document, "/irt/score", (ScoreOne, ScoreMany), _SCORE_EXAMPLES)
    _add_body(
        document, "/irt/calibrate", (CalibrateObservations, CalibrateMatrix), _CALIBRATE_EXAMPLES
    )
    return document


def _add_body(
    document: dict[str, Any], path: str, models: tuple[type, type], examples: dict[str, Any]
) -> None:
    document["paths"][path]["post"]["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [{"$ref": _REFERENCE.format(model=one.__name__)} for one in models]
                },
                "examples": examples,
            }
        },
    }
