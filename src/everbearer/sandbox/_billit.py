"""Billit as its document describes it (seed "How do I get started with OAuth?").

Where the document is silent, what the sandbox assumes is said beside it.  Nothing here
is taken from the client: the two are compared by tests, not by sharing code.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "API_PREFIX",
    "LOGIN_PARAMETERS",
    "LOGIN_PATH",
    "MOST_PER_PAGE",
    "TOKEN_PARAMETERS",
    "TOKEN_PATH",
    "api_error",
    "token_error",
    "token_response",
]

LOGIN_PATH: Final = "/Account/Logon"
TOKEN_PATH: Final = "/OAuth2/token"
API_PREFIX: Final = "/v1"

# "Requesting access".  Anything else is refused: a login with response_type is known
# to end at "Invalid OAuth2 request" (PROVIDERS 2.2).
LOGIN_PARAMETERS: Final = frozenset({"client_id", "redirect_uri", "state"})

# The two tables "Required POST parameters".
TOKEN_PARAMETERS: Final = {
    "authorization_code": frozenset(
        {"client_id", "client_secret", "code", "grant_type", "redirect_uri"}
    ),
    "refresh_token": frozenset(
        {"client_id", "client_secret", "grant_type", "refresh_token"}
    ),
}

# "At most 120 per page" (odata.md, PROVIDERS 2.6).
MOST_PER_PAGE: Final = 120


def token_response(
    access_token: str, refresh_token: str, expires_in: float
) -> dict[str, Any]:
    """The body under "Token requisitioning response": these four members."""
    whole = int(expires_in)
    return {
        "token_type": "Bearer",
        "expires_in": whole if whole == expires_in else expires_in,
        "access_token": access_token,
        "refresh_token": refresh_token,
    }


def token_error(code: str, description: str) -> dict[str, Any]:
    """A refusal by the token endpoint.

    Assumed: the document shows no error body for it, so this is RFC 6749 section 5.2.
    """
    return {"error": code, "error_description": description}


def api_error(code: str, description: str | None = None) -> dict[str, Any]:
    """The body under "Error states"; 400.md adds the description."""
    error = {"Code": code}
    if description is not None:
        error["Description"] = description
    return {"errors": [error]}
