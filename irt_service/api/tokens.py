"""Bearer tokens: what they may do, how one is made and hashed."""

from __future__ import annotations

import hashlib
import re
import secrets

SCORE = "score"
READ = "read"
CALIBRATE = "calibrate"
PUBLISH = "publish"
SCOPES = (SCORE, READ, CALIBRATE, PUBLISH)
DEFAULT_SCOPES = (SCORE, READ, CALIBRATE)

_ID_BYTES = 6
_SECRET_BYTES = 32
_TOKEN = re.compile(r"irt_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


def new_token() -> tuple[str, str]:
    """A token and its public part: 256 random bits behind an id."""
    token_id = secrets.token_hex(_ID_BYTES)
    return f"irt_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}", token_id


def hash_token(token: str) -> bytes:
    """SHA-256: a token is random, so there is nothing to slow a guess down for."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def public_part(token: str) -> str | None:
    """The id in a token; None when it is none of ours."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None
