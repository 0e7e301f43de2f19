"""Registering redirect URIs by a call, before any user is sent to the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from yarl import URL

from everbearer.errors import (
    ConfigurationError,
    TemporarilyUnavailable,
    TokenEndpointError,
)
from everbearer.token_endpoint import (
    Ambiguous,
    Granted,
    Misconfigured,
    NotSent,
    RedirectUris,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everbearer.providers import Registration
    from everbearer.token_endpoint import Outcome, TokenEndpoint

__all__ = ["register_redirects"]

_RETRY_AFTER: Final = 5.0
# RFC 9110 sections 15.5.2 and 15.5.4: there is no grant here that could be at fault.
_NOT_THIS_CLIENT: Final = frozenset({401, 403})


async def register_redirects(
    registration: Registration,
    endpoint: TokenEndpoint,
    urls: Sequence[str],
    *,
    total: float,
    connect: float,
) -> None:
    """As `Authorization.register_redirects`."""
    provider = registration.provider
    if provider.redirects is None:
        raise ConfigurationError(
            f"{provider.name!r} has no call that registers redirect URIs; register "
            "them where you were given the client id"
        )
    outcome = await endpoint.ask(
        registration, RedirectUris(_checked(urls)), total=total, connect=connect
    )
    if not isinstance(outcome, Granted):
        raise _error(registration, outcome)


def _checked(urls: Sequence[str]) -> tuple[str, ...]:
    listed = (urls,) if isinstance(urls, str) else tuple(urls)
    for each in listed:
        try:
            url = URL(each)
        except (TypeError, ValueError):  # Its text may hold a part of a password.
            url = URL()
        if url.scheme not in {"http", "https"} or not url.host:
            raise ConfigurationError("a redirect URI is an absolute http(s) URL")
    if not listed:
        raise ConfigurationError("give at least one redirect URI to register")
    return listed


def _error(registration: Registration, outcome: Outcome) -> Exception:
    status = getattr(outcome, "status", 0)
    said = f"redirect URIs were not registered: {outcome.description}"
    if isinstance(outcome, Misconfigured) or status in _NOT_THIS_CLIENT:
        return ConfigurationError(
            f"{registration.name}: {said}; check client_id and client_secret"
        )
    if isinstance(outcome, NotSent | Throttled | Ambiguous):
        return TemporarilyUnavailable(
            registration.name,
            "",
            said,
            retry_after=getattr(outcome, "retry_after", None) or _RETRY_AFTER,
        )
    return TokenEndpointError(status=status, description=said)
