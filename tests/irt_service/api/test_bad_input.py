"""Whatever is sent, the answer is a 4xx that says why, in JSON, and nothing is written."""

import json
import socket
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from tests.irt_service.api.site import ServiceProcess, Site

PARAMETERS = {"a": 1.0, "b": 0.0, "c": 0.0}
ONE = {"item_params": {"q": PARAMETERS}, "responses": [{"item_id": "q", "is_correct": True}]}
MANY = {"item_params": [PARAMETERS], "responses": [[1]]}
SEEN = {"user_id": "u", "item_id": "q", "is_correct": True}


def one(**changes: object) -> bytes:
    """A request of the keyed shape with something wrong; json writes NaN and Infinity."""
    return json.dumps({**ONE, **changes}).encode()


def item(**changes: object) -> bytes:
    """The same with a wrong parameter."""
    return one(item_params={"q": {**PARAMETERS, **changes}})


def reply(**changes: object) -> bytes:
    """The same with a wrong answer."""
    return one(responses=[{**ONE["responses"][0], **changes}])  # type: ignore[index]


def many(**changes: object) -> bytes:
    """A request of the other shape with something wrong."""
    return json.dumps({**MANY, **changes}).encode()


def calibration(*observations: object, **changes: object) -> bytes:
    """A calibration with something wrong."""
    return json.dumps({"observations": observations or [SEEN], **changes}).encode()


SCORES = {
    "no body": (b"", 400),
    "no JSON": (b"item_params=1", 400),
    "half a JSON": (one()[:-5], 400),
    "two JSONs": (one() + one(), 400),
    "invalid UTF-8": (one().replace(b'"q"', b'"\xff\xfe"'), 400),
    "UTF-16": (one().decode().encode("utf-16"), 400),
    "half a surrogate pair": (one().replace(b'"q"', b'"\\ud800"'), 400),
    "deep lists": (b"[" * 200_000, 400),
    "deep objects": (b'{"item_params":' * 50_000, 400),
    "deep where shallow is meant": (many(responses=[[[[[[[1]]]]]]]), 422),
    "null": (b"null", 422),
    "a list": (b"[]", 422),
    "a number": (b"1e999", 422),
    "an empty object": (b"{}", 422),
    "no responses": (json.dumps({"item_params": ONE["item_params"]}).encode(), 422),
    "no item_params": (json.dumps({"responses": ONE["responses"]}).encode(), 422),
    "an unknown field": (one(prior=1), 422),
    "an unknown field of an item": (item(d=1), 422),
    "an unknown field of an answer": (reply(time=1), 422),
    "empty item_params": (one(item_params={}), 422),
    "empty list of item_params": (many(item_params=[]), 422),
    "empty responses": (one(responses=[]), 422),
    "empty rows": (many(responses=[]), 422),
    "an empty row": (many(responses=[[]]), 422),
    "NaN": (item(b=float("nan")), 422),
    "Infinity": (item(b=float("inf")), 422),
    "minus Infinity": (item(a=float("-inf")), 422),
    "a number too large for a double": (item().replace(b'"b": 0.0', b'"b": 1e999'), 422),
    "ten thousand digits": (item().replace(b'"b": 0.0', b'"b": ' + b"1" * 10_000), 400),
    "a huge a": (item(a=1e308), 422),
    "c of 1": (item(c=1), 422),
    "a negative c": (item(c=-0.1), 422),
    "a text for a number": (item(a="steep"), 422),
    "no b": (json.dumps({**ONE, "item_params": {"q": {"a": 1}}}).encode(), 422),
    "yes": (reply(is_correct="yes"), 422),
    "a grade of 2": (reply(is_correct=2), 422),
    "half a grade": (reply(is_correct=0.5), 422),
    "a NaN grade": (many(responses=[[float("nan")]]), 422),
    "no grade": (one(responses=[{"item_id": "q"}]), 422),
    "no item": (one(responses=[{"is_correct": True}]), 422),
    "an item id that is a list": (reply(item_id=["q"]), 422),
    "an empty item id": (reply(item_id=""), 422),
    "a NUL in an id": (reply(item_id="q\0"), 422),
    "a very long id": (reply(item_id="q" * 100_000), 422),
    "an item without parameters": (reply(item_id="other"), 422),
    "an item answered twice": (one(responses=ONE["responses"] * 2), 422),  # type: ignore[operator]
    "an item parametrised twice": (
        one().replace(b'{"q": {', b'{"q": {"a": 2, "b": 0}, "q": {', 1),
        422,
    ),
    "a listed item twice": (
        many(item_params=[{**PARAMETERS, "item_id": "q"}] * 2, responses=[[1, 0]]),
        422,
    ),
    "a row too short": (many(item_params=[PARAMETERS] * 2), 422),
    "a row too long": (many(responses=[[1, 0]]), 422),
    "rows where objects are meant": (one(responses=[[1]]), 422),
    "objects where rows are meant": (many(responses=ONE["responses"]), 422),
    "a million answers": (many(responses=[[1] * 1_000_000]), 422),
    "a million rows": (many(responses=[[1]] * 1_000_000), 413),
    "a million empty rows": (many(responses=[[]] * 1_000_000).replace(b" ", b""), 422),
    "a million items": (many(item_params=[PARAMETERS] * 1_000_000), 413),
    "many empty items": (
        b'{"item_params":{' + b",".join(b'"%d":{}' % n for n in range(300_000)) + b"}}",
        422,
    ),
}  # fmt: skip

