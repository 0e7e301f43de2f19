"""A model of one account: steps that may follow one another in any order.

Everything on the client's side of it is real: the refresher, its flights and tables,
and the memory store.  Time, the issuer and the network are the schedules' (`_world`).
A run is a list of steps, each a method of `Model` with its arguments, which a finding
prints and a test may keep; at its end everything is healthy again, and every process
must get what the issuer says it can.
"""

from __future__ import annotations

import asyncio

from attrs import define, field
from tests.failures._world import KEY, Time, Trip, World
from tests.failures.model._gated import (
    CUT_OFF,
    FAULTY,
    METHODS,
    ORDINARY,
    SLOW,
    GatedProcess,
    NotingStore,
)
from tests.failures.model._judge import Judge

from everbearer import (
    AuthorizationRequired,
    StoreError,
    TemporarilyUnavailable,
    Timing,
)

# As the defaults relate to one another, but D below X, so that answers can be late.
TIMING = Timing(lease=3, deadline=8, linger=10, grace=3, connect=2, back_off=1)
LIFETIME = 60.0
# Longer than a grace, so that a token can be stale while one passes.
LEEWAY = 20.0
# The third is another Client in the process of the first.
HOLDERS = ("A", "B", "A")
FAMILIES = "rstuvwxyz"
HICCUP = 0.5


class BrokenRuleError(AssertionError):
    """The judge has seen what must never happen."""


@define(eq=False)
class ModelWorld(World):
    """With processes that can be stopped.

    Attributes:
        written: Set when a request leaves.

        healthy_from: When the last request, or store call, is over that a fault was
            meant for.

        told: Whether the store tells of changes, and a rotation counts as one that
            ends the access token before it.
    """

    written: asyncio.Event = field(factory=asyncio.Event)
    healthy_from: float = 0.0
    told: bool = False
    ordinary = Trip(**ORDINARY)
    faulty = tuple(Trip(**ORDINARY | members) for members in FAULTY.values())

    def gated(self, name, flavour):
        registration = self.registration(
            replay_window=flavour.window,
            leeway=LEEWAY,
            rotation="every_use",
            old_access_dies=self.told,
        )
        process = GatedProcess(self, name, TIMING, registration)
        if self.told:
            self.store.hearing.append(process.hear)
        self._processes.append(process)
        return process


