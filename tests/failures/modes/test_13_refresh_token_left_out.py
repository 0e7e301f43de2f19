"""Mode 13: an answer without a refresh token empties the one that is stored.

Promised: what the answer leaves out stays as it was: the refresh token with its
expiry, the scope, and whatever else the provider once told of the account.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param({}, id="omitted"),
        pytest.param({"refresh_token": None}, id="null"),
        pytest.param({"refresh_token": ""}, id="empty"),
    ],
)
async def test_what_is_left_out_stays(
    sandbox, client, shared, connect, call, left_out
) -> None:
    """The next refresh presents the same refresh token, and nothing is forgotten."""
    token = await connect(expired=True)
    told = {"business_info": {"vat": "BE0123456789"}}
    ends = datetime.now(UTC) + timedelta(days=30)
    whole = evolve(token, scope="orders", refresh_expires_at=ends, extra=told)
    await client.adopt("billit", "acme", whole)
    answer = {"access_token": sandbox.issue("acme").access_token, "expires_in": 3600}
    sandbox.script.add(faults.answer(json.dumps(answer | left_out)))
    assert await call(client) == "acme"
    session = client.session("billit", "acme")
    stored = (await shared.load(session.key)).token
    assert stored.access_token == answer["access_token"]
    assert stored.refresh_token == token.refresh_token
    status = await session.status()
    assert (status.refresh_expires_at, status.scope) == (ends, "orders")
    assert status.extra == told
    await session.refresh()
    presented = [each.params for each in sandbox.ledger.token_requests]
    assert [each["refresh_token"] for each in presented] == [token.refresh_token] * 2
    assert (await shared.load(session.key)).token.refresh_token != token.refresh_token
