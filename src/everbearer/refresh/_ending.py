"""How a flight that got no token leaves the record, and what its waiters are told."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from attrs import evolve

from everbearer._clock import instant
from everbearer.errors import StoreError
from everbearer.events import RefreshConflict, RefreshFailed
from everbearer.refresh._attempt import Landing
from everbearer.refresh._back_off import next_back_off
from everbearer.refresh._decision import ENDINGS, Decision
from everbearer.stores import Refusal, Replacement, Settlement
from everbearer.tokens import BackOffKind

if TYPE_CHECKING:
    from everbearer.errors import Reason
    from everbearer.refresh._attempt import Attempt
    from everbearer.refresh._decision import Ending
    from everbearer.stores import Acquired, Replaced, TokenStore
    from everbearer.token_endpoint import Outcome, Refused
    from everbearer.tokens import BackOff, TokenRecord

__all__ = ["give_back", "refuse", "settle", "why_refused"]

_log = logging.getLogger("everbearer.refresh")

_RELEASE_TRIES = 3

# When a refusal that names no reason is believed: so often, over so many seconds.
_UNRECOGNISED_TRIES = 3
_UNRECOGNISED_SPAN = 600.0


async def give_back(
    attempt: Attempt, store: TokenStore, settlement: Settlement
) -> None:
    """Release the lease; if the store fails now, it simply runs out."""
    for number in range(1, _RELEASE_TRIES + 1):
        try:
            released = await store.release(attempt.key, attempt.asked, settlement)
        except StoreError as error:
            if number < _RELEASE_TRIES:
                await asyncio.sleep(attempt.timing.lease / 10 * number)
                continue
            _log.warning(
                "%s/%s: lease not given back, it runs out by itself: %s",
                *attempt.key,
                error,
                extra=attempt.log_extra,
            )
            if settlement.back_off is not None:
                now = attempt.refresher.store_now()
                attempt.account.remembered = evolve(
                    settlement.back_off, until=now + settlement.back_off.until
                )
        else:
            attempt.account.remembered = None
            if released is not None:
                attempt.refresher.learn_store_clock(released.now)
            return


def why_refused(
    attempt: Attempt, decision: Decision, acquired: Acquired, outcome: Refused
) -> tuple[Reason, str]:
    """The reason that the user is given, and a sentence of detail."""
    found = acquired.found
    if decision is not Decision.SPEND and found is not None:
        when = instant(found.first_sent_at)
        return "rotation_lost", (
            f"sent at {when:%Y-%m-%d %H:%M:%S}Z by {found.holder}, no answer stored"
        )
    ends = acquired.record.token.refresh_expires_at
    if ends is not None and ends.timestamp() <= attempt.refresher.skews.now(
        attempt.key.provider
    ):
        return "refresh_expired", outcome.description
    return "refused", outcome.description


async def refuse(
    attempt: Attempt,
    store: TokenStore,
    record: TokenRecord,
    reason: Reason,
    detail: str = "",
) -> Landing | None:
    """Mark *record*, unless it moved: a sibling may have won (rule 15).

    Returns:
        The landing, or None where another token is stored and must be looked at.
    """
    refusal = Refusal(
        record.incarnation,
        record.refresh_fingerprint,
        reason,
        attempt.asked.id,
        detail,
    )
    marked = await _mark(attempt, store, refusal)
    attempt.refresher.learn_store_clock(marked.now)
    if marked.outcome is Replacement.ALTERNATE:
        _log.warning(
            "%s/%s: the token endpoint refused the stored token, the alternate has "
            "its turn",
            *attempt.key,
            extra=attempt.log_extra,
        )
        attempt.refresher.hooks(RefreshConflict(*attempt.key, "promoted"))
        return None
    if marked.outcome in {Replacement.CONFLICT, Replacement.GONE}:
        return None
    if marked.outcome is Replacement.STORED:
        attempt.refresher.hooks(RefreshFailed(*attempt.key, "refused", 0.0))
        attempt.account.standing_changed(reason)
    attempt.account.forget()
    return Landing(error=attempt.account.authorization_required(marked.record))


async def _mark(attempt: Attempt, store: TokenStore, refusal: Refusal) -> Replaced:
    """Unmarked, a refused token would be presented again: try more than once."""
    for number in range(1, _RELEASE_TRIES):
        try:
            return await store.refuse(attempt.key, refusal)
        except StoreError:
            await asyncio.sleep(attempt.timing.lease / 10 * number)
    return await store.refuse(attempt.key, refusal)


async def settle(
    attempt: Attempt,
    store: TokenStore,
    outcome: Outcome,
    acquired: Acquired,
    waited: float,
) -> Landing | None:
    """Release, remember the failure, and use the old token while it lives.

    Args:
        waited: Seconds since the request was begun.
    """
    ending = ENDINGS[outcome.kind]
    back_off = _back_off(attempt, ending, outcome, acquired.record)
    if _is_final(back_off) and attempt.refresher.grants(attempt.key.provider):
        # The registration is in order, so it is this grant that is not.
        return await refuse(
            attempt, store, acquired.record, "refused", outcome.description
        )
    pause = back_off.until
    if ending.back_off is BackOffKind.MISCONFIGURED:
        pause = max(pause, _break_circuit(attempt, back_off.message))
    if not ending.restore and attempt.registration.provider.rotation != "never":
        # Rules 5 and 11: nothing is sent before the grace is over.
        timing = attempt.timing
        pause = max(pause, timing.linger - waited, timing.grace)
    _log.info(
        "%s/%s: refresh failed: %s; next attempt in %.1f s",
        *attempt.key,
        back_off.message,
        pause,
        extra=attempt.log_extra,
    )
    attempt.refresher.hooks(RefreshFailed(*attempt.key, outcome.kind.value, pause))
    await give_back(
        attempt,
        store,
        Settlement(acquired.found, restore=ending.restore, back_off=back_off),
    )
    if ending.back_off is BackOffKind.MISCONFIGURED:
        return attempt.misconfigured(back_off.message)
    token = attempt.account.current()
    if token is not None:
        return Landing(token, quiet=pause)
    if _is_final(back_off):
        return attempt.misconfigured(back_off.message)
    return attempt.unavailable(back_off.message, retry_after=pause)


def _break_circuit(attempt: Attempt, why: str) -> float:
    """Nobody of this registration asks for a while; say so when it begins."""
    circuits, name = attempt.refresher.circuits, attempt.key.provider
    if not circuits.is_broken(name, attempt.credential):
        _log.warning(
            "%s: the provider does not accept this registration, no account is "
            "refreshed until its client_id or client_secret is corrected: %s",
            name,
            why,
            extra=attempt.log_extra,
        )
    return circuits.refused(name, attempt.credential, why, attempt.clock.elapsed())


def _is_final(back_off: BackOff) -> bool:
    """Whether the same refusal without a reason came often enough to be believed."""
    return (
        back_off.kind is BackOffKind.UNRECOGNISED
        and back_off.attempts >= _UNRECOGNISED_TRIES
        and -back_off.first_at >= _UNRECOGNISED_SPAN
    )


def _back_off(
    attempt: Attempt, ending: Ending, outcome: Outcome, record: TokenRecord
) -> BackOff:
    """Rule 16: a throttle is the account's, the rest the token's or credential's."""
    kind = ending.back_off
    answered = getattr(outcome, "status", 0)
    status = f"HTTP {answered}" if answered else ""
    previous, about = record.back_off, record.refresh_fingerprint
    if kind is BackOffKind.THROTTLED:
        previous, about = record.throttle, ""
        # It outlives a success, but what came before one does not count on.
        if previous is not None and record.minted_at >= previous.until:
            previous = None
    elif kind is BackOffKind.MISCONFIGURED:
        about = attempt.credential
    return next_back_off(
        previous,
        kind,
        about=about,
        now=attempt.refresher.store_now(),
        first=attempt.timing.back_off,
        retry_after=getattr(outcome, "retry_after", None),
        message=": ".join(
            part
            for part in ("token endpoint", outcome.kind, status, outcome.description)
            if part
        ),
        jitter=attempt.refresher.jitter(),
    )
