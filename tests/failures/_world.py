"""A world in which a schedule happens exactly as it is written.

Processes are `Refresher`s on one store.  Each has its own way to that store, and its
own line to an issuer of single-use refresh tokens, which revokes the whole family when
a spent one is presented again (RFC 9700 section 4.14.2).  Requests and store calls take
as long as the test says; a process can be killed, or stopped with everything else.

Time is the world's own and passes only while everybody waits, so that 70 seconds cost
nothing and a second more or less is a second more or less.  Which rule of the refresh
protocol is covered where is in schedules/test_rules.py.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from attrs import define, evolve, field, frozen

from everbearer import (
    AuthorizationRequired,
    Registration,
    TemporarilyUnavailable,
    Timing,
    Token,
)
from everbearer.events import Hooks
from everbearer.providers import BILLIT
from everbearer.refresh import Refresher
from everbearer.stores import MemoryStore, NewGrant
from everbearer.token_endpoint import Ambiguous, Granted, NotSent, RefreshGrant, Refused
from everbearer.tokens import AccountKey

KEY = AccountKey("billit", "acme")
# L, D, X and G as they are by default.
TIMING = Timing(lease=10, deadline=60, linger=60, grace=10, connect=10, back_off=1)
LIFETIME = 3600.0


class Time:
    """What the loop, the stores and the processes of a world take for the time.

    Attributes:
        passed: Seconds since the world began.

        set_ahead: How far somebody, or NTP, has moved the date.
    """

    def __init__(self):
        self.passed = self.set_ahead = 0.0

    def elapsed(self):
        return 1_000.0 + self.passed

    def wall(self):
        return 1_700_000_000.0 + self.passed + self.set_ahead

    def boot(self):
        return "boot"

    def ends(self, lifetime):
        """The instant *lifetime* seconds from now."""
        return datetime.fromtimestamp(self.wall() + lifetime, UTC)

    def stop(self, seconds):
        """Everything stands still for that long: SIGSTOP, or a suspended machine."""
        self.passed += seconds

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
    """r0 -> r1 -> r2 ...: single use, and a spent one revokes its family.

    Attributes:
        revoked: Families of which a spent refresh token was presented.

        revokes: False if it only refuses the spent one.

        replays: Whether the latest spent one still gets its successor.
    """

    def __init__(self, time):
        self._time = time
        self._current = Counter()
        self.revoked = set()
        self.revokes, self.replays = True, False

    def process(self, refresh_token):
        family, number = refresh_token[0], int(refresh_token[1:])
        if family in self.revoked:
            return Refused("invalid_grant", "", 400)
        if number == self._current[family]:
            self._current[family] += 1
        elif not self.replays or number + 1 != self._current[family]:
            if self.revokes:
                self.revoked.add(family)
            return Refused("invalid_grant", "", 400)
        return Granted(self.pair(f"{family}{number + 1}"))

    def pair(self, refresh_token, lifetime=LIFETIME):
        """The access token that came with *refresh_token* is named after it."""
        return Token(
            f"access-{refresh_token}", refresh_token, self._time.ends(lifetime)
        )


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
        sent = False
        try:
            async with asyncio.timeout(total):
                await asyncio.sleep(min(trip.connect, connect))
                if trip.connect > connect or isinstance(trip.outcome, NotSent):
                    return NotSent("no connection")
                await before_sending()
                sent = True
                return await self._travel(trip, grant.refresh_token)
        except TimeoutError:
            return Ambiguous("no answer") if sent else NotSent("no connection")

    async def _travel(self, trip, refresh_token):
        world = self._world
        world.sent.append(f"{self._name} {refresh_token}")
        world.sent_at.append(world.time.passed)
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
        error: Raised if there is one; with *applied* after the call took place.

        before, after: Seconds that a call takes on its way there and back.

        times: How many calls it happens to.
    """

    error: Exception | None = None
    applied: bool = False
    before: float = 0.0
    after: float = 0.0
    times: float = math.inf


