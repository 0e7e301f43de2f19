"""Every change that a record can undergo, as pure functions.

A back end calls them between its read and its write.  Each rule that is named here is
a rule of the refresh protocol, with the schedule that breaks without it in
docs/explanation/exactly-once.md.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from everbearer._redact import fingerprint
from everbearer.tokens import (
    BackOff,
    BackOffKind,
    Intent,
    Lease,
    Standing,
    TokenRecord,
)

if TYPE_CHECKING:
    from everbearer.errors import Reason
    from everbearer.tokens import AccountKey, Token

# Authorizations of one account are rare: this is years of them.
_MOST_KNOWN: Final = 50

__all__ = [
    "Acquired",
    "Asked",
    "NewGrant",
    "Refusal",
    "Released",
    "Replaced",
    "Replacement",
    "Rotation",
    "Settlement",
    "acquire",
    "put",
    "refuse",
    "release",
    "renew",
    "replace",
]


@frozen
class Asked:
    """Who asks for the lease: random *id* of the flight, its process, seconds."""

    id: str
    holder: str
    term: float


@frozen
class Acquired:
    """The answer to `acquire` and `renew`.

    Attributes:
        record: As it is now.

        granted: Whether the asker holds the lease.

        found: The live intent that was there before, somebody's unfinished attempt.

        now: The store's clock.
    """

    record: TokenRecord
    granted: bool
    found: Intent | None
    now: float


@frozen
class Settlement:
    """How a flight that stores no token leaves the record.

    Attributes:
        found: The intent that its `acquire` found.

        restore: Whether it is certain that nothing was spent: then the intent is put
            back to *found* (rule 2).  Otherwise it stays (rule 3).

        back_off: What to remember, or None.  Its ``until`` and ``first_at`` are
            seconds from now, made absolute by the store's clock.
    """

    found: Intent | None = None
    restore: bool = False
    back_off: BackOff | None = None


@frozen
class Released:
    """The record after `release`, and the store's clock."""

    record: TokenRecord
    now: float


@frozen
class Rotation:
    """A token response to be stored.

    Attributes:
        incarnation, version: Of the record that was spent (rule 12).

        token: The successor, already merged with what it leaves out.

        flight: Its lease id, which is given back by the same write.

        rejections: The record's new count (rule 20).

        spent: Fingerprint of the refresh token that was presented for it.
    """

    incarnation: str
    version: int
    token: Token
    flight: str
    rejections: int = 0
    spent: str = ""


@frozen
class Refusal:
    """The account needs its user.

    Attributes:
        incarnation, fingerprint: The refusal counts for that refresh token of that
            authorization and for no other (rule 15).

        reason, detail: What the user is told.

        flight: Its lease id, which is given back by the same write.
    """

    incarnation: str
    fingerprint: str
    reason: Reason
    flight: str = ""
    detail: str = ""


@frozen
class NewGrant:
    """An authorization to be stored.

    Attributes:
        incarnation: Random (rule 13).

        token: As granted or adopted.

        client_id, token_origin: The registration it was made with.

        if_absent: A stored grant wins, unless it needs authorization and the offered
            refresh token is none that was ever stored for the account.

        age: Seconds since the token was issued, as far as is known.
    """

    incarnation: str
    token: Token
    client_id: str
    token_origin: str
    if_absent: bool = False
    age: float = 0.0


class Replacement(Enum):
    """What became of a `replace` or a `refuse`."""

    STORED = auto()
    SAME = auto()
    """The very token is stored: our own acknowledgement was lost (rule 14)."""
    CONFLICT = auto()
    """Another token is stored."""
    GONE = auto()
    """The account was disconnected or authorized anew."""


@frozen
class Replaced:
    """The answer to `replace` and `refuse`: the outcome, the record, the clock."""

    outcome: Replacement
    record: TokenRecord | None
    now: float


def acquire(record: TokenRecord, asked: Asked, now: float) -> Acquired:
    """Take the lease unless another's term runs; record the intent, or keep one."""
    held = record.lease
    if held is not None and held.until > now and held.id != asked.id:
        return Acquired(record, granted=False, found=record.live_intent, now=now)
    found = record.live_intent
    intent = found
    if intent is None and record.token.refresh_token is not None:
        intent = _fresh_intent(record.refresh_fingerprint, asked, now)
    taken = evolve(
        record, lease=Lease(asked.id, asked.holder, now + asked.term), intent=intent
    )
    return Acquired(taken, granted=True, found=found, now=now)


def renew(
    record: TokenRecord, asked: Asked, now: float, spending: str | None
) -> Acquired:
    """Prolong the asker's own lease; nobody else's, not even one that ran out."""
    if record.lease is None or record.lease.id != asked.id:
        return Acquired(record, granted=False, found=record.live_intent, now=now)
    kept = evolve(record, lease=Lease(asked.id, asked.holder, now + asked.term))
    if spending is not None and spending == record.refresh_fingerprint:
        kept = evolve(kept, intent=_sent(record.live_intent, spending, asked, now))
    return Acquired(kept, granted=True, found=record.live_intent, now=now)


