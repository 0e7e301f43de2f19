"""A world in which a schedule happens exactly as it is written.

Processes are `Refresher`s on one store; each has its own way to the store and its own
line to an issuer of single-use refresh tokens that revokes the family when a spent one
is presented again (RFC 9700 section 4.14.2).  Requests and store calls take as long as
the test says, a process can be killed or stopped, and time is the loop's own: it
passes only while everybody waits, so that 70 seconds cost nothing and end exactly
where they should.  Which rule is covered where is in test_rules.py.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from attrs import define, evolve, field, frozen

from everbearer import AuthorizationRequired, Registration, TemporarilyUnavailable
from everbearer import Timing, Token
from everbearer.events import Hooks
from everbearer.providers import BILLIT
from everbearer.refresh import Refresher
from everbearer.stores import MemoryStore, NewGrant
from everbearer.token_endpoint import (
    Ambiguous,
    Granted,
    NotSent,
    RefreshGrant,
    Refused,
)
from everbearer.tokens import AccountKey

KEY = AccountKey("billit", "acme")
# L, D, X and G as they are by default.
TIMING = Timing(lease=10, deadline=60, linger=60, grace=10, connect=10, back_off=1)
LIFETIME = 3600.0


class Time:
    """The loop's clock and the world's; `ahead` is how far NTP moved the date."""

    def __init__(self):
        self.passed = 0.0
        self.ahead = 0.0

    def elapsed(self):
        return 1_000.0 + self.passed

    def wall(self):
        return 1_700_000_000.0 + self.passed + self.ahead

    def boot(self):
        return "boot"

    def at(self, seconds):
        """The instant *seconds* from now."""
        return datetime.fromtimestamp(self.wall() + seconds, UTC)

    @contextmanager
    def passing_in(self, loop):
        """Let the waits of *loop* take no time."""
        select = loop._selector.select

        def skip(timeout):
            events = select(0)
            if not events and timeout is None:
                raise RuntimeError("everybody waits for somebody else, for ever")
            if not events:
                self.passed += timeout
            return events

        loop._selector.select, loop.time = skip, self.elapsed
        try:
            yield
        finally:
            del loop._selector.select, loop.time


class Issuer:
    """r0 -> r1 -> r2 ...: single use, and a spent one revokes the whole family."""

    def __init__(self, time):
        self._time = time
        self.current, self.minted = "r0", 0
        self.revoked = False
        self.reuse = 0

    def process(self, refresh_token):
        if refresh_token != self.current or self.revoked:
            self.reuse += not self.revoked
            self.revoked = True
            return Refused("invalid_grant", "", 400)
        self.minted += 1
        self.current = f"r{self.minted}"
        return Granted(self.pair(self.minted))

    def pair(self, number, lifetime=LIFETIME):
        """The access token a*n* and the refresh token r*n*."""
        return Token(f"a{number}", f"r{number}", self._time.at(lifetime))


@frozen
class Trip:
    """What befalls one token request; times in seconds.

    Attributes:
        connect: Until the connection stands.

        process: From the write until the issuer processes it.

        answer: From then until the answer is read.

        outcome: What is answered instead, without the issuer's seeing the request.

        lost: Whether the issuer's answer never arrives.
    """

    connect: float = 0.0
    process: float = 0.0
    answer: float = 0.0
    outcome: object = None
    lost: bool = False


@frozen
class Sending:
    """*refresh_token* left *process*, *at* seconds after the beginning."""

    process: str
    refresh_token: str
    at: float


class Line:
    """A process's token endpoint, with the timeouts of the real one."""

    def __init__(self, world, name, trips):
        self._world, self._name, self._trips = world, name, list(trips)
        self.asked = 0
        self.revoked = []

    async def ask(
        self, registration, grant, *, total, connect, before_sending=None, account=""
    ):
        if not isinstance(grant, RefreshGrant):
            self.revoked.append(grant.token)
            return Granted(Token())
        self.asked += 1
        trip = self._trips.pop(0) if self._trips else Trip()
        sent = []
        try:
            async with asyncio.timeout(total):
                await asyncio.sleep(min(trip.connect, connect))
                if trip.connect > connect or isinstance(trip.outcome, NotSent):
                    return NotSent("no connection")
                await before_sending()
                sent.append(grant.refresh_token)
                return await self._travel(trip, grant.refresh_token)
        except TimeoutError:
            return Ambiguous("no answer") if sent else NotSent("no connection")

    async def _travel(self, trip, refresh_token):
        world = self._world
        world.sendings.append(Sending(self._name, refresh_token, world.time.passed))
        if trip.outcome is not None:
            await asyncio.sleep(trip.process + trip.answer)
            return trip.outcome

        async def arrive():
            await asyncio.sleep(trip.process)
            return world.issuer.process(refresh_token)

        # What was written arrives, whatever becomes of its sender.
        outcome = await asyncio.shield(world.spawn(arrive()))
        await asyncio.sleep(trip.answer)
        return Ambiguous("connection lost") if trip.lost else outcome


