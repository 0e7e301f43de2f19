"""No secret is seen, whatever goes wrong: the canary of every test is told more here.

In these tests the client secret is random, all loggers speak and the event loop is in
debug mode, where it logs every callback with its arguments.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import secrets
from urllib.parse import quote, quote_plus

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from everbearer import (
    CallbackError,
    Client,
    EverbearerError,
    Registration,
    Token,
)
from everbearer.providers import standard_provider
from everbearer.sandbox import Sandbox, faults
from everbearer.stores import Keyring, SqliteStore

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def sandbox():
    """With a client secret that nobody prints by chance, and that encodings change."""
    client_secret = f'{secrets.token_urlsafe(16)}/+ "{secrets.token_urlsafe(16)}'
    async with Sandbox(client_secret=client_secret) as running:
        yield running


@pytest.fixture
def store(tmp_path):
    """Sealed, on disk: what is written there is looked at too."""
    return SqliteStore(tmp_path / "tokens.db", Keyring([Keyring.generate_key()]))


@pytest.fixture(autouse=True)
def loud(canary, caplog):
    """Every logger speaks, those of aiohttp, aiosqlite and asyncio included."""
    with caplog.at_level(logging.DEBUG):
        yield
    for record in caplog.records:
        canary.note_record(record)


@pytest_asyncio.fixture(autouse=True)
async def debugging():
    """The event loop logs every callback that takes longer than no time at all."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0


def pickled(error: BaseException) -> str:
    """What another process would be sent; aiohttp's errors with headers cannot be."""
    try:
        return pickle.dumps(error).decode("latin-1")
    except TypeError:
        return ""


async def whoami(client, **options):
    async with client.session("billit", "acme").get("/v1/whoami", **options) as answer:
        return await answer.json()


async def test_a_whole_life(sandbox, client, canary, tmp_path) -> None:
    """Connect, call, expire, be refused, refresh, revoke, disconnect: not a trace."""
    request = await client.authorization.start("billit", "acme")
    canary.note("authorization request", request, repr(request), f"{request}")
    status = await client.authorization.finish(await sandbox.approve(request.url))
    canary.note("status", status, repr(status), repr(client))
    await whoami(client)
    sandbox.script.expire_now("Acme")
    await whoami(client)
    sandbox.script.invalidate_now("Acme")
    await whoami(client)
    await client.session("billit", "acme").refresh()
    sandbox.script.revoke("Acme")
    with pytest.raises(EverbearerError):
        await whoami(client)
    await client.disconnect("billit", "acme")
    assert sandbox.ledger.refreshes == 3
    for path in tmp_path.glob("tokens.db*"):
        canary.note("the store's file", path.read_bytes().decode("latin-1"))
    assert canary.leaks() == []


async def test_tasks_of_a_refresh(sandbox, client, connect, canary) -> None:
    """Who lists the running tasks reads names and stations."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.1
    calls = [asyncio.create_task(whoami(client)) for _ in range(3)]
    while not all(call.done() for call in calls):
        for task in asyncio.all_tasks():
            canary.note("task", repr(task), repr(task.get_coro()))
        await asyncio.sleep(0.01)
    canary.note("task", *map(repr, calls))
    assert canary.leaks() == []


FAULTS = {
    "lost": faults.rotate_and_drop(),
    "dropped": faults.drop_before(),
    "500": faults.status(500, rotates=True),
    "503": faults.spell(),
    "html": faults.html_200(rotates=True),
    "cut": faults.truncated_json(),
    "no-access-token": faults.missing_access_token(rotates=True),
    "error-with-200": faults.error_with_200(),
    "late": faults.slow(1.2, rotates="before"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_refresh_that_fails(sandbox, client, connect, canary, fault) -> None:
    """Whatever becomes of the answer, the tokens in it are not told."""
    await connect(expired=True)
    sandbox.script.add(fault)
    with pytest.raises(EverbearerError) as caught:
        await whoami(client)
    canary.note("pickle", pickled(caught.value))
    assert canary.leaks() == []


ECHOES = {
    "description": lambda sent: error(400, "invalid_grant", f"no {sent}"),
    "error": lambda sent: error(400, sent),
    "unknown": lambda sent: error(418, f"odd {sent}", sent),
    "text": lambda sent: faults.answer(f"rejected: {sent}".encode(), status=400),
    "page": lambda sent: faults.answer(f"<h1>Oops</h1><p>{sent}".encode(), status=500),
    "long": lambda sent: faults.answer(
        f"{'x' * 170} {sent} {'y' * 3000} {sent}".encode(), status=500
    ),
    "success": lambda sent: faults.answer(json.dumps({"message": sent}).encode()),
    "header": lambda sent: faults.answer(
        b"", status=401, headers={"WWW-Authenticate": sent}
    ),
}


def error(status: int, code: str, description: str = "") -> faults.Fault:
    """A refusal in Billit's words, and in those of RFC 6749 section 5.2."""
    document = {
        "error": code,
        "error_description": description,
        "errors": [{"Code": code, "Description": description}],
    }
    return faults.answer(json.dumps(document).encode(), status=status)


