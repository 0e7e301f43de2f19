"""Under the lease: the grace, the one presentation, and answers that come late."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from everbearer.errors import ConfigurationError, LeaseLost, StoreError
from everbearer.events import RefreshStarted
from everbearer.refresh._decision import Decision
from everbearer.refresh._ending import give_back, refuse, settle, why_refused
from everbearer.refresh._lease import moved
from everbearer.refresh._saving import save
from everbearer.stores import Settlement
from everbearer.token_endpoint import Ambiguous, Granted, RefreshGrant, Refused

if TYPE_CHECKING:
    from everbearer.refresh._attempt import Attempt, Landing
    from everbearer.refresh._lease import HeldLease
    from everbearer.stores import Acquired, TokenStore
    from everbearer.token_endpoint import Outcome
    from everbearer.tokens import TokenRecord

__all__ = ["grace", "spend"]


async def grace(
    attempt: Attempt, store: TokenStore, lease: HeldLease, acquired: Acquired
) -> TokenRecord | None:
    """Wait until an answer to the earlier sending can no longer come (rule 5).

    Every failed store call starts it again, because what the store would have told
    may be the answer that has come meanwhile.

    Returns:
        The record as it is at the end; None if it moved, which is what everybody
        hopes for, or the lease was lost, or this process has the answer unsaved.
    """
    timing, clock = attempt.timing, attempt.clock
    found = acquired.found
    sent_ago = acquired.now - found.last_sent_at if found else 0.0
    # The bytes went out at most a third of a term after the time on record (rule 9).
    answered = timing.linger + timing.lease / 3 - sent_ago
    due = clock.elapsed() + max(answered, timing.grace)
    failures = lease.failures
    record: TokenRecord | None = acquired.record
    while (left := due - clock.elapsed()) > 0 and not lease.lost:
        try:
            await store.changed(
                attempt.key, acquired.record, min(left, timing.lease / 3)
            )
            record = await store.load(attempt.key)
            if not _as_it_was(attempt, record, acquired.record):
                return None
        except StoreError:
            failures = -1
            await asyncio.sleep(timing.lease / 10)
        if lease.failures != failures:
            failures = lease.failures
            due = max(due, clock.elapsed() + timing.grace)
    return None if lease.lost else record


def _as_it_was(
    attempt: Attempt, record: TokenRecord | None, before: TokenRecord
) -> bool:
    """Whether a grace still makes sense: same token, our lease, nothing unsaved.

    Without the look at the lease, a lost one makes `changed` return at once for ever.
    """
    return (
        record is not None
        and not moved(record, before)
        and record.lease is not None
        and record.lease.id == attempt.asked.id
        and attempt.account.unsaved is None
    )


async def spend(
    attempt: Attempt,
    store: TokenStore,
    lease: HeldLease,
    decision: Decision,
    acquired: Acquired,
) -> Landing | None:
    """Present the refresh token and deal with whatever comes of it.

    Returns:
        The landing, or None where the record must be looked at again.
    """
    record = acquired.record
    attempt.refresher.hooks(RefreshStarted(*attempt.key, decision.name.lower()))
    started = attempt.clock.elapsed()
    # A task of its own: once sent, nothing cancels it, not even this flight's end.
    asking = attempt.refresher.spawn(
        attempt.key, _ask(attempt, lease, decision, acquired), "ask"
    )
    await asyncio.wait({asking}, timeout=attempt.timing.deadline)
    outcome: Outcome
    if not asking.done():
        # Rule 11: the waiters are freed, the socket stays; what has not left by now
        # must not leave while the lease is given back.
        lease.forbid()
        attempt.refresher.spawn(
            attempt.key, _save_late(attempt, store, asking, record), "late-answer"
        )
        outcome = Ambiguous("no answer within the deadline")
    else:
        try:
            outcome = asking.result()
        except (StoreError, ConfigurationError) as error:
            # Raised before a byte was written (rules 9 and 10).
            await give_back(attempt, store, Settlement(acquired.found, restore=True))
            if isinstance(error, LeaseLost):
                return None
            raise
    if isinstance(outcome, Granted | Refused):
        attempt.refresher.circuits.known(attempt.key.provider)
    if isinstance(outcome, Granted):
        attempt.refresher.granted(attempt.key.provider)
        return await save(
            attempt.account, store, outcome.token, record, attempt.asked, started
        )
    if isinstance(outcome, Refused):
        reason, detail = why_refused(attempt, decision, acquired, outcome)
        return await refuse(attempt, store, record, reason, detail)
    waited = attempt.clock.elapsed() - started
    return await settle(attempt, store, outcome, acquired, waited)


async def _ask(
    attempt: Attempt, lease: HeldLease, decision: Decision, acquired: Acquired
) -> Outcome:
    record, timing, clock = acquired.record, attempt.timing, attempt.clock
    # Connecting and renewing take no longer; a process that stood still does.
    latest = clock.elapsed() + timing.connect + timing.lease / 3

    async def before_sending() -> None:
        nonlocal latest
        await lease.ready_to_send(record.refresh_fingerprint)
        if clock.elapsed() > latest:
            # The socket would be closed before X has passed since the write (rule 11).
            raise LeaseLost("too late to wait for the whole of the answer's time")
        latest = math.inf  # Another path is asked when the first has answered.
        # Nothing is awaited from here to the write.
        if attempt.account.unsaved is not None:
            raise LeaseLost("the answer to an earlier request came meanwhile")
        if decision is Decision.REPLAY and not attempt.may_replay(record, acquired):
            raise LeaseLost("the replay window closed meanwhile")

    return await attempt.refresher.endpoint.ask(
        attempt.registration,
        RefreshGrant(record.token.refresh_token or ""),
        total=timing.connect + timing.lease / 3 + timing.linger,
        connect=timing.connect,
        before_sending=before_sending,
        account=attempt.key.account,
    )


async def _save_late(
    attempt: Attempt,
    store: TokenStore,
    asking: asyncio.Task[Outcome],
    record: TokenRecord,
) -> None:
    """Rule 11: what comes after the deadline beats whatever happened meanwhile."""
    await asyncio.wait({asking})
    if asking.cancelled() or asking.exception() is not None:
        return
    outcome = asking.result()
    if isinstance(outcome, Granted):
        await save(
            attempt.account,
            store,
            outcome.token,
            record,
            attempt.asked,
            attempt.clock.elapsed(),
            late=True,
        )
