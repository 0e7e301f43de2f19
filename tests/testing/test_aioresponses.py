"""aioresponses as tests know it, with the middleware run around what it answers."""

from __future__ import annotations

import asyncio
import io
import re

import aiohttp
import pytest
import pytest_asyncio
from aioresponses import CallbackResult
from yarl import URL

from everbearer import AuthorizationRequired, Client, Registration
from everbearer.providers import BILLIT
from everbearer.stores import MemoryStore
from everbearer.testing import aioresponses, connected

pytestmark = pytest.mark.asyncio

API = "https://api.billit.be"
ORDERS = f"{API}/v1/orders"
TOKEN_URL = "https://api.billit.be/OAuth2/token"
EXPIRED = {"errors": [{"Code": "AccessTokenExpired"}]}


async def letters():
    for letter in (b"a", b"b", b"c"):
        yield letter


@pytest.fixture(name="mocked")
def _mocked():
    with aioresponses() as mocked:
        yield mocked


@pytest_asyncio.fixture(name="client")
async def _client():
    registration = Registration(BILLIT, "id", "secret", "https://app.example/cb")
    async with Client(registration, store=MemoryStore()) as client:
        yield client


@pytest_asyncio.fixture(name="acme")
async def _acme(client):
    return await connected(client, "billit", "acme")


@pytest_asyncio.fixture(name="session")
async def _session():
    async with aiohttp.ClientSession() as session:
        yield session


async def test_the_token_is_attached(mocked, acme):
    """One line mocks a call; no token endpoint is asked."""
    mocked.get(ORDERS, payload={"Items": []})
    async with acme.get("/v1/orders") as response:
        assert await response.json() == {"Items": []}
    [call] = mocked.requests["GET", URL(ORDERS)]
    assert call.kwargs["headers"]["Authorization"] == "Bearer access-token-of-acme"
    assert "middlewares" not in call.kwargs


async def test_a_mocked_expiry_is_refreshed_and_sent_again(mocked, acme):
    """A 401 as the provider words it costs one token request and a resend."""
    mocked.get(ORDERS, status=401, payload=EXPIRED)
    mocked.post(TOKEN_URL, payload={"access_token": "access-2", "expires_in": 3600})
    mocked.get(ORDERS, payload={"Items": [1]})
    async with acme.get("/v1/orders") as response:
        assert (await response.json())["Items"] == [1]
    sent = [call.kwargs["headers"] for call in mocked.requests["GET", URL(ORDERS)]]
    assert [headers["Authorization"] for headers in sent] == [
        "Bearer access-token-of-acme",
        "Bearer access-2",
    ]
    [asked] = mocked.requests["POST", URL(TOKEN_URL)]
    assert b"refresh-token-of-acme" in asked.kwargs["data"]
    assert await acme.access_token() == "access-2"


async def test_a_mocked_refusal(mocked, acme):
    """What a token endpoint answers is judged as the provider's own answer would be."""
    mocked.get(ORDERS, status=401, payload=EXPIRED)
    mocked.post(TOKEN_URL, status=400, payload={"error": "invalid_grant"})
    with pytest.raises(AuthorizationRequired):
        await acme.get("/v1/orders")


@pytest.mark.parametrize("where", ["call", "session"])
async def test_raise_for_status_applies_at_the_end(mocked, acme, where):
    """The middleware sees the 401 itself; only what it hands on is raised."""
    mocked.get(ORDERS, status=401, payload=EXPIRED)
    mocked.post(TOKEN_URL, payload={"access_token": "access-2", "expires_in": 3600})
    mocked.get(ORDERS, status=503)
    of_session, of_call = (True, {}), (False, {"raise_for_status": True})
    whole, options = of_session if where == "session" else of_call
    async with acme.client_session(raise_for_status=whole) as session:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await session.get(ORDERS, **options)
    assert caught.value.status == 503


async def test_a_redirect_elsewhere_takes_no_token_along(mocked, acme):
    """Middlewares run on every hop, and judge its origin."""
    seen = []
    mocked.get(ORDERS, status=302, headers={"Location": "https://cdn.example/x"})
    mocked.get("https://cdn.example/x", callback=lambda _, **call: seen.append(call))
    async with acme.get("/v1/orders") as response:
        assert str(response.url) == "https://cdn.example/x"
        assert [each.status for each in response.history] == [302]
    assert "Authorization" not in seen[0].get("headers", {})
    assert set(mocked.requests) == {("GET", URL(ORDERS))}


@pytest.mark.parametrize(
    ("data", "recorded"),
    [
        pytest.param(lambda: b"abc", b"abc", id="bytes"),
        pytest.param(lambda: {"a": "b"}, {"a": "b"}, id="form"),
        pytest.param(lambda: io.BytesIO(b"abc"), b"abc", id="a file"),
        pytest.param(letters, b"abc", id="a generator"),
    ],
)
async def test_bodies_are_sent_and_recorded(mocked, session, data, recorded):
    """A stream is read as a server would, and its bytes are what is recorded."""
    mocked.post(ORDERS)
    await session.post(ORDERS, data=data(), headers={"Expect": "100-continue"})
    assert mocked.requests["POST", URL(ORDERS)][0].kwargs["data"] == recorded


async def test_arguments_are_deep_copies(mocked, session):
    """A list that changes later is recorded as it was sent."""
    order = {"lines": [1]}
    mocked.post(ORDERS)
    await session.post(ORDERS, json=order)
    order["lines"].append(2)
    mocked.assert_called_once_with(ORDERS, method="POST", json={"lines": [1]})


