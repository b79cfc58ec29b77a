"""Who may ask what: tokens of organisations, of all, expired, revoked, rotated."""

import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from irt_service.api.authentication import FRESH_SECONDS
from tests.conftest import Database
from tests.irt_service.api.site import SHARED_TOKEN, ServiceProcess, Site, make_token
from tests.irt_service.school import Command

PROTECTED = [
    ("POST", "/irt/score"),
    ("POST", "/irt/calibrate"),
    ("POST", "/v1/sessions/s_kim/finish"),
    ("GET", "/v1/students/kim/ability"),
    ("GET", "/v1/students/kim/ability/history"),
    ("GET", "/v1/runs"),
    ("GET", "/v1/runs/run_1"),
    ("GET", "/v1/runs/run_1/items"),
    ("POST", "/v1/runs/run_1/publish"),
    ("GET", "/v1/reports/kim/2026-11-16"),
]
WRONG = {
    "none": {},
    "empty": {"Authorization": ""},
    "no scheme": {"Authorization": SHARED_TOKEN},
    "another scheme": {"Authorization": f"Basic {SHARED_TOKEN}"},
    "a guess": {"Authorization": "Bearer irt_000000000000_" + "A" * 43},
    "a prefix": {"Authorization": f"Bearer {SHARED_TOKEN[:-1]}"},
    "too long": {"Authorization": "Bearer " + "x" * 5000},
    "not ASCII": {"Authorization": "Bearer café"},
    "an internal guess": {"X-Internal-Token": "guess"},
}


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_nothing_is_told_without_a_token(site: Site, method: str, path: str) -> None:
    answer = site.ask(method, path, who=None)
    assert answer.status_code == 401
    assert answer.json()["error"] == "unauthorised"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_token_is_refused(site: Site, kind: str) -> None:
    headers = {name: value.encode() for name, value in WRONG[kind].items()}
    answer = site.ask("GET", "/v1/runs", who=None, headers=headers)
    assert answer.status_code == 401
    assert SHARED_TOKEN not in answer.text


def test_a_token_whose_secret_is_changed_is_refused(site: Site) -> None:
    token = site.tokens["all"]
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert site.ask("GET", "/v1/runs", who=token).status_code == 200
    assert site.ask("GET", "/v1/runs", who=changed).status_code == 401


def test_the_shared_token_of_the_deployment_may_do_everything(site: Site) -> None:
    assert site.ask("GET", "/v1/students/lee/ability", who=SHARED_TOKEN).status_code == 200
    answer = site.ask("POST", "/v1/runs/run_1/publish", who=SHARED_TOKEN)
    assert answer.json()["has_changed"] is False


@pytest.mark.parametrize(
    "path",
    [
        "/v1/students/{}/ability",
        "/v1/students/{}/ability/history",
    ],
)
def test_an_organisation_sees_its_own_students_and_no_others(site: Site, path: str) -> None:
    assert site.ask("GET", path.format("kim"), who="north").status_code == 200
    assert site.ask("GET", path.format("lee"), who="south").status_code == 200
    foreign = site.ask("GET", path.format("lee"), who="north")
    unknown = site.ask("GET", path.format("nobody"), who="north")
    assert foreign.status_code == unknown.status_code == 404
    # Nobody learns which of both it is.
    assert foreign.json() == unknown.json()


def test_an_organisation_finishes_its_own_sessions_and_no_others(site: Site) -> None:
    assert site.ask("POST", "/v1/sessions/s_kim/finish", who="north").status_code == 200
    foreign = site.ask("POST", "/v1/sessions/s_kim/finish", who="south")
    unknown = site.ask("POST", "/v1/sessions/none/finish", who="south")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() == unknown.json()