def release(
    record: TokenRecord, asked: Asked, settlement: Settlement, now: float
) -> Released:
    """Give back the asker's lease; put back what it found, if nothing was spent."""
    mine = record.lease is not None and record.lease.id == asked.id
    left = evolve(record, lease=None) if mine else record
    if settlement.restore:
        left = evolve(left, intent=_restored(left.intent, asked.id, settlement.found))
    back_off = settlement.back_off
    if back_off is not None:
        back_off = evolve(
            back_off, until=now + back_off.until, first_at=now + back_off.first_at
        )
        if back_off.kind is BackOffKind.THROTTLED:
            left = evolve(left, throttle=_later(left.throttle, back_off))
        elif mine or left.back_off is None:
            left = evolve(left, back_off=back_off)
    return Released(left, now)


def replace(record: TokenRecord | None, rotation: Rotation, now: float) -> Replaced:
    """Compare and swap on incarnation and version, whoever leads (rule 12)."""
    if record is None or record.incarnation != rotation.incarnation:
        return Replaced(Replacement.GONE, record, now)
    if record.version != rotation.version:
        same = (
            record.token.access_token == rotation.token.access_token
            and record.token.refresh_token == rotation.token.refresh_token
        )
        outcome = Replacement.SAME if same else Replacement.CONFLICT
        return Replaced(outcome, _without_lease(record, rotation.flight), now)
    mine = record.lease is not None and record.lease.id == rotation.flight
    stored = evolve(
        record,
        version=record.version + 1,
        token=rotation.token,
        minted_at=now,
        # A late success voids a refusal of the token that it replaces (rule 15).
        standing=Standing.CONNECTED,
        reason=None,
        detail="",
        since=record.since if record.standing is Standing.CONNECTED else now,
        lease=None if mine else record.lease,
        intent=None,
        back_off=None,
        # The throttle is about the account and stays (rule 16).
        rejections=rotation.rejections,
    )
    return Replaced(Replacement.STORED, stored, now)


def refuse(record: TokenRecord | None, refusal: Refusal, now: float) -> Replaced:
    """Mark the record, if it still holds the refused token; never delete one."""
    if record is None or record.incarnation != refusal.incarnation:
        return Replaced(Replacement.GONE, record, now)
    if record.refresh_fingerprint != refusal.fingerprint:
        return Replaced(
            Replacement.CONFLICT, _without_lease(record, refusal.flight), now
        )
    if record.standing is Standing.NEEDS_AUTHORIZATION:
        return Replaced(Replacement.SAME, _without_lease(record, refusal.flight), now)
    marked = evolve(
        _without_lease(record, refusal.flight),
        standing=Standing.NEEDS_AUTHORIZATION,
        reason=refusal.reason,
        detail=refusal.detail,
        since=now,
        intent=None,
        back_off=None,
    )
    return Replaced(Replacement.STORED, marked, now)


def put(
    record: TokenRecord | None, key: AccountKey, grant: NewGrant, now: float
) -> TokenRecord:
    """A new incarnation; the account's throttle stays."""
    if record is not None and grant.if_absent and not _supersedes(record, grant):
        return record
    return TokenRecord(
        key=key,
        incarnation=grant.incarnation,
        version=record.version + 1 if record else 1,
        token=grant.token,
        minted_at=now - grant.age,
        since=now,
        client_id=grant.client_id,
        token_origin=grant.token_origin,
        throttle=record.throttle if record else None,
        known=_remembered(record, grant),
    )


def _supersedes(record: TokenRecord, grant: NewGrant) -> bool:
    """Whether an offered grant is news: the stored one is over and not this one."""
    offered = fingerprint(grant.token.refresh_token)
    return (
        record.standing is Standing.NEEDS_AUTHORIZATION
        and bool(offered)
        and offered != record.refresh_fingerprint
        and offered not in record.known
    )


def _remembered(record: TokenRecord | None, grant: NewGrant) -> tuple[str, ...]:
    offered = fingerprint(grant.token.refresh_token)
    before = record.known if record else ()
    return (*(known for known in before if known != offered), offered)[-_MOST_KNOWN:]


def _later(remembered: BackOff | None, new: BackOff) -> BackOff:
    if remembered is not None and remembered.until > new.until:
        return remembered
    return new


def _without_lease(record: TokenRecord, flight: str) -> TokenRecord:
    if record.lease is not None and record.lease.id == flight:
        return evolve(record, lease=None)
    return record


def _fresh_intent(fingerprint: str, asked: Asked, now: float) -> Intent:
    return Intent(fingerprint, now, now, (asked.id,), asked.holder)


def _sent(intent: Intent | None, fingerprint: str, asked: Asked, now: float) -> Intent:
    """Merge, never overwrite: the first sending is what a replay window counts from."""
    if intent is None:
        return _fresh_intent(fingerprint, asked, now)
    flights = intent.flights
    if asked.id not in flights:
        flights = (*flights, asked.id)
    return evolve(intent, last_sent_at=now, flights=flights, holder=asked.holder)


def _restored(
    intent: Intent | None, flight: str, found: Intent | None
) -> Intent | None:
    """Take back one flight's part, and nobody else's (rule 2)."""
    if intent is None or flight not in intent.flights:
        return intent
    others = tuple(other for other in intent.flights if other != flight)
    if not others:
        return found
    if found is not None and found.flights == others:
        return found
    return evolve(intent, flights=others)
