"""Whatever a token endpoint answers is one of eight things, and tells no secret."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbearer import Registration, Token
from everbearer.providers import CAMINVOICE, XERO, standard_provider
from everbearer.stores._serialize import dump_secret
from everbearer.token_endpoint import (
    Granted,
    RefreshGrant,
    classify,
    is_acceptable_token,
    parsed,
    storable,
    token_request,
)
from everbearer.token_endpoint._document import decompressed
from everbearer.token_endpoint._spans import retry_after
from everbearer.tokens import AccountKey, TokenRecord

ASKED_AT = 1_800_000_000.0
TEN_YEARS = 10 * 366 * 86400
STANDARD = standard_provider(
    "standard",
    authorize_url="https://login.example/authorize",
    token_url="https://login.example/token",
    api_base="https://api.example",
    keep_extra=("business_info",),
)
ALL = st.sampled_from([STANDARD, CAMINVOICE, XERO])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NASTY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", " ", "3600", "-1", "1e999", "15m", "at\r\nX: y", "é", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = (
    "access_token",
    "accessToken",
    "refresh_token",
    "refreshToken",
    "expires_in",
    "expiresIn",
    "expires_at",
    "scope",
    "error",
    "error_description",
    "message",
    "business_info",
    "id_token",
)
MEMBERS = st.dictionaries(st.sampled_from(NAMES), NASTY)
STATUS = st.sampled_from([200, 201, 204, 302, 307, 400, 401, 403, 429, 500, 503])
SECRET = 'canary-refresh-token/+= "\\ü'


def classified(document, *, provider=STANDARD, status=200, **options):
    """What *document*, as JSON or as bytes, means."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return classify(
        provider,
        **{
            "status": status,
            "headers": {"content-type": "application/json"},
            "body": body,
            "asked_at": ASKED_AT,
            "now": ASKED_AT,
            **options,
        },
    )


def shown(outcome):
    """All that is printed of it."""
    return (outcome.description, getattr(outcome, "code", ""))


def record_of(token):
    return TokenRecord(AccountKey("billit", "acme"), "i", 1, token, 0.0)


@given(provider=ALL, members=MEMBERS, status=STATUS)
def test_what_is_granted_can_be_sent_and_stored(provider, members, status):
    """No answer makes a token that breaks a header, a record or the calendar."""
    outcome = classified(members, provider=provider, status=status)
    if not isinstance(outcome, Granted):
        return
    token = outcome.token
    assert 200 <= status < 300
    assert not members.get("error")
    assert is_acceptable_token(token.access_token)
    assert token.refresh_token is None or is_acceptable_token(token.refresh_token)
    for ends in (token.expires_at, token.refresh_expires_at):
        lives = ends.timestamp() - ASKED_AT if ends else 0.0
        assert 0 <= lives <= TEN_YEARS
    # A lone surrogate among what is kept would not get into a column of text.
    json.dumps([token.scope, dict(token.extra)], ensure_ascii=False).encode()
    assert json.loads(dump_secret(record_of(token), {}))["extra"] == token.extra


@given(expires_in=NASTY, refresh_token=st.none() | st.just("rt-2"))
def test_a_lifetime_that_is_nonsense_costs_nothing(expires_in, refresh_token):
    """A good token beside it is a rotation that must not be lost."""
    members = {"access_token": "at-2", "expires_in": expires_in}
    if refresh_token is not None:
        members["refresh_token"] = refresh_token
    outcome = classified(members)
    assert isinstance(outcome, Granted)
    assert outcome.token.refresh_token == refresh_token


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        pytest.param("3600", 3600, id="whole"),
        pytest.param('"3600"', 3600, id="text"),
        pytest.param("3600.5", 3600.5, id="fraction"),
        pytest.param("3.6e3", 3600, id="exponent"),
        pytest.param('" 3600 "', 3600, id="spaces"),
        pytest.param("-1", None, id="negative"),
        pytest.param("0", None, id="zero"),
        pytest.param("-0.0", None, id="minus zero"),
        pytest.param("1e999", None, id="beyond a float"),
        pytest.param("9" * 5000, None, id="endless"),
        pytest.param("99999999999", None, id="three thousand years"),
        pytest.param("NaN", None, id="not a number"),
        pytest.param("Infinity", None, id="infinite"),
        pytest.param('"NaN"', None, id="not a number, as text"),
        pytest.param("true", None, id="true"),
        pytest.param("null", None, id="null"),
        pytest.param("[3600]", None, id="list"),
        pytest.param('{"seconds":3600}', None, id="nested"),
        pytest.param('"soon"', None, id="word"),
        pytest.param('""', None, id="empty"),
    ],
)
def test_expires_in(expires_in, seconds):
    """Nonsense is nothing: the token ends when the API says so."""
    outcome = classified(f'{{"access_token":"at","expires_in":{expires_in}}}'.encode())
    ends = outcome.token.expires_at
    assert (ends and ends.timestamp() - ASKED_AT) == seconds


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("two words", id="space"),
        pytest.param("at\r\nX-Admin: 1", id="header injection"),
        pytest.param("at\n", id="line end"),
        pytest.param("at\0", id="nul"),
        pytest.param("at\x7f", id="delete"),
        pytest.param("at\x85", id="next line"),
        pytest.param("tokén", id="not ASCII"),
        pytest.param("\ud800", id="half a character"),
        pytest.param("a" * 65_537, id="more than 64 kB"),
    ],
)
def test_a_token_that_no_header_takes(name, value):
    """It replaces nothing; and as one was issued, nobody knows what became of ours."""
    members = {"access_token": "at-2", "refresh_token": "rt-2", name: value}
    outcome = classified(members)
    assert outcome.kind == "ambiguous"
    assert value not in outcome.description


