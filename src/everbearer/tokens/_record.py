"""The record of one account: what a store keeps, and all that a refresh decides by.

Instants here are seconds since the epoch.  Those of leases and intents are the
store's clock, so that hosts with different clocks agree about them.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from attrs import frozen

from everbearer._redact import fingerprint
from everbearer.errors import ConfigurationError

if TYPE_CHECKING:
    from everbearer.errors import Reason
    from everbearer.tokens._token import Token

__all__ = [
    "AccountKey",
    "BackOff",
    "BackOffKind",
    "Intent",
    "Lease",
    "Standing",
    "TokenRecord",
    "account_key",
]


class AccountKey(NamedTuple):
    """One user's authorization: the registration's name and the account id."""

    provider: str
    account: str


_LONGEST_ACCOUNT: Final = 255


def account_key(provider: str, account: str) -> AccountKey:
    """The key of *account*, checked.

    Raises:
        ConfigurationError: Not text of 1 to 255 characters without control ones.
    """
    if (
        not isinstance(account, str)
        or not 0 < len(account) <= _LONGEST_ACCOUNT
        # Cs: half of a surrogate pair is no text, no store could write it.
        or any(unicodedata.category(each) in {"Cc", "Cs"} for each in account)
    ):
        raise ConfigurationError(
            "an account id is text of 1 to 255 characters without control characters"
        )
    return AccountKey(provider, account)


class Standing(StrEnum):
    """Whether an account can be used without its user."""

    CONNECTED = "connected"
    NEEDS_AUTHORIZATION = "needs_authorization"


class BackOffKind(StrEnum):
    """Why the token endpoint is left alone for a while."""

    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    MISCONFIGURED = "misconfigured"
    TOO_EARLY = "too_early"
    UNRECOGNISED = "unrecognised"


@frozen
class Lease:
    """The exclusive right to refresh, with a deadline.

    Attributes:
        id: Random for each flight, never for a process (the refresh protocol, rule 7).

        holder: Which process, for people.

        until: End of the term, by the store's clock.
    """

    id: str
    holder: str
    until: float


@frozen
class Intent:
    """The refresh token with *fingerprint* is about to be, or was, spent (rule 1).

    Attributes:
        fingerprint: Of the refresh token.

        first_sent_at, last_sent_at: By the store's clock.

        flights: The lease ids of every flight that may have sent it.

        holder: The process of the last of them, for people.
    """

    fingerprint: str
    first_sent_at: float
    last_sent_at: float
    flights: tuple[str, ...]
    holder: str


@frozen
class BackOff:
    """A remembered failure: no attempt before *until*.

    Attributes:
        kind: Which failure.

        until: By the store's clock.

        fingerprint: What it is keyed to: the refresh token's, or the registration's
            credential's for MISCONFIGURED, or "" for a throttle, which counts for the
            account whatever its token (rule 16).

        attempts: How many in a row, for the doubling.

        first_at: When the first of them failed.

        message: What callers are told, without secrets.
    """

    kind: BackOffKind
    until: float
    fingerprint: str
    attempts: int
    first_at: float
    message: str


@frozen
class TokenRecord:
    """All that is known of one account.

    Attributes:
        key: Provider and account.

        incarnation: Random for each authorization, so that versions never start
            again after a disconnect (rule 13).

        version: Moves when the token changes and only then (rule 12).

        token: The current token.

        minted_at: When it was issued, by the clock that stored it.

        standing, reason, since, detail: Whether the user must act, why, since when,
            and a sentence for people.

        client_id, token_origin: The registration that the grant was made with.

        lease, intent: See there.

        back_off: Keyed to the refresh token or the credential.

        throttle: Keyed to the account.

        rejections: How many tokens in a row, up to the one before this, were rejected
            since one was last accepted (rule 20).

        known: Fingerprints of the refresh tokens that authorizations of this account
            came with, so that an old one offered again is not taken for news.

        parent: Fingerprint of the refresh token that was presented for the current
            token; "" where it came with an authorization, or that is not known.

        alternate: Another successor of that same refresh token, which may be the one
            that lives: it takes the current one's place when that is refused, before
            the user is asked (rule 14).
    """

    key: AccountKey
    incarnation: str
    version: int
    token: Token
    minted_at: float
    standing: Standing = Standing.CONNECTED
    reason: Reason | None = None
    since: float | None = None
    detail: str = ""
    client_id: str = ""
    token_origin: str = ""
    lease: Lease | None = None
    intent: Intent | None = None
    back_off: BackOff | None = None
    throttle: BackOff | None = None
    rejections: int = 0
    known: tuple[str, ...] = ()
    parent: str = ""
    alternate: Token | None = None

    @property
    def refresh_fingerprint(self) -> str:
        """Name of the refresh token that a flight would spend now."""
        return fingerprint(self.token.refresh_token)

    @property
    def live_intent(self) -> Intent | None:
        """The intent, if it is about the current refresh token (rule 1)."""
        if self.intent and self.intent.fingerprint == self.refresh_fingerprint:
            return self.intent
        return None