CALIBRATIONS = {
    "an empty object": (b"{}", 422),
    "no observations": (json.dumps({"observations": []}).encode(), 422),
    "no rows": (json.dumps({"responses": []}).encode(), 422),
    "both shapes": (calibration(responses=[[1, 0]]), 422),
    "an unknown field": (calibration(engine="mirt"), 422),
    "an unknown model": (calibration(model="4PL"), 422),
    "an unknown field of an observation": (calibration({**SEEN, "score": 1}), 422),
    "no user": (calibration({"item_id": "q", "is_correct": True}), 422),
    "yes": (calibration({**SEEN, "is_correct": "yes"}), 422),
    "the same answer twice": (calibration(SEEN, SEEN), 422),
    "nothing answered": (calibration({**SEEN, "is_correct": None}), 422),
    "one answer": (calibration(), 422),
    "rows of unequal length": (json.dumps({"responses": [[1, 0], [1]]}).encode(), 422),
    "an anchor with an impossible a": (
        calibration(anchors=[{"item_id": "q", "params": {"a": 0, "b": 0}}]),
        422,
    ),
    "an anchor without parameters": (calibration(anchors=[{"item_id": "q"}]), 422),
    "an anchor with NaN": (
        calibration(anchors=[{"item_id": "q", "params": {"a": 1, "b": float("nan")}}]),
        422,
    ),
    "invalid UTF-8": (b'{"observations":"\xff"}', 400),
    "deep lists": (b"[" * 200_000, 400),
}


def rows_written(engine: Engine) -> dict[str, int]:
    """How many rows each table of the service holds."""
    with engine.connect() as connection:
        return {
            table: connection.execute(
                sa.select(sa.func.count()).select_from(sa.table(table, schema="irt"))
            ).scalar_one()
            for table in sa.inspect(connection).get_table_names("irt")
        }


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_written(site: Site) -> Iterator[None]:
    before = rows_written(site.engine)
    yield
    assert rows_written(site.engine) == before


def assert_refused(site: Site, path: str, body: bytes, status: int) -> None:
    answer = site.post(path, body)
    assert answer.status_code == status, answer.text[:500]
    content = answer.json()
    assert content.keys() == {"error", "detail"}
    assert content["detail"]
    assert len(answer.content) < 1000


@pytest.mark.parametrize("what", SCORES)
def test_a_score_is_refused_for(site: Site, what: str) -> None:
    assert_refused(site, "/irt/score", *SCORES[what])