@define
class Trouble:
    """What happens to calls of one store method.

    Attributes:
        error: Raised, if there is one; with *applied* after the call took place.

        before, after: Seconds that a call takes on its way there and back.

        times: How many calls are left that it happens to.
    """

    error: Exception | None = None
    applied: bool = False
    before: float = 0.0
    after: float = 0.0
    times: float = float("inf")


class Way:
    """A process's way to the store."""

    def __init__(self, store):
        self._store = store
        self._troubles: dict[str, Trouble] = {}
        self.calls: list[str] = []

    def trouble(self, *methods, **members):
        """From now on, calls of *methods* have this `Trouble`."""
        for method in methods:
            self._troubles[method] = Trouble(**members)

    def heal(self):
        self._troubles.clear()

    def __getattr__(self, name):
        method = getattr(self._store, name)

        async def call(*arguments, **options):
            self.calls.append(name)
            # Virtual time stands still for whoever never waits.
            assert len(self.calls) < 10_000, "a busy loop"
            trouble = self._troubles.get(name)
            if trouble is None or trouble.times <= 0:
                return await method(*arguments, **options)
            trouble.times -= 1
            await asyncio.sleep(trouble.before)
            if trouble.error is not None and not trouble.applied:
                raise trouble.error
            answer = await method(*arguments, **options)
            await asyncio.sleep(trouble.after)
            if trouble.error is not None:
                raise trouble.error
            return answer

        return call


class Process:
    """One Client's refresher, with what a test can do to it."""

    def __init__(self, world, name, trips, timing, registration):
        self.name, self._time = name, world.time
        self.store, self.line = Way(world.store), Line(world, name, trips)
        self.events: list[object] = []

        async def open_store():
            return self.store

        self.refresher = Refresher(
            {registration.name: registration},
            open_store,
            self.line,
            world.time,
            Hooks([self.events.append]),
            timing,
        )
        self.refresher.holder = name
        self.refresher.jitter = lambda: 1.0
        self.account = self.refresher.account(KEY)

    def calls(self, **options):
        """A task that waits for a token."""
        return asyncio.create_task(self.account.access_token(**options))

    async def patiently(self):
        """A token, however long it takes."""
        while True:
            try:
                return await self.account.access_token()
            except TemporarilyUnavailable as wait:
                await asyncio.sleep(max(wait.retry_after, 0.1))

    async def outcome(self):
        """What one call gets: a token or the error's name."""
        try:
            return await self.account.access_token()
        except (TemporarilyUnavailable, AuthorizationRequired) as error:
            return type(error).__name__

    def told(self, kind):
        """The events of that *kind* so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def kill(self):
        """As SIGKILL does: nothing more from here, what was written arrives."""
        self.store._troubles.clear()
        self.store.__dict__["_store"] = None
        for task in tuple(self.refresher._tasks):
            task.cancel()


@define(eq=False)
class World:
    """Time, an issuer, a store, and who has sent what so far."""

    time: Time
    issuer: Issuer = field()
    store: MemoryStore = field()
    sendings: list[Sending] = field(factory=list)
    _tasks: set = field(factory=set)

    def spawn(self, work):
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
