"""Answers that other HTTP libraries got: the same verdict as for our own calls."""

from __future__ import annotations

import json
import zlib

import httpx2
import pytest
from multidict import CIMultiDict

from everbearer.providers import BILLIT, ExpirySignal, Verdict
from everbearer.transport._foreign import is_rejection
from everbearer.transport._peek import LONGEST

CODES = BILLIT.expiry_signals
CHALLENGES = (ExpirySignal(Verdict.INVALID, frozenset({401}), "invalid_token"),)
JSON = {"Content-Type": "application/json; charset=utf-8"}
EXPIRED = json.dumps({"errors": [{"Code": "AccessTokenExpired"}]}).encode()
BEARER = 'Bearer realm="api", error="invalid_token"'


@pytest.mark.parametrize(
    ("signals", "status", "headers", "body", "expected"),
    [
        pytest.param(CODES, 401, JSON, EXPIRED, True, id="code-in-the-body"),
        pytest.param(CODES, 400, JSON, EXPIRED, True, id="at-any-error-status"),
        pytest.param(CODES, 200, JSON, EXPIRED, False, id="a-success"),
        pytest.param(CODES, 401, JSON, b"", False, id="bare-401"),
        pytest.param(CODES, 401, {}, EXPIRED, False, id="not-declared-as-json"),
        pytest.param(CODES, 401, JSON, b"{", False, id="broken-json"),
        pytest.param(
            CODES, 401, JSON, EXPIRED.ljust(LONGEST + 1), False, id="too-large"
        ),
        pytest.param(
            CODES,
            401,
            JSON | {"Content-Encoding": "gzip"},
            EXPIRED,
            True,
            id="unpacked-by-the-library",
        ),
        pytest.param(
            CODES,
            401,
            JSON | {"Content-Encoding": "deflate"},
            zlib.compress(EXPIRED),
            True,
            id="still-packed",
        ),
        pytest.param(
            CHALLENGES, 401, {"WWW-AUTHENTICATE": BEARER}, b"", True, id="challenge"
        ),
        pytest.param(
            CHALLENGES,
            401,
            httpx2.Headers([("www-authenticate", "Basic"), ("x", "y")]),
            b"",
            False,
            id="another-scheme",
        ),
        pytest.param(
            CHALLENGES,
            401,
            httpx2.Headers(
                [("WWW-Authenticate", BEARER), ("WWW-Authenticate", "Basic")]
            ),
            b"",
            True,
            id="two-challenges-in-one-line",
        ),
        pytest.param(
            CHALLENGES,
            401,
            CIMultiDict([("WWW-Authenticate", BEARER), ("WWW-Authenticate", "Basic")]),
            b"",
            True,
            id="two-challenges-in-two-lines",
        ),
    ],
)
def test_whether_the_answer_is_about_the_token(
    signals, status, headers, body, expected
):
    """Status, challenge and body decide, wherever the headers come from."""
    assert is_rejection(signals, status, headers, body) is expected
