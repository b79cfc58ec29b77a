"""Finds out whom a token belongs to and what its bearer may do."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from irt_service.api.errors import ApiError
from irt_service.api.tokens import SCOPES, hash_token, public_part
from irt_service.store.tokens import TokenRecord

_LONGEST_TOKEN = 1024
# A revoked token may be accepted for so long.
FRESH_SECONDS = 5.0
_REMEMBERED = 1024
_NO_HASH = bytes(32)


@dataclass(frozen=True)
class Principal:
    """Who calls: the public part of the token, never the token.

    Attributes:
        org_id: the only organisation whose students it may see; None for all.
    """

    token_id: str
    org_id: str | None = None
    scopes: frozenset[str] = frozenset(SCOPES)
    expires_at: datetime | None = None


LOCAL = Principal("local")


@dataclass
class Authenticator:
    """Finds whom a token belongs to.

    Attributes:
        environment_token: accepted besides those of the database, for deployments that share
            one secret between the service and its clients.
        look_up: reads a token's record by its public part.
    """

    environment_token: str | None
    look_up: Callable[[str], Awaitable[TokenRecord | None]]
    is_local: bool = False
    _known: OrderedDict[bytes, tuple[Principal, float]] = field(default_factory=OrderedDict)

    async def identify(self, token: str | None) -> Principal:
        """The bearer.

        Raises:
            ApiError: 401 when there is no token, or none that is valid.
        """
        if self.is_local:
            return LOCAL
        if not token:
            raise ApiError(
                401, "unauthorised", "a token is needed: Authorization: Bearer irt_...", _CHALLENGE
            )
        if len(token) > _LONGEST_TOKEN:
            raise _invalid()
        hashed = hash_token(token)
        if self.environment_token and hmac.compare_digest(
            hashed, hash_token(self.environment_token)
        ):
            return Principal("environment")
        known = self._known.get(hashed)
        if known is not None and known[1] > time.monotonic():
            principal = known[0]
        else:
            principal = await self._find(token, hashed)
            self._remember(hashed, principal)
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            raise _invalid()
        return principal

    async def _find(self, token: str, hashed: bytes) -> Principal:
        token_id = public_part(token)
        if token_id is None:
            raise _invalid()
        record = await self.look_up(token_id)
        is_equal = hmac.compare_digest(hashed, _NO_HASH if record is None else record.token_hash)
        if record is None or not is_equal or record.revoked_at is not None:
            self._known.pop(hashed, None)
            raise _invalid()
        return Principal(
            record.token_id, record.org_id, frozenset(record.scopes), record.expires_at
        )

    def _remember(self, hashed: bytes, principal: Principal) -> None:
        self._known[hashed] = (principal, time.monotonic() + FRESH_SECONDS)
        self._known.move_to_end(hashed)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def _invalid() -> ApiError:
    # The same words whether it is unknown, expired or revoked.
    return ApiError(
        401,
        "unauthorised",
        "the token is not valid",
        {"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )
