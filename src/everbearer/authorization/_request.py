"""The connect link (RFC 6749 section 4.1.1).  Pure: no I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from everbearer import vocabulary as v

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from everbearer.providers import Registration

__all__ = ["authorization_url"]


def authorization_url(
    registration: Registration,
    *,
    state: str,
    code_challenge: str | None,
    scopes: Sequence[str],
    extra: Mapping[str, str] | None = None,
) -> str:
    """Where to send the user.

    Args:
        registration: Whose provider, client id and redirect URI.

        state: Comes back with the callback (section 10.12).

        code_challenge: RFC 7636, or None where PKCE is off.

        scopes: Left out if empty.

        extra: Further parameters of this provider.
    """
    provider = registration.provider
    authorize = provider.authorize
    parameters: dict[str, str] = dict(authorize.fixed)
    if authorize.response_type is not None:
        parameters[v.RESPONSE_TYPE] = authorize.response_type
    parameters[v.CLIENT_ID] = registration.client_id
    if registration.redirect_uri is not None:
        parameters[authorize.redirect_uri_name] = registration.redirect_uri
    if scopes:
        parameters[v.SCOPE] = authorize.scope_separator.join(scopes)
    parameters[v.STATE] = state
    if code_challenge is not None:
        parameters[v.CODE_CHALLENGE] = code_challenge
        parameters[v.CODE_CHALLENGE_METHOD] = provider.pkce or ""
    parameters.update(extra or {})
    base = provider.base.login.rstrip("/") + authorize.path
    return (
        f"{base}{'&' if '?' in base else '?'}{urlencode(parameters, quote_via=quote)}"
    )
