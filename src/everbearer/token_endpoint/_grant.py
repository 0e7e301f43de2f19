"""What is presented to the token endpoint, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from everbearer import vocabulary as v

if TYPE_CHECKING:
    from everbearer.providers import Provider
    from everbearer.tokens import Token

__all__ = ["CodeGrant", "Grant", "RedirectUris", "RefreshGrant", "Revocation"]


@frozen
class CodeGrant:
    """An authorization code (RFC 6749 section 4.1.3), with its PKCE verifier if any."""

    code: str = field(repr=False)
    redirect_uri: str | None = None
    code_verifier: str | None = field(default=None, repr=False)


@frozen
class RefreshGrant:
    """A refresh token (RFC 6749 section 6)."""

    refresh_token: str = field(repr=False)


@frozen
class Revocation:
    """A token to be ended (RFC 7009 section 2.1), or what the provider takes for it."""

    token: str = field(repr=False)

    @classmethod
    def of(cls, provider: Provider, token: Token) -> Revocation | None:
        """What ends the grant of *token* at *provider*; None if it cannot be told."""
        member: object = {
            **token.extra,
            v.ACCESS_TOKEN: token.access_token,
            v.REFRESH_TOKEN: token.refresh_token,
        }
        for step in provider.revokes:
            member = member.get(step) if isinstance(member, Mapping) else None
        return cls(member) if isinstance(member, str) and member else None


@frozen
class RedirectUris:
    """Redirect URIs to be registered; no grant, but it goes the same way."""

    uris: tuple[str, ...]


Grant = CodeGrant | RefreshGrant | Revocation | RedirectUris
