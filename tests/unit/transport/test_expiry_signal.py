"""What an answer says of the token: tables of statuses, challenges and bodies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbearer.providers import BILLIT, ExpirySignal, Verdict
from everbearer.providers._standard import BARE_403
from everbearer.transport._challenge import bearer_errors
from everbearer.transport._expiry_signal import (
    ABSENT,
    candidates,
    first_match,
    judged_from,
)

BILLIT_ERROR = {"errors": [{"Code": "AccessTokenExpired", "Description": "..."}]}


@pytest.mark.parametrize(
    ("status", "document", "verdict", "proves"),
    [
        pytest.param(401, BILLIT_ERROR, Verdict.EXPIRED, True, id="expired-401"),
        pytest.param(400, BILLIT_ERROR, Verdict.EXPIRED, False, id="expired-400"),
        pytest.param(500, BILLIT_ERROR, Verdict.EXPIRED, False, id="expired-500"),
        pytest.param(200, BILLIT_ERROR, None, None, id="a-success-is-a-success"),
        pytest.param(399, BILLIT_ERROR, None, None, id="below-400"),
        pytest.param(401, ABSENT, None, None, id="bare-401-is-not-about-the-token"),
        pytest.param(401, {}, None, None, id="empty-object"),
        pytest.param(401, {"errors": []}, None, None, id="no-errors"),
        pytest.param(401, {"errors": None}, None, None, id="null-errors"),
        pytest.param(401, {"errors": {"Code": "x"}}, None, None, id="not-a-list"),
        pytest.param(401, ["AccessTokenExpired"], None, None, id="list-at-the-top"),
        pytest.param(
            401,
            {"errors": [{"Code": "Other"}, {"Code": "INVALIDACCESSTOKEN"}]},
            Verdict.INVALID,
            True,
            id="second-element-other-case",
        ),
        pytest.param(
            403,
            {"errors": [{"Code": "AccessTokenRevoked"}]},
            Verdict.REVOKED,
            False,
            id="revoked",
        ),
        pytest.param(
            401,
            {"errors": [{"Code": "NotAccessTokenExpired"}]},
            None,
            None,
            id="whole-value",
        ),
    ],
)
def test_billit(status, document, verdict, proves):
    """Billit's three codes count at any error status, and nothing else does."""
    left = candidates(BILLIT.expiry_signals, status, ())
    signal = first_match(left, document)
    assert (signal and signal.verdict) == verdict
    assert (signal and signal.proves_unprocessed) == proves


CODE_99 = ExpirySignal(
    Verdict.EXPIRED, frozenset({500}), None, ("ErrorCode",), frozenset({"99"})
)
NAMED_200 = ExpirySignal(
    Verdict.EXPIRED, frozenset({200}), None, ("fault",), frozenset({"expired"})
)
PRESENT = ExpirySignal(Verdict.INVALID, frozenset({400}), None, ("a", "*", "b"))
FLAG = ExpirySignal(
    Verdict.INVALID, frozenset({400}), None, ("expired",), frozenset({"true"})
)


@pytest.mark.parametrize(
    ("signal", "status", "document", "matches"),
    [
        pytest.param(CODE_99, 500, {"ErrorCode": 99}, True, id="number"),
        pytest.param(CODE_99, 500, {"ErrorCode": "99"}, True, id="number-as-text"),
        pytest.param(CODE_99, 500, {"ErrorCode": 9}, False, id="other-number"),
        pytest.param(CODE_99, 401, {"ErrorCode": 99}, False, id="other-status"),
        pytest.param(NAMED_200, 200, {"fault": "Expired"}, True, id="named-success"),
        pytest.param(PRESENT, 400, {"a": [{"b": "?"}]}, True, id="anything-there"),
        pytest.param(PRESENT, 400, {"a": [{"b": None}]}, False, id="null-is-nothing"),
        pytest.param(PRESENT, 400, {"a": [{"c": 1}]}, False, id="member-missing"),
        pytest.param(FLAG, 400, {"expired": True}, True, id="json-true"),
        pytest.param(FLAG, 400, {"expired": 1}, False, id="one-is-not-true"),
    ],
)
def test_json_paths(signal, status, document, matches):
    """A path leads through members and elements to a scalar, compared as text."""
    found = first_match(candidates((signal,), status, ()), document)
    assert found is (signal if matches else None)


