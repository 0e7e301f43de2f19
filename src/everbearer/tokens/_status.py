"""What may be told of an account: everything but its secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from everbearer._clock import instant
from everbearer.tokens._record import Standing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from everbearer.errors import Reason
    from everbearer.tokens._record import AccountKey, TokenRecord

__all__ = ["AccountStatus", "status_of"]


@frozen
class AccountStatus:
    """What is known of an account, without secrets.

    Attributes:
        provider, account: Which account.

        standing: ``connected``, or ``needs_authorization`` if the user must act.

        expires_at: End of the access token (aware, UTC), or None if unknown.

        refresh_expires_at: End of the refresh token (aware, UTC), or None.

        since: Since when the standing is what it is.

        reason: Why the user must act, or what will make that so; else None.

        scope: As granted.

        extra: The provider's own facts.  Personal, so never in an event or a log.
    """

    provider: str
    account: str
    standing: Literal["connected", "needs_authorization"]
    expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None
    since: datetime | None = None
    reason: Reason | None = None
    scope: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, repr=False, hash=False)


def status_of(key: AccountKey, record: TokenRecord | None) -> AccountStatus:
    """Describe *record*; None means that *key* was never connected."""
    if record is None:
        return AccountStatus(
            key.provider,
            key.account,
            "needs_authorization",
            reason="never_connected",
        )
    reason, refresh_expires_at = record.reason, record.token.refresh_expires_at
    if record.token.refresh_token is None:
        # Said when the account connects, not when its first call fails.
        reason, refresh_expires_at = reason or "no_refresh_token", None
    return AccountStatus(
        key.provider,
        key.account,
        "connected" if record.standing is Standing.CONNECTED else "needs_authorization",
        expires_at=record.token.expires_at,
        refresh_expires_at=refresh_expires_at,
        since=instant(record.since),
        reason=reason,
        scope=record.token.scope,
        extra=record.token.extra,
    )
