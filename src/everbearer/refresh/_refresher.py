"""What the flights of all accounts of a Client share: tools, tasks, circuits."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import secrets
import socket
import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from everbearer.errors import EverbearerError
from everbearer.events import FlightAbandoned
from everbearer.refresh._account import AccountTokens
from everbearer.refresh._circuit import Circuits
from everbearer.refresh._held import Moment
from everbearer.refresh._spilling import adopt_spills, recover
from everbearer.refresh.keeper import keep
from everbearer.stores import subscribe
from everbearer.token_endpoint import Skews

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from pathlib import Path

    from everbearer._clock import Clock
    from everbearer.events import Hooks
    from everbearer.providers import Registration
    from everbearer.refresh._siblings import Probe
    from everbearer.refresh._timing import Timing
    from everbearer.stores import Asked, Change, Spills, TokenStore
    from everbearer.token_endpoint import TokenEndpoint
    from everbearer.tokens import AccountKey

__all__ = ["Refresher"]

_log = logging.getLogger("everbearer.refresh")

# Beside the token deadline, what saving and giving back a lease may take at closing.
_CLOSING_MARGIN = 5.0

_LATELY = 3600.0


class Refresher:
    """Owns every flight of one Client, and the tasks that outlive their flights."""

    def __init__(
        self,
        registrations: Mapping[str, Registration],
        open_store: Callable[[], Awaitable[TokenStore]],
        endpoint: TokenEndpoint,
        clock: Clock,
        hooks: Hooks,
        timing: Timing,
        skews: Skews | None = None,
        *,
        probe: Probe | None = None,
    ) -> None:
        self.registrations = registrations
        self.open_store = open_store
        self.endpoint = endpoint
        self.clock = clock
        self.hooks = hooks
        self.timing = timing
        self.skews = skews or Skews(clock)
        self.skews.listen(self._time_moved)
        self.probe = probe
        self.circuits = Circuits(timing.back_off)
        self.begin()
        self._accounts: dict[AccountKey, AccountTokens] = {}
        # Leases that were asked for when the store failed: they may have been taken.
        self.unanswered: dict[AccountKey, Asked] = {}
        self._granted_at: dict[str, float] = {}
        self._tasks: dict[asyncio.Task[Any], AccountKey] = {}
        self._keeping: set[asyncio.Event] = set()
        self._store_ahead = clock.wall() - clock.elapsed()
        self._heard_store = False
        self.spills: Spills | None = None
        # Files that were told of.
        self.unreadable: set[Path] = set()
        self._recovering: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def begin(self) -> None:
        """Name who takes leases: this process, which may have been forked since."""
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def account(self, key: AccountKey) -> AccountTokens:
        """The one holder of *key*'s token in this Client."""
        known = self._accounts.get(key)
        if known is None:
            known = AccountTokens(self, key, self.registrations[key.provider])
            self._accounts[key] = known
        return known

    def granted(self, provider: str) -> None:
        """Note that the token endpoint has just granted a token to *provider*."""
        self._granted_at[provider] = self.clock.elapsed()

    def grants(self, provider: str) -> bool:
        """Whether it did within the last hour: so the registration is in order."""
        granted_at = self._granted_at.get(provider, -math.inf)
        return self.clock.elapsed() - granted_at < _LATELY

    def spawn(
        self, key: AccountKey, work: Coroutine[Any, Any, Any], what: str
    ) -> asyncio.Task[Any]:
        """Run *work* in a task that no caller can cancel."""
        task = asyncio.create_task(work, name=f"everbearer-{what}")
        self._tasks[task] = key
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        key = self._tasks.pop(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        # Typed errors are ordinary endings, told to whoever waits.
        if not isinstance(error, EverbearerError):
            _log.error(
                "%s/%s: background task failed: %s",
                *key,
                type(error).__name__,
                exc_info=error,
                extra={"provider": key.provider, "account": key.account},
            )

    # ---- the change feed

    def hear(self, store: TokenStore) -> None:
        """Learn from *store* what others write, if it tells."""
        self._hear_no_more()
        # A store that others use must not keep a Client that was forgotten.
        weak = WeakMethod(self._told)

        def hear(change: Change) -> None:
            if (told := weak()) is not None:
                told(change)

        self._unsubscribe = subscribe(store, hear)

    def _told(self, change: Change) -> None:
        account = self._accounts.get(change.key)
        if account is not None:
            account.told(change)

    def _hear_no_more(self) -> None:
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()

    # ---- spills

    def recover(self, store: TokenStore, spills: Spills | None) -> None:
        """Offer *store* what processes of this host could not save (rule 17)."""
        self.spills = spills
        if spills is None:
            return
        self._recovering = asyncio.create_task(
            recover(self, store), name="everbearer-recover"
        )
        self._recovering.add_done_callback(_recovered)

    async def forget(self, key: AccountKey, store: TokenStore) -> None:
        """Drop what this process holds of *key*, and this host in spills.

        The account is gone from *store*, so that a spill is not adopted but revoked.
        """
        self.account(key).forget()
        await adopt_spills(self.account(key), store)

    # ---- clocks

    def _time_moved(self, provider: str) -> None:
        for key, account in self._accounts.items():
            if key.provider == provider:
                account.measure_again()

    def learn_store_clock(self, now: float) -> None:
        """Note the store's clock, so that it can be told without asking."""
        self._store_ahead = now - self.clock.elapsed()
        self._heard_store = True

    async def ask_store_clock(self, store: TokenStore) -> None:
        """Ask once: where this host's date is wrong, a back-off would seem endless."""
        if not self._heard_store:
            self.learn_store_clock(await store.now())

    def store_now(self) -> float:
        """The store's clock, as last heard.

        Counted on from then: a date that is set must not prolong a back-off.
        """
        return self.clock.elapsed() + self._store_ahead

    def moment(self, provider: str) -> Moment:
        """Now, by every clock that a token of *provider* is measured with."""
        elapsed = self.clock.elapsed()
        return Moment(elapsed, self.skews.at(provider, elapsed), self.store_now())

    def jitter(self) -> float:
        """From 0 to 1."""
        return random.random()  # noqa: S311 - spreads retries, guards nothing

    # ---- the keeper

    async def keep(self, concurrency: int) -> None:
        """See `Client.keep`."""
        stop = asyncio.Event()
        self._keeping.add(stop)
        try:
            await keep(self, concurrency, stop)
        finally:
            self._keeping.discard(stop)

    def stop(self) -> None:
        """Let keepers begin nothing more, and end; and hear of no more changes."""
        self._hear_no_more()
        for stop in self._keeping:
            stop.set()

    # ---- the end

    async def aclose(self, within: float | None = None) -> None:
        """Wait for flights, late answers and unsaved tokens, then give up.

        What is given up keeps its intent in the store, so that the next process
        treats it as unfinished.
        """
        self.stop()
        bound = self.timing.deadline + _CLOSING_MARGIN if within is None else within
        started = self.clock.elapsed()
        if self._recovering is not None and not self._recovering.done():
            # What it leaves behind stays where it is.
            await asyncio.wait({self._recovering}, timeout=bound)
            self._recovering.cancel()
        while self._tasks and (left := bound - (self.clock.elapsed() - started)) > 0:
            await asyncio.wait(set(self._tasks), timeout=left)
            # A flight may have left a task behind that saves what came late.
            await asyncio.sleep(0)
        abandoned = dict(self._tasks)
        for task, key in abandoned.items():
            self.hooks(
                FlightAbandoned(
                    key.provider, key.account, self.clock.elapsed() - started
                )
            )
            task.cancel()
        if abandoned:
            await asyncio.wait(set(abandoned))
            warnings.warn(
                f"Client closed with {len(abandoned)} refresh task(s) unfinished after "
                f"{bound:.0f} s; their intents are in the store",
                ResourceWarning,
                stacklevel=2,
            )
        for account in self._accounts.values():
            account.forget()

    def abandon(self) -> None:
        """After a fork: forget the parent's flights and tokens, untouched."""
        self.unanswered.clear()
        self._tasks.clear()
        self._recovering = None
        self._unsubscribe = None
        for account in self._accounts.values():
            account.abandon()


def _recovered(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error(
            "spills were not looked through: %s",
            type(error).__name__,
            exc_info=error,
            extra={"provider": "", "account": ""},
        )
