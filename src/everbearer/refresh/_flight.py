"""One flight: the refresh transaction of one account, from look-up to landing.

look up -> decide -> lease -> decide again -> (grace) -> ask -> store -> land.

A flight runs in a task that the Client owns.  Its callers wait on one event and may
leave; the flight goes on.  What it decides is in `_decision`, what happens under the
lease in `_spending`; this file is the order in which things happen.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from attrs import evolve

from everbearer.errors import EverbearerError
from everbearer.refresh._attempt import Attempt, Landing
from everbearer.refresh._decision import Decision, active_back_off, decide, facts_of
from everbearer.refresh._ending import give_back, refuse
from everbearer.refresh._lease import HeldLease
from everbearer.refresh._put_back import put_back
from everbearer.refresh._spending import grace, spend
from everbearer.refresh._spilling import adopt_spills
from everbearer.stores import Asked, Settlement
from everbearer.tokens import BackOffKind

if TYPE_CHECKING:
    from everbearer.refresh._account import AccountTokens
    from everbearer.stores import Acquired, TokenStore
    from everbearer.tokens import Intent, TokenRecord

__all__ = ["Flight"]

_log = logging.getLogger("everbearer.refresh")

_AGAIN = frozenset({Decision.REPLAY, Decision.LAST_RESORT})
_SPENDING = _AGAIN | {Decision.SPEND}


class Flight:
    """The one refresh in progress for an account in this process."""

    def __init__(
        self, account: AccountTokens, *, margin: float, unwanted: str | None
    ) -> None:
        refresher = account.refresher
        self._attempt = Attempt(
            account,
            Asked(secrets.token_hex(16), refresher.holder, refresher.timing.lease),
            credential="",
            margin=margin,
            unwanted=unwanted,
        )
        self._done = asyncio.Event()
        self._looked_up = asyncio.Event()
        self._landing = Landing()

    async def landed(self) -> Landing:
        """Wait for the end.  A cancelled waiter leaves; the flight goes on."""
        await self._done.wait()
        return self._landing

    async def looked_up(self) -> None:
        """Wait until a stored token can be used meanwhile, or for the end."""
        await self._looked_up.wait()

    def closed(self) -> None:
        """Its task has ended, perhaps cancelled before its first step."""
        if not self._done.is_set():
            self._landing = self._attempt.unavailable(
                "the Client was closed", retry_after=0.0
            )
            self._wake()

    def _wake(self) -> None:
        self._done.set()
        self._looked_up.set()

    async def run(self) -> Landing:
        """Fly, and tell everybody who waits.  Raises only when it is cancelled."""
        attempt = self._attempt
        try:
            self._landing = await self._fly()
        except EverbearerError as error:
            self._landing = Landing(error=error)
        except asyncio.CancelledError:
            self._landing = attempt.unavailable(
                "the Client was closed", retry_after=0.0
            )
            raise
        except Exception as error:  # noqa: BLE001 - or ten thousand callers wait on
            _log.exception(
                "%s/%s: refresh failed unexpectedly",
                *attempt.key,
                extra=attempt.log_extra,
            )
            self._landing = attempt.unavailable(
                f"internal error: {type(error).__name__}", retry_after=1.0
            )
        finally:
            self._wake()
        return self._landing

    async def _fly(self) -> Landing:
        attempt = self._attempt
        attempt.credential = attempt.registration.credential_fingerprint()
        store = await attempt.refresher.open_store()
        await attempt.refresher.ask_store_clock(store)
        await self._give_back_unanswered(store)
        give_up = attempt.clock.elapsed() + attempt.timing.patience
        while True:
            if attempt.account.unsaved is not None:
                # Rule 11: who holds an unsaved pair starts nothing for that account.
                return self._land_unsaved()
            record = await self._look_up(store)
            decision = self._decide(record)
            landing: Landing | None
            if decision is Decision.WAIT:
                landing = await self._wait_for_holder(store, record, give_up)
            elif decision is Decision.LEASE:
                landing = await self._take_lease(store, record, give_up)
            elif await self._finds_spill(store, record):
                landing = None
            else:
                landing = await self._conclude(store, decision, record)
            if landing is not None:
                return landing

    async def _take_lease(
        self, store: TokenStore, record: TokenRecord | None, give_up: float
    ) -> Landing | None:
        attempt = self._attempt
        if record is not None:
            # So that a failure finds the old token, which may still be good; and who
            # waits for nothing better need not wait for this flight.
            attempt.account.adopt(record)
            if attempt.account.current(attempt.margin) is not None:
                self._looked_up.set()
        why = attempt.refresher.circuits.why_open(
            attempt.key.provider, attempt.credential, attempt.clock.elapsed()
        )
        if why is not None:
            return attempt.misconfigured(why)
        if attempt.clock.elapsed() >= give_up:
            return self._waited_too_long()
        attempt.refresher.unanswered[attempt.key] = attempt.asked
        taken_at = attempt.clock.elapsed()
        acquired = await store.acquire(attempt.key, attempt.asked)
        attempt.refresher.unanswered.pop(attempt.key, None)
        if acquired is None:
            return None  # Disconnected in between: the next look-up says so.
        attempt.refresher.learn_store_clock(acquired.now)
        if acquired.granted:
            return await self._under_lease(store, acquired, taken_at)
        return await self._wait_for_holder(store, acquired.record, give_up)

    async def _give_back_unanswered(self, store: TokenStore) -> None:
        """Give back what the last flight may have taken without being told.

        It sent nothing (rule 2); left alone, its lease and intent would look like a
        refresh that nobody finished.
        """
        attempt = self._attempt
        asked = attempt.refresher.unanswered.get(attempt.key)
        if asked is not None:
            await store.release(attempt.key, asked, Settlement(restore=True))
            attempt.refresher.unanswered.pop(attempt.key, None)

    async def _look_up(self, store: TokenStore) -> TokenRecord | None:
        """The record; once more if it was authorized anew meanwhile, or put back."""
        account, looked = self._attempt.account, False
        while True:
            forgotten = account.forgotten
            record = await store.load(account.key)
            if account.forgotten != forgotten:
                continue
            if looked or not await put_back(account, store, record):
                return record
            looked = True

    def _decide(
        self,
        record: TokenRecord | None,
        *,
        leased: bool = False,
        found: Intent | None = None,
    ) -> Decision:
        attempt = self._attempt
        at = attempt.situation(record, leased=leased, found=found)
        provider = attempt.registration.provider
        row = decide(facts_of(record, at, provider, attempt.timing))
        _log.debug(
            "decided %s (%s)", row.decision.name, row.why, extra=attempt.log_extra
        )
        return row.decision

    async def _under_lease(
        self, store: TokenStore, acquired: Acquired, taken_at: float
    ) -> Landing | None:
        """Spend, or find that there is no need; None: look again from the start."""
        attempt = self._attempt
        lease = HeldLease(
            store,
            attempt.key,
            attempt.asked,
            attempt.clock,
            acquired,
            taken_at,
            outlasting=bool(attempt.registration.provider.replay_window),
        )
        record, found = acquired.record, acquired.found
        async with lease:
            decision = self._decide(record, leased=True, found=found)
            if decision in _AGAIN:
                if await adopt_spills(attempt.account, store, attempt.asked.id):
                    return None
                latest = await grace(attempt, store, lease, acquired)
                decision = Decision.LEASE
                if latest is not None:
                    # Rules 5 and 18: what is stored now counts, and the time.
                    found = latest.live_intent
                    acquired = evolve(acquired, record=latest, found=found)
                    decision = self._decide(latest, leased=True, found=found)
                # Whoever holds the pair may have spilled it in the meantime.
                if decision in _AGAIN and await adopt_spills(
                    attempt.account, store, attempt.asked.id
                ):
                    return None
            if decision in _SPENDING:
                return await spend(attempt, store, lease, decision, acquired)
            await give_back(attempt, store, Settlement(found, restore=True))
            return None

    async def _finds_spill(self, store: TokenStore, record: TokenRecord | None) -> bool:
        """Whether a refresh that nobody finished left its pair on this host (rule 17).

        Its old token is used until it ends (rule 4a), which may be an hour; the pair
        can be had at once.
        """
        if record is None or record.live_intent is None:
            return False
        return await adopt_spills(self._attempt.account, store)

    # ---- landings without a token request

    async def _conclude(
        self, store: TokenStore, decision: Decision, record: TokenRecord | None
    ) -> Landing:
        account = self._attempt.account
        if record is None:
            account.forget()
            return Landing(error=account.authorization_required(None))
        if decision is Decision.MISMATCH:
            return self._attempt.mismatch(record)
        account.adopt(record)
        if decision is Decision.USE:
            return Landing(record.token.access_token, quiet=self._quiet(record))
        if decision is Decision.HAND_BACK:
            # A refresh would not help: the rejection was about something else.
            account.measure_again(pardoned=record.token.access_token)
            return Landing(record.token.access_token, hand_back=True)
        if decision is Decision.REMEMBERED:
            return self._remembered(record)
        landing = None
        if decision is Decision.END:
            landing = await refuse(self._attempt, store, record, "no_refresh_token")
        return landing or Landing(error=account.authorization_required(record))

    def _quiet(self, record: TokenRecord) -> float:
        """For how long a stale but usable token is all there is."""
        now = self._attempt.refresher.store_now()
        back_off = active_back_off(record, self._attempt.situation())
        if back_off is not None:
            return back_off.until - now
        if record.live_intent is not None and record.token.expires_at is not None:
            wall = self._attempt.refresher.skews.now(record.key.provider)
            return record.token.expires_at.timestamp() - wall  # Rule 4a.
        return 0.0

    def _remembered(self, record: TokenRecord) -> Landing:
        back_off = active_back_off(record, self._attempt.situation())
        if back_off is None:  # It ran out between two looks at the clock.
            return self._attempt.unavailable("backing off", retry_after=0.0)
        if back_off.kind is BackOffKind.MISCONFIGURED:
            return self._attempt.misconfigured(back_off.message)
        now = self._attempt.refresher.store_now()
        return self._attempt.unavailable(
            back_off.message, retry_after=back_off.until - now
        )

    def _land_unsaved(self) -> Landing:
        token = self._attempt.account.current()
        if token is not None:
            return Landing(token)
        return self._attempt.unavailable(
            "the token store has not taken the last rotation yet",
            retry_after=self._attempt.timing.back_off,
        )

    # ---- waiting for another holder

    async def _wait_for_holder(
        self, store: TokenStore, record: TokenRecord | None, give_up: float
    ) -> Landing | None:
        """Wait until the record changes or its lease ends; None: look again."""
        left = give_up - self._attempt.clock.elapsed()
        if left <= 0:
            return self._waited_too_long()
        lease = record.lease if record is not None else None
        now = self._attempt.refresher.store_now()
        # A hair past its end, or the next look would find it still running.
        rest = max(0.0, lease.until - now) + 0.01 if lease else 0.0
        await store.changed(self._attempt.key, record, min(rest, left))
        return None

    def _waited_too_long(self) -> Landing:
        """Rule 10: nobody refreshes unguarded, however long it took."""
        token = self._attempt.account.current()
        if token is not None:
            return Landing(token)
        return self._attempt.unavailable(
            "another process has held the refresh for too long",
            retry_after=self._attempt.timing.lease,
        )
