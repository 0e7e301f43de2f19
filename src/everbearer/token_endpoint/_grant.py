"""What is presented to the token endpoint, as values."""

from __future__ import annotations

from attrs import field, frozen

__all__ = ["CodeGrant", "Grant", "RefreshGrant", "Revocation"]


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
    """A token to be ended (RFC 7009 section 2.1)."""

    token: str = field(repr=False)


Grant = CodeGrant | RefreshGrant | Revocation
