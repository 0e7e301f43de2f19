"""How long a keeper rests, and how old an adopted token is."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from everbearer import ConfigurationError, Token
from everbearer.providers import BILLIT
from everbearer.refresh.keeper import age_of, rest

HOUR, DAY = 3600.0, 86_400.0
NOW = datetime(2031, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("idle", "until_due", "troubled", "pause"),
    [
        pytest.param(DAY, 600.0, 0, 600.0, id="until-the-next-is-due"),
        pytest.param(DAY, 5 * HOUR, 0, HOUR, id="an-hour-at-most"),
        pytest.param(DAY, math.inf, 0, HOUR, id="nobody-connected"),
        pytest.param(6 * HOUR, math.inf, 0, HOUR / 2, id="a-twelfth-at-most"),
        pytest.param(DAY, 0.001, 0, 1.0, id="a-second-at-least"),
        pytest.param(DAY, -600.0, 0, 1.0, id="overdue"),
        pytest.param(10.0, -1.0, 0, 0.1, id="a-hundredth-at-least"),
        pytest.param(DAY, 600.0, 1, 2.0, id="first-failure"),
        pytest.param(DAY, 0.001, 3, 8.0, id="doubling"),
        pytest.param(DAY, math.inf, 60, 300.0, id="five-minutes-at-most"),
        pytest.param(60.0, math.inf, 60, 5.0, id="short-lifetimes-are-tried-sooner"),
    ],
)
def test_rest(idle, until_due, troubled, pause):
    """It sleeps until the next one is due, but never long, and never hardly at all."""
    asked = {"troubled": troubled, "first": 2.0}
    assert rest(idle, until_due, jitter=0.0, **asked) == pytest.approx(pause)
    assert rest(idle, until_due, jitter=1.0, **asked) == pytest.approx(pause * 1.1)


@pytest.mark.parametrize(
    ("idle", "left", "age"),
    [
        pytest.param(DAY, timedelta(days=1), 0.0, id="issued-now"),
        pytest.param(DAY, timedelta(hours=1), 23 * HOUR, id="nearly-over"),
        pytest.param(DAY, timedelta(hours=-1), 25 * HOUR, id="over"),
        pytest.param(DAY, timedelta(days=9), 0.0, id="longer-than-described"),
        pytest.param(DAY, None, 0.0, id="end-not-known"),
        pytest.param(None, timedelta(hours=1), 0.0, id="does-not-idle-out"),
    ],
)
def test_age(idle, left, age):
    """The end of a token that idles out tells when it was issued."""
    provider = evolve(BILLIT, refresh_idle_lifetime=idle)
    token = Token("a", "r", refresh_expires_at=left and NOW + left)
    assert age_of(provider, token, NOW.timestamp()) == age


@pytest.mark.parametrize("idle", [0, -1.0, math.inf, math.nan, "1 day"])
def test_an_idle_lifetime_is_seconds_above_0(idle):
    """A description that would keep the keeper busy for ever is refused."""
    with pytest.raises(ConfigurationError, match="refresh_idle_lifetime"):
        evolve(BILLIT, refresh_idle_lifetime=idle)