def spelt(secret: str) -> dict[str, str]:
    """How an answer may repeat it."""
    quoted = quote(secret, safe="")
    pair = base64.b64encode(f"sandbox-client:{quoted}".encode()).decode()
    return {
        "plain": secret,
        "form": quote_plus(secret),
        "json": json.dumps(secret),
        "basic": f"Basic {pair}",
    }


@pytest.mark.parametrize("spelling", ["plain", "form", "json"])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
async def test_an_answer_that_echoes(
    sandbox, client, connect, canary, echo, spelling
) -> None:
    """Error pages have repeated refresh tokens and secrets; we do not pass them on."""
    token = await connect(expired=True)
    sent = (token.refresh_token, sandbox.settings.client_secret)
    said = " ".join(spelt(secret)[spelling] for secret in sent)
    sandbox.script.add(echo(said))
    with pytest.raises(EverbearerError) as caught:
        await whoami(client)
    canary.note("pickle", pickled(caught.value))
    assert canary.leaks() == []


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
async def test_an_echo_of_basic_credentials(sandbox, store, canary, echo) -> None:
    """The same where the secret travels in the Authorization header (RFC 7617)."""
    provider = standard_provider(
        "standard",
        authorize_url=f"{sandbox.url}/login",
        token_url=f"{sandbox.url}/OAuth2/token",
        api_base=sandbox.url,
    )
    secret = sandbox.settings.client_secret
    basic = spelt(secret)["basic"]
    canary.watch_random(basic.removeprefix("Basic "), "Basic credentials")
    sandbox.script.add(echo(f"{basic} {secret}"))
    registration = Registration(provider, "sandbox-client", secret)
    async with Client(registration, store=store) as client:
        await client.adopt("standard", "acme", Token(None, secrets.token_urlsafe(32)))
        with pytest.raises(EverbearerError):
            await client.session("standard", "acme").access_token()
    assert canary.leaks() == []


CALLBACKS = {
    "not-a-url": lambda url: "http://[" + str(url.query),
    "code-twice": lambda url: f"{url}&code={url.query['code']}",
    "no-state": lambda url: {"code": url.query["code"]},
    "no-code": lambda url: {"state": url.query["state"]},
    "not-text": lambda url: {"code": url.query["code"].encode(), "state": None},
    "unknown": lambda url: url.update_query(state=secrets.token_urlsafe(32)),
    "unknown-code": lambda url: url.update_query(code=secrets.token_urlsafe(32)),
    "denied": lambda url: {
        "error": f"{url.query['state']} denied",
        "error_description": f"nobody knows {url.query['state']}",
        "state": url.query["state"],
    },
    "as-error": lambda url: {**url.query, "error": url.query["code"]},
}


@pytest.mark.parametrize("spoil", CALLBACKS.values(), ids=CALLBACKS)
async def test_callbacks_that_are_refused(sandbox, client, canary, spoil) -> None:
    """What is wrong with a callback is said without its code and its state."""
    request = await client.authorization.start("billit", "acme")
    callback = URL(await sandbox.approve(request.url))
    with pytest.raises(EverbearerError) as caught:
        await client.authorization.finish(spoil(callback))
    canary.note("pickle", pickled(caught.value))
    assert canary.leaks() == []