def test_a_token_of_64_kilobytes():
    """The longest that is taken."""
    assert classified({"access_token": "a" * 65_536}).kind == "granted"


@given(
    status=STATUS,
    body=st.binary(max_size=300) | MEMBERS.map(json.dumps).map(str.encode),
    content_type=st.text(max_size=30),
    pause=st.text(max_size=30),
)
def test_anything_at_all(status, body, content_type, pause):
    """What it says is one printable line of bounded length, and a pause is a pause."""
    headers = {"Content-Type": content_type, "Retry-After": pause}
    outcome = classified(body, status=status, headers=headers)
    for text in shown(outcome):
        assert text.isprintable()
        assert len(text) <= 203
    waits = getattr(outcome, "retry_after", None)
    assert waits is None or 0 <= waits <= 86400


@given(
    status=STATUS,
    encoding=st.sampled_from(["form", "json"]),
    name=st.sampled_from(["error", "error_description", "message", "reason"]),
    before=TEXT,
    after=TEXT,
    as_page=st.booleans(),
    spelling=st.integers(0, 9),
)
def test_an_echo_of_a_secret_is_hidden(
    status, encoding, name, before, after, as_page, spelling
):
    """Error bodies have echoed the refresh token: in no spelling is it shown."""
    request = token_request(
        Registration(STANDARD.with_encoding(encoding), "id", "s3cret/é"),
        RefreshGrant(SECRET),
        "s3cret/é",
    )
    echo = request.secrets[spelling % len(request.secrets)]
    said = before + echo + after
    body = said.encode() if as_page else json.dumps({name: said}).encode()
    outcome = classified(body, status=status, secrets=request.secrets)
    for text in shown(outcome):
        assert not [secret for secret in request.secrets if secret in text]


@given(value=NASTY)
def test_what_is_kept_can_be_written(value):
    """Whether a member can be kept is known before the record is written."""
    if storable(value):
        dump_secret(record_of(Token("at", extra={"kept": value})), {})
        json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize("deep", [33, 100, 500])
def test_what_is_kept_is_not_deep(deep):
    """Python's json can go deeper where it reads than where it writes.

    A rotation whose record cannot be written is lost with its process.
    """
    nested = "[" * deep + "]" * deep
    body = f'{{"access_token":"at","business_info":{nested}}}'.encode()
    outcome = classified(body)
    assert outcome.kind == "granted"
    assert outcome.token.extra == {}


@given(seconds=st.integers(0, 10**9), spaces=st.text(" \t"))
def test_a_wait_in_seconds(seconds, spaces):
    """It is as long as the server says, up to a day, whatever the letter case."""
    headers = {"retry-AFTER": f"{spaces}{seconds}{spaces}"}
    assert retry_after(headers, ASKED_AT) == min(seconds, 86400)


@given(ahead=st.integers(-(10**6), 10**6))
def test_a_wait_until_a_date(ahead):
    """An HTTP date counts from now, and one that has passed is now."""
    date = datetime.fromtimestamp(ASKED_AT + ahead, UTC)
    headers = {"Retry-After": date.strftime("%a, %d %b %Y %H:%M:%S GMT")}
    assert retry_after(headers, ASKED_AT) == min(max(ahead, 0), 86400)


@given(body=st.binary(max_size=500), codings=st.text("gzipdeflate, x-", max_size=30))
def test_decompressing_is_bounded(body, codings):
    """Whatever the coding is said to be, no more than what is allowed comes out."""
    plain = decompressed(body, codings, 1000)
    assert plain is None or len(plain) <= 1000


@given(plain=st.binary(max_size=300), times=st.integers(1, 2))
def test_what_is_compressed_is_read(plain, times):
    """A coding that nobody asked for is undone, even twice."""
    packed = plain
    for _ in range(times):
        packed = gzip.compress(packed)
    assert decompressed(packed, ", ".join(["gzip"] * times), 1000) == plain


@given(document=NASTY, charset=st.sampled_from(["utf-8", "utf-16", "utf-32", "latin"]))
def test_json_reads_in_any_unicode(document, charset):
    """RFC 8259 says UTF-8; the other forms are told by their bytes, not by a label."""
    body = json.dumps(document).encode("utf-8" if charset == "latin" else charset)
    label = "text/html; charset=iso-8859-1"
    assert parsed(body, label) == parsed(json.dumps(document).encode())
