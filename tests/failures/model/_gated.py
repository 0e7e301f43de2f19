"""Processes that can be stopped and cut off one by one, in front of a `Judge`."""

from __future__ import annotations

import asyncio

from tests.failures._world import Line, Process, Way

from everbearer import StoreError
from everbearer.stores import Change, MemoryStore
from everbearer.token_endpoint import Ambiguous, Granted, NotSent, Throttled

METHODS = (
    *("load", "acquire", "renew", "release", "replace", "refuse"),
    *("changed", "put", "delete"),
)
CUT_OFF = StoreError("cut off")

TROUBLES = {
    "cut off": (METHODS, {"error": CUT_OFF}),
    "flapping": (METHODS, {"error": CUT_OFF, "times": 1}),
    "disk full": (("replace",), {"error": StoreError("disk full")}),
    "unacknowledged": (METHODS, {"error": CUT_OFF, "applied": True, "times": 1}),
    "slow": (METHODS, {"before": 0.9}),
    "slow to answer": (METHODS, {"after": 0.9}),
}

# X is 10 s and D is 8 s from the start: two of them are late.
SLOW = {
    "slow": {"connect": 0.5, "process": 3.0, "answer": 3.0},
    "slow to connect": {"connect": 1.9, "process": 0.5, "answer": 0.5},
}
FAULTY = {
    "late": {"connect": 1.5, "process": 1.0, "answer": 8.5},
    "processed late": {"process": 9.5, "answer": 0.3},
    "lost request": {"outcome": Ambiguous("lost"), "answer": 4.0},
    "lost answer": {"process": 1.0, "answer": 1.0, "lost": True},
    "not sent": {"connect": 0.5, "outcome": NotSent("no route")},
    "503": {"outcome": Throttled(30.0, "busy", 503), "answer": 0.5},
    "500": {"outcome": Ambiguous("HTTP 500", 500), "answer": 0.5},
}
ORDINARY = {"connect": 0.5, "process": 0.5, "answer": 0.5}


class NotingStore(MemoryStore):
    """The memory store; the judge sees what is written, and *hearing* are told."""

    def __init__(self, time, judge):
        super().__init__(time)
        self._judge = judge
        self.stored = set()
        self.hearing = []

    def _write(self, key, record):
        before = self._records.get(key)
        super()._write(key, record)
        if record is before:
            return
        self._tell(Change(key, record.incarnation, record.version, record.standing))
        self.stored.add(record.token.refresh_token)
        if record.throttle is not None:
            left = record.throttle.until - self._now()
            self._judge.throttled(self._judge.time.passed + left)

    async def delete(self, key):
        """Forget *key*, which is told as well."""
        before = await super().delete(key)
        if before is not None:
            self._tell(Change(key))
        return before

    def _tell(self, change):
        for hear in self.hearing:
            hear(change)


class GatedWay(Way):
    """A way to the store on which a stopped process stands still."""

    def __init__(self, store, process):
        super().__init__(store)
        self._process = process

    def __getattr__(self, name):
        call = super().__getattr__(name)

        async def gated(*arguments, **options):
            await self._process.running()
            self._process.slowed_by(self._troubles.get(name))
            try:
                answer = await call(*arguments, **options)
            except StoreError:
                await self._process.running()
                raise
            await self._process.running()
            return answer

        return gated


class GatedLine(Line):
    """A line on which a stopped process neither sends nor reads.

    A pause between the last check and the write longer than L is the one schedule that
    no client can save, so there is none here: what is checked is written.
    """

    def __init__(self, world, name, process):
        super().__init__(world, name, ())
        self._process = process
        self._ends = 0.0

    def meets(self, trip):
        """The next request makes *trip*."""
        self._trips.append(trip)

    def heal(self):
        """From now on requests are ordinary ones."""
        self._trips.clear()

    async def ask(self, *arguments, total, connect, before_sending=None, account=""):
        if not self._trips:
            self.meets(self._world.ordinary)
        self._ends = self._world.time.passed + total
        if self._trips[0] in self._world.faulty:
            self._world.healthy_from = max(self._world.healthy_from, self._ends)

        async def checked():
            await self._process.running()
            await before_sending()

        return await super().ask(
            *arguments,
            total=total,
            connect=connect,
            before_sending=checked,
            account=account,
        )

    async def _travel(self, trip, refresh_token):
        world, ends = self._world, self._ends
        sending = world.issuer.written(refresh_token, self._process)
        world.written.set()
        if trip.outcome is not None:
            await asyncio.sleep(trip.process + trip.answer)
            await self._process.running()
            sending.undone = isinstance(trip.outcome, Throttled)
            return trip.outcome

        async def arrive():
            await asyncio.sleep(trip.process)
            outcome = world.issuer.process(refresh_token)
            await asyncio.sleep(trip.answer)
            await self._process.running()
            if trip.lost:
                return Ambiguous("connection lost")
            if isinstance(outcome, Granted) and world.time.passed <= ends:
                # It has reached this host, whether or not anybody reads it.
                sending.pair = outcome.token.refresh_token
                sending.holder = self._process
            return outcome

        return await asyncio.shield(world.spawn(arrive()))


class GatedProcess(Process):
    """A process that can be stopped and cut off alone."""

    def __init__(self, world, name, timing, registration):
        super().__init__(world, name, (), timing, registration)
        self.store = GatedWay(world.store, self)
        self.line = self.refresher.endpoint = GatedLine(world, name, self)
        self.refresher.probe = self._probe
        # In order, which a set of tasks has none of: a run is the same each time.
        self.callers = {}
        self.dead = False
        self._alone, self._alone_until = False, -1e9
        self._gate = asyncio.Event()
        self._gate.set()

    async def running(self):
        await self._gate.wait()

    def hear(self, change):
        """The store tells of *change*: late if it is stopped, not if it is cut off."""
        if not self.dead and (self.stopped or not self._alone):
            self._world.spawn(self._hears(change))

    async def _hears(self, change):
        await self.running()
        self.refresher._told(change)

    def slowed_by(self, trouble):
        """A store call begins; what it sees may be as old as it is slow."""
        if trouble is not None:
            over = self._world.time.passed + trouble.before + trouble.after
            self._world.healthy_from = max(self._world.healthy_from, over)

    async def _probe(self, key, access_token):
        await self.running()
        return self._world.issuer.accepts(access_token)

    @property
    def stopped(self):
        return not self._gate.is_set()

    @property
    def in_trouble(self):
        return self._alone

    def alone_lately(self):
        """Whether it alone could not reach the store within the last G."""
        since = self._world.time.passed - self._alone_until
        return self._alone or since <= self.refresher.timing.grace

    def stop(self):
        self._gate.clear()
        self._alone = True

    def troubled(self, kind):
        methods, members = TROUBLES[kind]
        self.store.trouble(*methods, **members)
        self._alone = True

    def recover(self):
        """Nothing is wrong with it any more."""
        if self._alone:
            self._alone_until = self._world.time.passed
        self._alone = False
        self._gate.set()
        self.store.heal()

    def kill(self):
        self.dead = True
        for caller in tuple(self.callers):
            caller.cancel()
        super().kill()
