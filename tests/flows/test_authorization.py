"""From the connect link to the stored grant."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from tests._flows import CALLBACK
from yarl import URL

from everbearer import (
    CallbackError,
    Client,
    ConfigurationError,
    Registration,
    StoreError,
)
from everbearer.providers import BILLIT
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

ACME = AccountKey("billit", "acme")


class MovedClock:
    """Seconds since the epoch, moved by hand; what is elapsed moves along."""

    now = 1_800_000_000.0

    def wall(self):
        return self.now

    elapsed = wall


def query(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def refused(client, callback, **arguments):
    with pytest.raises(CallbackError) as caught:
        await client.authorization.finish(callback, **arguments)
    return caught.value


# ---- start


async def test_the_connect_link_of_billit(client, sandbox):
    """Byte for byte: the seed's three parameters, in the sandbox's place."""
    request = await client.authorization.start("billit", "acme")
    assert request.url == (
        f"{sandbox.url}/Account/Logon?client_id=sandbox-client"
        f"&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcallback&state={request.state}"
    )
    assert "&" not in request.state


async def test_a_link_shows_nothing_and_says_how_long_it_is_good(client):
    """URL and state are secrets; the end is an aware instant in UTC, an hour away."""
    request = await client.authorization.start("billit", "acme")
    assert request.state not in repr(request)
    assert request.expires_at.tzinfo is UTC
    left = request.expires_at - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("name", "account", "options", "says"),
    [
        pytest.param("bilit", "acme", {}, "this Client has: billit", id="provider"),
        pytest.param("billit", "", {}, "1 to 255", id="no account"),
        pytest.param("billit", "a" * 256, {}, "1 to 255", id="long account"),
        pytest.param("billit", "a\nb", {}, "control", id="control character"),
        pytest.param("billit", "\ud800", {}, "1 to 255", id="half a surrogate pair"),
        pytest.param("billit", 7, {}, "1 to 255", id="a number"),
        pytest.param("billit", "acme", {"extra": {"state": "x"}}, "state", id="extra"),
        pytest.param(
            "billit", "acme", {"lifetime": timedelta(0)}, "lifetime", id="no lifetime"
        ),
        pytest.param(
            "billit", "acme", {"lifetime": -timedelta(1)}, "lifetime", id="past"
        ),
        pytest.param(
            "billit", "acme", {"lifetime": timedelta.max}, "lifetime", id="for ever"
        ),
    ],
)
async def test_what_start_refuses(client, store, name, account, options, says):
    """Each mistake is a ConfigurationError that names it, before anything is stored."""
    with pytest.raises(ConfigurationError, match=says):
        await client.authorization.start(name, account, **options)
    assert store._pending == {}


async def test_start_needs_a_redirect_uri(provider, store):
    """Who only adopts tokens has none, and is told what to add."""
    async with Client(Registration(provider, "id", "secret"), store=store) as client:
        with pytest.raises(ConfigurationError, match="redirect_uri="):
            await client.authorization.start("billit", "acme")


async def test_billit_takes_no_query_in_the_redirect_uri():
    """Refused where it is configured, not when the user stands before an error page."""
    with pytest.raises(ConfigurationError, match="query"):
        Registration(BILLIT, "id", "secret", "https://app.example/cb?tenant=7")


async def test_the_account_comes_back_as_it_was(client, sandbox):
    """Any text up to 255 characters is an account id: it never travels in the link."""
    account = "Zoë & Söhne/%41?#" + "é" * 238
    request = await client.authorization.start("billit", account)
    status = await client.authorization.finish(await sandbox.approve(request.url))
    assert status.account == account
    assert [each.account async for each in client.accounts()] == [account]


async def test_what_is_stored_is_sealed(registration, tmp_path):
    """Neither state nor link stand in the database in clear."""
    path = tmp_path / "tokens.db"
    async with Client(registration, store=f"sqlite:///{path}") as client:
        request = await client.authorization.start("billit", "acme")
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT * FROM everbearer_pending").fetchall()
    assert len(rows) == 1
    assert request.state not in repr(rows)
    assert CALLBACK not in repr(rows)


# ---- finish


async def test_a_user_connects(client, sandbox, store, events):
    """Link, login page, callback: the grant is stored and used."""
    request = await client.authorization.start("billit", "acme")
    status = await client.authorization.finish(
        await sandbox.approve(request.url, "Acme"),
        state=request.state,
        account="acme",
    )
    assert (status.provider, status.account) == ("billit", "acme")
    assert (status.standing, status.reason) == ("connected", None)
    assert status.expires_at is not None
    record = await store.load(ACME)
    assert record.client_id == "sandbox-client"
    assert record.token_origin == sandbox.url
    async with client.session("billit", "acme").get("/v1/whoami") as response:
        assert (await response.json())["company"] == "Acme"
    assert sandbox.ledger.exchanges == 1


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda url: url, id="url"),
        pytest.param(URL, id="yarl"),
        pytest.param(query, id="mapping"),
        pytest.param(lambda url: URL(url).query, id="multidict"),
        pytest.param(lambda url: f"https://proxy/x/y?{urlsplit(url).query}", id="host"),
    ],
)
async def test_a_callback_comes_in_many_forms(client, sandbox, form):
    """What a proxy or a web framework makes of it does not matter."""
    request = await client.authorization.start("billit", "acme")
    callback = form(await sandbox.approve(request.url))
    assert (await client.authorization.finish(callback)).standing == "connected"


async def test_the_user_denies(client, sandbox, store):
    """access_denied with its description; nothing was asked for, nothing stored."""
    request = await client.authorization.start("billit", "acme")
    callback = await sandbox.deny(request.url)
    error = await refused(client, callback + "&error_description=Not+now")
    assert (error.code, error.description) == ("access_denied", "Not now")
    assert (await refused(client, callback)).code == "reused"
    assert await store.load(ACME) is None
    assert not sandbox.ledger.token_requests


@pytest.mark.parametrize(
    ("callback", "code"),
    [
        pytest.param("/cb?code=c", "malformed", id="no state"),
        pytest.param("/cb?code=c&state=", "malformed", id="empty state"),
        pytest.param("/cb?code=c&state=x", "unknown", id="unknown state"),
        pytest.param({"code": "c", "state": "\udc80"}, "malformed", id="undecodable"),
    ],
)
async def test_a_callback_that_nobody_started(client, sandbox, callback, code):
    """Refused without a token request."""
    assert (await refused(client, callback)).code == code
    assert not sandbox.ledger.token_requests


async def test_state_of_the_browser_does_not_stand_in_for_a_missing_one(
    client, sandbox
):
    """RFC 6749 s. 10.12: an attacker's code without state must not find a victim's."""
    victim = await client.authorization.start("billit", "acme")
    code = query(await sandbox.approve(victim.url, "Attacker"))["code"]
    error = await refused(client, f"/cb?code={code}", state=victim.state)
    assert error.code == "malformed"
    callback = await sandbox.approve(victim.url, "Acme")
    await client.authorization.finish(callback, state=victim.state)


async def test_a_callback_works_once(client, sandbox, store):
    """The second is "reused", and the grant of the first stays."""
    request = await client.authorization.start("billit", "acme")
    callback = await sandbox.approve(request.url)
    await client.authorization.finish(callback)
    before = await store.load(ACME)
    assert (await refused(client, callback)).code == "reused"
    assert await store.load(ACME) == before
    assert len(sandbox.ledger.token_requests) == 1


async def test_two_finishes_at_once(client, sandbox):
    """A double click: one connects, the other is told, the code is sent once."""
    request = await client.authorization.start("billit", "acme")
    callback = await sandbox.approve(request.url)
    outcomes = await asyncio.gather(
        *(client.authorization.finish(callback) for _ in range(5)),
        return_exceptions=True,
    )
    errors = [each for each in outcomes if isinstance(each, CallbackError)]
    assert [error.code for error in errors] == ["reused"] * 4
    assert len(sandbox.ledger.token_requests) == 1
    assert sandbox.ledger.lost_grants == 0


@pytest.mark.parametrize(
    ("after", "code"),
    [
        pytest.param(599.9, None, id="in time"),
        pytest.param(600.0, "expired", id="at its end"),
        pytest.param(600.0 + 80_000, "expired", id="later that day"),
    ],
)
async def test_a_late_callback(registration, sandbox, after, code):
    """The lifetime counts by the store's clock."""
    clock = MovedClock()
    store = MemoryStore(clock)
    async with Client(registration, store=store, _clock=clock) as client:
        request = await client.authorization.start(
            "billit", "acme", lifetime=timedelta(seconds=600)
        )
        assert request.expires_at.timestamp() == clock.now + 600
        callback = await sandbox.approve(request.url)
        clock.now += after
        if code is None:
            await client.authorization.finish(callback)
        else:
            assert (await refused(client, callback)).code == code
            assert not sandbox.ledger.token_requests


