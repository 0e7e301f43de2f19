"""What RFC 6749 and RFC 6750 say, for twins whose document says nothing else."""

from __future__ import annotations

from typing import Any, Final

from everbearer.sandbox._answer import Answer
from everbearer.sandbox._twin import Paid, Refusal

__all__ = ["challenge", "error_code", "token_error", "token_response"]

# What Exact Online answers to a refresh that comes too early; no RFC has a code for it.
_TOO_EARLY: Final = "access_denied"

_CODES: Final = {
    "invalid_code": "invalid_grant",
    "invalid_refresh_token": "invalid_grant",
    "too_early": _TOO_EARLY,
}


def error_code(refusal: Refusal) -> str:
    """The code of RFC 6749 section 5.2."""
    return _CODES.get(refusal.kind, refusal.kind)


def token_error(refusal: Refusal) -> Answer:
    """RFC 6749 section 5.2: 400, but 401 for a client that is not who it says."""
    code = error_code(refusal)
    status = 401 if refusal.kind == "invalid_client" else 400
    content = {"error": code, "error_description": refusal.why}
    return Answer.of(content, status, code)


def token_response(paid: Paid) -> dict[str, Any]:
    """RFC 6749 section 5.1."""
    content = {
        "access_token": paid.pair.access_token,
        "token_type": "Bearer",
        "expires_in": paid.expires_in,
        "refresh_token": paid.pair.refresh_token,
    }
    if scope := paid.pair.access.grant.scope:
        content["scope"] = scope
    return content


def challenge(presented: bool, why: str) -> dict[str, str]:  # noqa: FBT001 - a fact
    """RFC 6750 section 3: no error code for a request that carried no token."""
    if not presented:
        return {"WWW-Authenticate": 'Bearer realm="sandbox"'}
    value = f'Bearer realm="sandbox", error="invalid_token", error_description="{why}"'
    return {"WWW-Authenticate": value}
