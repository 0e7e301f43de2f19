"""When a refresh token ends that idles out, by the answer that it came with."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from everbearer import Token
from everbearer._clock import seconds
from everbearer.providers import BILLIT, AccessTokenSpan, TokenAnswer
from everbearer.token_endpoint._response import classify

ASKED_AT = 1_700_000_000.0
SPANS = TokenAnswer(refresh_spans=(AccessTokenSpan("refresh_expires_in"),))


@pytest.mark.parametrize(
    ("idle", "said", "ends"),
    [
        pytest.param(86_400.0, {}, 86_400.0, id="described"),
        pytest.param(86_400.0, {"refresh_expires_in": 60}, 60.0, id="the-answer-wins"),
        pytest.param(None, {"refresh_expires_in": 60}, 60.0, id="only-the-answer"),
        pytest.param(None, {}, None, id="unknown"),
    ],
)
@pytest.mark.parametrize("rotated", [True, False], ids=["rotated", "left-out"])
def test_the_end_counts_from_the_request(idle, said, ends, rotated):
    """Also of a refresh token that the answer leaves out: it was used just now."""
    members = {"access_token": "a1", "expires_in": 3600, **said}
    if rotated:
        members["refresh_token"] = "r1"
    outcome = classify(
        evolve(BILLIT, refresh_idle_lifetime=idle, answer=SPANS),
        status=200,
        headers={"Content-Type": "application/json"},
        body=json.dumps(members).encode(),
        asked_at=ASKED_AT,
        now=ASKED_AT + 30,
    )
    stored = outcome.token.following(Token("a0", "r0"))
    assert stored.refresh_token == ("r1" if rotated else "r0")
    assert seconds(stored.refresh_expires_at) == (ends and ASKED_AT + ends)
