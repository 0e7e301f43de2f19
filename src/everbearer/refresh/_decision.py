"""What to do with an account's record: two pure tables, and what feeds them.

Nothing here reads a clock, a store or a socket.  `DECISIONS` is read top down; the
first row whose facts all hold decides.  It is consulted twice in every flight: on the
record as loaded, and again on the record that the lease returned, because another
process may have written in between (rule 8).  `ENDINGS` says what each kind of answer
of the token endpoint leaves behind.  docs/explanation/exactly-once.md draws its
diagram from these tables.  "Rule n" is a rule of the refresh protocol.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from everbearer.token_endpoint import OutcomeKind
from everbearer.tokens import BackOffKind, Standing

if TYPE_CHECKING:
    from everbearer.providers import Provider
    from everbearer.refresh._timing import Timing
    from everbearer.tokens import BackOff, Intent, TokenRecord

__all__ = [
    "DECISIONS",
    "ENDINGS",
    "Decision",
    "Ending",
    "Fact",
    "Row",
    "Situation",
    "active_back_off",
    "decide",
    "facts_of",
    "leeway_of",
    "lifetime_of",
    "proven_after",
]


class Fact(StrEnum):
    """What may be true of a record at a moment."""

    UNKNOWN = "nothing is stored"
    FOREIGN = "granted to another registration"
    NEEDS_USER = "its user must act"
    CONTESTED = "stored while another flight may be replaying its predecessor"
    FRESH = "access token fresh"
    USABLE = "access token neither expired nor rejected"
    REPLACED = "rejected token already replaced"
    NO_REFRESH_TOKEN = "no refresh token"
    HELD_BACK = "rejected like its predecessor, and younger than its interval"
    BACKING_OFF = "a failure is remembered"
    TOO_EARLY = "too young for the provider to replace"
    UNFINISHED = "somebody sent this refresh token and no answer is on record"
    WINDOW = "inside the provider's replay window"
    LEASED = "this flight holds the lease"


class Decision(Enum):
    """What a flight does next."""

    USE = auto()
    """Give the stored access token to the waiters."""
    HAND_BACK = auto()
    """A refresh would not help: the caller gets the API's own answer."""
    AUTHORIZE = auto()
    """AuthorizationRequired, without a call."""
    END = auto()
    """Mark that there is nothing left to refresh with, then AUTHORIZE."""
    MISMATCH = auto()
    """ConfigurationError before anything is spent."""
    REMEMBERED = auto()
    """Raise what the last attempt failed with."""
    WAIT = auto()
    """Until the other flight's lease has ended; nobody uses the token before."""
    LEASE = auto()
    """Take the lease, then decide again."""
    SPEND = auto()
    """Present the refresh token for the first time."""
    REPLAY = auto()
    """Present it again, after the grace, inside the provider's replay window."""
    LAST_RESORT = auto()
    """Present it once more, after the grace: nothing is left to lose."""


@frozen
class Row:
    """If all of *facts* hold: *decision*, because of *why*."""

    facts: frozenset[Fact]
    decision: Decision
    why: str


def _row(decision: Decision, why: str, *facts: Fact) -> Row:
    return Row(frozenset(facts), decision, why)


DECISIONS: Final = (
    _row(Decision.AUTHORIZE, "never connected, or disconnected", Fact.UNKNOWN),
    _row(Decision.MISMATCH, "another client's token would be refused", Fact.FOREIGN),
    _row(Decision.AUTHORIZE, "the standing says so: no call", Fact.NEEDS_USER),
    # Its first use would close the window that the other's replay relies on.
    _row(Decision.WAIT, "rule 19", Fact.CONTESTED),
    _row(Decision.USE, "nothing to do", Fact.FRESH),
    # A sibling was faster; refreshing its token too would spend one for nothing.
    _row(Decision.USE, "use theirs", Fact.REPLACED, Fact.USABLE),
    _row(Decision.USE, "while it lives", Fact.NO_REFRESH_TOKEN, Fact.USABLE),
    _row(Decision.END, "nothing to refresh with", Fact.NO_REFRESH_TOKEN),
    # A token that was never accepted is not made better by another one like it.
    _row(Decision.HAND_BACK, "rule 20: the interval doubles", Fact.HELD_BACK),
    _row(Decision.USE, "rule 16: meanwhile", Fact.BACKING_OFF, Fact.USABLE),
    _row(Decision.REMEMBERED, "rule 16", Fact.BACKING_OFF),
    _row(Decision.USE, "the provider's minimum age", Fact.TOO_EARLY, Fact.USABLE),
    # Spending again at once would orphan the answer that is one tick late.
    _row(Decision.USE, "rule 4a", Fact.UNFINISHED, Fact.USABLE),
    _row(
        Decision.REPLAY,
        "rules 4b, 5 and 18",
        Fact.LEASED,
        Fact.UNFINISHED,
        Fact.WINDOW,
    ),
    _row(Decision.LAST_RESORT, "rules 4c and 5", Fact.LEASED, Fact.UNFINISHED),
    _row(Decision.SPEND, "the ordinary refresh", Fact.LEASED),
    _row(Decision.LEASE, "rule 10: nobody refreshes unguarded"),
)