async def test_a_foreign_state_uses_nothing_up(client, sandbox):
    """A link that somebody else made is refused; this browser's own still works."""
    mine = await client.authorization.start("billit", "acme")
    theirs = await client.authorization.start("billit", "mallory")
    callback = await sandbox.approve(theirs.url, "Mallory")
    for state in (mine.state, "é", "", mine.state[:-1]):
        assert (await refused(client, callback, state=state)).code == "foreign"
    own = await sandbox.approve(mine.url, "Acme")
    await client.authorization.finish(own, state=mine.state)
    await client.authorization.finish(callback, state=theirs.state)


async def test_a_foreign_account_is_used_up(client, sandbox, store):
    """Whoever is logged in did not start it, and nobody else may finish it now."""
    request = await client.authorization.start("billit", "acme")
    callback = await sandbox.approve(request.url)
    assert (await refused(client, callback, account="mallory")).code == "foreign"
    assert (await refused(client, callback, account="acme")).code == "reused"
    assert await store.load(ACME) is None
    assert not sandbox.ledger.token_requests


async def test_the_callback_lands_on_another_process(
    registration, client, sandbox, tmp_path
):
    """Two Clients on one store behave as one."""
    url = f"sqlite:///{tmp_path / 'tokens.db'}"
    async with (
        Client(registration, store=url) as one,
        Client(registration, store=url) as other,
    ):
        request = await one.authorization.start("billit", "acme")
        callback = await sandbox.approve(request.url)
        assert (await refused(client, callback)).code == "unknown"  # another store
        await other.authorization.finish(callback)
        assert (await refused(one, callback)).code == "reused"
        assert (await one.session("billit", "acme").status()).standing == "connected"