def test_a_bank_of_an_organisation_is_for_that_organisation(site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(
            sa.text(
                "insert into irt.mirt_fit_meta (run_id, bank, model, engine, status) values"
                " ('run_north', 'org:north', '2PL', 'given', 'accepted') on conflict do nothing"
            )
        )
    assert site.ask("GET", "/v1/runs/run_north", who="north").status_code == 200
    assert site.ask("GET", "/v1/runs/run_north", who="south").status_code == 404
    assert site.ask("GET", "/v1/runs/run_north/items", who="south").status_code == 404
    seen = {
        token: {one["run_id"] for one in site.ask("GET", "/v1/runs", who=token).json()["runs"]}
        for token in ("all", "north", "south")
    }
    assert "run_1" in seen["south"]
    assert [token for token in seen if "run_north" in seen[token]] == ["all", "north"]


def test_a_scope_that_a_token_lacks_is_forbidden(site: Site) -> None:
    reader, _ = make_token(site.engine, scopes=["read"])
    assert site.ask("GET", "/v1/runs", who=reader).status_code == 200
    answer = site.post("/irt/score", {}, who=reader)
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert site.ask("POST", "/v1/runs/run_1/publish", who="north").status_code == 403


def test_a_token_ends_when_it_expires_and_not_before(site: Site) -> None:
    ends_at = time.monotonic() + 4
    short, _ = make_token(site.engine, lives=timedelta(seconds=4))
    assert site.ask("GET", "/v1/runs", who=short).status_code == 200
    time.sleep(max(0.0, ends_at + 0.1 - time.monotonic()))
    assert site.ask("GET", "/v1/runs", who=short).status_code == 401


def test_tokens_are_rotated_without_a_gap(
    site: Site, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", site.database.url)
    old, new = (
        command("token", "create", "--label", label, "--org", "north").stdout.strip()
        for label in ("old", "new")
    )
    # Two are valid at once.
    assert site.ask("GET", "/v1/students/kim/ability", who=old).status_code == 200
    assert site.ask("GET", "/v1/students/kim/ability", who=new).status_code == 200
    listed = command("token", "list").stdout
    assert old not in listed and new not in listed
    old_id = old.split("_")[1]
    assert f"{old_id}  old" in listed
    assert command("token", "revoke", old_id).returncode == 0
    # What is known of a token is asked for anew after so long; a slow machine takes longer to ask.
    deadline = time.monotonic() + FRESH_SECONDS + 10
    while site.ask("GET", "/v1/runs", who=old).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert site.ask("GET", "/v1/runs", who=old).status_code == 401
    assert site.ask("GET", "/v1/students/kim/ability", who=new).status_code == 200
    again = command("token", "revoke", old_id)
    assert (again.returncode, "no such token" in again.stderr) == (1, True)


def test_only_a_hash_of_a_token_is_kept(site: Site) -> None:
    with site.engine.connect() as connection:
        stored = str(connection.execute(sa.text("select * from irt.api_tokens")).all())
    for token in site.tokens.values():
        assert token not in stored
        assert token.split("_", 2)[2] not in stored


@pytest.mark.parametrize(
    "arguments",
    [
        ("--label", " "),
        ("--label", "x", "--org", ""),
        ("--label", "x", "--org", "north", "--scope", "publish"),
        ("--label", "x", "--expires-in-days", "0"),
        ("--label", "x", "--scope", "everything"),
    ],
)
def test_a_token_that_makes_no_sense_is_wrong_usage(
    command: Command, arguments: tuple[str, ...]
) -> None:
    assert command("token", "create", *arguments).returncode == 2


def test_the_service_does_not_start_without_a_token_unless_it_is_local(
    database: Database, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("R_IRT_INTERNAL_TOKEN", raising=False)
    refused = command("serve")
    assert refused.returncode == 1
    assert "the service has no token" in refused.stderr
    make_token(database.engine, lives=timedelta(seconds=-1))
    assert command("serve").returncode == 1
    everywhere = command("serve", "--local", "--host", "0.0.0.0")  # noqa: S104 - refused
    assert everywhere.returncode == 2
    assert "loopback only" in everywhere.stderr
    nowhere = command("serve", "--local", "--port", "65536")
    assert nowhere.returncode == 2
    assert "--port must lie between 0 and 65535" in nowhere.stderr


def test_a_local_service_asks_for_no_token(site: Site) -> None:
    service = ServiceProcess(site.database, site.folder, "--local", R_IRT_INTERNAL_TOKEN="").ready()
    try:
        local = Site(site.database, service, site.folder, {})
        assert local.ask("GET", "/v1/students/kim/ability", who=None).status_code == 200
    finally:
        service.stop()
