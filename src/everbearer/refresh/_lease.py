"""The lease of one flight while it is held: renewed at a third, never trusted."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Self

from everbearer.errors import LeaseLost

if TYPE_CHECKING:
    from types import TracebackType

    from everbearer._clock import Clock
    from everbearer.stores import Acquired, Asked, TokenStore
    from everbearer.tokens import AccountKey, TokenRecord

__all__ = ["HeldLease", "moved"]

_log = logging.getLogger("everbearer.refresh")


def moved(now: TokenRecord | None, before: TokenRecord) -> bool:
    """Whether the record is about another token, or ended, since *before*."""
    return (
        now is None
        or now.incarnation != before.incarnation
        or now.version != before.version
        or now.standing is not before.standing
    )


class HeldLease:
    """An async context manager around what happens under a lease.

    It does not give the lease back: what ends a flight does so in the same write.

    Args:
        store, key, asked, clock: Whose lease, and where.

        acquired: What the store granted.

        taken_at: From when the term counts.

        outlasting: Whether it is renewed while a request is out even if the record
            has moved, because the lease's end lets others use what was stored
            meanwhile (rule 19).
    """

    def __init__(
        self,
        store: TokenStore,
        key: AccountKey,
        asked: Asked,
        clock: Clock,
        acquired: Acquired,
        taken_at: float,
        *,
        outlasting: bool = False,
    ) -> None:
        self._store = store
        self._key = key
        self._asked = asked
        self._clock = clock
        self._record = acquired.record
        # From before the acquire call, suspended time included (rule 9).
        self._taken_at = taken_at
        # When the record last said that the token may be sent: acquire says so, unless
        # it found somebody else's intent.
        self._noted_at = taken_at if acquired.found is None else -math.inf
        self._outlasting = outlasting
        self._closed = self._sent = False
        self._renewing: asyncio.Task[None] | None = None
        self.lost = False
        self.failures = 0

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._renew_at_a_third())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})

    @property
    def left(self) -> float:
        """Seconds of the term that are certainly left."""
        return self._taken_at + self._asked.term - self._clock.elapsed()

    def forbid(self) -> None:
        """Nothing may be sent any more (the deadline has passed)."""
        self._closed = True

    async def ready_to_send(self, spending: str) -> None:
        """Let the refresh token named *spending* go, or raise (rules 6, 9 and 10).

        Called when the connection stands and nothing is written yet.

        Args:
            spending: Fingerprint of the refresh token.

        Raises:
            LeaseLost: The lease is not surely ours for two thirds of its term.

            StoreError: It could not be renewed, which forbids sending as well.
        """
        enough = self._asked.term * 2 / 3
        if self._closed or self.lost:
            raise LeaseLost("the lease was lost before the request went out")
        # Renewing in the background keeps the lease young, not the intent: a grace
        # counts from ``last_sent_at`` (rule 5).
        unnoted = self._clock.elapsed() - self._noted_at > self._asked.term / 3
        if unnoted or self.left < enough:
            await self._renew(spending)
        if self._closed or self.lost or self.left < enough:
            raise LeaseLost("the lease could not be made sure of in time")
        self._sent = True

    async def _renew(self, spending: str | None = None) -> None:
        started = self._clock.elapsed()
        answer = await self._store.renew(self._key, self._asked, spending=spending)
        if answer is None or not answer.granted or moved(answer.record, self._record):
            self.lost = True
            self._outlasting &= answer is not None and answer.granted
            raise LeaseLost("another process took over this refresh")
        self._taken_at = started
        if spending is not None:
            self._noted_at = started

    async def _renew_at_a_third(self) -> None:
        while not self.lost or (self._sent and self._outlasting):
            await asyncio.sleep(self._asked.term / 3)
            try:
                await self._renew()
            except LeaseLost:
                continue
            except Exception as error:  # noqa: BLE001 - nobody awaits this task
                _log.debug("lease not renewed: %s", type(error).__name__)
                # Not lost for sure: tried again at the next third; counted, because a
                # failed store call starts a grace again (rule 5).
                self.failures += 1