async def test_middlewares_are_not_copied(mocked, session):
    """A middleware may hold what cannot be copied: connections, tasks, secrets."""
    seen = []

    class Middleware:
        def __deepcopy__(self, memo):
            raise AssertionError("copied")

        async def __call__(self, request, handler):
            seen.append(request.url)
            return await handler(request)

    mocked.get(ORDERS)
    await session.get(ORDERS, middlewares=(Middleware(),))
    assert seen == [URL(ORDERS)]


@pytest.mark.parametrize("repeat", [False, 1, 2, True], ids=repr)
async def test_repeat(mocked, session, repeat):
    """False is once, a number is so often, True is for ever."""
    mocked.get(ORDERS, repeat=repeat)
    for _ in range(3 if repeat is True else int(repeat) or 1):
        assert (await session.get(ORDERS)).status == 200
    if repeat is not True:
        with pytest.raises(aiohttp.ClientConnectionError, match="refused: GET https"):
            await session.get(ORDERS)


@pytest.mark.parametrize(
    ("mock", "raised"),
    [
        pytest.param({"timeout": True}, TimeoutError, id="timeout"),
        pytest.param({"exception": ValueError("x")}, ValueError, id="any exception"),
        pytest.param({"exception": ValueError}, ValueError, id="a class"),
        pytest.param(
            {"exception": aiohttp.ServerDisconnectedError()},
            aiohttp.ServerDisconnectedError,
            id="of aiohttp",
        ),
    ],
)
async def test_exceptions(mocked, session, mock, raised):
    """A mocked exception is raised out of the call."""
    mocked.get(ORDERS, **mock)
    with pytest.raises(raised):
        await session.get(ORDERS)


@pytest.mark.parametrize("sync", [True, False], ids=["function", "coroutine"])
async def test_callbacks(mocked, session, sync):
    """A callback sees the call and says what is answered."""

    def answer(url, **call):
        return CallbackResult(status=201, payload={"url": str(url), **call["json"]})

    async def later(url, **call):
        await asyncio.sleep(0)
        return answer(url, **call)

    mocked.post(re.compile(r".*/v1/orders\?.*"), callback=answer if sync else later)
    async with session.post(ORDERS, params={"b": 1, "a": 2}, json={"n": 1}) as response:
        assert response.status == 201
        assert await response.json() == {"url": f"{ORDERS}?a=2&b=1", "n": 1}


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "patch", "delete"])
async def test_methods_and_headers(mocked, session, method):
    """Each method has its mock; status, reason and headers come as they were given."""
    headers = {"X-Page": "7", "Content-Type": "text/plain"}
    add = getattr(mocked, method)
    add(ORDERS, status=299, reason="Odd", body="text", headers=headers)
    async with session.request(method, ORDERS) as response:
        assert (response.status, response.reason) == (299, "Odd")
        assert response.headers["X-Page"] == "7"
        assert response.content_type == "text/plain"
        assert await response.text() == ("" if method == "head" else "text")
        assert isinstance(response.content_length, int | None)


async def test_a_large_answer(mocked, session):
    """An answer larger than every buffer comes whole, read at once or in pieces."""
    body = bytes(range(256)) * 20_000
    mocked.get(ORDERS, body=body, repeat=True)
    async with session.get(ORDERS) as response:
        assert await response.read() == body
    async with session.get(ORDERS) as response:
        pieces = [piece async for piece in response.content.iter_chunked(10_000)]
    assert b"".join(pieces) == body


async def test_a_response_that_nobody_reads(mocked, session):
    """Nothing is left open that would warn."""
    mocked.get(ORDERS, body=b"x" * 5_000_000)
    await session.get(ORDERS)


async def test_cookies_and_base_url(mocked):
    """The session's own settings apply."""
    mocked.get(ORDERS, headers={"Set-Cookie": "a=b"})
    async with aiohttp.ClientSession(API, headers={"X-App": "1"}) as session:
        await session.get("/v1/orders")
        assert [cookie.value for cookie in session.cookie_jar] == ["b"]
    mocked.assert_called_with(ORDERS, headers={"X-App": "1"})


async def test_passthrough(everbearer_sandbox, session):
    """What is not to be mocked reaches its server, middlewares and all."""
    url = f"{everbearer_sandbox.url}/v1/whoami"
    with aioresponses(passthrough=[everbearer_sandbox.url]):
        async with session.get(url) as response:
            assert response.status == 401
    with aioresponses(passthrough_unmatched=True) as mocked:
        mocked.get(ORDERS)
        async with session.get(url) as response:
            assert response.status == 401
        assert (await session.get(ORDERS)).status == 200


async def test_as_a_decorator(session):
    """The mocks come as the last argument, or by the name that was asked for."""

    @aioresponses()
    async def last(url, mocked):
        mocked.get(url)
        await session.get(url)
        mocked.assert_called_once()
        mocked.assert_any_call(url)

    @aioresponses(param="mocks")
    async def named(*, mocks):
        mocks.assert_not_called()

    await last(ORDERS)
    await named()


async def test_nothing_stays_mocked(session, everbearer_sandbox):
    """After the block everything is as it was, an inner block's end included."""
    before = aiohttp.ClientSession._request, aiohttp.BaseConnector.connect
    with aioresponses() as outer:
        outer.get(ORDERS)
        with aioresponses() as inner:
            inner.get(ORDERS, status=404)
            assert (await session.get(ORDERS)).status == 404
        assert (await session.get(ORDERS)).status == 200
    assert before == (aiohttp.ClientSession._request, aiohttp.BaseConnector.connect)
    async with session.get(everbearer_sandbox.url) as response:
        assert response.status == 404
