"""What a caller's own `aiohttp.ClientSession` brings along.

The one file that reads ``ClientSession._middlewares``: there is no public name, and a
list of middlewares given with a request replaces the session's, so that whoever sends
through somebody's session must pass them on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import ClientRequest, ClientSession, ClientWebSocketResponse, hdrs
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import ClientMiddlewareType

__all__ = [
    "brings_authorization",
    "is_default_authorization",
    "middlewares_of",
    "session_beside",
]


def middlewares_of(session: ClientSession) -> tuple[ClientMiddlewareType, ...]:
    """The middlewares that *session* was made with, outermost first."""
    return tuple(session._middlewares)  # noqa: SLF001 - see the module's docstring


def session_beside(
    session: ClientSession, middlewares: Sequence[ClientMiddlewareType]
) -> ClientSession:
    """One like *session* on its connections, with *middlewares*; detach it, not close.

    Settings without a public name are read as they are, or left at their defaults.
    """
    return ClientSession(
        connector=session.connector,
        connector_owner=False,
        cookie_jar=session.cookie_jar,
        headers=session.headers,
        skip_auto_headers=session.skip_auto_headers,
        auth=session.auth,
        trust_env=session.trust_env,
        trace_configs=session.trace_configs,
        proxy=getattr(session, "_default_proxy", None),
        proxy_auth=getattr(session, "_default_proxy_auth", None),
        ws_response_class=getattr(
            session, "_ws_response_class", ClientWebSocketResponse
        ),
        middlewares=middlewares,
    )


def brings_authorization(url: object, options: Mapping[str, Any]) -> bool:
    """Whether a call's own arguments carry an Authorization, and not its session."""
    if options.get("auth") is not None:
        return True
    if headers := options.get("headers"):
        names = headers.keys() if hasattr(headers, "keys") else (k for k, _ in headers)
        if any(name.lower() == "authorization" for name in names):
            return True
    # RFC 3986 section 3.2.1: aiohttp makes Basic credentials of "user:password@".
    if isinstance(url, str):
        return "@" in url and URL(url).raw_user is not None
    return isinstance(url, URL) and url.raw_user is not None


def is_default_authorization(req: ClientRequest) -> bool:
    """Whether *req*'s Authorization is its session's default and not the call's own."""
    value = req.headers.get(hdrs.AUTHORIZATION)
    session = req.session
    if value is None or value == session.headers.get(hdrs.AUTHORIZATION):
        return True
    return session.auth is not None and value == session.auth.encode()
