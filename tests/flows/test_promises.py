"""Smaller promises of the public contract, each seen from outside."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import pytest
from attrs import evolve

from everbearer import (
    Client,
    ConfigurationError,
    Registration,
    TemporarilyUnavailable,
    Timing,
    Token,
)
from everbearer.events import AuthorizationOverridden, ResendRefused
from everbearer.providers import standard_provider
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.3, connect=1.0, back_off=0.1
)


@pytest.fixture
def clock(shifted_clock):
    """A clock to move by hand."""
    return shifted_clock


def client_at(clock, registration, **options) -> Client:
    """A Client that goes by that clock."""
    return Client(registration, store=MemoryStore(clock), _clock=clock, **options)


async def test_min_ttl_is_life_that_is_left(
    sandbox, registration, connect, clock
) -> None:
    """A token that is fresh for others is replaced for work that takes longer."""
    async with client_at(clock, registration) as client:
        await connect(to=client)
        session = client.session("billit", "acme")
        clock.ahead = 3000.0
        assert await session.access_token(min_ttl=500) == await session.access_token()
        assert sandbox.ledger.refreshes == 0
        await session.access_token(min_ttl=900)
        assert sandbox.ledger.refreshes == 1


@pytest.mark.parametrize("min_ttl", [-1.0, float("nan"), float("inf")])
async def test_min_ttl_is_seconds(client, connect, min_ttl) -> None:
    """What is no number of seconds is told at once."""
    await connect()
    with pytest.raises(ConfigurationError, match="min_ttl"):
        await client.session("billit", "acme").access_token(min_ttl=min_ttl)


async def body():
    """A body that can be sent once."""
    yield b"one shot"


async def test_a_body_that_cannot_be_sent_twice_gets_a_token_that_lasts(
    sandbox, registration, connect, clock
) -> None:
    """A token with less than a minute to live is good enough for others only."""
    async with client_at(clock, registration) as client:
        await connect(to=client)
        session = client.session("billit", "acme")
        clock.ahead = 3600.0 - 50.0
        sandbox.settings.token_delay = 0.2
        for data in (b"again and again", body()):
            async with session.post("/v1/echo", data=data) as response:
                assert response.status == 200
    assert [call.generation for call in sandbox.ledger.api_calls] == [0, 1]


async def test_no_refresh_behind_the_back_of_a_one_shot_body(
    sandbox, provider, connect, clock
) -> None:
    """Where the old token dies at refresh, a background refresh waits for the body."""
    sandbox.settings.old_access_dies = True
    registration = Registration(
        evolve(provider, old_access_dies=True), "sandbox-client", "sandbox-secret"
    )
    go_on = asyncio.Event()

    async def slow():
        yield b"first half, "
        await go_on.wait()
        yield b"second half"

    async with client_at(clock, registration) as client:
        await connect(to=client)
        session = client.session("billit", "acme")
        sending = asyncio.create_task(session.post("/v1/echo", data=slow()))
        await asyncio.sleep(0.1)
        clock.ahead = 3600.0 - 30.0
        for _ in range(3):
            async with session.get("/v1/whoami") as response:
                assert response.status == 200
        assert not sandbox.ledger.token_requests
        go_on.set()
        assert (await sending).status == 200
        async with session.get("/v1/whoami") as response:
            assert response.status == 200
        while not sandbox.ledger.refreshes:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["Idempotent-Key", "idempotency-key"])
async def test_an_idempotency_key_makes_an_unsafe_call_safe_to_repeat(
    sandbox, client, connect, name
) -> None:
    """At a status that does not prove that nothing was done, only the key does."""
    await connect()
    sandbox.settings.refusal_status = 400
    sandbox.script.expire_now("acme")
    session = client.session("billit", "acme")
    async with session.post("/v1/orders", json={}, headers={name: "k1"}) as response:
        assert response.status == 201


async def test_without_one_the_answer_is_the_callers(
    sandbox, client, connect, events
) -> None:
    """And the next call finds a new token."""
    await connect()
    sandbox.settings.refusal_status = 400
    sandbox.script.expire_now("acme")
    session = client.session("billit", "acme")
    async with session.post("/v1/orders", json={}) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["Code"] == "AccessTokenExpired"
    assert [e.why for e in events if isinstance(e, ResendRefused)] == ["unsafe"]
    async with session.post("/v1/orders", json={}) as response:
        assert response.status == 201
    assert sandbox.ledger.refreshes == 1


async def test_a_sessions_own_authorization_gives_way_and_is_told_once(
    sandbox, registration, connect
) -> None:
    """Whoever left a default header in a shared session finds out from an event."""
    events = []
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Basic eDp5"}) as given,
        Client(
            registration, store=MemoryStore(), session=given, hooks=[events.append]
        ) as client,
    ):
        await connect(to=client)
        for _ in range(3):
            async with client.session("billit", "acme").get("/v1/whoami") as response:
                assert response.status == 200
    told = [event for event in events if isinstance(event, AuthorizationOverridden)]
    assert [(event.provider, event.account) for event in told] == [("billit", "acme")]


async def test_client_session_is_the_same_transport(
    sandbox, registration, connect
) -> None:
    """A given session's middlewares run for what is handed on, too."""
    seen = []

    async def watching(request, handler):
        seen.append(request.url.path)
        return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=(watching,)) as given,
        Client(registration, store=MemoryStore(), session=given) as client,
    ):
        await connect(to=client)
        async with (
            client.session("billit", "acme").client_session() as handed_on,
            handed_on.get("/v1/whoami") as response,
        ):
            assert response.status == 200
    assert seen == ["/v1/whoami"]


