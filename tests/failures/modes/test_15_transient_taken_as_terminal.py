"""Mode 15: trouble at the token endpoint is taken for the end of a user's grant.

Promised: the network, 5xx, 408, 425, 429 and nonsense are a wait, whatever the status
suggests; only ``invalid_grant`` asks for the user, and only if the stored token is
still the one that was refused; ``invalid_client`` and ``unauthorized_client`` are the
developer's, for all accounts at once, and touch no token.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from everbearer import AuthorizationRequired, ConfigurationError, TemporarilyUnavailable
from everbearer.events import RefreshFailed
from everbearer.sandbox import faults
from everbearer.tokens import Standing

pytestmark = pytest.mark.asyncio


def error(status, code):
    """As RFC 6749 section 5.2 has it, with any status; as often as it is asked."""
    return faults.answer(json.dumps({"error": code}), status=status, times=None)


TRANSIENT = {
    "dropped": (faults.drop_before(), "ambiguous"),
    "408": (faults.status(408), "ambiguous"),
    "425": (faults.status(425), "ambiguous"),
    "500": (faults.status(500), "ambiguous"),
    "502": (faults.status(502), "ambiguous"),
    "504": (faults.status(504), "ambiguous"),
    "429": (faults.status(429), "throttled"),
    "503": (faults.status(503), "throttled"),
    "429 that names an error": (
        faults.answer('{"error": "rate_limited"}', status=429),
        "throttled",
    ),
    "html with 200": (faults.html_200(), "ambiguous"),
    "cut off": (faults.truncated_json(rotates=False), "ambiguous"),
    "empty 400": (faults.status(400), "unrecognised"),
    "empty 401": (faults.status(401), "unrecognised"),
    "html with 403": (faults.status(403, body="<h1>Blocked</h1>"), "unrecognised"),
}


@pytest.mark.parametrize(("fault", "kind"), TRANSIENT.values(), ids=TRANSIENT)
async def test_trouble_is_a_wait(scene, whoami, fault, kind):
    """TemporarilyUnavailable says for how long; then the same grant goes on."""
    acme = await scene.acme(expired=True)
    before = await scene.record()
    scene.sandbox.script.add(fault)
    with pytest.raises(TemporarilyUnavailable) as caught:
        await whoami(acme)
    assert caught.value.retry_after > 0
    assert [event.kind for event in scene.told(RefreshFailed)] == [kind]
    after = await scene.record()
    assert (after.token, after.standing) == (before.token, Standing.CONNECTED)
    scene.clock.advance(60)
    assert await whoami(acme) == "acme"
    assert scene.ledger.lost_grants == 0


async def test_nobody_listens(scene, whoami, unused_tcp_port):
    """Not sent is not in doubt either: no grace, no last resort."""
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    lost = await scene.client(hosts={"token": nowhere})
    with pytest.raises(TemporarilyUnavailable):
        await whoami(await scene.connect(lost, expired=True))
    assert [event.kind for event in scene.told(RefreshFailed)] == ["not_sent"]
    record = await scene.record()
    assert (record.standing, record.live_intent) == (Standing.CONNECTED, None)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
async def test_invalid_grant_asks_for_the_user(scene, whoami, status):
    """By its code and never by its status; nothing is deleted."""
    acme = await scene.acme(expired=True)
    before = await scene.record()
    scene.sandbox.script.add(error(status, "invalid_grant"))
    with pytest.raises(AuthorizationRequired) as caught:
        await whoami(acme)
    assert caught.value.reason == "refused"
    after = await scene.record()
    assert (after.token, after.standing) == (before.token, Standing.NEEDS_AUTHORIZATION)


async def test_invalid_grant_for_a_token_that_is_stored_no_more(scene, whoami, gate):
    """Connected anew while the refusal was on its way: the new grant is used."""
    client = await scene.client(hosts=gate.hosts)
    acme = await scene.connect(client, expired=True)
    scene.sandbox.script.add(error(400, "invalid_grant"))
    caller = asyncio.create_task(whoami(acme))
    await scene.until(lambda: gate.asked)
    await scene.connect(await scene.client(hosts=gate.hosts))
    gate.opened.set()
    assert await caller == "acme"
    assert (await scene.record()).standing is Standing.CONNECTED


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client"])
async def test_a_wrong_registration_is_the_developers(scene, whoami, code):
    """Every account says so after one request, and each has the token that it had."""
    client = await scene.client()
    names = ["acme", "other", "third"]
    sessions = [await scene.connect(client, name, expired=True) for name in names]
    before = [(await scene.record(name)).token for name in names]
    fault = scene.sandbox.script.add(error(401, code))
    for session in sessions:
        with pytest.raises(ConfigurationError, match="client_secret"):
            await whoami(session)
    assert len(scene.ledger.token_requests) == 1
    after = [await scene.record(name) for name in names]
    assert [each.token for each in after] == before
    assert {each.standing for each in after} == {Standing.CONNECTED}
    scene.sandbox.script.remove(fault)
    scene.clock.advance(60)
    assert [await whoami(session) for session in sessions] == names