class Way:
    """A process's way to the store."""

    def __init__(self, store):
        self._store = store
        self._troubles = {}
        self.calls = Counter()
        self.dead = False

    def trouble(self, *methods, **members):
        """From now on calls of *methods* have this `Trouble`."""
        for method in methods:
            self._troubles[method] = Trouble(**members)

    def heal(self):
        """Nothing is wrong any more."""
        self._troubles.clear()

    def __getattr__(self, name):
        async def call(*arguments, **options):
            self.calls[name] += 1
            # Time does not pass for whoever never waits.
            assert self.calls[name] < 2000, "a busy loop"
            trouble = self._troubles.get(name, Trouble())
            trouble = trouble if trouble.times > 0 else Trouble()
            trouble.times -= 1
            if trouble.before:
                await asyncio.sleep(trouble.before)
            if trouble.error is not None and not trouble.applied:
                raise trouble.error
            if self.dead:
                await asyncio.get_running_loop().create_future()
            answer = await getattr(self._store, name)(*arguments, **options)
            if trouble.after:
                await asyncio.sleep(trouble.after)
            if trouble.error is not None:
                raise trouble.error
            return answer

        return call


class Process:
    """One Client's refresher, and what a test can do to it."""

    def __init__(self, world, name, trips, timing, registration):
        self._world = world
        self.store, self.line = Way(world.store), Line(world, name, trips)
        self.events = []

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

    def calls(self):
        """A task that waits for `outcome`."""
        return self._world.spawn(self.outcome())

    async def outcome(self):
        """What one call gets: an access token, or the name of its error."""
        try:
            return await self.account.access_token()
        except (TemporarilyUnavailable, AuthorizationRequired) as error:
            return type(error).__name__

    async def patiently(self):
        """What a caller gets in the end who tries again when told to."""
        for _ in range(100):
            try:
                return await self.account.access_token()
            except TemporarilyUnavailable as wait:
                await asyncio.sleep(max(wait.retry_after, 0.1))
            except AuthorizationRequired as required:
                return required.reason
        raise AssertionError("there was no end to it")

    async def adopts(self, refresh_token, lifetime=LIFETIME):
        """A new authorization is stored here, as `Client.adopt` does it."""
        record = await self._world.connect(refresh_token, lifetime)
        self.account.forget()
        self.account.adopt(record)

    def told(self, kind):
        """The events of that *kind* so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def kill(self):
        """As SIGKILL: nothing more comes from here, but what was written arrives."""
        self.store.dead = True
        for task in tuple(self.refresher._tasks):
            task.cancel()


@define(eq=False)
class World:
    """Time, an issuer, a store, and what has left which process so far."""

    time: Time
    issuer: Issuer
    store: MemoryStore
    timing: Timing = TIMING
    sent: list[str] = field(factory=list)
    sent_at: list[float] = field(factory=list)
    _processes: list[Process] = field(factory=list)
    _tasks: set = field(factory=set)

    def registration(self, **provider):
        """At Billit, with these members changed."""
        return Registration(
            evolve(BILLIT, **provider), "id", "secret", "https://app.example/callback"
        )

    def process(self, name, *trips, timing=TIMING, **provider):
        """A process whose token requests make these *trips*, given as dicts."""
        happening = [Trip(**trip) for trip in trips]
        process = Process(self, name, happening, timing, self.registration(**provider))
        self._processes.append(process)
        return process

    async def connect(self, refresh_token="r0", lifetime=-1.0, key=KEY):
        """Store an authorization, by default with an expired access token."""
        mine = self.registration()
        pair = self.issuer.pair(refresh_token, lifetime)
        new = NewGrant(f"of {refresh_token}", pair, mine.client_id, mine.token_origin)
        return await self.store.put(key, new)

    async def record(self):
        """What is stored."""
        return await self.store.load(KEY)

    async def until(self, condition):
        """Let time pass until *condition* holds."""
        for _ in range(100_000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never came to that")

    def spawn(self, work):
        """Run *work* beside the test."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end(self):
        """Leave nobody behind."""
        for process in self._processes:
            process.kill()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.sleep(1.0)


@pytest.fixture(name="key")
def _key():
    return KEY


@pytest_asyncio.fixture(name="world")
async def _world():
    time = Time()
    with time.passing_in(asyncio.get_running_loop()):
        world = World(time, Issuer(time), MemoryStore(time))
        yield world
        await world.end()