async def test_a_client_without_that_registration_uses_nothing_up(
    registration, client, store, sandbox
):
    """A misrouted callback is a ConfigurationError, and works where it belongs."""
    request = await client.authorization.start("billit", "acme")
    callback = await sandbox.approve(request.url)
    named = Registration(registration.provider, "id", "secret", name="other")
    async with Client(named, store=store) as other:
        with pytest.raises(ConfigurationError, match="has: other"):
            await other.authorization.finish(callback)
    await client.authorization.finish(callback)


async def test_a_cancelled_finish_stores_the_grant(client, sandbox, store):
    """A user who closes the tab while the code is exchanged is connected."""
    request = await client.authorization.start("billit", "acme")
    callback = await sandbox.approve(request.url)
    sandbox.settings.token_delay = 0.1
    finishing = asyncio.create_task(client.authorization.finish(callback))
    while not sandbox.ledger.max_concurrency:
        await asyncio.sleep(0.005)
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert await store.load(ACME) is None
    await client.aclose()
    assert (await store.load(ACME)).token.refresh_token is not None


async def test_closing_does_not_wait_for_ever(client, sandbox, store):
    """Past its bound the user is told to start again, and closing warns."""
    request = await client.authorization.start("billit", "acme")
    callback = await sandbox.approve(request.url)
    sandbox.script.add(faults.slow(0.3, rotates="before"))
    finishing = asyncio.create_task(client.authorization.finish(callback))
    while not sandbox.ledger.max_concurrency:
        await asyncio.sleep(0.005)
    with pytest.warns(ResourceWarning, match="1 authorization"):
        await client.aclose(0.01)
    with pytest.raises(Exception, match="start the authorization again"):
        await finishing


async def test_a_reconnect_replaces_the_grant(client, sandbox, store, connect):
    """The user chooses another company: from the next call on it is that one."""
    await connect("acme")
    before = await store.load(ACME)
    request = await client.authorization.start("billit", "acme")
    await client.authorization.finish(await sandbox.approve(request.url, "Other"))
    after = await store.load(ACME)
    assert after.incarnation != before.incarnation
    async with client.session("billit", "acme").get("/v1/whoami") as response:
        assert (await response.json())["company"] == "Other"


async def test_a_flight_of_the_old_grant_overwrites_nothing(
    client, sandbox, store, connect
):
    """Rule 13: a refresh that ends after the reconnect is dropped."""
    await connect("acme", expired=True)
    sandbox.script.add(faults.slow(0.2, rotates="before", grant_type="refresh_token"))
    session = client.session("billit", "acme")
    waiting = asyncio.create_task(session.access_token())
    while not sandbox.ledger.max_concurrency:
        await asyncio.sleep(0.005)
    request = await client.authorization.start("billit", "acme")
    await client.authorization.finish(await sandbox.approve(request.url, "Other"))
    reconnected = await store.load(ACME)
    token = await waiting
    assert token == reconnected.token.access_token
    after = await store.load(ACME)
    assert (after.incarnation, after.token) == (
        reconnected.incarnation,
        reconnected.token,
    )
    async with session.get("/v1/whoami") as response:
        assert (await response.json())["company"] == "Other"


async def test_a_store_that_fails_at_the_end(client, sandbox, store, monkeypatch):
    """StoreError; the callback is spent, so a new authorization is what helps."""
    request = await client.authorization.start("billit", "acme")
    callback = await sandbox.approve(request.url)

    async def full(*_):
        raise StoreError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "put", full)
        with pytest.raises(StoreError, match="disk full"):
            await client.authorization.finish(callback)
    again = await client.authorization.start("billit", "acme")
    await client.authorization.finish(await sandbox.approve(again.url))
