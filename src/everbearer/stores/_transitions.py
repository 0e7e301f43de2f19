"""Every change that a record can undergo, as pure functions.

A back end calls them between its read and its write.  Each rule that is named here is
a rule of the refresh protocol, with the schedule that breaks without it in
docs/explanation/exactly-once.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from everbearer._redact import fingerprint
from everbearer.stores._writes import (
    Acquired,
    Asked,
    NewGrant,
    Refusal,
    Released,
    Replaced,
    Replacement,
    Rotation,
    Settlement,
)
from everbearer.tokens import (
    BackOff,
    BackOffKind,
    Intent,
    Lease,
    Standing,
    TokenRecord,
)

if TYPE_CHECKING:
    from everbearer.tokens import AccountKey

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
    """Compare and swap on incarnation and version, whoever leads (rule 12).

    A version before the expected one is a store that lost its newest writes, by a
    fail-over or from a backup: versions never start again (rule 13).
    """
    if record is None or record.incarnation != rotation.incarnation:
        return Replaced(Replacement.GONE, record, now)
    if record.version > rotation.version and not _outdone(record, rotation):
        same = (
            record.token.access_token == rotation.token.access_token
            and record.token.refresh_token == rotation.token.refresh_token
        )
        if _siblings(record, rotation) and not same:
            # In the same write: whoever ends now must not take the only copy along.
            # The lease stays, so that nobody spends the one while both are compared.
            kept = evolve(record, alternate=rotation.token)
            return Replaced(Replacement.SIBLING, kept, now)
        left = _without_lease(record, rotation.flight)
        if same:
            return Replaced(Replacement.SAME, left, now)
        return Replaced(Replacement.CONFLICT, left, now)
    mine = record.lease is not None and record.lease.id == rotation.flight
    stored = evolve(
        record,
        version=max(record.version, rotation.version) + 1,
        token=rotation.token,
        minted_at=now - rotation.age,
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
        parent=rotation.spent,
        alternate=None,
    )
    return Replaced(Replacement.STORED, stored, now)


def refuse(record: TokenRecord | None, refusal: Refusal, now: float) -> Replaced:
    """Mark the record, if it still holds the refused token; never delete one.

    If that token has an alternate, this is its turn, and nothing is marked.
    """
    if record is None or record.incarnation != refusal.incarnation:
        return Replaced(Replacement.GONE, record, now)
    if record.refresh_fingerprint != refusal.fingerprint:
        return Replaced(
            Replacement.CONFLICT, _without_lease(record, refusal.flight), now
        )
    if record.standing is Standing.NEEDS_AUTHORIZATION:
        return Replaced(Replacement.SAME, _without_lease(record, refusal.flight), now)
    if record.alternate is not None:
        promoted = _promoted(_without_lease(record, refusal.flight), now)
        return Replaced(Replacement.ALTERNATE, promoted, now)
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


def _outdone(record: TokenRecord, rotation: Rotation) -> bool:
    """Whether what is stored names still the refresh token that *rotation* replaced.

    Where a provider rotates now and then, two answers to one refresh token may differ
    in that: it is spent, and the pair that keeps it could not be refreshed.
    """
    return (
        bool(rotation.spent)
        and record.refresh_fingerprint == rotation.spent
        and fingerprint(rotation.token.refresh_token) not in {"", rotation.spent}
    )


def _siblings(record: TokenRecord, rotation: Rotation) -> bool:
    """Whether both came for one refresh token, and neither is that one still."""
    fingerprints = {
        rotation.spent,
        record.refresh_fingerprint,
        fingerprint(rotation.token.refresh_token),
    }
    return (
        bool(rotation.spent)
        and record.parent == rotation.spent
        and "" not in fingerprints
        and len(fingerprints) == 3  # noqa: PLR2004 - all of them differ
    )


def _promoted(record: TokenRecord, now: float) -> TokenRecord:
    assert record.alternate is not None  # noqa: S101 - narrows for the type checker
    return evolve(
        record,
        version=record.version + 1,
        token=record.alternate,
        minted_at=now,
        alternate=None,
        intent=None,
        back_off=None,
        rejections=0,
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
