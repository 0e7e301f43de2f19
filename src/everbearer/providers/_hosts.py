"""Where a provider's servers are, and what their authorization server calls itself."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Hosts"]


@frozen
class Hosts:
    """Base URLs of one environment: scheme, host, port and path prefix.

    Attributes:
        login: Where the user is sent; paths of `AuthorizeEndpoint` go below it.

        token: Paths of token calls go below it.

        api: Paths of API calls go below it.

        issuer: The issuer identifier of the authorization server (RFC 8414 section 2,
            RFC 9207 section 2), to the letter; None where it is not known.
    """

    login: str
    token: str
    api: str
    issuer: str | None = None
