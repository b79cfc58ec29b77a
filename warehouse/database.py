"""The one way to a database: DATABASE_URL if set, else the checkout's local server."""

import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import NullPool

from warehouse.errors import DatabaseUnavailableError, WarehouseError
from warehouse.settings import Settings, read_settings

LOCAL_USER = "seedtest"
LOCAL_DATABASE = "seedtest"
LOCAL_PORT = 5432
DRIVER = "postgresql+psycopg"
# Linux allows 108 bytes for a socket's path and its final zero, macOS and BSD 104.
SOCKET_PATH_MAX_BYTES = 103
MINIMUM_SERVER_VERSION = 160000

# A lock's connection is idle for as long as its step runs; without keepalives a firewall
# forgets it, and with it the lock.
_KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 5,
}


def parse_database_url(text: str) -> URL:
    """Turn any usual spelling of a PostgreSQL address into a SQLAlchemy URL for psycopg 3.

    `postgres://`, `postgresql://` and `postgresql+<driver>://` are accepted; user, password,
    port, `?host=/socket`, `?sslmode=` and further libpq parameters are kept.

    Raises WarehouseError when the text is no PostgreSQL URL; the message never holds it,
    because it may contain a password.
    """
    try:
        # SQLAlchemy does not know Heroku's old short form.
        scheme, separator, rest = text.partition("://")
        url = make_url(f"postgresql{separator}{rest}" if scheme == "postgres" else text)
    except (ArgumentError, ValueError) as error:
        raise WarehouseError(
            "DATABASE_URL is not a URL: use postgresql://user:password@host:port/database"
        ) from error
    if url.get_backend_name() != "postgresql":
        raise WarehouseError(
            f"DATABASE_URL names {url.get_backend_name()!r}, and only PostgreSQL is supported: "
            "use postgresql://user:password@host:port/database"
        )
    # Where an address names them as libpq's parameters, they would not be known for secrets.
    named = url.normalized_query
    return url.set(
        drivername=DRIVER,
        username=named["user"][-1] if "user" in named else url.username,
        password=named["password"][-1] if "password" in named else url.password,
    ).difference_update_query(("user", "password"))


def local_socket_host(state: Path) -> str:
    """Return the `host` under which clients reach the local server's socket folder.

    A socket's path has to fit into about 100 bytes, a checkout's need not. Where it does not,
    Linux offers a short way to the same folder through the server's own working directory,
    good for as long as that server runs.
    """
    folder = state / "socket"
    socket = folder / f".s.PGSQL.{LOCAL_PORT}"
    if len(os.fsencode(socket)) <= SOCKET_PATH_MAX_BYTES:
        return str(folder)
    try:
        pid = int((state / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        # Not running: any path says so, and from the checkout this one will work again. From
        # elsewhere it could lead to another checkout's server.
        if Path.cwd() == state.parent:
            return f"/proc/self/cwd/{state.name}/socket"
        return str(folder)
    return f"/proc/{pid}/cwd/../socket"


def local_url(state: Path) -> URL:
    """Return the address of the local server whose state lies in `state`."""
    return URL.create(
        DRIVER,
        username=LOCAL_USER,
        database=LOCAL_DATABASE,
        query={"host": local_socket_host(state), "port": str(LOCAL_PORT)},
    )


def database_url(settings: Settings | None = None) -> URL:
    """Return the address of the database in use; nothing is connected to or started."""
    settings = settings or read_settings()
    if settings.database_url is not None:
        return parse_database_url(settings.database_url)
    return local_url(settings.state)


def create_engine(
    url: str | URL | None = None,
    *,
    pooled: bool = False,
    application_name: str = "seedtest-analytics",
    **options: Any,
) -> Engine:
    """Return an engine; it connects on first use.

    Batch commands take the default, a connection per use that leaves nothing idle on the
    server; services say `pooled`. Sessions speak UTC, whatever the server's default.
    """
    if url is None:
        url = database_url()
    elif isinstance(url, str):
        url = parse_database_url(url)
    arguments: dict[str, Any] = {**_KEEPALIVES, **options.pop("connect_args", {})}
    if "application_name" not in url.query:
        arguments.setdefault("application_name", application_name)
    if pooled:
        options.setdefault("pool_pre_ping", True)
    else:
        options.setdefault("poolclass", NullPool)
    engine = sa.create_engine(url, connect_args=arguments, **options)
    sa.event.listen(engine, "connect", _speak_utc)
    return engine


def _speak_utc(connection: Any, _record: object) -> None:
    was_autocommit = connection.autocommit
    connection.autocommit = True
    connection.execute("set time zone 'UTC'")
    connection.autocommit = was_autocommit


def describe(url: URL) -> str:
    """Return the address in words that may be printed: without its passwords."""
    return url.difference_update_query(("sslpassword",)).render_as_string(hide_password=True)


def require_reachable(engine: Engine) -> None:
    """Raise DatabaseUnavailableError unless a PostgreSQL of a supported version answers."""
    try:
        with engine.connect() as connection:
            version = int(connection.execute(sa.text("show server_version_num")).scalar_one())
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
        if "FATAL:" in reason:
            raise DatabaseUnavailableError(
                f"the server at {describe(engine.url)} refuses: {reason}"
            ) from error
        raise DatabaseUnavailableError(
            f"no database answers at {describe(engine.url)}: {reason}. Start the local one "
            "with `make up` (python -m warehouse start), or set DATABASE_URL"
        ) from error
    if version < MINIMUM_SERVER_VERSION:
        raise DatabaseUnavailableError(
            f"the server at {describe(engine.url)} is PostgreSQL {version // 10000}; "
            "16 or newer is needed"
        )
