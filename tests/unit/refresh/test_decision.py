"""The decision table: each row, its boundaries, and that it covers everything."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from attrs import evolve

from everbearer.providers import BILLIT
from everbearer.refresh._decision import (
    DECISIONS,
    ENDINGS,
    Decision,
    Fact,
    Situation,
    active_back_off,
    decide,
    facts_of,
    leeway_of,
)
from everbearer.refresh._timing import Timing
from everbearer.token_endpoint import OutcomeKind
from everbearer.tokens import (
    AccountKey,
    BackOff,
    BackOffKind,
    Intent,
    Lease,
    Standing,
    Token,
    TokenRecord,
)

NOW = 1_800_000_000.0
TIMING = Timing()


def at(epoch: float) -> datetime:
    """The instant *epoch*."""
    return datetime.fromtimestamp(epoch, UTC)


RECORD = TokenRecord(
    key=AccountKey("billit", "acme"),
    incarnation="i",
    version=1,
    token=Token("access-0", "refresh-0", at(NOW + 1800)),
    minted_at=NOW - 1800,
    client_id="id",
    token_origin="https://api.billit.be",
)
SITUATION = Situation(
    wall=NOW,
    store_now=NOW,
    client_id="id",
    token_origin="https://api.billit.be",
    credential="credential",
)
EXPIRED = evolve(RECORD, token=Token("access-0", "refresh-0", at(NOW)))
STALE = evolve(RECORD, token=Token("access-0", "refresh-0", at(NOW + 30)))
INTENT = Intent(RECORD.refresh_fingerprint, NOW - 100, NOW - 100, ("f0",), "h")


def back_off(kind: BackOffKind, about: str, until: float = NOW + 1) -> BackOff:
    """A remembered failure."""
    return BackOff(kind, until, about, 1, NOW, "why")


def decided(
    record: TokenRecord | None,
    situation: Situation = SITUATION,
    provider: object = BILLIT,
) -> Decision:
    """What the table says."""
    return decide(facts_of(record, situation, provider, TIMING)).decision


REJECTED = evolve(SITUATION, rejected=frozenset({"access-0"}))
LEASED = evolve(SITUATION, leased=True)
WINDOWED = evolve(BILLIT, replay_window=1800.0)


@pytest.mark.parametrize(
    ("record", "situation", "decision"),
    [
        pytest.param(None, SITUATION, Decision.AUTHORIZE, id="never-connected"),
        pytest.param(RECORD, SITUATION, Decision.USE, id="fresh"),
        pytest.param(STALE, SITUATION, Decision.LEASE, id="stale"),
        pytest.param(EXPIRED, SITUATION, Decision.LEASE, id="expired-this-instant"),
        pytest.param(RECORD, REJECTED, Decision.LEASE, id="rejected"),
        pytest.param(
            RECORD,
            evolve(SITUATION, rejected=frozenset({"older"})),
            Decision.USE,
            id="already-replaced",
        ),
        pytest.param(
            STALE,
            evolve(SITUATION, rejected=frozenset({"older"})),
            Decision.USE,
            id="already-replaced-and-stale",
        ),
        pytest.param(
            EXPIRED,
            evolve(SITUATION, rejected=frozenset({"older"})),
            Decision.LEASE,
            id="already-replaced-and-expired-too",
        ),
        pytest.param(
            RECORD,
            evolve(SITUATION, unwanted="access-0"),
            Decision.LEASE,
            id="on-demand",
        ),
        pytest.param(
            evolve(RECORD, standing=Standing.NEEDS_AUTHORIZATION),
            REJECTED,
            Decision.AUTHORIZE,
            id="needs-user-no-call",
        ),
        pytest.param(
            evolve(RECORD, client_id="other"),
            SITUATION,
            Decision.MISMATCH,
            id="another-client",
        ),
        pytest.param(
            evolve(RECORD, token_origin="https://other"),
            SITUATION,
            Decision.MISMATCH,
            id="another-token-endpoint",
        ),
        pytest.param(
            evolve(STALE, token=Token("access-0", None, at(NOW + 30))),
            SITUATION,
            Decision.USE,
            id="no-refresh-token-while-it-lives",
        ),
        pytest.param(
            evolve(RECORD, token=Token("access-0", None, at(NOW))),
            SITUATION,
            Decision.END,
            id="no-refresh-token-at-its-end",
        ),
        pytest.param(
            evolve(RECORD, minted_at=NOW),
            REJECTED,
            Decision.LEASE,
            id="rule-20-first-rejection",
        ),
        pytest.param(
            evolve(RECORD, minted_at=NOW - 4.9, rejections=1),
            REJECTED,
            Decision.HAND_BACK,
            id="rule-20-young",
        ),
        pytest.param(
            evolve(RECORD, minted_at=NOW - 5, rejections=1),
            REJECTED,
            Decision.LEASE,
            id="rule-20-no-longer-young",
        ),
        pytest.param(
            evolve(RECORD, minted_at=NOW - 1, rejections=1),
            evolve(REJECTED, accepted=True),
            Decision.LEASE,
            id="rule-20-young-but-proven",
        ),
        pytest.param(
            evolve(RECORD, minted_at=NOW - 9, rejections=2),
            REJECTED,
            Decision.HAND_BACK,
            id="rule-20-doubled",
        ),
        pytest.param(
            evolve(RECORD, minted_at=NOW - 10, rejections=2),
            REJECTED,
            Decision.LEASE,
            id="rule-20-doubled-and-over",
        ),
        pytest.param(
            evolve(EXPIRED, throttle=back_off(BackOffKind.THROTTLED, "")),
            SITUATION,
            Decision.REMEMBERED,
            id="rule-16-throttled",
        ),
        pytest.param(
            evolve(STALE, throttle=back_off(BackOffKind.THROTTLED, "")),
            SITUATION,
            Decision.USE,
            id="rule-16-throttled-meanwhile",
        ),
        pytest.param(
            evolve(EXPIRED, throttle=back_off(BackOffKind.THROTTLED, "", NOW)),
            SITUATION,
            Decision.LEASE,
            id="rule-16-throttle-over",
        ),
        pytest.param(
            evolve(EXPIRED, back_off=back_off(BackOffKind.UNAVAILABLE, "another")),
            SITUATION,
            Decision.LEASE,
            id="rule-16-about-another-refresh-token",
        ),
        pytest.param(
            evolve(EXPIRED, back_off=back_off(BackOffKind.MISCONFIGURED, "old")),
            SITUATION,
            Decision.LEASE,
            id="rule-16-a-new-secret-clears-it",
        ),
        pytest.param(
            evolve(STALE, intent=INTENT), SITUATION, Decision.USE, id="rule-4a"
        ),
        pytest.param(
            evolve(EXPIRED, intent=INTENT),
            SITUATION,
            Decision.LEASE,
            id="rule-4c-needs-the-lease",
        ),
        pytest.param(
            evolve(STALE, intent=INTENT, lease=Lease("f0", "h", NOW + 1)),
            SITUATION,
            Decision.LEASE,
            id="an-attempt-in-progress-is-waited-for",
        ),
        pytest.param(EXPIRED, LEASED, Decision.SPEND, id="spend"),
        pytest.param(
            EXPIRED,
            evolve(LEASED, found=INTENT),
            Decision.LAST_RESORT,
            id="rule-4c",
        ),
        pytest.param(
            STALE, evolve(LEASED, found=INTENT), Decision.USE, id="rule-4a-leased"
        ),
        pytest.param(RECORD, LEASED, Decision.USE, id="rule-8-refreshed-meanwhile"),
    ],
)
def test_table(
    record: TokenRecord | None, situation: Situation, decision: Decision
) -> None:
    """Each situation leads to the decision that its rule asks for."""
    assert decided(record, situation) is decision


@pytest.mark.parametrize(
    ("first_sent_ago", "window", "decision"),
    [
        pytest.param(100, 1800.0, Decision.REPLAY, id="open"),
        pytest.param(1740, 1800.0, Decision.REPLAY, id="just-open"),
        pytest.param(1741, 1800.0, Decision.LAST_RESORT, id="would-arrive-too-late"),
        pytest.param(10, 129.0, Decision.LAST_RESORT, id="window-below-D+G+X"),
        pytest.param(10, 130.0, Decision.REPLAY, id="window-of-D+G+X"),
    ],
)
def test_replay_window(
    first_sent_ago: float, window: float, decision: Decision
) -> None:
    """Rule 18: a replay must be processed before the window closes, or is none."""
    intent = evolve(INTENT, first_sent_at=NOW - first_sent_ago)
    provider = evolve(BILLIT, replay_window=window)
    assert decided(EXPIRED, evolve(LEASED, found=intent), provider) is decision


def test_every_combination_of_facts_is_decided() -> None:
    """No set of facts falls through the table."""
    for size in range(4):
        for facts in itertools.combinations(Fact, size):
            assert decide(frozenset(facts)).decision in Decision


def test_nothing_is_spent_without_the_lease() -> None:
    """Rule 10: every row that spends demands the lease."""
    spending = {Decision.SPEND, Decision.REPLAY, Decision.LAST_RESORT}
    for row in DECISIONS:
        assert row.decision not in spending or Fact.LEASED in row.facts


def test_every_row_can_decide() -> None:
    """No row is hidden by an earlier one: each decides its own facts alone."""
    for row in DECISIONS:
        assert decide(row.facts) is row


def test_an_unfinished_attempt_is_never_simply_spent() -> None:
    """Rule 4: with an intent found, whatever else holds, SPEND is not decided."""
    for size in range(5):
        for facts in itertools.combinations(Fact, size):
            known = frozenset({Fact.UNFINISHED, *facts})
            assert decide(known).decision is not Decision.SPEND


def test_every_failure_has_an_ending() -> None:
    """Each outcome but success and refusal says what it leaves behind."""
    assert set(ENDINGS) == set(OutcomeKind) - {
        OutcomeKind.GRANTED,
        OutcomeKind.REFUSED,
    }


def test_only_an_ambiguous_answer_keeps_the_intent() -> None:
    """Rules 2 and 3: the intent is restored exactly where nothing can be spent."""
    kept = {kind for kind, ending in ENDINGS.items() if not ending.restore}
    assert kept == {OutcomeKind.AMBIGUOUS}


def test_the_longest_back_off_counts() -> None:
    """A short failure does not cut a long throttle."""
    record = evolve(
        EXPIRED,
        throttle=back_off(BackOffKind.THROTTLED, "", NOW + 60),
        back_off=back_off(
            BackOffKind.UNAVAILABLE, EXPIRED.refresh_fingerprint, NOW + 1
        ),
    )
    assert active_back_off(record, SITUATION) is record.throttle


@pytest.mark.parametrize(
    ("lifetime", "leeway"),
    [
        pytest.param(3600, 60, id="ordinary"),
        pytest.param(120, 60, id="exactly-half"),
        pytest.param(2, 1, id="half-of-a-short-life"),
        pytest.param(0, 0, id="dead-on-arrival"),
    ],
)
def test_leeway_is_at_most_half_the_lifetime(lifetime: float, leeway: float) -> None:
    """A leeway of the lifetime or more would refresh without end."""
    record = evolve(RECORD, minted_at=NOW, token=Token("a", "r", at(NOW + lifetime)))
    assert leeway_of(BILLIT, record) == leeway


@pytest.mark.parametrize(
    ("record", "decision"),
    [
        pytest.param(
            evolve(STALE, minted_at=NOW - 99), Decision.USE, id="stale-and-too-young"
        ),
        pytest.param(
            evolve(STALE, minted_at=NOW - 100), Decision.LEASE, id="old-enough"
        ),
        pytest.param(
            evolve(EXPIRED, minted_at=NOW - 99), Decision.LEASE, id="expired-anyway"
        ),
    ],
)
def test_minimum_age(record, decision) -> None:
    """Where the provider does not replace a young token, it is used while it lives."""
    provider = evolve(BILLIT, minimum_age=100.0)
    assert decided(record, provider=provider) is decision
