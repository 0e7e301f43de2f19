"""One flight: the refresh transaction of one account, from look-up to stored token.

look up -> decide -> lease -> decide again -> (grace) -> ask -> store -> land.

A flight runs in a task that the Client owns.  Its callers wait on one event and may
leave; the flight goes on.  What it decides is in `_decision`; what it writes is in the
store's transitions; this file is the order in which they happen.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from attrs import frozen

from everbearer._clock import instant
from everbearer.errors import (
    ConfigurationError,
    EverbearerError,
    LeaseLost,
    StoreError,
    TemporarilyUnavailable,
)
from everbearer.events import RefreshFailed, RefreshStarted
from everbearer.refresh._back_off import next_back_off
from everbearer.refresh._decision import (
    ENDINGS,
    Decision,
    Situation,
    active_back_off,
    decide,
    facts_of,
)
from everbearer.refresh._lease import HeldLease, moved
from everbearer.refresh._saving import save
from everbearer.stores import Asked, Refusal, Replacement, Settlement
from everbearer.token_endpoint import Ambiguous, Granted, RefreshGrant, Refused
from everbearer.tokens import BackOffKind

if TYPE_CHECKING:
    from everbearer.errors import Reason
    from everbearer.refresh._account import AccountTokens
    from everbearer.stores import Acquired, TokenStore
    from everbearer.token_endpoint import Outcome
    from everbearer.tokens import Intent, TokenRecord

__all__ = ["Flight", "Landing"]

_log = logging.getLogger("everbearer.refresh")

_SPENDING = frozenset({Decision.SPEND, Decision.REPLAY, Decision.LAST_RESORT})
_RELEASE_TRIES = 3


@frozen
class Landing:
    """How a flight ended, the same for all who waited.

    Attributes:
        access_token: What to use now, or None.

        error: What to raise (a copy for each waiter), or None.

        hand_back: A refresh would not help; the API's answer goes to the caller.

        quiet: Seconds during which no further flight would do better.
    """

    access_token: str | None = None
    error: EverbearerError | None = None
    hand_back: bool = False
    quiet: float = 0.0


class Flight:
    """The one refresh in progress for an account in this process."""

    def __init__(
        self, account: AccountTokens, *, margin: float, unwanted: str | None
    ) -> None:
        self._account = account
        self._refresher = account.refresher
        self._key = account.key
        self._timing = account.refresher.timing
        self._clock = account.refresher.clock
        self._registration = account.registration
        self._provider = account.registration.provider
        self._margin = margin
        self._unwanted = unwanted
        self._credential = ""
        # Random for each flight, never for a process (rule 7).
        self._asked = Asked(
            secrets.token_hex(16), account.refresher.holder, self._timing.lease
        )
        self._log_extra = {"provider": self._key.provider, "account": self._key.account}
        self._done = asyncio.Event()
        self._landing = Landing()

    async def landed(self) -> Landing:
        """Wait for the end.  A cancelled waiter leaves; the flight goes on."""
        await self._done.wait()
        return self._landing

    async def run(self) -> Landing:
        """Fly, and tell everybody who waits.  Never raises but when cancelled."""
        try:
            self._landing = await self._fly()
        except EverbearerError as error:
            self._landing = Landing(error=error)
        except asyncio.CancelledError:
            self._landing = Landing(
                error=self._unavailable("the Client was closed", retry_after=0.0)
            )
            raise
        except Exception as error:
            _log.exception("refresh failed unexpectedly", extra=self._log_extra)
            self._landing = Landing(
                error=self._unavailable(
                    f"internal error: {type(error).__name__}", retry_after=1.0
                )
            )
        finally:
            self._done.set()
        return self._landing

    async def _fly(self) -> Landing:
        self._credential = self._registration.credential_fingerprint()
        store = await self._refresher.open_store()
        give_up = self._clock.elapsed() + self._timing.patience
        while True:
            if (unsaved := self._account.unsaved) is not None:
                # Rule 11: who holds an unsaved pair starts nothing for that account.
                return self._land_unsaved(unsaved)
            record = await store.load(self._key)
            decision = self._decide(record)
            if decision is not Decision.LEASE:
                return await self._conclude(store, decision, record)
            if why := self._refresher.circuit(self._key.provider, self._credential):
                return self._circuit_open(why)
            taken_at = self._clock.elapsed()
            acquired = await store.acquire(self._key, self._asked)
            if acquired is None:
                continue  # Disconnected in between: the next look-up says so.
            self._refresher.learn_store_clock(acquired.now)
            if acquired.granted:
                landing = await self._under_lease(store, acquired, taken_at)
                if landing is not None:
                    return landing
            elif self._clock.elapsed() < give_up:
                await self._wait_for_holder(store, acquired, give_up)
            else:
                return self._waited_too_long(acquired.record)

    # ---- deciding

    def _situation(
        self, *, leased: bool = False, found: Intent | None = None, accepted: bool
    ) -> Situation:
        return Situation(
            wall=self._clock.wall(),
            store_now=self._refresher.store_now(),
            client_id=self._registration.client_id,
            token_origin=self._registration.token_origin,
            credential=self._credential,
            rejected=self._account.rejected,
            accepted=accepted,
            margin=self._margin,
            unwanted=self._unwanted,
            leased=leased,
            found=found,
        )

    def _decide(
        self,
        record: TokenRecord | None,
        *,
        leased: bool = False,
        found: Intent | None = None,
    ) -> Decision:
        accepted = record is not None and self._account.was_accepted(
            record.token.access_token
        )
        at = self._situation(leased=leased, found=found, accepted=accepted)
        row = decide(facts_of(record, at, self._provider, self._timing))
        _log.debug(
            "decided %s (%s)", row.decision.name, row.why, extra=self._log_extra
        )
        return row.decision

    async def _conclude(
        self, store: TokenStore, decision: Decision, record: TokenRecord | None
    ) -> Landing:
        """Land without asking the token endpoint."""
        if record is None:
            self._account.forget()
            return Landing(error=self._account.authorization_required(None))
        if decision is Decision.MISMATCH:
            return Landing(error=self._mismatch(record))
        self._account.adopt(record)
        if decision is Decision.USE:
            return Landing(record.token.access_token, quiet=self._quiet(record))
        if decision is Decision.HAND_BACK:
            self._account.trust_again(record.token.access_token)
            return Landing(record.token.access_token, hand_back=True)
        if decision is Decision.REMEMBERED:
            return self._remembered(record)
        if decision is Decision.END:
            return await self._refuse(store, record, "no_refresh_token") or Landing(
                error=self._account.authorization_required(record)
            )
        return Landing(error=self._account.authorization_required(record))

    def _quiet(self, record: TokenRecord) -> float:
        """For how long a stale but usable token is all there is."""
        now = self._refresher.store_now()
        until = now
        back_off = active_back_off(record, self._situation(accepted=False))
        if back_off is not None:
            until = back_off.until
        elif record.live_intent is not None and record.token.expires_at is not None:
            until = record.token.expires_at.timestamp()  # Rule 4a.
        return max(0.0, until - now)

    def _remembered(self, record: TokenRecord) -> Landing:
        back_off = active_back_off(record, self._situation(accepted=False))
        if back_off is None:  # It ran out between two looks at the clock.
            return Landing(error=self._unavailable("backing off", retry_after=0.0))
        if back_off.kind is BackOffKind.MISCONFIGURED:
            return Landing(error=self._misconfigured(back_off.message))
        return Landing(
            error=self._unavailable(
                back_off.message,
                retry_after=back_off.until - self._refresher.store_now(),
            )
        )

    # ---- waiting for another holder

    async def _wait_for_holder(
        self, store: TokenStore, acquired: Acquired, give_up: float
    ) -> None:
        lease = acquired.record.lease
        rest = lease.until - acquired.now if lease else 0.0
        within = min(max(rest, 0.0) + 0.01, give_up - self._clock.elapsed())
        await store.changed(self._key, acquired.record, max(within, 0.0))

    def _waited_too_long(self, record: TokenRecord) -> Landing:
        """Rule 10: nobody refreshes unguarded, however long it took."""
        self._account.adopt(record)
        token = self._account.current()
        if token is not None:
            return Landing(token)
        return Landing(
            error=self._unavailable(
                "another process has held the refresh for too long",
                retry_after=self._timing.lease,
            )
        )

    # ---- under the lease

    async def _under_lease(
        self, store: TokenStore, acquired: Acquired, taken_at: float
    ) -> Landing | None:
        """Spend, or find that there is no need; None: look again from the start."""
        lease = HeldLease(
            store, self._key, self._asked, self._clock, acquired, taken_at
        )
        nothing_sent = Settlement(found=acquired.found, restore=True)
        async with lease:
            record = acquired.record
            decision = self._decide(record, leased=True, found=acquired.found)
            if decision in {Decision.REPLAY, Decision.LAST_RESORT}:
                if not await self._grace(store, lease, acquired):
                    await self._give_back(store, nothing_sent)
                    return None
                decision = self._decide(record, leased=True, found=acquired.found)
            if decision not in _SPENDING:
                await self._give_back(store, nothing_sent)
                return None
            return await self._spend(store, lease, decision, acquired)

    async def _grace(
        self, store: TokenStore, lease: HeldLease, acquired: Acquired
    ) -> bool:
        """Wait until an answer to the earlier sending can no longer come (rule 5).

        Returns False if the record moved, which is what everybody hopes for, or if
        the lease was lost.  Every failed store call starts the grace again.
        """
        started = self._clock.elapsed()
        found = acquired.found
        sent_ago = acquired.now - found.last_sent_at if found else 0.0
        # The bytes went out at most a third of a term after the time on record.
        late = self._timing.linger + self._timing.lease / 3 - sent_ago
        due = started + max(late, self._timing.grace)
        failures = lease.failures
        while (left := due - self._clock.elapsed()) > 0:
            if lease.lost:
                return False
            try:
                await store.changed(
                    self._key, acquired.record, min(left, self._timing.lease / 3)
                )
                if moved(await store.load(self._key), acquired.record):
                    return False
            except StoreError:
                failures = -1
                await asyncio.sleep(min(self._timing.lease / 10, 1.0))
            if lease.failures != failures:
                failures = lease.failures
                due = self._clock.elapsed() + self._timing.grace
        return not lease.lost

    async def _spend(
        self,
        store: TokenStore,
        lease: HeldLease,
        decision: Decision,
        acquired: Acquired,
    ) -> Landing | None:
        record = acquired.record
        self._refresher.hooks(RefreshStarted(*self._key, decision.name.lower()))
        started = self._clock.elapsed()
        asking = self._refresher.spawn(
            self._key, self._ask(lease, decision, record), "ask"
        )
        await asyncio.wait({asking}, timeout=self._timing.deadline)
        if not asking.done():
            # Rule 11: the waiters are freed, the socket stays.
            self._refresher.spawn(
                self._key, self._linger(store, asking, record), "linger"
            )
            outcome: Outcome = Ambiguous("no answer within the deadline")
        else:
            try:
                outcome = asking.result()
            except (StoreError, ConfigurationError) as error:
                # Raised before a byte was written (rules 9 and 10).
                await self._give_back(store, Settlement(acquired.found, restore=True))
                if isinstance(error, LeaseLost):
                    return None
                raise
        if isinstance(outcome, Granted):
            return await save(
                self._account, store, outcome.token, record, self._asked.id, started
            )
        if isinstance(outcome, Refused):
            reason, detail = self._why_refused(decision, acquired, outcome)
            return await self._refuse(store, record, reason, detail)
        return await self._settle(store, outcome, acquired)

    async def _ask(
        self, lease: HeldLease, decision: Decision, record: TokenRecord
    ) -> Outcome:
        first = decision is Decision.SPEND
        spending = record.refresh_fingerprint

        async def before_sending() -> None:
            await lease.ready_to_send(spending, first=first)

        return await self._refresher.endpoint.ask(
            self._registration,
            RefreshGrant(record.token.refresh_token or ""),
            total=self._timing.connect + self._timing.linger,
            connect=self._timing.connect,
            before_sending=before_sending,
        )

    async def _linger(
        self,
        store: TokenStore,
        asking: asyncio.Task[Outcome],
        record: TokenRecord,
    ) -> None:
        """Save what comes after the deadline: it beats whatever happened meanwhile."""
        await asyncio.wait({asking})
        if asking.cancelled() or asking.exception() is not None:
            return
        outcome = asking.result()
        if isinstance(outcome, Granted):
            await save(
                self._account,
                store,
                outcome.token,
                record,
                self._asked.id,
                self._clock.elapsed(),
                late=True,
            )

    # ---- endings

    def _why_refused(
        self, decision: Decision, acquired: Acquired, outcome: Refused
    ) -> tuple[Reason, str]:
        record, found = acquired.record, acquired.found
        if decision is not Decision.SPEND and found is not None:
            when = instant(found.first_sent_at)
            return "rotation_lost", (
                f"sent at {when:%Y-%m-%d %H:%M:%S}Z by {found.holder}, no answer stored"
            )
        ends = record.token.refresh_expires_at
        if ends is not None and ends.timestamp() <= self._clock.wall():
            return "refresh_expired", outcome.description
        return "refused", outcome.description

    async def _refuse(
        self, store: TokenStore, record: TokenRecord, reason: Reason, detail: str = ""
    ) -> Landing | None:
        """Mark the record, unless it moved: a sibling may have won (rule 15)."""
        marked = await store.refuse(
            self._key,
            Refusal(
                record.incarnation,
                record.refresh_fingerprint,
                reason,
                self._asked.id,
                detail,
            ),
        )
        self._refresher.learn_store_clock(marked.now)
        if marked.outcome in {Replacement.CONFLICT, Replacement.GONE}:
            return None
        if marked.outcome is Replacement.STORED:
            self._refresher.hooks(RefreshFailed(*self._key, "refused", 0.0))
            self._account.standing_changed(reason)
        self._account.forget()
        return Landing(error=self._account.authorization_required(marked.record))

    async def _settle(
        self, store: TokenStore, outcome: Outcome, acquired: Acquired
    ) -> Landing:
        """Release, remember the failure, and use the old token while it lives."""
        record = acquired.record
        ending = ENDINGS[outcome.kind]
        about = {
            BackOffKind.THROTTLED: "",
            BackOffKind.MISCONFIGURED: self._credential,
        }.get(ending.back_off, record.refresh_fingerprint)
        previous = (
            record.throttle
            if ending.back_off is BackOffKind.THROTTLED
            else record.back_off
        )
        back_off = next_back_off(
            previous,
            ending.back_off,
            about=about,
            now=self._refresher.store_now(),
            first=self._timing.back_off,
            retry_after=getattr(outcome, "retry_after", None),
            message=f"token endpoint: {outcome.kind}: {outcome.description}",
            jitter=self._refresher.jitter(),
        )
        _log.info(
            "refresh failed: %s; next attempt in %.1f s",
            back_off.message,
            back_off.until,
            extra=self._log_extra,
        )
        self._refresher.hooks(
            RefreshFailed(*self._key, outcome.kind.value, back_off.until)
        )
        await self._give_back(
            store,
            Settlement(acquired.found, restore=ending.restore, back_off=back_off),
        )
        token = self._account.current()
        if token is not None:
            return Landing(token, quiet=back_off.until)
        if ending.back_off is BackOffKind.MISCONFIGURED:
            self._refresher.break_circuit(
                self._key.provider, self._credential, back_off.until, back_off.message
            )
            return Landing(error=self._misconfigured(back_off.message))
        return Landing(
            error=self._unavailable(back_off.message, retry_after=back_off.until),
            quiet=back_off.until,
        )

    async def _give_back(self, store: TokenStore, settlement: Settlement) -> None:
        """Release the lease; if the store fails now, the lease simply runs out."""
        for attempt in range(_RELEASE_TRIES):
            try:
                released = await store.release(self._key, self._asked, settlement)
            except StoreError as error:
                _log.warning(
                    "lease not given back, it runs out by itself: %s",
                    error,
                    extra=self._log_extra,
                )
                await asyncio.sleep(self._timing.lease / 10 * (attempt + 1))
            else:
                if released is not None:
                    self._refresher.learn_store_clock(released.now)
                return

    # ---- errors

    def _unavailable(
        self, message: str, *, retry_after: float
    ) -> TemporarilyUnavailable:
        return TemporarilyUnavailable(*self._key, message, retry_after=retry_after)

    def _misconfigured(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"the token endpoint does not accept registration {self._key.provider!r} "
            f"({why}): check its client_id and client_secret; no grant was lost"
        )

    def _circuit_open(self, why: str) -> Landing:
        token = self._account.current()
        if token is not None:
            return Landing(token, quiet=self._timing.back_off)
        return Landing(error=self._misconfigured(why))

    def _mismatch(self, record: TokenRecord) -> ConfigurationError:
        mine = self._registration
        what = (
            f"client id {record.client_id!r}, not {mine.client_id!r}"
            if record.client_id != mine.client_id
            else f"token endpoint {record.token_origin}, not {mine.token_origin}"
        )
        return ConfigurationError(
            f"account {self._key.account!r} at {self._key.provider!r} was connected "
            f"with {what}: use that registration, or connect the account again; "
            "nothing was spent"
        )

    def _land_unsaved(self, record: TokenRecord) -> Landing:
        token = self._account.current()
        if token is not None:
            return Landing(token)
        return Landing(
            error=self._unavailable(
                "the token store has not taken the last rotation yet",
                retry_after=self._timing.back_off,
            ),
            quiet=self._timing.back_off,
        )