async def test_refresh_that_could_not_says_so(client, sandbox, connect) -> None:
    """While the old token lives on, too."""
    await connect()
    sandbox.script.add(faults.spell(503, retry_after=30))
    with pytest.raises(TemporarilyUnavailable) as caught:
        await client.session("billit", "acme").refresh()
    assert caught.value.retry_after >= 29.0
    assert await client.session("billit", "acme").access_token()


async def test_one_accounts_bad_request_is_its_own(sandbox, client, connect) -> None:
    """invalid_request stops nobody else (only the client's own errors do)."""
    await connect("bad", expired=True)
    await connect("good", expired=True)
    answer = faults.answer(b'{"error":"invalid_request"}', status=400, company="bad")
    sandbox.script.add(answer)
    with pytest.raises(TemporarilyUnavailable):
        await client.session("billit", "bad").access_token()
    assert await client.session("billit", "good").access_token()


def revocable(base: str):
    """A server that follows RFC 7009."""
    return standard_provider(
        "local",
        authorize_url="https://login.example/authorize",
        token_url="https://token.example/token",
        api_base="https://api.example",
        revoke_url="https://token.example/revoke",
    ).with_hosts(token=base)


async def test_revocation_goes_where_the_token_endpoint_is(sandbox) -> None:
    """with_hosts() moves it: a test never revokes in production."""
    registration = Registration(revocable(sandbox.other_origin), "id", "a secret")
    async with Client(registration, store=MemoryStore()) as client:
        await client.adopt("local", "acme", Token("an-access", "a-refresh"))
        await client.disconnect("local", "acme")
    (asked,) = sandbox.ledger.other_origin
    assert asked.path == "/revoke"


async def test_what_cannot_be_revoked_is_forgotten_all_the_same(
    sandbox, caplog
) -> None:
    """RFC 7009 section 2.2; and the operator reads about it."""

    def broken() -> str:
        raise OSError("the vault is closed")

    registration = Registration(revocable(sandbox.other_origin), "id", broken)
    async with Client(registration, store=MemoryStore()) as client:
        await client.adopt("local", "acme", Token("an-access", "a-refresh"))
        with caplog.at_level(logging.WARNING, "everbearer"):
            await client.disconnect("local", "acme")
        assert [status async for status in client.accounts()] == []
    assert "local/acme: not revoked" in caplog.text


@pytest.mark.parametrize("wrong", ["", "two words", "line\n", "Zürich", 5], ids=repr)
async def test_what_no_provider_issues_is_not_adopted(client, wrong) -> None:
    """It would break every call later; so it is told now."""
    with pytest.raises(ConfigurationError, match="access_token"):
        await client.adopt("billit", "acme", Token(wrong, "a-refresh"))


async def test_header_values_are_text(client) -> None:
    """Billit writes PartyID as a number; a header is text."""
    with pytest.raises(ConfigurationError, match="'4711'"):
        client.session("billit", "acme").with_headers({"PartyID": 4711})
