"""The client does what Billit's document shows, to the letter."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from attrs import evolve

from everbearer import (
    AuthorizationRequired,
    CallbackError,
    Client,
    ConfigurationError,
    Registration,
    Token,
)
from everbearer.providers import BILLIT, Verdict
from everbearer.stores import MemoryStore
from everbearer.transport._expiry_signal import candidates, first_match

pytestmark = pytest.mark.asyncio

SEED = tomllib.loads(Path(__file__).with_name("billit.toml").read_text("utf-8"))
REDIRECT = "https://app.example/callback"
ID, SECRET = "client of ours", "s3cr&t/plus+ü"
VERDICTS = {
    "InvalidAccessToken": Verdict.INVALID,
    "AccessTokenExpired": Verdict.EXPIRED,
    "AccessTokenRevoked": Verdict.REVOKED,
}
# What aiohttp writes of itself; the document speaks of none of them.
OF_HTTP = {"host", "user-agent", "accept-encoding", "content-length", "connection"}


def registration(provider):
    return Registration(provider, ID, SECRET, REDIRECT)


@pytest_asyncio.fixture(name="client")
async def _client(recorder):
    """A Client whose Billit is the recording server."""
    billit = BILLIT.with_hosts(recorder.url, recorder.url, recorder.url)
    # Its document does not speak of accountInformation.
    billit = evolve(billit, account_facts=None)
    async with Client(registration(billit), store=MemoryStore()) as client:
        yield client


async def callback(client, query):
    """What the browser brings back, with the state that the client gave it."""
    started = await client.authorization.start("billit", "acme")
    return f"{REDIRECT}?{query}&state={started.state}"


def names(parameters):
    """The names of JSON *parameters*, repeats included."""
    return sorted(name for name, _ in json.loads(parameters, object_pairs_hook=list))


async def test_connect_link():
    """The connect link is the document's, letter by letter."""
    billit = BILLIT.in_environment("sandbox")
    async with Client(registration(billit), store=MemoryStore()) as client:
        started = await client.authorization.start("billit", "acme")
    assert started.url == SEED["login"]["url"].format(
        CLIENTID=quote(ID, safe=""),
        REDIRECTURI=quote(REDIRECT, safe=""),
        STATE=started.state,
    )
    assert SEED["login"]["cuts_state_at"] not in started.state


async def test_redirect_uri_with_a_query():
    """Query parameters "are not allowed in the redirect_uri": refused at once."""
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        Registration(BILLIT, ID, SECRET, f"{REDIRECT}?customer=1")


@pytest.mark.parametrize("kind", SEED["token"]["parameters"])
async def test_token_request(kind, client, recorder):
    """Exactly the documented parameters, as JSON, and no Authorization header."""
    recorder.answers.append((200, SEED["token"]["response"]))
    if kind == "authorization_code":
        query = SEED["callback"]["allowed"]
        await client.authorization.finish(await callback(client, query))
        particular = {"code": "{authorization_code}", "redirect_uri": REDIRECT}
    else:
        await client.adopt("billit", "acme", Token(refresh_token="refresh-1"))
        await client.session("billit", "acme").access_token()
        particular = {"refresh_token": "refresh-1"}
    (arrived,) = recorder.arrived
    path = SEED["token"]["url"].removeprefix("https://api.sandbox.billit.be")
    assert arrived.line == f"POST {path} HTTP/1.1"
    assert arrived.headers["content-type"] == SEED["token"]["content_type"].lower()
    assert set(arrived.headers) - OF_HTTP == {"accept", "content-type"}
    assert names(arrived.body) == SEED["token"]["parameters"][kind]
    assert json.loads(arrived.body) == {
        "client_id": ID,
        "client_secret": SECRET,
        "grant_type": kind,
        **particular,
    }


async def test_token_url():
    """Tokens are asked for where the document says."""
    sandbox = BILLIT.in_environment("sandbox")
    for call in (sandbox.exchange, sandbox.refresh):
        assert sandbox.base.token + call.path == SEED["token"]["url"]


async def test_token_response_and_api_request(client, recorder):
    """The documented answer is understood, and its token used as documented."""
    recorder.answers += [(200, SEED["token"]["response"]), (200, "{}")]
    before = datetime.now(UTC).timestamp()
    status = await client.authorization.finish(
        await callback(client, SEED["callback"]["allowed"])
    )
    after = datetime.now(UTC).timestamp()
    assert before + 3600 <= status.expires_at.timestamp() <= after + 3600
    line, *headers = SEED["api"]["request"].strip().split("\n")
    wanted = dict(each.split(": ", 1) for each in headers)
    acme = client.session("billit", "acme")
    async with acme.get("/v1/orders", headers={"Accept": wanted["Accept"]}) as answer:
        assert answer.status == 200
    arrived = recorder.arrived[-1]
    assert arrived.line == line.replace("https://api.sandbox.billit.be", "")
    assert arrived.headers["authorization"] == wanted["Authorization"]
    assert arrived.headers["accept"] == wanted["Accept"]


async def test_documented_refresh_token_is_spent_next(client, recorder):
    """The refresh sends "the refresh token from the initial JSON response"."""
    recorder.answers += [(200, SEED["token"]["response"])] * 2
    await client.authorization.finish(
        await callback(client, SEED["callback"]["allowed"])
    )
    await client.session("billit", "acme").refresh()
    assert json.loads(recorder.arrived[-1].body)["refresh_token"] == "{REFRESH_TOKEN}"


async def test_denied(client, recorder):
    """The documented refusal is the user's, and no token is asked for."""
    denied = await callback(client, SEED["callback"]["denied"])
    with pytest.raises(CallbackError) as caught:
        await client.authorization.finish(denied)
    assert caught.value.code == "access_denied"
    assert recorder.arrived == []


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("code", SEED["errors"])
async def test_error_states(code, status):
    """The documented bodies mean the same at whatever status they come with."""
    body = json.loads(SEED["errors"][code])
    signal = first_match(candidates(BILLIT.expiry_signals, status, ()), body)
    assert signal is not None
    assert signal.verdict is VERDICTS[code]
    assert signal.proves_unprocessed is (status == 401)


@pytest.mark.parametrize("code", ["InvalidAccessToken", "AccessTokenExpired"])
async def test_rejected_token(code, client, recorder):
    """A documented rejection costs one refresh, and the caller does not see it."""
    await client.adopt("billit", "acme", Token("access-1", "refresh-1"))
    recorder.answers += [
        (401, SEED["errors"][code]),
        (200, SEED["token"]["response"]),
        (200, "{}"),
    ]
    async with client.session("billit", "acme").get("/v1/orders") as answer:
        assert answer.status == 200
    assert [each.line.split()[1] for each in recorder.arrived] == [
        "/v1/orders",
        "/OAuth2/token",
        "/v1/orders",
    ]
    sent = [each.headers.get("authorization") for each in recorder.arrived]
    assert sent == ["Bearer access-1", None, "Bearer {ACCESS_TOKEN}"]


async def test_revoked_token(client, recorder):
    """The documented revocation asks for the user, and spends no refresh token."""
    await client.adopt("billit", "acme", Token("access-1", "refresh-1"))
    recorder.answers.append((401, SEED["errors"]["AccessTokenRevoked"]))
    with pytest.raises(AuthorizationRequired):
        await client.session("billit", "acme").get("/v1/orders")
    assert len(recorder.arrived) == 1