async def test_a_callback_of_somebody_else(sandbox, client, canary) -> None:
    """Another browser's state, another account, a second time: no word of either."""
    first = await client.authorization.start("billit", "acme")
    other = await client.authorization.start("billit", "other")
    callback = await sandbox.approve(first.url)
    with pytest.raises(CallbackError, match="foreign"):
        await client.authorization.finish(callback, state=other.state)
    with pytest.raises(CallbackError, match="foreign"):
        await client.authorization.finish(callback, account="other")
    with pytest.raises(CallbackError, match="reused"):
        await client.authorization.finish(callback)
    assert canary.leaks() == []


async def test_a_verifier(sandbox, store, canary) -> None:
    """Where there is PKCE, its verifier is in no error and no log."""
    provider = standard_provider(
        "standard",
        authorize_url=f"{sandbox.url}/login",
        token_url=f"{sandbox.url}/_sandbox/nothing",
        api_base=sandbox.url,
    )
    registration = Registration(
        provider, "me", secrets.token_urlsafe(24), "http://127.0.0.1:9/callback"
    )
    async with Client(registration, store=store) as client:
        request = await client.authorization.start("standard", "acme")
        canary.note("request", request, repr(request))
        with pytest.raises(EverbearerError):
            await client.authorization.finish(
                {"code": secrets.token_urlsafe(24), "state": request.state}
            )
    assert canary.leaks() == []


# ---- aiohttp's own errors carry the request's headers


async def _not_found(session):
    await session.get("/v1/nowhere", raise_for_status=True)


async def _not_json(session):
    async with session.get("/v1/echo") as answer:
        await answer.json(content_type="text/nothing")


async def _no_websocket(session):
    await session.ws_connect("/v1/whoami")


async def _redirected(session):
    url = f"/v1/redirect?to={quote_plus('/v1/redirect?to=%2Fv1%2Fwhoami')}"
    await session.get(url, max_redirects=1)


async def _dropped(session):
    await session.get("/v1/whoami")


async def _too_slow(session):
    await session.get("/v1/whoami", timeout=aiohttp.ClientTimeout(0.05))


AIOHTTP_ERRORS = [
    _not_found,
    _not_json,
    _no_websocket,
    _redirected,
    _dropped,
    _too_slow,
]


@pytest.mark.parametrize("call", AIOHTTP_ERRORS, ids=lambda call: call.__name__[1:])
async def test_errors_of_aiohttp(sandbox, client, connect, canary, call) -> None:
    """Neither what aiohttp raises nor its pickle shows the Authorization header."""
    await connect()
    if call is _dropped:
        sandbox.script.add(faults.api_drop(times=None))
    if call is _too_slow:
        sandbox.script.add(faults.api_slow(0.2))
    with pytest.raises((aiohttp.ClientError, TimeoutError)) as caught:
        await call(client.session("billit", "acme"))
    canary.note("pickle", pickled(caught.value))
    assert canary.leaks() == []


async def test_tracing_and_answers(sandbox, client, connect, canary) -> None:
    """What a trace is told and an answer remembers prints no token."""
    await connect()
    sandbox.script.expire_now("acme")
    trace = aiohttp.TraceConfig()

    async def tell(_session: object, _context: object, told: object) -> None:
        canary.note("trace", repr(told))

    for signal in (
        trace.on_request_start,
        trace.on_request_headers_sent,
        trace.on_request_end,
        trace.on_response_chunk_received,
    ):
        signal.append(tell)
    acme = client.session("billit", "acme")
    async with (
        acme.client_session(trace_configs=[trace]) as session,
        session.get("/v1/redirect", params={"to": "/v1/whoami"}) as answer,
    ):
        assert answer.status == 200
        for each in (*answer.history, answer):
            canary.note("answer", repr(each), repr(each.request_info), each.headers)
    assert canary.leaks() == []


async def test_a_proxy_with_a_password(sandbox, registration, store, canary) -> None:
    """A proxy that is not there is named without user and password."""
    password = secrets.token_urlsafe(16)
    canary.watch_random(password, "URL password")
    proxy = f"http://user:{password}@127.0.0.1:9"
    async with (
        aiohttp.ClientSession(proxy=proxy) as session,
        Client(registration, store=store, session=session) as client,
    ):
        request = await client.authorization.start("billit", "acme")
        callback = await sandbox.approve(request.url)
        with pytest.raises(EverbearerError):
            await client.authorization.finish(callback)
    assert canary.leaks() == []
