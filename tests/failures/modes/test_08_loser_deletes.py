"""Mode 8: whoever is refused deletes the token that the winner has just stored.

Promised: a refusal counts for the one refresh token that was refused.  Where another
is stored by now, it is used; else the account is marked.  Tokens are never deleted.
"""

from __future__ import annotations

import json

import pytest

from everbearer import AuthorizationRequired, Token
from everbearer.events import StandingChanged
from everbearer.sandbox import faults
from everbearer.stores import Rotation

pytestmark = pytest.mark.asyncio


@pytest.fixture
def winner(sandbox, client, shared):
    """Store a living pair as a successor: a program that does not know our lease."""

    async def stores():
        key, pair = client.session("billit", "acme").key, sandbox.issue("acme")
        record = await shared.load(key)
        token = Token(pair.access_token, pair.refresh_token)
        rotation = Rotation(record.incarnation, record.version, token, "a-script")
        await shared.replace(key, rotation)

    return stores


@pytest.fixture
def refusal(sandbox):
    """Let the token endpoint say that the refresh token is spent."""
    body = json.dumps({"error": "invalid_grant"})
    return sandbox.script.add(faults.answer(body, status=400))


async def test_the_winners_token_is_used(
    sandbox, client, store, connect, call, events, winner, refusal
) -> None:
    """Refused, it looks again, finds the successor, and marks nothing."""
    await connect(expired=True)
    store.before["refuse"] = winner
    assert await call(client) == "acme"
    status = await client.session("billit", "acme").status()
    assert status.standing == "connected"
    assert not any(isinstance(event, StandingChanged) for event in events)
    assert len(sandbox.ledger.token_requests) == 1


async def test_nothing_is_deleted_where_nobody_won(
    sandbox, client, shared, connect, call, winner, refusal
) -> None:
    """The account is marked and its token stays, so that a late winner revives it."""
    token = await connect(expired=True)
    for _ in range(3):
        with pytest.raises(AuthorizationRequired) as caught:
            await call(client)
    assert caught.value.reason == "refused"
    assert len(sandbox.ledger.token_requests) == 1
    record = await shared.load(client.session("billit", "acme").key)
    assert record.token.refresh_token == token.refresh_token
    await winner()
    assert await call(client) == "acme"
