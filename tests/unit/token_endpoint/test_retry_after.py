"""Retry-After as servers write it (RFC 9110 section 10.2.3)."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from everbearer.token_endpoint import Throttled, classify

NOW = 1_800_000_000.0
DAY = 86400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("0", 0.0, id="now"),
        pytest.param("120", 120.0, id="seconds"),
        pytest.param(" 7 ", 7.0, id="spaces"),
        pytest.param("1.5", 1.5, id="a-fraction"),
        pytest.param(formatdate(NOW + 90, usegmt=True), 90.0, id="date"),
        pytest.param(formatdate(NOW + 90), 90.0, id="date-without-a-zone"),
        pytest.param("Friday, 15-Jan-27 08:01:00 GMT", 60.0, id="obsolete-date"),
        pytest.param(formatdate(NOW - 90, usegmt=True), 0.0, id="a-date-gone-by"),
        pytest.param("86401", DAY, id="over-a-day"),
        pytest.param("9" * 400, DAY, id="endless"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", DAY, id="the-year-9999"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1e9", None, id="exponent"),
        pytest.param("soon", None, id="words"),
        pytest.param("", None, id="empty"),
        pytest.param("NaN", None, id="no-number"),
        pytest.param("\u0661\u0662", None, id="digits-of-another-script"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_how_long(status, value, seconds, registration):
    """Seconds or a date; a day at most, and nonsense is as good as nothing."""
    outcome = classify(
        registration.provider,
        status=status,
        headers={"retry-after": value},
        body=b"",
        asked_at=NOW,
        now=NOW,
    )
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == seconds