@frozen
class Ending:
    """What an unsuccessful answer leaves behind.

    Attributes:
        restore: Whether it proves that nothing was spent, so that the intent goes
            back to what the flight found (rule 2).  Otherwise it stays (rule 3).

        back_off: What is remembered.

        why: The reason.
    """

    restore: bool
    back_off: BackOffKind
    why: str


ENDINGS: Final = {
    OutcomeKind.NOT_SENT: Ending(
        restore=True,
        back_off=BackOffKind.UNAVAILABLE,
        why="no byte of the refresh token left",
    ),
    OutcomeKind.THROTTLED: Ending(
        restore=True,
        back_off=BackOffKind.THROTTLED,
        why="a parsed 429 or 503 was not processed (rule 2)",
    ),
    OutcomeKind.MISCONFIGURED: Ending(
        restore=True,
        back_off=BackOffKind.MISCONFIGURED,
        why="refused before any grant was looked at (RFC 6749 section 5.2)",
    ),
    OutcomeKind.TOO_EARLY: Ending(
        restore=True, back_off=BackOffKind.TOO_EARLY, why="refused as premature"
    ),
    OutcomeKind.UNRECOGNISED: Ending(
        restore=True,
        back_off=BackOffKind.UNRECOGNISED,
        why="a refusal that names no reason: the grant is kept",
    ),
    OutcomeKind.AMBIGUOUS: Ending(
        restore=False,
        back_off=BackOffKind.UNAVAILABLE,
        why="sent, no readable answer: it may have been rotated (rules 2 and 3)",
    ),
}


@frozen
class Situation:
    """What a decision is about, beside the record.

    Attributes:
        wall: The provider's clock, which token expiry is compared with.

        store_now: The store's clock, which leases and back-offs are compared with.

        rejected: Access tokens that the API has rejected.

        accepted: Whether the API has taken the current access token before.

        margin: Seconds for which the token must be good.

        unwanted: An access token to be replaced although nothing is wrong with it.

        leased: Whether this flight holds the lease.

        found: With a lease, the intent that `acquire` found.

        remembered: A failure that the store did not take.

        client_id, token_origin, credential: Of the registration.
    """

    wall: float
    store_now: float
    client_id: str
    token_origin: str
    credential: str
    rejected: frozenset[str] = field(default=frozenset(), repr=False)
    accepted: bool = False
    margin: float = 0.0
    unwanted: str | None = field(default=None, repr=False)
    leased: bool = False
    found: Intent | None = None
    remembered: BackOff | None = None

    @property
    def ahead(self) -> float:
        """Seconds by which the provider is ahead of the store's clock."""
        return self.wall - self.store_now


def decide(facts: frozenset[Fact]) -> Row:
    """The first row of `DECISIONS` whose facts all hold."""
    return next(row for row in DECISIONS if row.facts <= facts)


def lifetime_of(record: TokenRecord, ahead: float) -> float:
    """Seconds from the token's minting to its end; an hour if it has no end.

    Args:
        record: Its end is by the provider's clock, its minting by the store's.

        ahead: Seconds by which the provider is ahead of the store.
    """
    if record.token.expires_at is None:
        return 3600.0
    minted_at = record.minted_at + ahead
    return max(0.0, record.token.expires_at.timestamp() - minted_at)


def leeway_of(provider: Provider, record: TokenRecord, ahead: float = 0.0) -> float:
    """Seconds before its end from which the token is stale: at most half its life."""
    if record.token.expires_at is None:
        return 0.0
    return min(provider.leeway, lifetime_of(record, ahead) / 2)


