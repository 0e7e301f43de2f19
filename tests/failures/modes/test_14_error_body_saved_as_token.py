"""Mode 14: an answer that reports an error is stored as if it were a token.

Promised: nothing is replaced or saved unless the status is 2xx, the answer holds an
acceptable access token, and it names no error.
"""

from __future__ import annotations

import json

import pytest

from everbearer import AuthorizationRequired, EverbearerError, TemporarilyUnavailable
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio

MADE_UP = {"access_token": "made-up-access", "refresh_token": "made-up-refresh"}

NO_TOKENS = {
    "error with 200": (200, {"error": "server_error"}),
    "error beside a token": (200, {"error": "server_error", **MADE_UP}),
    "token with 400": (400, MADE_UP),
    "token with 500": (500, MADE_UP),
    "token with a redirect": (302, MADE_UP),
    "no access token": (200, {"refresh_token": "made-up-refresh"}),
    "empty access token": (200, {**MADE_UP, "access_token": ""}),
    "null": (200, {**MADE_UP, "access_token": None}),
    "number": (200, {**MADE_UP, "access_token": 42}),
    "list": (200, [MADE_UP]),
    "text": (200, "made-up-access"),
}


@pytest.mark.parametrize(("status", "body"), NO_TOKENS.values(), ids=NO_TOKENS)
async def test_what_is_no_token_replaces_none(scene, whoami, status, body):
    """The stored pair stays, and is what the next refresh goes on with."""
    acme = await scene.acme(expired=True)
    before = await scene.record()
    scene.sandbox.script.add(faults.answer(json.dumps(body), status=status))
    with pytest.raises(TemporarilyUnavailable):
        await whoami(acme)
    after = await scene.record()
    assert (after.token, after.version) == (before.token, before.version)
    assert not scene.ledger.calls, "something was sent as a token"
    scene.clock.advance(60)
    assert await whoami(acme) == "acme"
    assert scene.ledger.lost_grants == 0


async def test_invalid_grant_with_200_is_a_refusal(scene, whoami):
    """The status says success and the body says no: the body is believed."""
    acme = await scene.acme(expired=True)
    before = await scene.record()
    scene.sandbox.script.add(faults.error_with_200("invalid_grant"))
    with pytest.raises(AuthorizationRequired):
        await whoami(acme)
    assert (await scene.record()).token == before.token
    assert not scene.ledger.calls


@pytest.mark.parametrize(("status", "body"), NO_TOKENS.values(), ids=NO_TOKENS)
async def test_no_account_begins_with_one(scene, status, body):
    """The same in answer to a code: the user is told, and nothing is stored."""
    client = await scene.client()
    request = await client.authorization.start("billit", "acme")
    callback = await scene.sandbox.approve(request.url, "acme")
    scene.sandbox.script.add(faults.answer(json.dumps(body), status=status))
    with pytest.raises(EverbearerError):
        await client.authorization.finish(callback)
    assert await scene.record() is None
