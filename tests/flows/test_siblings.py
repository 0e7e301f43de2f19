"""Which of two access tokens lives is asked of the API itself (rule 14)."""

from __future__ import annotations

import pytest
from attrs import evolve

from everbearer import Client, Keyring, Timing
from everbearer._redact import fingerprint
from everbearer.events import SpillAdopted
from everbearer.sandbox import faults
from everbearer.stores import Rotation, spills_of
from everbearer.token_endpoint import Granted, RefreshGrant
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

ACME = AccountKey("billit", "acme")
TIMING = Timing(lease=1.0, deadline=5.0, linger=5.0, grace=0.5)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("taken", True, id="taken"),
        pytest.param("expired", False, id="rejected"),
        pytest.param("broken", None, id="500"),
        pytest.param("not described", None, id="no such call"),
        pytest.param("down", None, id="no answer"),
    ],
)
async def test_an_access_token_is_tried_by_a_call_that_does_nothing(
    sandbox, registration, store, answer, expected
):
    """Only a rejection that the description knows, or an answer, says anything."""
    provider = registration.provider
    if answer == "not described":
        provider = evolve(provider, account_facts=None)
    if answer == "down":
        provider = provider.with_hosts(api="http://127.0.0.1:9")
    registration = evolve(registration, provider=provider)
    async with Client(registration, store=store, timing=TIMING) as client:
        pair = sandbox.issue("acme", access_expired=answer == "expired")
        if answer == "broken":
            sandbox.script.add(faults.api_status(500))
        assert await client._is_accepted(ACME, pair.access_token) is expected
    assert not sandbox.ledger.token_requests


async def test_the_pair_that_a_replay_ended_gives_way(
    sandbox, registration, store, tmp_path
):
    """The stored pair is dead, the one that was spilled lives: nobody is asked."""
    sandbox.settings.replay_window, sandbox.settings.replay_answer = 600.0, "new"
    described = evolve(registration.provider, replay_window=600.0)
    registration = evolve(registration, provider=described)
    options = {
        "store": store,
        "timing": TIMING,
        "spill": tmp_path,
        "keyring": Keyring(Keyring.generate_key()),
    }
    events = []
    async with Client(registration, **options) as client:
        spent = sandbox.issue("acme").refresh_token
        pairs = []
        for _ in range(2):
            answered = await client._endpoint.ask(
                registration, RefreshGrant(spent), total=5, connect=5
            )
            assert isinstance(answered, Granted)
            pairs.append(answered.token)
        stored, spilled = pairs
        await client.adopt("billit", "acme", evolve(stored, refresh_token=spent))
        record = await store.load(ACME)
        rotation = Rotation(record.incarnation, 1, stored, "", spent=fingerprint(spent))
        await store.replace(ACME, rotation)
        spills = spills_of(store, tmp_path, options["keyring"])
        await spills.write(ACME, evolve(rotation, token=spilled), 0.0)
    async with Client(registration, hooks=[events.append], **options) as client:
        await client._refresher._recovering
        assert (await store.load(ACME)).token.access_token == spilled.access_token
        await client.session("billit", "acme").refresh()
        async with client.session("billit", "acme").get("/v1/whoami") as response:
            assert (await response.json())["company"] == "acme"
    assert any(isinstance(event, SpillAdopted) for event in events)
    assert (sandbox.ledger.reuse, sandbox.ledger.lost_grants) == (0, 0)
