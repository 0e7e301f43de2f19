"""After a backup was put back: nobody knows which of its refresh tokens are spent.

So each is treated as what it may be, one that somebody has sent and whose answer is
lost: the record gets an intent as of now.  The rules for unfinished intents do the
rest: its access token is used while it lives, and then, after the grace, the refresh
token is presented once, as the last resort (the refresh protocol, rules 4 and 5).  A
back-off, which all processes respect (rule 16), says when at the earliest.
"""

from __future__ import annotations

import asyncio
import secrets
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from everbearer.stores._transitions import Asked, Settlement
from everbearer.tokens import BackOff, BackOffKind, Standing

if TYPE_CHECKING:
    from everbearer.stores._protocol import TokenStore
    from everbearer.stores._transitions import Acquired
    from everbearer.tokens import AccountKey, TokenRecord

__all__ = ["RESTORED", "Doubt", "Pace", "doubt"]

RESTORED: Final = "whoever used the store after this backup of it"
"""The holder of such an intent: AuthorizationRequired names it."""

_MESSAGE: Final = "a backup of the token store was put back"
_TERM: Final = 10.0
_HAIR: Final = 0.05
# A clock may have been set back since: nobody should wait for hours.
_LONGEST_WAIT: Final = 60.0


class Doubt(Enum):
    """What became of a record."""

    MARKED = auto()
    """It has an intent now."""
    NOTHING_TO_SPEND = auto()
    """It has no refresh token, or needs its user already."""
    OTHERS = auto()
    """Only what waits was asked for, and it does not, or it was deleted."""
    HELD = auto()
    """A process is refreshing it."""


@frozen
class Pace:
    """When the accounts of a provider may be tried.

    Attributes:
        first: So many at once.

        pause: Seconds before all others, to see what became of those.

        rate: How many of them a second.
    """

    first: int
    pause: float
    rate: float
    _taken: dict[str, int] = field(factory=dict, init=False, repr=False, eq=False)

    def next(self, provider: str) -> float:
        """Seconds until the next account of *provider* may be tried."""
        number = self._taken.get(provider, 0)
        self._taken[provider] = number + 1
        if number < self.first:
            return 0.0
        return self.pause + (number - self.first) / self.rate

    def is_first(self, provider: str) -> bool:
        """Whether the last account of *provider* may be tried at once."""
        return self._taken.get(provider, 0) <= self.first


async def doubt(
    store: TokenStore, key: AccountKey, pace: Pace, *, waiting: bool = False
) -> Doubt:
    """Mark the record of *key*: somebody may have spent its refresh token.

    Args:
        store: Open.

        key: Whose.

        pace: Takes the account's turn, if there is something to mark.

        waiting: Only if it is marked already and was not tried since: for another pace.

    Raises:
        ConfigurationError, StoreError: It does not open, or cannot be written.
    """
    # The holder is what `renew` writes into the intent.
    asked = Asked(secrets.token_hex(16), RESTORED, _TERM)
    taken = await _acquire(store, key, asked)
    if taken is None:
        return Doubt.OTHERS
    if not taken.granted:
        return Doubt.HELD
    left = _left_alone(taken, waiting=waiting)
    if left is not None:
        await store.release(key, asked, Settlement(taken.found, restore=True))
        return left
    about = taken.record.refresh_fingerprint
    await store.renew(key, asked, spending=about)
    back_off = BackOff(
        kind=BackOffKind.UNAVAILABLE,
        until=pace.next(key.provider),
        fingerprint=about,
        attempts=0,
        first_at=0.0,
        message=_MESSAGE,
    )
    await store.release(key, asked, Settlement(taken.found, back_off=back_off))
    return Doubt.MARKED


async def _acquire(store: TokenStore, key: AccountKey, asked: Asked) -> Acquired | None:
    """Take the lease; one that was running when the backup was made ends soon."""
    taken = await store.acquire(key, asked)
    if taken is None or taken.granted or taken.record.lease is None:
        return taken
    left = taken.record.lease.until - taken.now
    await asyncio.sleep(min(max(0.0, left), _LONGEST_WAIT) + _HAIR)
    return await store.acquire(key, asked)


def _left_alone(taken: Acquired, *, waiting: bool) -> Doubt | None:
    record: TokenRecord = taken.record
    if waiting and (taken.found is None or taken.found.holder != RESTORED):
        return Doubt.OTHERS
    if record.token.refresh_token is None or (
        record.standing is Standing.NEEDS_AUTHORIZATION
    ):
        return Doubt.NOTHING_TO_SPEND
    return None