def _wanted_life(provider: Provider, record: TokenRecord, at: Situation) -> float:
    """Seconds of life asked for; more than half a lifetime would refresh for ever."""
    return max(
        leeway_of(provider, record, at.ahead),
        min(at.margin, lifetime_of(record, at.ahead) / 2),
    )


def active_back_off(record: TokenRecord, at: Situation) -> BackOff | None:
    """The remembered failure that forbids an attempt now, the longest one.

    A throttle counts for the account; MISCONFIGURED for the credential, so that a new
    secret clears it; the rest for the refresh token (rule 16).
    """
    about = {
        BackOffKind.THROTTLED: "",
        BackOffKind.MISCONFIGURED: at.credential,
    }
    running = [
        back_off
        for back_off in (record.throttle, record.back_off, at.remembered)
        if back_off is not None
        and back_off.until > at.store_now
        and back_off.fingerprint == about.get(back_off.kind, record.refresh_fingerprint)
    ]
    return max(running, key=lambda back_off: back_off.until, default=None)


def facts_of(
    record: TokenRecord | None, at: Situation, provider: Provider, timing: Timing
) -> frozenset[Fact]:
    """Everything in the table that is true of *record* now."""
    if record is None:
        return frozenset({Fact.UNKNOWN})
    rejected = record.token.access_token in at.rejected
    usable = _usable(record, at.wall) and not rejected
    # Where nothing rotates, presenting the refresh token again harms nobody.
    unfinished = None if provider.rotation == "never" else _unfinished(record, at)
    holding = {
        Fact.FOREIGN: (record.client_id, record.token_origin)
        != (at.client_id, at.token_origin),
        Fact.NEEDS_USER: record.standing is Standing.NEEDS_AUTHORIZATION,
        Fact.CONTESTED: bool(provider.replay_window)
        and not at.leased
        and record.live_intent is None
        and record.lease is not None
        and record.lease.until > at.store_now,
        Fact.USABLE: usable,
        Fact.FRESH: usable
        and record.token.access_token != at.unwanted
        and _usable(record, at.wall + _wanted_life(provider, record, at)),
        Fact.REPLACED: bool(at.rejected) and not rejected,
        Fact.NO_REFRESH_TOKEN: record.token.refresh_token is None,
        Fact.HELD_BACK: rejected
        and not at.accepted
        and at.store_now < record.minted_at + _rejection_interval(record, at.ahead),
        Fact.BACKING_OFF: active_back_off(record, at) is not None,
        Fact.TOO_EARLY: at.store_now < record.minted_at + provider.minimum_age,
        Fact.UNFINISHED: unfinished is not None,
        Fact.WINDOW: unfinished is not None
        and _window_open(unfinished, at.store_now, provider, timing),
        Fact.LEASED: at.leased,
    }
    return frozenset(fact for fact, holds in holding.items() if holds)


def _usable(record: TokenRecord, until: float) -> bool:
    token = record.token
    if token.access_token is None:
        return False
    return token.expires_at is None or until < token.expires_at.timestamp()


def _unfinished(record: TokenRecord, at: Situation) -> Intent | None:
    """Somebody's attempt without an answer on record.

    Before the lease is held, an intent under a running lease is an attempt in
    progress: wait for it.  With the lease held, what counts is what `acquire` found.
    """
    if at.leased:
        return at.found
    if record.lease is not None and record.lease.until > at.store_now:
        return None
    return record.live_intent


def _window_open(
    intent: Intent, now: float, provider: Provider, timing: Timing
) -> bool:
    """Rule 18: even the slowest replay must be processed before the window closes."""
    window = provider.replay_window
    if window < timing.deadline + timing.grace + timing.linger:
        return False
    return now + timing.linger <= intent.first_sent_at + window


def _rejection_interval(record: TokenRecord, ahead: float) -> float:
    """How long a successor that is rejected too gets the benefit of the doubt.

    It doubles with every one of them, up to one per lifetime.
    """
    if record.rejections == 0:
        return 0.0
    life = lifetime_of(record, ahead)
    return min(min(5.0, life / 10) * 2.0 ** min(record.rejections - 1, 32), life)


def proven_after(record: TokenRecord, ahead: float) -> float:
    """The age at which a token that was never rejected must have been good."""
    return max(_rejection_interval(record, ahead), lifetime_of(record, ahead) / 10)
