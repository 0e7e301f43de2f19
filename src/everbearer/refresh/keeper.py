"""The keeper: it refreshes what would end by being left alone.

At some providers a refresh token ends unless it is used: at FlowAccount a day after
the last token request.  A keeper looks for accounts whose token is as old as two
thirds of that, refreshes them, and sleeps until the next one is due.

Nothing here keeps two keepers from refreshing one account.  That is the business of
the flight, as for every caller: the keeper only says which access token it has found
too old, and whoever comes second finds another one stored.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from typing import TYPE_CHECKING, Final

from everbearer._clock import seconds
from everbearer.errors import (
    AuthorizationRequired,
    ConfigurationError,
    EverbearerError,
    StoreError,
)
from everbearer.stores import BEGINNING
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    from everbearer.providers import Provider
    from everbearer.refresh._refresher import Refresher
    from everbearer.stores import Due, TokenStore
    from everbearer.tokens import Token

__all__ = ["Keeper", "age_of", "keep", "rest"]

_log = logging.getLogger("everbearer.refresh")

# A third of the lifetime is left for whatever goes wrong.
_KEPT_AT: Final = 2 / 3
# Others may store what is due before all that this keeper knows of (an adopted token
# that is old already), so it looks this often in an idle lifetime, and each hour.
_LOOKS: Final = 12
_LONGEST_REST: Final = 3600.0
# Between two looks, however much there is to do: each may find a thousand accounts.
_SHORTEST_REST: Final = 1.0
_LONGEST_PAUSE: Final = 300.0
_PAGE: Final = 1000


def age_of(provider: Provider, token: Token, now: float) -> float:
    """Seconds since *token* was issued, where its end tells; else 0.

    Args:
        provider: Who issued it.

        token: As granted or adopted.

        now: Seconds since the epoch.
    """
    idle, ends = provider.refresh_idle_lifetime, seconds(token.refresh_expires_at)
    if idle is None or ends is None:
        return 0.0
    return max(0.0, now + idle - ends)


def rest(
    idle: float, until_due: float, *, troubled: int, first: float, jitter: float
) -> float:
    """Seconds until a keeper looks again.

    Args:
        idle: The idle lifetime.

        until_due: Seconds until the next account is due.

        troubled: Looks in a row, up to this one, that left an account as it was.

        first: The first pause after such a one; it doubles.

        jitter: From 0 to 1: up to a tenth more, so that keepers fall out of step.
    """
    longest = min(idle / _LOOKS, _LONGEST_REST)
    if troubled:
        # Each look asks again for all that is left, so the next one due has to wait.
        pause = min(first * 2.0 ** min(troubled - 1, 30), _LONGEST_PAUSE)
        wanted = min(longest, pause)
    else:
        wanted = min(longest, until_due)
    return max(wanted, min(_SHORTEST_REST, idle / 100)) * (1 + jitter / 10)


async def keep(refresher: Refresher, concurrency: int, stop: asyncio.Event) -> None:
    """Keep the accounts of every registration until *stop* is set.

    Raises:
        ConfigurationError: *concurrency* is no number above 0, or the store's.

        StoreError: The store cannot be opened.  Later the keeper goes on.
    """
    if not isinstance(concurrency, int) or concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency!r}: give 1 or more")
    await refresher.open_store()
    keepers = [
        Keeper(refresher, name, idle, concurrency, stop)
        for name, registration in refresher.registrations.items()
        if (idle := registration.provider.refresh_idle_lifetime) is not None
    ]
    if not keepers:
        _log.info(
            "nothing to keep: no provider here has a refresh_idle_lifetime",
            extra={"provider": "", "account": ""},
        )
        await stop.wait()
    # One loop each: a provider that hangs must not hold up the others.
    async with asyncio.TaskGroup() as group:
        for keeper in keepers:
            group.create_task(keeper.run())


class Keeper:
    """Keeps the accounts of one registration.

    Args:
        refresher: Whose flights do the work.

        name: Of the registration.

        idle: Its provider's idle lifetime in seconds.

        concurrency: How many accounts are refreshed at once.

        stop: Set when the Client closes; no flight starts after that.
    """

    def __init__(
        self,
        refresher: Refresher,
        name: str,
        idle: float,
        concurrency: int,
        stop: asyncio.Event,
    ) -> None:
        self._refresher = refresher
        self._name = name
        self._idle = idle
        self._room = asyncio.Semaphore(concurrency)
        self._stop = stop
        self._troubled = 0
        self._left: list[str] = []

    async def run(self) -> None:
        """Look, refresh and sleep, until it is stopped."""
        while not self._stop.is_set():
            self._left = []
            until_due = math.inf
            try:
                until_due = await self._look()
            except StoreError as error:
                self._left.append(str(error))
            except ConfigurationError:
                if self._stop.is_set():
                    return  # The Client was closed between two steps.
                raise
            await self._sleep(until_due)

    async def _look(self) -> float:
        """Refresh all that is due; return the seconds until something else is."""
        store = await self._refresher.open_store()
        old = self._idle * _KEPT_AT
        before, last = await store.now() - old, BEGINNING
        while page := await store.due(self._name, before, _PAGE, last):
            async with asyncio.TaskGroup() as group:
                # In any order: another keeper is at the same page.
                for due in random.sample(page, len(page)):
                    group.create_task(self._keep(store, due))
            last = page[-1]
        upcoming = await store.due(self._name, math.inf, 1, last)
        if not upcoming:
            return math.inf
        return upcoming[0].minted_at + old - await store.now()

    async def _keep(self, store: TokenStore, due: Due) -> None:
        async with self._room:
            if self._stop.is_set():
                return
            try:
                await self._refresh(store, due)
            except AuthorizationRequired:
                return  # Told by an event; it is not due any more.
            except EverbearerError as error:
                self._left.append(str(error))

    async def _refresh(self, store: TokenStore, due: Due) -> None:
        """Replace the token that was found too old, and no other one."""
        key = AccountKey(self._name, due.account)
        record = await store.load(key)
        if record is None or record.minted_at != due.minted_at:
            return  # Somebody was faster.
        account = self._refresher.account(key)
        if account.put_off():
            self._left.append("a body that cannot be sent twice is under way")
        elif not await account.refresh_unwanted(record.token.access_token):
            self._left.append("a refresh is not possible now")

    async def _sleep(self, until_due: float) -> None:
        self._troubled = self._troubled + 1 if self._left else 0
        pause = rest(
            self._idle,
            until_due,
            troubled=self._troubled,
            first=self._refresher.timing.back_off,
            jitter=self._refresher.jitter(),
        )
        if self._left and not self._stop.is_set():
            _log.warning(
                "%s: %d account(s) not kept alive yet, next try in %.1f s: %s",
                self._name,
                len(self._left),
                pause,
                self._left[0],
                extra={"provider": self._name, "account": ""},
            )
        try:
            async with asyncio.timeout(pause):
                await self._stop.wait()
        except TimeoutError:
            return
