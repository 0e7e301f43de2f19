"""Lifetimes are read in every form that servers write, and nonsense in none."""

from __future__ import annotations

import math

import pytest

from everbearer.providers import AccessTokenSpan
from everbearer.token_endpoint._spans import Answered, lifetime

ASKED_AT = 1_800_000_000.0  # 2027-01-15 08:00 UTC
TEN_YEARS = 10 * 366 * 86400


def read(form, value, **claims):
    answered = Answered({"member": value}, claims, ASKED_AT)
    return lifetime((AccessTokenSpan("member", form),), answered)


@pytest.mark.parametrize(
    ("form", "value", "seconds"),
    [
        pytest.param("seconds", 3600, 3600, id="number"),
        pytest.param("seconds", "3600", 3600, id="number-as-text"),
        pytest.param("seconds", 0.5, 0.5, id="fraction"),
        pytest.param("seconds", "15m", None, id="no-duration-where-seconds-are"),
        pytest.param("duration", 900, 900, id="duration-as-number"),
        pytest.param("duration", "900", 900, id="duration-as-digits"),
        pytest.param("duration", "15m", 900, id="15m"),
        pytest.param("duration", "1d", 86400, id="1d"),
        pytest.param("duration", "30s", 30, id="30s"),
        pytest.param("duration", "2w", 1209600, id="2w"),
        pytest.param("duration", "1.5h", 5400, id="1.5h"),
        pytest.param("duration", "1 hour", 3600, id="1-hour"),
        pytest.param("duration", " 12 Hours ", 43200, id="Hours"),
        pytest.param("duration", "2 hrs", 7200, id="hrs"),
        pytest.param("duration", "5 min", 300, id="min"),
        pytest.param("duration", "10 days", 864000, id="days"),
        pytest.param("duration", "1 month", None, id="month"),
        pytest.param("duration", "-1d", None, id="negative"),
        pytest.param("duration", "0m", None, id="zero"),
        pytest.param("duration", "4000d", None, id="endless"),
        pytest.param("duration", "soon", None, id="word"),
        pytest.param("duration", "", None, id="empty"),
        pytest.param("instant", ASKED_AT + 60, 60, id="epoch"),
        pytest.param("instant", str(int(ASKED_AT) + 60), 60, id="epoch-as-text"),
        pytest.param("instant", (ASKED_AT + 60) * 1000, 60, id="milliseconds"),
        pytest.param("instant", "2027-01-15T08:01:00Z", 60, id="iso"),
        pytest.param("instant", "2027-01-15T15:01:00+07:00", 60, id="iso-offset"),
        pytest.param("instant", "2027-01-15T08:01:00.000Z", 60, id="iso-fraction"),
        pytest.param("instant", "2027-01-15 08:01:00+00:00", 60, id="iso-space"),
        pytest.param("instant", "2027-01-15T08:01:00", None, id="iso-nowhere"),
        pytest.param("instant", "2020-01-15T08:01:00Z", None, id="iso-past"),
        pytest.param("instant", "0001-01-01T00:00:00+14:00", None, id="iso-first"),
        pytest.param("instant", 3600, None, id="a-lifetime-is-no-instant"),
        pytest.param("instant", "tomorrow", None, id="word-for-instant"),
    ],
)
def test_forms(form, value, seconds):
    """Each form in the spellings that have been seen."""
    assert read(form, value) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("form", ["seconds", "duration", "instant"])
@pytest.mark.parametrize(
    "value",
    [None, True, [], {}, -1, 0, math.nan, math.inf, 10**400, TEN_YEARS * 1e9, "1e999"],
    ids=repr,
)
def test_nonsense_is_nothing(form, value):
    """The token beside it is good, so nonsense is not an error."""
    assert read(form, value) is None


@pytest.mark.parametrize(
    ("claims", "seconds"),
    [
        pytest.param({"exp": ASKED_AT + 900}, 900, id="exp"),
        pytest.param({"exp": ASKED_AT + 900, "iat": ASKED_AT}, 900, id="fresh"),
        pytest.param({"exp": ASKED_AT + 60, "iat": ASKED_AT - 840}, 60, id="used"),
        pytest.param({"exp": ASKED_AT + 1900, "iat": ASKED_AT + 1000}, 900, id="ahead"),
        pytest.param({"exp": ASKED_AT - 100, "iat": ASKED_AT - 1000}, 900, id="behind"),
        pytest.param({"exp": ASKED_AT - 100}, None, id="over"),
        pytest.param({"exp": ASKED_AT, "iat": ASKED_AT}, None, id="no-time"),
        pytest.param({"exp": "never"}, None, id="word"),
        pytest.param({"exp": True}, None, id="true"),
        pytest.param({"iat": ASKED_AT}, None, id="none"),
        pytest.param({}, None, id="no-claims"),
    ],
)
def test_claims(claims, seconds):
    """By this clock or by the issuer's, whichever is shorter; clocks may differ."""
    answered = Answered({}, claims, ASKED_AT)
    assert lifetime((AccessTokenSpan("exp", "claim"),), answered) == seconds


def test_the_first_that_reads_wins():
    """Candidates are asked in order, and what does not read is passed over."""
    spans = (
        AccessTokenSpan("exp", "claim"),
        AccessTokenSpan("expire_in", "duration"),
        AccessTokenSpan("expires_in"),
    )
    members = {"expire_in": "soon", "expires_in": 60}
    assert lifetime(spans, Answered(members, {}, ASKED_AT)) == 60
    members["expire_in"] = "15m"
    assert lifetime(spans, Answered(members, {}, ASKED_AT)) == 900
    assert lifetime(spans, Answered(members, {"exp": ASKED_AT + 5}, ASKED_AT)) == 5
