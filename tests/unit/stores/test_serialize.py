"""Records written and read: what went in comes out, nonsense is an error of ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from everbearer import ConfigurationError, StoreError, Token
from everbearer.errors import Reason
from everbearer.stores._serialize import (
    dump_pending,
    dump_record,
    dump_secret,
    parse_pending,
    parse_record,
)
from everbearer.tokens import (
    AccountKey,
    BackOff,
    BackOffKind,
    Intent,
    Lease,
    PendingAuthorization,
    Standing,
    TokenRecord,
)

SECRET = "a-refresh-token-nobody-sees"
KEY = AccountKey("billit", "acme")
RECORD = TokenRecord(KEY, "incarnation", 1, Token("access-1", "refresh-1"), 0.0)
ROW = dump_record(RECORD) | {"state_fingerprint": "f"}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.floats(-1e10, 1e10)
WHOLE = st.integers(0, 2**53)
MOMENT = st.floats(0, 1e10).map(lambda epoch: datetime.fromtimestamp(epoch, UTC))
MAYBE = st.none() | MOMENT
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBER | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=8,
)
EXTRA = st.dictionaries(TEXT, JSON, max_size=3)
TOKEN = st.builds(
    Token,
    access_token=st.none() | TEXT,
    refresh_token=st.none() | TEXT,
    expires_at=MAYBE,
    refresh_expires_at=MAYBE,
    scope=st.none() | TEXT,
    extra=EXTRA,
)
BACK_OFF = st.builds(
    BackOff,
    kind=st.sampled_from(BackOffKind),
    until=NUMBER,
    fingerprint=TEXT,
    attempts=WHOLE,
    first_at=NUMBER,
    message=TEXT,
)
RECORDS = st.builds(
    TokenRecord,
    key=st.builds(AccountKey, TEXT, TEXT),
    incarnation=TEXT,
    version=WHOLE,
    token=TOKEN,
    minted_at=NUMBER,
    standing=st.sampled_from(Standing),
    reason=st.none() | st.sampled_from(Reason.__args__),
    since=st.none() | NUMBER,
    detail=TEXT,
    client_id=TEXT,
    token_origin=TEXT,
    lease=st.none() | st.builds(Lease, TEXT, TEXT, NUMBER),
    intent=st.none()
    | st.builds(Intent, TEXT, NUMBER, NUMBER, st.lists(TEXT).map(tuple), TEXT),
    back_off=st.none() | BACK_OFF,
    throttle=st.none() | BACK_OFF,
    rejections=WHOLE,
    known=st.lists(TEXT, max_size=3).map(tuple),
)
MEMBERS = {"access_token", "refresh_token", "scope", "extra", "descent"}


@given(record=RECORDS, newer=EXTRA)
def test_what_is_written_is_read(record, newer):
    """A record comes back as it was, and what a newer release wrote beside it too."""
    unknown = {name: value for name, value in newer.items() if name not in MEMBERS}
    stored = parse_record(dump_record(record), dump_secret(record, unknown))
    # To the microsecond: an instant is stored as a float, which is about as fine.
    wanted, token = record.token, stored.record.token
    for name in ("expires_at", "refresh_expires_at"):
        before, after = getattr(wanted, name), getattr(token, name)
        assert (before is None) == (after is None)
        if before is not None:
            assert abs((before - after).total_seconds()) < 1e-5
            wanted = evolve(wanted, **{name: after})
    assert token == wanted
    assert stored.record == evolve(record, token=token)
    assert stored.unknown == unknown


@given(
    redirect_uri=st.none() | TEXT,
    code_verifier=st.none() | TEXT,
    scopes=st.lists(TEXT, max_size=3).map(tuple),
)
def test_a_pending_authorization_is_read(redirect_uri, code_verifier, scopes):
    """What was kept for the callback comes back as it was."""
    pending = PendingAuthorization("f", KEY, redirect_uri, code_verifier, scopes, 0.0)
    row = {**ROW, "expires_at": pending.expires_at}
    assert parse_pending(row, dump_pending(pending)) == pending


def refusal(parse, row, plain):
    """The error that it is refused with; none where it reads."""
    try:
        parse(row, plain)
    except StoreError as error:
        return error
    return None


NASTY = JSON | st.just(SECRET) | st.sampled_from([1e300, -1e300, 1e18, 2**70])
COLUMN = st.none() | st.integers() | st.floats() | TEXT | st.just("[[[[") | NASTY


@given(
    columns=st.dictionaries(
        # The account's name is told: it is how an operator finds the record.
        st.sampled_from(sorted(set(ROW) - {"account", "provider"})),
        COLUMN,
    ),
    plain=st.binary() | NASTY.map(json.dumps).map(str.encode),
)
def test_nonsense_is_an_error_of_ours(columns, plain):
    """Whatever stands in a row, it is a record or a StoreError that tells no secret."""
    for parse in (parse_record, parse_pending):
        error = refusal(parse, {**ROW, **columns}, plain)
        assert SECRET not in str(error)
        # Nothing that hangs on to it either: reports show the locals of a context.
        assert error is None or error.__context__ is None


@pytest.mark.parametrize("parse", [parse_record, parse_pending])
@pytest.mark.parametrize(
    ("columns", "plain"),
    [
        pytest.param({}, b"", id="nothing"),
        pytest.param({}, b"[", id="cut off"),
        pytest.param({}, b"\xff", id="not text"),
        pytest.param({}, b"7", id="a number"),
        pytest.param({}, b"[" * 100_000, id="deep"),
    ],
)
def test_what_is_no_record(parse, columns, plain):
    """The operator is told, with the account and without a traceback of cattrs."""
    with pytest.raises(StoreError, match="acme"):
        parse({**ROW, **columns}, plain)


@pytest.mark.parametrize(
    ("columns", "plain"),
    [
        pytest.param({}, b"[]", id="a list"),
        pytest.param({}, b'""', id="a text"),
        pytest.param({}, b'{"extra":[]}', id="members that are a list"),
        pytest.param({"expires_at": 1e18}, b"{}", id="beyond the calendar"),
        pytest.param({"expires_at": 1e300}, b"{}", id="beyond any integer"),
        pytest.param({"known": "[" * 100_000}, b"{}", id="deep in a column"),
    ],
)
def test_a_token_record_that_is_none(columns, plain):
    """Nothing gets out as an AttributeError, an OSError or a RecursionError."""
    with pytest.raises(StoreError, match="acme"):
        parse_record({**ROW, **columns}, plain)


def test_a_token_that_is_too_deep_to_be_written():
    """Python's json gives up with a RecursionError, which nobody would expect."""
    inner: list[object] = []
    token = Token("access-1", extra={"deep": inner})
    for _ in range(200_000):
        inner.append(inner := [])
    with pytest.raises(ConfigurationError, match="extra"):
        dump_secret(TokenRecord(KEY, "i0", 1, token, 0.0), {})
    inner = token.extra["deep"]
    while inner:  # Or its end would be as deep.
        inner = inner.pop()
