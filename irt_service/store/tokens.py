"""Tokens of the HTTP service: made, looked up by their public part, revoked. Never deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection


@dataclass(frozen=True)
class TokenRecord:
    """What is known of a token, apart from the token.

    Attributes:
        token_hash: SHA-256 of the whole token.
        org_id: the organisation whose students it may see; None for all.
    """

    token_id: str
    token_hash: bytes
    label: str
    org_id: str | None
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


_COLUMNS = "token_id, token_hash, label, org_id, scopes, created_at, expires_at, revoked_at"


def insert_token(
    connection: Connection,
    token_id: str,
    token_hash: bytes,
    label: str,
    org_id: str | None,
    scopes: Sequence[str],
    expires_at: datetime | None,
) -> None:
    """Record a token."""
    connection.execute(
        sa.text(
            """
            insert into irt.api_tokens (token_id, token_hash, label, org_id, scopes, expires_at)
            values (:token_id, :token_hash, :label, :org_id, :scopes, :expires_at)
            """
        ),
        {
            "token_id": token_id,
            "token_hash": token_hash,
            "label": label,
            "org_id": org_id,
            "scopes": list(scopes),
            "expires_at": expires_at,
        },
    )


def read_token(connection: Connection, token_id: str) -> TokenRecord | None:
    """The token with this public part, in whatever state."""
    rows = _read(connection, "where token_id = :token_id", {"token_id": token_id})
    return rows[0] if rows else None


def list_tokens(connection: Connection) -> list[TokenRecord]:
    """Every token ever made, the latest first."""
    return _read(connection, "", {})


def _read(connection: Connection, condition: str, values: dict[str, str]) -> list[TokenRecord]:
    rows = connection.execute(
        sa.text(f"select {_COLUMNS} from irt.api_tokens {condition} order by created_at desc"),  # noqa: S608 - constants of this module
        values,
    )
    return [
        TokenRecord(
            row.token_id,
            bytes(row.token_hash),
            row.label,
            row.org_id,
            tuple(row.scopes),
            row.created_at,
            row.expires_at,
            row.revoked_at,
        )
        for row in rows
    ]


def revoke_token(connection: Connection, token_id: str) -> bool:
    """End a token now; False when there is none or it was revoked already."""
    return bool(
        connection.execute(
            sa.text(
                """
                update irt.api_tokens
                set revoked_at = clock_timestamp()
                where token_id = :token_id and revoked_at is null
                """
            ),
            {"token_id": token_id},
        ).rowcount
    )


def has_valid_token(connection: Connection) -> bool:
    """Whether any token would be accepted now."""
    found: bool = connection.execute(
        sa.text(
            """
            select exists (
                select 1
                from irt.api_tokens
                where
                    revoked_at is null
                    and (expires_at is null or expires_at > clock_timestamp())
            )
            """
        )
    ).scalar_one()
    return found
