"""Token: secrets hidden, instants aware, successors merged."""

from __future__ import annotations

import copy
import logging
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

from everbearer import Token
from everbearer.errors import ConfigurationError

CANARY = "canary-" + "s3cret"
TOKEN = Token(
    CANARY, CANARY, datetime(2030, 1, 1, tzinfo=UTC), scope="read", extra={"x": CANARY}
)


@pytest.mark.parametrize(
    "show", [repr, str, format, "%s".__mod__, "%r".__mod__], ids=str
)
def test_no_secret_is_shown(show: object) -> None:
    """No way of printing a Token shows a secret, nor its personal extras."""
    assert CANARY not in show(TOKEN)


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Logging a Token shows no secret either."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("token %s %r", TOKEN, TOKEN)
    assert CANARY not in caplog.text


def test_pickling_is_refused() -> None:
    """A Token does not travel to another process by accident."""
    with pytest.raises(TypeError, match="token store"):
        pickle.dumps(TOKEN)


def test_copies_are_the_token_itself() -> None:
    """Test doubles that deep-copy arguments can do so: it is immutable."""
    assert copy.copy(TOKEN) is TOKEN
    assert copy.deepcopy(TOKEN) is TOKEN


def test_naive_instants_are_refused() -> None:
    """A naive datetime would be an hour off somewhere."""
    with pytest.raises(ConfigurationError, match="aware"):
        Token("a", expires_at=datetime(2030, 1, 1))  # noqa: DTZ001 - the point


def test_instants_become_utc() -> None:
    """Any aware instant is accepted and kept in UTC."""
    elsewhere = timezone(timedelta(hours=7))
    token = Token("a", expires_at=datetime(2030, 1, 1, 7, tzinfo=elsewhere))
    assert token.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert token.expires_at.tzinfo is UTC


def test_extra_cannot_be_changed() -> None:
    """A Token is frozen, its extras included."""
    with pytest.raises(TypeError):
        TOKEN.extra["x"] = 1


def test_an_omitted_refresh_token_stays() -> None:
    """RFC 6749 section 6: it is replaced only if a new one is issued."""
    ends = datetime(2031, 1, 1, tzinfo=UTC)
    old = Token("a0", "r0", refresh_expires_at=ends, scope="read", extra={"k": 1})
    new = Token("a1", extra={"j": 2}).following(old)
    assert (new.access_token, new.refresh_token) == ("a1", "r0")
    assert new.refresh_expires_at == ends
    assert new.scope == "read"
    assert new.extra == {"k": 1, "j": 2}


def test_a_rotated_refresh_token_replaces_it() -> None:
    """The old one's end does not carry over to the new one."""
    old = Token("a0", "r0", refresh_expires_at=datetime(2031, 1, 1, tzinfo=UTC))
    new = Token("a1", "r1").following(old)
    assert new.refresh_token == "r1"
    assert new.refresh_expires_at is None
