"""What the service says of itself, and that it keeps to it whatever is sent."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.irt_service.api.site import Site

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ROUTES = {
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("post", "/irt/score"),
    ("post", "/irt/calibrate"),
    ("post", "/v1/sessions/{session_id}/finish"),
    ("get", "/v1/students/{student_id}/ability"),
    ("get", "/v1/students/{student_id}/ability/history"),
    ("get", "/v1/runs"),
    ("get", "/v1/runs/{run_id}"),
    ("get", "/v1/runs/{run_id}/items"),
    ("post", "/v1/runs/{run_id}/publish"),
    ("get", "/v1/reports/{student_id}/{week_start}"),
    ("get", "/v1/report-files/{key}"),
}


@pytest.fixture(scope="module")
def description(site: Site) -> BaseSchema:
    """The service's OpenAPI, as schemathesis reads it."""
    return schemathesis.openapi.from_url(f"{site.service.url}/openapi.json")


# A route that takes nothing can be sent nothing wrong.
TAKES_NOTHING = {"/healthz", "/readyz", "/metrics"}
REQUESTS = [
    (method, path, mode)
    for method, path in sorted(ROUTES)
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or path not in TAKES_NOTHING
]


@pytest.mark.parametrize(("method", "path", "mode"), REQUESTS)
def test_no_request_breaks_it(
    method: str, path: str, mode: GenerationMode, site: Site, description: BaseSchema
) -> None:
    operation = description[path][method]

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(
            headers={"Authorization": f"Bearer {site.tokens['all']}"}, checks=CHECKS, timeout=60
        )

    ask()


def test_every_route_is_described(site: Site) -> None:
    document = site.ask("GET", "/openapi.json", who=None).json()
    found = {(method, path) for path, item in document["paths"].items() for method in item}
    assert found == ROUTES
    for method, path in ROUTES:
        operation = document["paths"][path][method]
        assert operation["summary"]
        is_open = path in {*TAKES_NOTHING, "/v1/report-files/{key}"}
        assert ("security" in operation) is not is_open


def test_the_examples_of_bodies_are_answered(site: Site) -> None:
    document = site.ask("GET", "/openapi.json", who=None).json()
    for path in ("/irt/score", "/irt/calibrate"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert len(body["examples"]) == 2
        for example in body["examples"].values():
            answer = site.post(path, example["value"])
            assert answer.status_code == 200, answer.text
