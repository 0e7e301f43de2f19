"""Any record at any moment: it is decided, and decided safely."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from everbearer.errors import Reason
from everbearer.providers import BILLIT
from everbearer.refresh._decision import (
    Decision,
    Fact,
    Situation,
    active_back_off,
    decide,
    facts_of,
    leeway_of,
    proven_after,
)
from everbearer.refresh._timing import Timing
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
SPENDING = {Decision.SPEND, Decision.REPLAY, Decision.LAST_RESORT}
# Near enough to now for every boundary to matter, and far off as a broken clock may be.
MOMENT = (
    st.sampled_from([NOW - 60, NOW - 1, NOW, NOW + 1, NOW + 60])
    | st.floats(NOW - 5000, NOW + 5000)
    | st.floats(0.0, 4e9)
)
TOKENS = ("access-0", "access-1", None)
REFRESH = ("refresh-0", "refresh-1", None)
FINGERPRINTS = [
    TokenRecord(AccountKey("p", "a"), "i", 1, Token("x", each), 0.0).refresh_fingerprint
    for each in REFRESH
] + ["credential"]
NAME = st.sampled_from(["f0", "f1"])


def mostly(usual, *others):
    """What is usual, three times in four: the first rows must not decide it all."""
    return st.sampled_from([usual] * 3 * len(others) + list(others))


TOKEN = st.builds(
    Token,
    access_token=mostly(*TOKENS),
    refresh_token=mostly(*REFRESH),
    expires_at=st.none() | MOMENT.map(lambda epoch: datetime.fromtimestamp(epoch, UTC)),
)
BACK_OFF = st.none() | st.builds(
    BackOff,
    kind=st.sampled_from(BackOffKind),
    until=MOMENT,
    fingerprint=mostly(*FINGERPRINTS),
    attempts=st.integers(1, 1000),
    first_at=MOMENT,
    message=st.just("why"),
)
INTENT = st.none() | st.builds(
    Intent,
    fingerprint=mostly(*FINGERPRINTS),
    first_sent_at=MOMENT,
    last_sent_at=MOMENT,
    flights=st.lists(NAME, max_size=3).map(tuple),
    holder=NAME,
)
RECORD = st.builds(
    TokenRecord,
    key=st.just(AccountKey("billit", "acme")),
    incarnation=st.just("i"),
    version=st.integers(1, 10**9),
    token=TOKEN,
    minted_at=MOMENT,
    standing=mostly(*Standing),
    reason=st.none() | st.sampled_from(Reason.__args__),
    client_id=mostly("id", "other"),
    token_origin=st.just("https://api.billit.be"),
    lease=st.none() | st.builds(Lease, NAME, NAME, MOMENT),
    intent=INTENT,
    back_off=BACK_OFF,
    throttle=BACK_OFF,
    rejections=st.integers(0, 10**6),
)
SITUATION = st.builds(
    Situation,
    wall=MOMENT,
    store_now=MOMENT,
    client_id=st.just("id"),
    token_origin=st.just("https://api.billit.be"),
    credential=st.just("credential"),
    rejected=mostly(frozenset(), frozenset(TOKENS[:1]), frozenset({"access-9"})),
    accepted=st.booleans(),
    margin=st.sampled_from([0.0, 60.0, 1e6]),
    unwanted=mostly(*TOKENS[::-1]),
    leased=mostly(1, 0).map(bool),
    found=INTENT,
    remembered=BACK_OFF,
)
PROVIDER = st.builds(
    lambda **changed: evolve(BILLIT, **changed),
    rotation=mostly("every_use", "never", "sometimes"),
    replay_window=st.sampled_from([0.0, 100.0, 1800.0]),
    minimum_age=st.sampled_from([0.0, 600.0]),
    leeway=st.sampled_from([0.0, 60.0, 1e6]),
)
TIMING = Timing()


def decided(record, at, provider):
    """What the table says."""
    return decide(facts_of(record, at, provider, TIMING)).decision


@given(facts=st.frozensets(st.sampled_from(Fact)))
def test_any_facts(facts):
    """A row is found for every set of facts, and its own facts are among them."""
    row = decide(facts)
    assert row.facts <= facts
    assert row.decision not in SPENDING or Fact.LEASED in facts


@settings(max_examples=400)
@given(record=RECORD, at=SITUATION, provider=PROVIDER)
def test_nothing_is_spent_that_must_not_be(record, at, provider):
    """Not without the lease, against the standing, in a back-off, or for a stranger."""
    decision = decided(record, at, provider)
    if decision not in SPENDING:
        return
    assert at.leased
    assert record.token.refresh_token is not None
    assert record.standing is Standing.CONNECTED
    assert record.client_id == at.client_id
    assert active_back_off(record, at) is None
    if provider.rotation != "never":
        # Rule 4: what may have been sent before is not sent as if it were new.
        assert (decision is Decision.SPEND) == (at.found is None)
    if decision is Decision.REPLAY:
        assert at.store_now + TIMING.linger <= (
            at.found.first_sent_at + provider.replay_window
        )


@settings(max_examples=400)
@given(record=RECORD, at=SITUATION, provider=PROVIDER)
def test_nothing_is_used_that_must_not_be(record, at, provider):
    """A token that is handed out has neither ended by the clock nor been rejected."""
    decision = decided(record, at, provider)
    if decision is not Decision.USE:
        return
    assert record.token.access_token is not None
    assert record.token.access_token not in at.rejected
    ends = record.token.expires_at
    assert ends is None or at.wall < ends.timestamp()
    assert record.standing is Standing.CONNECTED


@given(record=RECORD, at=SITUATION, provider=PROVIDER)
def test_a_decision_stands(record, at, provider):
    """With the lease nobody is told to take it, and without a record to connect."""
    decision = decided(record, evolve(at, leased=True), provider)
    assert decision not in {Decision.LEASE, Decision.WAIT}
    assert decided(None, at, provider) is Decision.AUTHORIZE


@given(record=RECORD, at=SITUATION, provider=PROVIDER)
def test_spans_are_sane(record, at, provider):
    """A leeway is at most half a lifetime and no pause is endless or negative."""
    leeway = leeway_of(provider, record)
    assert leeway >= 0
    ends = record.token.expires_at
    if ends is not None and ends.timestamp() > record.minted_at:
        assert leeway <= (ends.timestamp() - record.minted_at) / 2
        assert proven_after(record, 0.0) <= ends.timestamp() - record.minted_at
    assert 0 <= proven_after(record, 0.0) < 1e11
    if (back_off := active_back_off(record, at)) is not None:
        assert back_off.until > at.store_now
