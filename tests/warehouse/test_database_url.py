"""Python and dbt make the same of one DATABASE_URL."""

from pathlib import Path
from typing import Any

import pytest
from dbt.clients.yaml_helper import load_yaml_text
from dbt.config.renderer import ProfileRenderer
from dbt_common.context import set_invocation_context

from tests.conftest import ROOT
from warehouse.cli import environment_of
from warehouse.database import (
    create_engine,
    database_url,
    describe,
    parse_database_url,
    require_reachable,
)
from warehouse.errors import DatabaseUnavailableError, WarehouseError
from warehouse.settings import Settings

ADDRESSES = (
    "postgres://user:p%40%3a%2F%C3%A9%5c@db.example:6543/d%20b?sslmode=require",
    "postgresql+psycopg://user@[::1]/d",
    "postgresql+psycopg2://user:a:b/c@h:1/d",
    "postgresql://user@/d?host=%2Frun%2Fpostgresql&port=5433",
    "postgresql://user@/d?port=5433&host=/run/postgresql",
    "postgresql://h/d",
    "postgresql://123:456@h/789",
    "postgresql://h/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.crt",
    "postgresql://h/d?user=ada&password=a%40b%26c",
)


def _profile(environment: dict[str, str]) -> dict[str, object]:
    profiles: Any = load_yaml_text((ROOT / "profiles.yml").read_text())
    set_invocation_context(environment)
    rendered: dict[str, object] = ProfileRenderer({}).render_data(
        profiles["seedtest_analytics"]["outputs"]["warehouse"]
    )
    return rendered


@pytest.mark.parametrize("address", ADDRESSES)
def test_dbt_reads_an_address_as_python_does(address: str) -> None:
    profile = _profile({"DATABASE_URL": address})
    variables = environment_of(parse_database_url(address))
    assert profile["host"] == variables.get("PGHOST", "")
    assert profile["port"] == int(variables.get("PGPORT", "5432"))
    assert profile["user"] == variables.get("PGUSER", "")
    assert profile["password"] == variables.get("PGPASSWORD", "")
    assert profile["dbname"] == variables["PGDATABASE"]
    assert profile["sslmode"] == variables.get("PGSSLMODE", "prefer")
    assert profile["sslrootcert"] == variables.get("PGSSLROOTCERT", "")


def test_the_worked_address_decodes_to_what_was_encoded() -> None:
    profile = _profile({"DATABASE_URL": ADDRESSES[0]})
    assert profile["password"] == "p@:/é\\"  # noqa: S105 - an example
    assert (profile["host"], profile["port"], profile["dbname"]) == ("db.example", 6543, "d b")


def test_a_user_and_a_password_may_stand_among_the_parameters() -> None:
    profile = _profile({"DATABASE_URL": "postgresql://eve:old@h/d?user=ada&password=a%40b%26c"})
    assert (profile["user"], profile["password"]) == ("ada", "a@b&c")


def test_without_an_address_dbt_goes_to_the_checkouts_socket() -> None:
    assert _profile({})["host"] == "/proc/self/cwd/.warehouse/socket"
    assert _profile({"PWD": "/Users/ada/x"})["host"] == "/Users/ada/x/.warehouse/socket"


def test_an_address_that_is_not_postgresql_is_refused_without_its_password() -> None:
    for address in ("mysql://u:secret@h/d", "no address with secret"):
        with pytest.raises(WarehouseError, match="postgresql://user:password@host") as caught:
            parse_database_url(address)
        assert "secret" not in str(caught.value)


def test_an_empty_address_means_the_local_server(tmp_path: Path) -> None:
    url = database_url(Settings(root=tmp_path, database_url=None))
    assert url.query["host"] == str(tmp_path / ".warehouse" / "socket")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:secret@127.0.0.1:1/d",
        "postgresql://127.0.0.1:1/d?user=u&password=secret&sslpassword=secret",
    ],
)
def test_an_unreachable_server_is_named_without_its_passwords(address: str) -> None:
    engine = create_engine(address)
    with pytest.raises(DatabaseUnavailableError, match=r"127\.0\.0\.1:1/d.*make up") as caught:
        require_reachable(engine)
    assert "secret" not in str(caught.value)
    assert "secret" not in describe(engine.url)
