"""`python -m irt_service serve` and `token`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from sqlalchemy.engine import Engine

from irt_service import summaries
from irt_service.api import settings as names
from irt_service.api import tokens
from irt_service.api.settings import ServiceSettings, read_service_settings
from irt_service.errors import InvalidInputError, InvalidSettingsError
from irt_service.store import tokens as store
from warehouse.database import create_engine
from warehouse.errors import DatabaseUnavailableError, UsageError
from warehouse.schema import require_current

_DONE = 0
_LOOPBACK = "127.0.0.1"
_PORT = 8000
_LAST_PORT = 65535
_LONGEST_LABEL = 200


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both to the commands of the service."""
    one = commands.add_parser("serve", help="answer over HTTP")
    one.set_defaults(command=serve)
    one.add_argument("--host", default=_LOOPBACK, help=f"address to bind to ({_LOOPBACK})")
    one.add_argument("--port", type=int, default=_PORT, help=f"({_PORT})")
    one.add_argument("--local", action="store_true", help="no tokens; loopback only")
    one.add_argument("--with-worker", action="store_true", help="score deliveries here too")
    one.add_argument("--processes", type=int, default=1, help="so many of the service (1)")

    one = commands.add_parser("token", help="tokens of the HTTP service")
    actions = one.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a token and print it, this once")
    create.set_defaults(command=create_token)
    create.add_argument("--label", required=True, help="who uses it and what for")
    create.add_argument("--org", help="sees this organisation's students only (all)")
    create.add_argument(
        "--scope",
        action="append",
        choices=tokens.SCOPES,
        help=f"may be given again ({', '.join(tokens.DEFAULT_SCOPES)})",
    )
    create.add_argument("--expires-in-days", type=int, help="(never)")
    listing = actions.add_parser("list", help="every token ever made, without its secret")
    listing.set_defaults(command=list_tokens)
    revoke = actions.add_parser("revoke", help="end a token; the service follows within 5 s")
    revoke.set_defaults(command=revoke_token)
    revoke.add_argument("token_id", metavar="ID", help="as listed")


def serve(options: argparse.Namespace) -> int:
    """Check what has to be there, then answer until told to stop."""
    import uvicorn  # noqa: PLC0415 - no other command waits for it

    if options.local and not _is_loopback(options.host):
        raise UsageError("--local serves without tokens, so it binds to loopback only")
    if not 0 <= options.port <= _LAST_PORT:
        raise UsageError(f"--port must lie between 0 and {_LAST_PORT}")
    if options.processes < 1:
        raise UsageError("--processes must be at least 1")
    os.environ[names.LOCAL] = "1" if options.local else "0"
    os.environ[names.WITH_WORKER] = "1" if options.with_worker else "0"
    settings = read_service_settings()
    # All processes sign links alike; links of before a restart have expired anyway.
    os.environ[names.LINK_KEY] = settings.link_key
    _require_startable(settings)
    # uvicorn hands its signals on when all is finished; then it is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(_DONE))
    with tempfile.TemporaryDirectory(prefix="irt-metrics-") as folder:
        if options.processes > 1:
            os.environ[names.MULTIPROCESS] = folder
        uvicorn.run(
            "irt_service.api.app:create",
            factory=True,
            host=options.host,
            port=options.port,
            workers=options.processes,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.stop_seconds,
        )
    return _DONE


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_startable(settings: ServiceSettings) -> None:
    """A database of another version, or no token that anybody could come with, ends it here.

    A database that is away does not: the service starts, is not ready, and waits.

    Raises:
        InvalidSettingsError: there is no token.
        SchemaVersionError: the database is of another version.
    """
    engine = create_engine()
    try:
        require_current(engine)
    except DatabaseUnavailableError:
        has_token = False
    else:
        with engine.connect() as connection:
            has_token = store.has_valid_token(connection)
    finally:
        engine.dispose()
    if not (settings.is_local or settings.token or has_token):
        raise InvalidSettingsError(
            "the service has no token",
            "R_IRT_INTERNAL_TOKEN is not set and the database holds none that is valid",
            "make one (python -m irt_service token create --label ...), or serve --local",
        )


def _open() -> Engine:
    engine = create_engine()
    require_current(engine)
    return engine


def create_token(options: argparse.Namespace) -> int:
    """Make a token; only its hash is kept."""
    label = options.label.strip()
    if not label or len(label) > _LONGEST_LABEL or not label.isprintable():
        raise UsageError(f"a label is 1 to {_LONGEST_LABEL} printable characters")
    if options.org is not None and not options.org.strip():
        raise UsageError("--org needs the id of an organisation")
    scopes = tuple(dict.fromkeys(options.scope or tokens.DEFAULT_SCOPES))
    if options.org is not None and tokens.PUBLISH in scopes:
        raise UsageError("publishing concerns every organisation: leave --org out")
    expires_at = None
    if options.expires_in_days is not None:
        if not 1 <= options.expires_in_days <= 36500:  # noqa: PLR2004 - a century
            raise UsageError("--expires-in-days must lie between 1 and 36500")
        expires_at = datetime.now(UTC) + timedelta(days=options.expires_in_days)
    token, token_id = tokens.new_token()
    engine = _open()
    with engine.begin() as connection:
        store.insert_token(
            connection, token_id, tokens.hash_token(token), label, options.org, scopes, expires_at
        )
    sys.stderr.write(f"token {token_id} ({', '.join(scopes)}); it is not shown again:\n")
    sys.stdout.write(f"{token}\n")
    return _DONE


def list_tokens(_: argparse.Namespace) -> int:
    """Print every token's record."""
    with _open().connect() as connection:
        found = store.list_tokens(connection)
    if not found:
        sys.stdout.write("There are no tokens: python -m irt_service token create --label ...\n")
        return _DONE
    header = ("ID", "LABEL", "ORGANISATION", "SCOPES", "CREATED (UTC)", "STATE")
    rows = [
        (
            one.token_id,
            one.label,
            one.org_id or "(all)",
            " ".join(one.scopes),
            f"{one.created_at:%Y-%m-%d %H:%M}",
            _state(one),
        )
        for one in found
    ]
    sys.stdout.write("\n".join(summaries.columns([header, *rows], right=set())) + "\n")
    return _DONE


def _state(one: store.TokenRecord) -> str:
    if one.revoked_at is not None:
        return f"revoked {one.revoked_at:%Y-%m-%d %H:%M}"
    if one.expires_at is None:
        return "valid"
    if one.expires_at <= datetime.now(UTC):
        return f"expired {one.expires_at:%Y-%m-%d %H:%M}"
    return f"valid until {one.expires_at:%Y-%m-%d %H:%M}"


def revoke_token(options: argparse.Namespace) -> int:
    """End a token."""
    with _open().begin() as connection:
        if not store.revoke_token(connection, options.token_id):
            raise InvalidInputError(
                "there is no such token, or it was revoked before",
                options.token_id,
                "`python -m irt_service token list` shows them",
            )
    sys.stdout.write(f"Token {options.token_id} is revoked.\n")
    return _DONE
