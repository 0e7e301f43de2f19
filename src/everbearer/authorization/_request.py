"""The connect link (RFC 6749 section 4.1.1).  Pure: no I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from everbearer import vocabulary as v
from everbearer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from everbearer.providers import Registration

__all__ = ["authorization_url"]

_OURS: Final = frozenset(
    {
        v.CLIENT_ID,
        v.CODE_CHALLENGE,
        v.CODE_CHALLENGE_METHOD,
        v.REDIRECT_URI,
        v.RESPONSE_TYPE,
        v.SCOPE,
        v.STATE,
    }
)


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

        extra: Further parameters of this provider; they win over its fixed ones.

    Raises:
        ConfigurationError: *extra* has a parameter that this function sets, or that
            the provider's description leaves out on purpose.
    """
    provider = registration.provider
    authorize = provider.authorize
    _check_extra(extra or {}, authorize.redirect_uri_name)
    parameters: dict[str, str] = {**authorize.fixed, **(extra or {})}
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
    base = provider.base.login.rstrip("/") + authorize.path
    return (
        f"{base}{'&' if '?' in base else '?'}{urlencode(parameters, quote_via=quote)}"
    )


def _check_extra(extra: Mapping[str, str], redirect_uri_name: str) -> None:
    """Another state, client or challenge would send the user back to nobody."""
    taken = sorted(_OURS.union({redirect_uri_name}).intersection(extra))
    if taken:
        raise ConfigurationError(
            f"extra may not set {', '.join(taken)}: scopes have an argument of their "
            "own, and the rest is the Registration's and Provider's to say"
        )
