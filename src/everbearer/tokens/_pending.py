"""An authorization that was started and whose callback has not come back yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from everbearer.tokens._record import AccountKey

__all__ = ["PendingAuthorization"]


@frozen
class PendingAuthorization:
    """What `start` must tell `finish`, perhaps in another process.

    Attributes:
        state_fingerprint: The state itself is a secret until it comes back.

        key: For whom it was started.

        redirect_uri: As sent; RFC 6749 section 4.1.3 wants it repeated.

        code_verifier: RFC 7636, or None where PKCE is off.

        scopes: As asked for.

        expires_at: By the store's clock.
    """

    state_fingerprint: str
    key: AccountKey
    redirect_uri: str | None
    code_verifier: str | None = field(repr=False)
    scopes: tuple[str, ...]
    expires_at: float
