"""What a Date header teaches: its boundaries, and what it does not."""

from __future__ import annotations

import json
import logging
from email.utils import formatdate

import pytest
from attrs import evolve

from everbearer.providers import AccessTokenSpan, Registration
from everbearer.token_endpoint import RefreshGrant, Skews, TokenEndpoint

NOW = 1_800_000_000.0
DAY = 86400.0


class Host:
    """A machine whose date is set by hand; what is elapsed counts on."""

    def __init__(self, date=NOW):
        self.date, self.up = date, 1000.0

    def wall(self):
        return self.date

    def elapsed(self):
        return self.up

    def boot(self):
        return "boot"


def dated(seconds, name="Date"):
    return {name: formatdate(seconds, usegmt=True)}


def corrected(headers, *, took=0.0, host=None):
    """By how much an answer with these headers moves the time."""
    host = host or Host()
    skews = Skews(host)
    skews.heard("billit", headers, host.up - took / 2, host.up + took / 2)
    return skews.now("billit") - NOW


@pytest.mark.parametrize(
    ("off", "took", "by"),
    [
        pytest.param(61.0, 0.0, 0.0, id="a-minute-and-the-granularity"),
        pytest.param(62.0, 0.0, 62.0, id="over-a-minute"),
        pytest.param(-61.0, 0.0, 0.0, id="a-minute-ahead"),
        pytest.param(-62.0, 0.0, -62.0, id="over-a-minute-ahead"),
        pytest.param(90.0, 29.0, 0.0, id="perhaps-the-answer-was-slow"),
        pytest.param(92.0, 29.0, 92.0, id="slow-and-still-sure"),
        pytest.param(3600.0, 0.2, 3600.0, id="an-hour"),
        pytest.param(398 * DAY, 0.0, 398 * DAY, id="a-year"),
        pytest.param(399 * DAY, 0.0, 0.0, id="no-certificate-lives-so-long"),
        pytest.param(-NOW, 0.0, 0.0, id="1970"),
    ],
)
def test_how_far_off(off, took, by):
    """Surely over a minute is corrected, at the middle of the request; no nonsense."""
    assert corrected(dated(NOW + off), took=took) == pytest.approx(by)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Date": ""}, id="empty"),
        pytest.param({"Date": "yesterday"}, id="words"),
        pytest.param({"Date": "Sun, 99 Foo 2027 08:49:37 GMT"}, id="no-such-day"),
        pytest.param({"Date": str(NOW)}, id="a-number"),
        pytest.param({"Date": "x" * 100_000}, id="long"),
        pytest.param({**dated(NOW + 3600), "Age": "3600"}, id="from-a-cache"),
        pytest.param(dated(NOW + 3600, "Last-Modified"), id="another-date"),
    ],
)
def test_what_tells_nothing(headers):
    """A date that is none, or not that of the answer."""
    assert corrected(headers) == 0.0


def test_letter_case():
    """Header names have none (RFC 9110 section 5.1)."""
    assert corrected(dated(NOW + 3600, "dAtE")) == pytest.approx(3600.0)


def test_each_registration_has_its_own():
    """One provider's wrong clock is no matter of the others'."""
    host = Host()
    skews = Skews(host)
    skews.heard("billit", dated(NOW + 3600), host.up, host.up)
    assert skews.now("billit") == NOW + 3600
    assert skews.now("xero") == NOW


def test_one_warning(caplog):
    """Said loudly once, with the distance; later corrections are details."""
    host, moved = Host(), []
    skews = Skews(host)
    skews.listen(moved.append)
    with caplog.at_level(logging.DEBUG, logger="everbearer.token_endpoint"):
        for off in (3600, 3600.4, 3630, 3700, 0):
            skews.heard("billit", dated(NOW + off), host.up, host.up, account="acme")
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in said] == ["WARNING", "DEBUG", "DEBUG"]
    assert "billit: this host's clock is 3600 s behind the provider's" in said[0][1]
    assert moved == ["billit"] * 3
    assert skews.now("billit") == NOW


def test_ahead(caplog):
    """The warning says in which direction the date is wrong."""
    corrected(dated(NOW - 7200))
    assert "7200 s ahead of the provider's" in caplog.text


def test_a_date_that_is_set_changes_nothing():
    """The date is read once and counted on, so that no token seems to age at once."""
    host = Host()
    skews = Skews(host)
    host.date += 3600
    assert skews.now("billit") == NOW
    host.up += 10
    assert skews.now("billit") == NOW + 10


def described(registration, *spans):
    provider = registration.provider
    answer = evolve(provider.answer, spans=spans)
    return Registration(evolve(provider, answer=answer), "client-id", "a-secret")


@pytest.mark.asyncio
@pytest.mark.parametrize("off", [7200.0, -7200.0], ids=["behind", "ahead"])
@pytest.mark.parametrize(
    ("span", "value"),
    [
        pytest.param("seconds", 3600, id="seconds"),
        pytest.param("instant", NOW + 3600, id="epoch"),
        pytest.param("instant", "2027-01-15T09:00:00Z", id="iso"),
    ],
)
async def test_an_expiry_is_a_true_instant(
    server, session, registration, span, value, off
):
    """However the provider writes it, and however wrong this host's date is.

    The very answer that shows the skew is read by it.
    """
    body = json.dumps({"access_token": "at-2", "expires": value}).encode()
    date = formatdate(NOW, usegmt=True).encode()
    head = b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: %d\r\n\r\n"
    server.answers(head % (date, len(body)) + body)

    async def opened():
        return session

    outcome = await TokenEndpoint(opened, Host(NOW - off)).ask(
        described(registration, AccessTokenSpan("expires", span)),
        RefreshGrant("rt-1"),
        total=5.0,
        connect=5.0,
    )
    assert outcome.token.expires_at.timestamp() == pytest.approx(NOW + 3600, abs=2)


@pytest.mark.asyncio
async def test_retry_after_is_a_true_instant(server, session, registration):
    """A date to come back at is the provider's date."""
    dates = [formatdate(NOW + wait, usegmt=True).encode() for wait in (0, 30)]
    head = b"HTTP/1.1 429 Slow\r\nDate: %b\r\nRetry-After: %b\r\n"
    server.answers(head % tuple(dates) + b"Content-Length: 0\r\n\r\n")

    async def opened():
        return session

    outcome = await TokenEndpoint(opened, Host(NOW - 7200)).ask(
        registration, RefreshGrant("rt-1"), total=5.0, connect=5.0
    )
    assert outcome.retry_after == pytest.approx(30, abs=2)