@pytest.mark.parametrize("what", CALIBRATIONS)
def test_a_calibration_is_refused_for(site: Site, what: str) -> None:
    assert_refused(site, "/irt/calibrate", *CALIBRATIONS[what])


def test_a_million_observations_are_more_than_a_body_may_hold(site: Site) -> None:
    body = b'{"observations":[' + b",".join([json.dumps(SEEN).encode()] * 1_300_000) + b"]}"
    assert_refused(site, "/irt/calibrate", body, 413)


def test_a_body_without_a_length_is_not_read_beyond_the_limit(site: Site) -> None:
    """Sends pieces until it is answered; a service that read on would never answer."""
    service = site.service
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(
            b"POST /irt/score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\nAuthorization: Bearer "
            + site.tokens["all"].encode()
            + b"\r\n\r\n"
        )
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                connection.sendall(piece)
                sent += 0x10000
        except OSError:
            # Answered and closed while we were still talking.
            pass
        assert sent < 32 * 1024 * 1024


@pytest.mark.parametrize("kind", ["text/csv", "application/x-www-form-urlencoded", "nonsense"])
def test_a_body_of_another_type_is_refused(site: Site, kind: str) -> None:
    answer = site.ask("POST", "/irt/score", content=json.dumps(ONE), headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/runs", 404),
        ("GET", "/irt/score", 405),
        ("DELETE", "/v1/runs", 405),
        ("PUT", "/healthz", 405),
        ("GET", "/v1/runs?limit=0", 422),
        ("GET", "/v1/runs?limit=many", 422),
        ("GET", "/v1/runs?before=yesterday", 422),
        ("GET", "/v1/runs?status=good", 422),
        ("GET", "/v1/runs?bank=%00", 422),
        ("GET", "/v1/students/a%00b/ability", 422),
        ("GET", "/v1/students/" + "a" * 5000 + "/ability", 422),
        ("GET", "/v1/students/%FF%FE/ability", 404),
        ("GET", "/v1/students/a'; drop table irt.mirt_ability --/ability", 404),
        ("GET", "/v1/students/kim/ability/history?limit=100000", 422),
        ("GET", "/v1/students/kim/ability/history?before=9999-12-31T23:59:59", 200),
        ("GET", "/v1/students/kim/ability/history?before=0001-01-01T00:00:00%2B14:00", 200),
        ("GET", "/v1/reports/kim/monday", 422),
        ("GET", "/v1/reports/kim/2026-13-01", 422),
        ("GET", "/v1/report-files/%2E%2E/%2E%2E/etc/passwd?expires=1&signature=x", 404),
        ("GET", "/v1/report-files/a?expires=99999999999999999999&signature=x", 422),
        ("POST", "/v1/sessions/none/finish", 404),
        ("POST", "/v1/runs/none/publish", 404),
    ],
)
def test_odd_addresses_are_answered_in_json(
    site: Site, method: str, path: str, status: int
) -> None:
    answer = site.ask(method, path)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.json().keys() == {"error", "detail"}
    if status == 405:
        assert answer.headers["Allow"]


def test_headers_that_make_no_sense_are_passed_over(site: Site) -> None:
    answer = site.post(
        "/irt/score",
        ONE,
        headers={"X-Request-ID": "a b\tc" * 100, "Prefer": "wait=99999999999999999999999"},
    )
    assert answer.status_code == 200
    assert len(answer.headers["X-Request-ID"]) == 32


def test_a_smaller_limit_is_kept(site: Site) -> None:
    service = ServiceProcess(site.database, site.folder, IRT_SERVICE_SCORE_BODY_BYTES="100")
    try:
        service.ready()
        small = Site(site.database, service, site.folder, site.tokens)
        assert small.post("/irt/score", b" " * 101).status_code == 413
        assert small.post("/irt/score", b" " * 100).status_code == 400
    finally:
        assert service.stop() == 0
