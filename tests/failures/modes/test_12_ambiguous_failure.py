"""Mode 12: a refresh without an answer is repeated blindly, or never.

Promised: what was surely not sent is tried again as if nothing had been.  Where it may
have been processed, the token is presented again only inside the provider's replay
window, or when the access token is dead and nothing is left to lose; an answer that
makes no sense is no refusal.
"""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from attrs import evolve

from everbearer import AuthorizationRequired, Registration, TemporarilyUnavailable
from everbearer.events import RefreshFailed, RefreshStarted
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio

UNANSWERED = [
    pytest.param(faults.rotate_and_drop(), id="connection-reset"),
    pytest.param(faults.slow(1.2), id="no-answer-in-time"),
    pytest.param(faults.html_200(rotates=True), id="html-with-200"),
    pytest.param(faults.truncated_json(), id="half-the-json"),
]


@pytest.fixture
def timing(short_timing):
    """Graces are waited for here."""
    return short_timing


@pytest.fixture
def key(client):
    """Whose record it is."""
    return client.session("billit", "acme").key


def attempts(events) -> list[str]:
    """What kind of presentation each token request was."""
    return [event.attempt for event in events if isinstance(event, RefreshStarted)]


# ---- not sent


class NoSuchHost(AbstractResolver):
    """A name server that knows nobody."""

    async def resolve(self, host, port=0, family=0):
        raise OSError(f"no such host: {host}")

    async def close(self) -> None:
        """Nothing is open."""


async def test_nobody_listens(
    sandbox, client, shared, key, connect, call_patiently, events
) -> None:
    """A refused connection leaves no trace, and the next attempt is an ordinary one."""
    await connect(expired=True)
    await sandbox.aclose()
    with pytest.raises(TemporarilyUnavailable):
        await client.session("billit", "acme").access_token()
    assert (await shared.load(key)).intent is None
    await sandbox.start()
    assert await call_patiently(client) == "acme"
    assert set(attempts(events)) == {"spend"}
    assert (sandbox.ledger.refreshes, sandbox.ledger.last_resort) == (1, 0)


@pytest.mark.parametrize(
    "token_host",
    [
        pytest.param("https://token.invalid", id="no-such-host"),
        pytest.param("https://127.0.0.1:{port}", id="no-tls"),
    ],
)
async def test_no_connection_stands(
    sandbox, provider, another, shared, key, connect, events, token_host
) -> None:
    """Name and TLS come before the token: it was not sent."""
    port = sandbox.url.rpartition(":")[2]
    settings = sandbox.settings
    unreachable = Registration(
        provider.with_hosts(token=token_host.format(port=port)),
        settings.client_id,
        settings.client_secret,
    )
    connector = aiohttp.TCPConnector(resolver=NoSuchHost())
    async with aiohttp.ClientSession(connector=connector) as http:
        client = await another(
            registered=unreachable, session=http, hooks=[events.append]
        )
        await connect(to=client, expired=True)
        with pytest.raises(TemporarilyUnavailable):
            await client.session("billit", "acme").access_token()
        await client.aclose()
    assert (await shared.load(key)).intent is None
    assert [e.kind for e in events if isinstance(e, RefreshFailed)] == ["not_sent"]


# ---- sent, and no readable answer


@pytest.mark.parametrize("fault", UNANSWERED)
async def test_while_the_access_token_lives_nothing_is_risked(
    sandbox, another, connect, call, events, shifted_clock, fault
) -> None:
    """It serves on; whoever demands another one is told to wait, however late it is."""
    client = await another(hooks=[events.append], _clock=shifted_clock)
    await connect(to=client)
    sandbox.script.add(fault)
    for _ in range(3):
        with pytest.raises(TemporarilyUnavailable):
            await client.session("billit", "acme").refresh()
        assert await call(client) == "acme"
        shifted_clock.ahead += 60.0
    assert [e.kind for e in events if isinstance(e, RefreshFailed)] == ["ambiguous"]
    assert sandbox.ledger.total.token_requests == 1


@pytest.mark.parametrize("fault", UNANSWERED)
async def test_inside_the_window_the_answer_is_fetched(
    sandbox, provider, another, connect, call_patiently, events, fault
) -> None:
    """The provider has promised to answer twice, so nothing is lost."""
    sandbox.settings.replay_window = 60.0
    windowed = Registration(
        evolve(provider, replay_window=60.0),
        sandbox.settings.client_id,
        sandbox.settings.client_secret,
    )
    client = await another(registered=windowed, hooks=[events.append])
    await connect(to=client, expired=True)
    sandbox.script.add(fault)
    assert await call_patiently(client) == "acme"
    assert attempts(events) == ["spend", "replay"]
    assert (sandbox.ledger.reuse, sandbox.ledger.lost_grants) == (0, 0)


@pytest.mark.parametrize(
    ("later", "attempt"),
    [
        pytest.param(10.0, "replay", id="inside"),
        pytest.param(60.0, "last_resort", id="over"),
    ],
)
async def test_the_window_counts_from_the_first_sending(
    sandbox, provider, another, connect, call, shifted_clock, events, later, attempt
) -> None:
    """It is in the store: another process, later, knows how much is left of it."""
    windowed = Registration(
        evolve(provider, replay_window=30.0),
        sandbox.settings.client_id,
        sandbox.settings.client_secret,
    )
    first = await another(registered=windowed)
    await connect(to=first, expired=True)
    sandbox.script.add(faults.drop_before())
    with pytest.raises(TemporarilyUnavailable):
        await call(first)
    shifted_clock.ahead = later
    second = await another(
        registered=windowed, hooks=[events.append], _clock=shifted_clock
    )
    assert await call(second) == "acme"
    assert attempts(events) == [attempt]


@pytest.mark.parametrize("fault", UNANSWERED[::2])
async def test_when_nothing_is_left_to_lose_it_is_tried_once(
    sandbox, client, connect, call_patiently, events, fault
) -> None:
    """The provider has rotated: the user is told when it was, and who sent it."""
    await connect(expired=True)
    sandbox.script.add(fault)
    with pytest.raises(AuthorizationRequired) as caught:
        await call_patiently(client)
    assert caught.value.reason == "rotation_lost"
    assert client._refresher.holder in str(caught.value)
    assert attempts(events) == ["spend", "last_resort"]
    assert (sandbox.ledger.reuse, sandbox.ledger.last_resort) == (0, 1)


async def test_that_attempt_saves_what_was_not_processed(
    sandbox, client, connect, call_patiently, events
) -> None:
    """The provider never saw the first one: the account lives on."""
    await connect(expired=True)
    sandbox.script.add(faults.drop_before())
    assert await call_patiently(client) == "acme"
    assert attempts(events) == ["spend", "last_resort"]
    assert (sandbox.ledger.refreshes, sandbox.ledger.lost_grants) == (1, 0)
