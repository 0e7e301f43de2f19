"""Who waits for a record to change, or hears of all; and what counts as a change."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everbearer.stores._feed import Change
    from everbearer.tokens import AccountKey, TokenRecord

__all__ = ["Mark", "Wakeups", "is_news", "mark_of", "nap"]

# Other processes do not tell when they write: whoever waits looks this often, in
# seconds, and not all at once.
_LOOK: Final = (0.02, 0.05)


class Mark(NamedTuple):
    """What somebody who waits for a record cares about, cheap to read.

    The end of a lease's term is not in it: a holder renews all the time.
    """

    incarnation: str
    version: int
    lease_id: str | None
    standing: str


def mark_of(record: TokenRecord | None) -> Mark | None:
    """The mark of *record*; None if there is none."""
    if record is None:
        return None
    return Mark(
        record.incarnation,
        record.version,
        record.lease.id if record.lease else None,
        record.standing.value,
    )


def is_news(before: Mark | None, after: Mark | None) -> bool:
    """Whether others may wait for this change: nobody does for a lease to be taken."""
    if before is None or after is None or after.lease_id is None:
        return before != after
    return before._replace(lease_id=after.lease_id) != after


class Wakeups:
    """Events by account, and who hears of all changes, each in their own loop.

    Nothing in here belongs to a loop before somebody waits, and a writer in another
    thread may wake the waiters of this one.
    """

    __slots__ = ("_guard", "_hearing", "_waiting")

    def __init__(self) -> None:
        # In order: who has waited longest is woken first.
        self._waiting: dict[
            AccountKey, dict[asyncio.Event, asyncio.AbstractEventLoop]
        ] = {}
        self._hearing: dict[
            object, tuple[asyncio.AbstractEventLoop, Callable[[Change], None]]
        ] = {}
        self._guard = threading.Lock()

    @contextmanager
    def watching(self, key: AccountKey) -> Iterator[asyncio.Event]:
        """An event that is set whenever the record of *key* was written."""
        woken = asyncio.Event()
        with self._guard:
            self._waiting.setdefault(key, {})[woken] = asyncio.get_running_loop()
        try:
            yield woken
        finally:
            with self._guard:
                waiting = self._waiting[key]
                waiting.pop(woken, None)
                if not waiting:
                    del self._waiting[key]

    def wake(self, key: AccountKey) -> None:
        """Wake all that wait for *key*, in their own loops."""
        with self._guard:
            waiting = tuple(self._waiting.get(key, {}).items())
        for event, loop in waiting:
            # A loop that was closed meanwhile has nobody left to wake.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

    def subscribe(self, hear: Callable[[Change], None]) -> Callable[[], None]:
        """See `everbearer.stores.Telling.subscribe`."""
        me = object()
        with self._guard:
            self._hearing[me] = asyncio.get_running_loop(), hear

        def unsubscribe() -> None:
            with self._guard:
                self._hearing.pop(me, None)

        return unsubscribe

    def tell(self, change: Change) -> None:
        """Wake all that wait for the account, and tell all that subscribed."""
        self.wake(change.key)
        with self._guard:
            hearing = tuple(self._hearing.items())
        for each, (loop, hear) in hearing:
            try:
                loop.call_soon_threadsafe(hear, change)
            except RuntimeError:
                # Its loop was closed, and it left without a word.
                with self._guard:
                    self._hearing.pop(each, None)


async def nap(
    woken: asyncio.Event,
    look: tuple[float, float] = _LOOK,
    most: float = math.inf,
) -> None:
    """Wait for *woken*, or until it is time to look what other processes wrote.

    Args:
        woken: Set by this process's own writes, and where changes are heard.

        look: From how many to how many seconds that is.

        most: Seconds, whatever *look* says.
    """
    pause = random.uniform(*look)  # noqa: S311 - no secret
    try:
        async with asyncio.timeout(min(pause, most)):
            await woken.wait()
    except TimeoutError:
        return
