"""What every token store does.

Each method is atomic: between what it reads and what it writes, nobody else writes.
No method waits for anything but the store itself, except `changed`.  What a method
decides is in `_transitions`, the same for all back ends; a back end brings atomicity,
durability and a clock.

All of them raise `StoreError` when the store cannot be reached, read or written; the
record is then as it was, or the write took place and only its acknowledgement is lost.
A caller that is cancelled leaves neither a lock nor half a write behind.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from everbearer.stores._writes import (
        Acquired,
        Asked,
        NewGrant,
        Refusal,
        Released,
        Replaced,
        Rotation,
        Settlement,
    )
    from everbearer.tokens import AccountKey, PendingAuthorization, TokenRecord

__all__ = ["BEGINNING", "Due", "TakenAuthorization", "TokenStore"]


class Due(NamedTuple):
    """A connected account, and since when it has its token, by the store's clock.

    They compare as `TokenStore.due` orders them.
    """

    minted_at: float
    account: str


BEGINNING: Final = Due(-math.inf, "")
"""Before every account."""


@frozen
class TakenAuthorization:
    """What `TokenStore.take_pending` found.

    Attributes:
        pending: The authorization, now used up, or None.

        used: Whether it had been taken before.

        now: The store's clock.
    """

    pending: PendingAuthorization | None
    used: bool
    now: float


class TokenStore(Protocol):
    """Where records live.  `memory` is the reference: read it first."""

    async def open(self) -> None:
        """Connect, create or migrate the schema.  Twice is fine."""
        ...

    async def aclose(self) -> None:
        """Let go of every resource.  Twice is fine; `open` may follow."""
        ...

    async def now(self) -> float:
        """The store's clock, in seconds since the epoch."""
        ...

    async def load(self, key: AccountKey) -> TokenRecord | None:
        """The record of *key* as it is, or None."""
        ...

    async def acquire(self, key: AccountKey, asked: Asked) -> Acquired | None:
        """Take the lease and record the intent, if nobody holds it; None: no record."""
        ...

    async def renew(
        self, key: AccountKey, asked: Asked, *, spending: str | None = None
    ) -> Acquired | None:
        """Prolong the lease with ``asked.id``, if it is still that one.

        *spending*, the fingerprint of the refresh token about to be sent, moves the
        intent's ``last_sent_at``.
        """
        ...

    async def release(
        self, key: AccountKey, asked: Asked, settlement: Settlement
    ) -> Released | None:
        """Give the lease back and settle intent and back-off, in one write."""
        ...

    async def replace(self, key: AccountKey, rotation: Rotation) -> Replaced:
        """Store a rotated token if the version is the expected one."""
        ...

    async def refuse(self, key: AccountKey, refusal: Refusal) -> Replaced:
        """Mark that the user must act, if it is still about the same token."""
        ...

    async def put(self, key: AccountKey, grant: NewGrant) -> TokenRecord:
        """Store a new authorization: a new incarnation."""
        ...

    async def delete(self, key: AccountKey) -> TokenRecord | None:
        """Forget *key*; return what was there."""
        ...

    def list(self, provider: str | None = None) -> AsyncIterator[TokenRecord]:
        """All records, by provider and account, of one *provider* or of all."""
        ...

    async def due(
        self, provider: str, before: float, limit: int, after: Due = BEGINNING
    ) -> tuple[Due, ...]:
        """Connected accounts of *provider*, the one with the oldest token first.

        Found by an index, and without opening what is sealed: a damaged record is no
        obstacle to the others.

        Args:
            provider: Name of the registration.

            before: Those whose token was issued then or earlier; ``math.inf`` for all.

            limit: At most so many.

            after: Only what comes after it, to go on from the last one of a page.
        """
        ...

    async def changed(
        self, key: AccountKey, seen: TokenRecord | None, within: float
    ) -> None:
        """Return when *key* may differ from *seen*, or after *within* seconds."""
        ...

    async def put_pending(self, pending: PendingAuthorization) -> None:
        """Keep a started authorization until its callback comes, or it expires."""
        ...

    async def take_pending(self, state_fingerprint: str) -> TakenAuthorization:
        """Hand out a started authorization, once."""
        ...