CHALLENGED = ExpirySignal(
    Verdict.INVALID, frozenset({401}), www_authenticate_error="invalid_token"
)
BODY = ExpirySignal(Verdict.REVOKED, frozenset({401}), None, ("e",), frozenset({"r"}))


@pytest.mark.parametrize(
    ("challenges", "matches"),
    [
        pytest.param([], True, id="none"),
        pytest.param(['Bearer realm="shop"'], True, id="without-an-error"),
        pytest.param(['Bearer error="insufficient_scope"'], False, id="scope"),
        pytest.param(['Bearer error=""'], True, id="an-empty-error"),
    ],
)
def test_a_bare_403(challenges, matches):
    """A 403 that tells why is about permission (RFC 6750 section 3.1)."""
    assert bool(candidates((BARE_403,), 403, challenges)) is matches


def test_order_decides():
    """The first signal that matches counts, whether it looks at headers or the body."""
    both = ['Bearer error="invalid_token"']
    assert first_match(candidates((CHALLENGED, BODY), 401, both), {"e": "r"}) is (
        CHALLENGED
    )
    assert first_match(candidates((BODY, CHALLENGED), 401, both), {"e": "r"}) is BODY
    assert first_match(candidates((BODY, CHALLENGED), 401, both), {}) is CHALLENGED


@pytest.mark.parametrize(
    ("signals", "status"),
    [
        pytest.param((), 300, id="none"),
        pytest.param(BILLIT.expiry_signals, 300, id="errors-only"),
        pytest.param((CODE_99, NAMED_200), 200, id="a-named-success"),
    ],
)
def test_judged_from(signals, status):
    """Plain successes are let through unseen unless a signal names one."""
    assert judged_from(signals) == status


@pytest.mark.parametrize(
    ("headers", "errors"),
    [
        pytest.param([], set(), id="none"),
        pytest.param(["Bearer"], set(), id="bare"),
        pytest.param(['Bearer error="invalid_token"'], {"invalid_token"}, id="quoted"),
        pytest.param(["Bearer error=invalid_token"], {"invalid_token"}, id="unquoted"),
        pytest.param(
            ['bearer realm="a, b", ERROR = "invalid_token"'],
            {"invalid_token"},
            id="case-comma-and-spaces",
        ),
        pytest.param(
            ['Basic realm="x", Bearer realm="y", error="invalid_token"'],
            {"invalid_token"},
            id="second-challenge",
        ),
        pytest.param(
            ['Bearer realm="y", Digest error="invalid_token"'], set(), id="of-another"
        ),
        pytest.param(
            ['Basic realm="Bearer error=\\"invalid_token\\""'],
            set(),
            id="inside-a-string",
        ),
        pytest.param(
            ["Basic", 'Bearer error="insufficient_scope"'],
            {"insufficient_scope"},
            id="two-headers",
        ),
        pytest.param(['Bearer error="in\\valid"'], {"invalid"}, id="escaped"),
        pytest.param(["Negotiate dG9rZW42OA=="], set(), id="token68"),
        pytest.param(['Bearer error="invalid_token'], set(), id="unterminated"),
    ],
)
def test_challenges(headers, errors):
    """Only the error of a Bearer challenge counts, wherever it stands."""
    assert bearer_errors(headers) == errors


@given(st.text(max_size=200))
def test_any_challenge_reads(text):
    """No header, however broken, makes the parser fail."""
    bearer_errors([text])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["errors", "Code", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(json_values, st.integers(200, 599))
def test_any_document_reads(document, status):
    """No JSON document makes the matcher fail, nor a success say anything."""
    left = candidates(BILLIT.expiry_signals, status, ())
    signal = first_match(left, document)
    assert signal is None or signal in left
    assert signal is None or status >= 400


@given(json_values, st.sampled_from(BILLIT.expiry_signals), st.sampled_from("x?"))
def test_a_signal_is_found_among_anything(document, signal, other):
    """Whatever else is in an error, a code in its place counts, and only there."""
    [code] = signal.values
    left = candidates(BILLIT.expiry_signals, 401, ())
    around = {"x": document, "errors": [{other: document}, {"Code": code.upper()}]}
    assert first_match(left, around).verdict is signal.verdict
    elsewhere = {"x": [{"Code": code}], "errors": [{other: {"Code": code}}, code]}
    assert first_match(left, elsewhere) is None
