"""The Python client over a real socket, and against a socket that misbehaves."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from irt_service.client import IrtAnswerError, IrtClient, IrtError, IrtUnavailableError
from tests.conftest import ROOT
from tests.irt_service.api.site import (
    NOW,
    SHARED_TOKEN,
    SIX_DECIMALS,
    WORKED_STANDARD_ERROR,
    WORKED_THETA,
    Site,
    deliver_for,
)
from tests.irt_service.api.test_older_clients import KEYED, MATRIX, answers, observations
from tests.ports import free_port


@pytest.fixture
def client(site: Site) -> Iterator[IrtClient]:
    """A client of the site."""
    with IrtClient(site.service.url, site.tokens["all"], 30.0) as client:
        yield client


def test_it_scores_in_both_shapes(client: IrtClient) -> None:
    one = client.score(KEYED["item_params"], {"q_1": True, "q_2": False, "q_3": True})  # type: ignore[arg-type]
    [first, *_] = client.score_rows(MATRIX["item_params"], MATRIX["responses"])  # type: ignore[arg-type]
    assert one.theta == pytest.approx(WORKED_THETA, abs=SIX_DECIMALS)
    assert one.standard_error == pytest.approx(WORKED_STANDARD_ERROR, abs=SIX_DECIMALS)
    assert first == one


def test_it_reads_abilities_and_their_history(client: IrtClient) -> None:
    ability = client.ability("kim")
    assert ability is not None
    assert (ability.session_id, ability.n_responses) == ("s_kim_2", 5)
    assert ability.effective_at == NOW + timedelta(minutes=1)
    assert set(ability.topics) == {"algebra"}
    assert [one.session_id for one in client.ability_history("kim")] == ["s_kim_2", "s_kim"]
    assert client.ability("nobody") is None
    assert client.ability_history("nobody") == []


def test_it_finishes_sessions(client: IrtClient, site: Site) -> None:
    done = client.finish_session("s_kim", wait_seconds=1)
    assert done is not None
    assert done.theta == pytest.approx(WORKED_THETA, abs=SIX_DECIMALS)
    deliver_for(site.engine, "s_of_client", "of_client", "north")
    assert client.finish_session("s_of_client") is None
    with pytest.raises(IrtAnswerError, match="404 not_found") as unknown:
        client.finish_session("none")
    assert unknown.value.request_id


def test_it_calibrates_and_tells_why_not(client: IrtClient) -> None:
    result = client.calibrate(observations(answers(200)), model="Rasch", poll_seconds=0.1)
    assert len(result["abilities"]) == 200
    with pytest.raises(IrtAnswerError, match="too little to calibrate"):
        client.calibrate([{"user_id": "u", "item_id": "q", "is_correct": True}])


def test_it_reads_its_settings_from_the_environment(site: Site) -> None:
    values = {"R_IRT_BASE_URL": site.service.url + "/", "R_IRT_INTERNAL_TOKEN": SHARED_TOKEN}
    with IrtClient.from_environment({**values, "R_IRT_TIMEOUT_SECS": "7.5"}) as client:
        assert client.is_ready()
        assert client.ability("lee") is not None
    with pytest.raises(IrtError, match="R_IRT_BASE_URL is not set"):
        IrtClient.from_environment({})
    with pytest.raises(IrtError, match="no number of seconds"):
        IrtClient.from_environment({**values, "R_IRT_TIMEOUT_SECS": "soon"})


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, irt_service.client;"
        "print([name for name in ('numba', 'numpy', 'fastapi', 'sqlalchemy', 'pyarrow')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@contextmanager
def misbehaving(
    answer: Callable[[int], tuple[int, bytes] | None],
) -> Iterator[tuple[str, list[int]]]:
    """A server that answers the nth request as told, or hangs up."""
    asked: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(len(asked))
            told = answer(asked[-1])
            if told is None:
                self.connection.close()
                return
            self.send_response(told[0])
            self.send_header("Content-Length", str(len(told[1])))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(told[1])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


GOOD = b'{"abilities": []}'


@pytest.mark.parametrize("trouble", [429, 503, None])
def test_trouble_that_passes_is_tried_again(trouble: int | None) -> None:
    def answer(number: int) -> tuple[int, bytes] | None:
        if number == 2:
            return 200, GOOD
        return None if trouble is None else (trouble, b"{}")

    with misbehaving(answer) as (url, asked), IrtClient(url) as client:
        assert client.ability_history("kim") == []
    assert len(asked) == 3


@pytest.mark.parametrize("status", [400, 401, 409, 422, 500, 502, 504])
def test_any_other_answer_is_final(status: int) -> None:
    with (
        misbehaving(lambda _: (status, b"<html>")) as (url, asked),
        IrtClient(url) as client,
        pytest.raises(IrtAnswerError, match=str(status)),
    ):
        client.ability("kim")
    assert len(asked) == 1


def test_trouble_that_stays_is_given_up() -> None:
    with (
        misbehaving(lambda _: (503, b"{}")) as (url, asked),
        IrtClient(url, retries=1) as client,
        pytest.raises(IrtUnavailableError, match="503"),
    ):
        client.ability("kim")
    assert len(asked) == 2
    with (
        IrtClient(f"http://127.0.0.1:{free_port()}", retries=1) as nowhere,
        pytest.raises(IrtUnavailableError),
    ):
        nowhere.ability("kim")