class Model:
    """One account, three Clients in two processes, and what may befall them."""

    def __init__(self, flavour, processes=2, lifetime=-1.0, *, told=False):
        self.flavour = flavour
        self.begun = {"processes": processes, "lifetime": lifetime, "told": told}
        self.steps = []
        self.loop = asyncio.new_event_loop()
        self.time = Time()
        self._passing = self.time.passing_in(self.loop)
        self._passing.__enter__()
        self.judge = Judge(self.time, flavour, TIMING, LEEWAY, LIFETIME)
        self.store = NotingStore(self.time, self.judge)
        self.world = ModelWorld(self.time, self.judge, self.store, TIMING)
        self.world.told = told
        self.is_down = False
        self.families = iter(FAMILIES)
        self.processes = [
            self.world.gated(name, flavour) for name in HOLDERS[:processes]
        ]
        self.authorized = next(self.families)
        # At the provider, by somebody else.
        self.ended = set()
        self._run(self.world.connect(f"{self.authorized}0", lifetime))

    # ---- running

    def do(self, step, *arguments):
        """Take a step, and look at what the judge has seen."""
        self.steps.append((step, *arguments))
        self._run(getattr(self, step)(*arguments))
        self.check()

    def _run(self, work):
        self.loop.run_until_complete(work)

    def check(self):
        if self.judge.violations:
            raise BrokenRuleError("; ".join(self.judge.violations))

    def close(self):
        for process in self.processes:
            process.recover()
        self._run(self.world.end())
        self._passing.__exit__(None, None, None)
        self.loop.close()

    def alive(self):
        return [process for process in self.processes if not process.dead]

    # ---- steps: what callers do

    async def call(self, number):
        """Somebody makes a call in that process, and does not wait here."""
        process = self.processes[number]
        if process.dead:
            self.processes[number] = process = self._restarted(process)
            if self.is_down:
                self._apply_down()
        caller = self.world.spawn(self._caller(process))
        process.callers[caller] = None
        caller.add_done_callback(process.callers.pop)
        await asyncio.sleep(0.1)

    async def _caller(self, process):
        try:
            await self._calls(process)
        except (TemporarilyUnavailable, StoreError) as error:
            if "internal error" in str(error):
                self.judge.broken(str(error))
        except AuthorizationRequired:
            pass
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self.judge.broken(repr(error))

    async def _calls(self, process):
        """Until the API takes the token; None if it would not help."""
        token = await process.account.access_token()
        for _ in range(3):
            await process.running()
            if self.judge.use(token):
                process.account.accepted(token)
                return token
            token = await process.account.replacement_for(token)
            if token is None:
                return None
        return None

    async def wait(self, seconds):
        """Time passes."""
        await asyncio.sleep(seconds)

    async def until_sent(self):
        """Time passes until the next request leaves, but not for ever."""
        self.world.written.clear()
        try:
            async with asyncio.timeout(20):
                await self.world.written.wait()
        except TimeoutError:
            return

    # ---- steps: faults

    async def trip(self, number, kind):
        """That befalls the next request of that process."""
        members = ORDINARY | (SLOW | FAULTY)[kind]
        self.processes[number].line.meets(Trip(**members))

    async def trouble(self, number, kind):
        """That befalls its way to the store, until it recovers."""
        self.processes[number].troubled(kind)
        if self.is_down:
            self._apply_down()

    async def stop(self, number):
        """As SIGSTOP, until it recovers."""
        self.processes[number].stop()

    async def kill(self, number):
        """As SIGKILL; every Client in that process ends."""
        name = self.processes[number].refresher.holder
        for process in self.alive():
            if process.refresher.holder == name:
                process.kill()
        # What was written is processed all the same.
        self.world.healthy_from = max(
            [self.world.healthy_from]
            + [
                sending.at + TIMING.linger
                for sending in self.judge.sendings
                if sending.sender.dead
            ]
        )
        await asyncio.sleep(0)

    async def store_down(self):
        """Nobody reaches the store, until everybody recovers."""
        self.is_down = True
        self._apply_down()

    def _apply_down(self):
        for process in self.processes:
            process.store.trouble(*METHODS, error=CUT_OFF)

    async def recover(self, number):
        """Nothing is wrong with that process any more."""
        self.processes[number].recover()
        if self.is_down:
            self._apply_down()

    async def store_up(self):
        """Nobody is kept from the store by the store."""
        self.is_down = False
        for process in self.processes:
            if not process.in_trouble:
                process.store.heal()

    # ---- steps: what users and administrators do

    async def adopt(self, number, lifetime):
        """The user authorizes anew."""
        self.authorized = next(self.families)
        await self.processes[number].adopts(f"{self.authorized}0", lifetime)

    async def disconnect(self, number):
        """The user disconnects, which ends every grant at the provider too."""
        self.judge.revoked.update(FAMILIES.partition(self.authorized)[0])
        self.judge.revoked.add(self.authorized)
        self.authorized = None
        # A throttle survives a new token and a new grant, but not a deletion.
        self.judge.forget_throttles()
        await self.store.delete(KEY)
        self.processes[number].account.forget()

    async def revoke(self):
        """The grant is ended at the provider."""
        self.judge.revoked.add(self.authorized)
        self.ended.add(self.authorized)

    async def reject(self):
        """The API takes the current access token no more."""
        record = await self.store.load(KEY)
        if record is not None:
            self.judge.dead.add(record.token.access_token)

    # ---- the end

    def settle(self):
        """Everything is healthy again: who can get a token gets one, in time."""
        self._run(self._settle())
        self.check()

    def _restarted(self, dead):
        return self.world.gated(dead.refresher.holder, self.flavour)

    async def _settle(self):
        await self._heal()
        living = self._must_live()
        within = await self._bound()
        got = await asyncio.gather(
            *(self._patiently(process, within) for process in self.processes)
        )
        record = await self.store.load(KEY)
        if self.authorized is None:
            if record is not None or set(got) != {"never_connected"}:
                self.judge.broken(f"disconnected, and yet {got}")
            return
        if record is None or record.token.refresh_token[0] != self.authorized:
            self.judge.broken("a newer authorization is gone")
        if "nothing" in got:
            self.judge.broken(f"nothing within {within:.1f} s: {got}")
        if not living:
            await self._check_ending(got, record.token.refresh_token)
        elif not self._excused() and set(got) != {"a token"}:
            self.judge.broken(f"a living grant was lost: {got}")

    async def _heal(self):
        await self.store_up()
        for number, process in enumerate(self.processes):
            process.line.heal()
            process.recover()
            if process.dead:
                self.processes[number] = self._restarted(process)
        # What a fault was meant for is still under way.
        await asyncio.sleep(max(0.0, self.world.healthy_from - self.time.passed))
        if self.authorized in self.judge.excused:
            # Whoever holds the pair tries to save it at least this often; before that
            # others may be told that it is lost, which its save voids.
            await asyncio.sleep(TIMING.lease / 3 + HICCUP)

    async def _check_ending(self, got, stored):
        """The user is told why, and nobody asks again for what is known to be over."""
        truths = {"a token", "nothing", "rotation_lost"}
        if self._excused() and self.judge.was_refused_at_once(stored):
            # Its late save has voided the mark of the last resort (rule 15), and with
            # it the reason; the stored token was spent by nobody, and is refused.
            truths.add("refused")
        if self.authorized not in self.ended:
            for reason in set(got) - truths:
                self.judge.broken(f"a rotation was lost, and the user told {reason}")
        if "a token" in got:
            return
        before = len(self.judge.sendings)
        await asyncio.gather(
            *(self._patiently(process, 5.0) for process in self.processes)
        )
        if len(self.judge.sendings) > before:
            self.judge.broken("a dead grant was asked for again")

    def _excused(self):
        """The holder of the pair was cut off alone, and the family has ended since."""
        family = self.authorized
        return family in self.judge.excused and family in self.judge.revoked

    def _must_live(self):
        """Whether the grant lives, and its pair has not been lost on the way."""
        family = self.authorized
        if family is None or family in self.judge.revoked:
            return False
        living = self.judge.living.get(family, f"{family}0")
        return (
            self.flavour.window > 0
            or living in self.store.stored
            or self.judge.in_good_hands(family)
        )

    async def _bound(self):
        """2L + G + D and what is left of a back-off (rule 21), or of rule 20's."""
        record = await self.store.load(KEY)
        now = await self.store.now()
        waits = [0.0]
        if record is not None:
            waits += [
                back_off.until - now
                for back_off in (
                    record.throttle,
                    record.back_off,
                    *(each.account.remembered for each in self.processes),
                )
                if back_off is not None
                and back_off.fingerprint in {"", record.refresh_fingerprint}
            ]
        bound = 2 * TIMING.lease + TIMING.grace + TIMING.deadline + HICCUP
        return bound + max(waits)

    async def _patiently(self, process, within):
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        if await self._calls(process) is not None:
                            return "a token"
                        await asyncio.sleep(0.5)
                    except TemporarilyUnavailable as wait:
                        await asyncio.sleep(max(0.1, min(wait.retry_after, within)))
                    except StoreError:
                        await asyncio.sleep(0.1)
        except TimeoutError:
            return "nothing"
        except AuthorizationRequired as required:
            return required.reason
