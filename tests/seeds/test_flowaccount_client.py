"""The client does what FlowAccount's document shows, to the letter."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import pytest
import pytest_asyncio

from everbearer import (
    AuthorizationRequired,
    Client,
    ConfigurationError,
    Registration,
    TemporarilyUnavailable,
    Token,
)
from everbearer.providers import FLOWACCOUNT
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

SEED = tomllib.loads(Path(__file__).with_name("flowaccount.toml").read_text("utf-8"))
REDIRECT = "https://app.example/callback"
ID, SECRET = "client of ours", "s3cr&t/plus+ü"
DAY = 86400
ANSWER = {
    "access_token": "at-1",
    "expires_in": 3600,
    "token_type": "bearer",
    "supportCode": "FA-0042",
    "refresh_token": "rt-1",
}
OF_HTTP = {"host", "user-agent", "accept-encoding", "content-length", "connection"}


@pytest_asyncio.fixture(name="client")
async def _client(recorder):
    """A Client whose FlowAccount is the recording server, at its sandbox's path."""
    base = f"{recorder.url}/test"
    provider = FLOWACCOUNT.with_hosts(recorder.url, base, base)
    registration = Registration(provider, ID, SECRET, REDIRECT)
    async with Client(registration, store=MemoryStore()) as client:
        yield client


async def connect(client):
    """What `finish` says of the callback with all that is documented."""
    started = await client.authorization.start("flowaccount", "acme")
    scope = quote(SEED["login"]["scope"])
    return await client.authorization.finish(
        f"{REDIRECT}?code=the-code&scope={scope}&state={started.state}",
        state=started.state,
    )


def left(moment):
    """Seconds until *moment*."""
    return (moment - datetime.now(UTC)).total_seconds()


async def test_connect_link():
    """The example's link: same endpoint, same parameters, written the same way."""
    sandbox = FLOWACCOUNT.in_environment("sandbox")
    registration = Registration(sandbox, "id", SECRET, "https://localhost:3000")
    async with Client(registration, store=MemoryStore()) as client:
        started = await client.authorization.start("flowaccount", "acme")
    example, _, query = SEED["login"]["example"].partition("?")
    endpoint, _, built = started.url.partition("?")
    assert endpoint == example
    # The example's redirect URI has backslashes, and is not encoded as its text asks.
    documented = [each for each in query.split("&") if "redirect_uri" not in each]
    assert set(built.split("&")) == {
        *documented,
        "redirect_uri=https%3A%2F%2Flocalhost%3A3000",
        f"state={started.state}",
    }
    assert dict(parse_qsl(built))["scope"] == SEED["login"]["scope"]
    assert sorted(dict(parse_qsl(built))) == sorted(
        SEED["login"]["required"] + SEED["login"]["optional"]
    )


@pytest.mark.parametrize("environment", ["production", "sandbox"])
async def test_environment(environment):
    """By path for the API and the tokens, by host for the login."""
    provider = FLOWACCOUNT.in_environment(environment)
    token = SEED["token"]["url"].replace("{{environment}}", SEED["sdk"][environment])
    for call in (provider.exchange, provider.refresh):
        assert provider.base.token + call.path == token
    assert provider.base.api == token.removesuffix("/token")
    login = urlsplit(provider.base.login)
    assert login.path == ""
    built = SEED["login"]["url"].replace("{{auth-server-endpoint}}", login.netloc)
    assert provider.base.login + provider.authorize.path == built


@pytest.mark.parametrize("kind", SEED["token"]["parameters"])
async def test_token_request(kind, client, recorder):
    """Exactly the documented parameters, as a form, and no Authorization header."""
    recorder.answers.append((200, json.dumps(ANSWER)))
    if kind == "authorization_code":
        await connect(client)
        particular = [("code", "the-code"), ("redirect_uri", REDIRECT)]
    else:
        await client.adopt("flowaccount", "acme", Token(refresh_token="rt/0+&"))
        await client.session("flowaccount", "acme").access_token()
        particular = [("refresh_token", "rt/0+&")]
    (arrived,) = recorder.arrived
    assert arrived.line == "POST /test/token HTTP/1.1"
    assert arrived.headers["content-type"].endswith(SEED["token"]["content_type"])
    assert set(arrived.headers) - OF_HTTP == {"accept", "content-type"}
    pairs = [("grant_type", kind), *particular]
    pairs += [("client_id", ID), ("client_secret", SECRET)]
    assert [name for name, _ in pairs] == SEED["token"]["parameters"][kind]
    wanted = "&".join(f"{name}={quote_plus(value)}" for name, value in pairs)
    assert arrived.body == wanted.encode()


async def test_token_response(client, recorder):
    """Every documented member is understood, and supportCode kept."""
    assert list(ANSWER) == SEED["token"]["members"]
    recorder.answers += [(200, json.dumps(ANSWER)), (200, "{}")]
    status = await connect(client)
    assert status.standing == "connected"
    assert status.reason is None
    assert status.extra == {"supportCode": "FA-0042"}
    assert 3590 < left(status.expires_at) <= 3600
    assert DAY - 10 < left(status.refresh_expires_at) <= DAY
    acme = client.session("flowaccount", "acme")
    async with acme.get("/tax-invoices", params={"currentPage": 1}) as answer:
        assert answer.status == 200
    assert recorder.arrived[-1].line.startswith("GET /test/tax-invoices?")
    assert recorder.arrived[-1].headers["authorization"] == "Bearer at-1"


async def test_every_refresh_moves_the_end_of_the_refresh_token(client, recorder):
    """It idles out a day after the last token request, not after the first."""
    soon = datetime.now(UTC).replace(microsecond=0)
    await client.adopt(
        "flowaccount",
        "acme",
        Token("at-0", "rt-0", refresh_expires_at=soon, extra={"supportCode": "FA-1"}),
    )
    renewed = {"access_token": "at-1", "refresh_token": "rt-1", "expires_in": 60}
    recorder.answers.append((200, json.dumps(renewed)))
    status = await client.session("flowaccount", "acme").refresh()
    assert DAY - 10 < left(status.refresh_expires_at) <= DAY
    assert status.extra == {"supportCode": "FA-1"}


async def test_the_latest_refresh_token_is_spent(client, recorder):
    """A new one comes with every refresh, and only the latest is presented."""
    answers = [
        {**ANSWER, "access_token": f"at-{n}", "refresh_token": f"rt-{n}"}
        for n in (2, 3)
    ]
    recorder.answers += [(200, json.dumps(each)) for each in (ANSWER, *answers)]
    await connect(client)
    acme = client.session("flowaccount", "acme")
    await acme.refresh()
    await acme.refresh()
    sent = [dict(parse_qsl(each.body.decode())) for each in recorder.arrived]
    assert [each.get("refresh_token") for each in sent] == [None, "rt-1", "rt-2"]


async def test_without_offline_access(client, recorder):
    """No refresh token: said at finish, with the end, and not at the first failure."""
    answer = {k: v for k, v in ANSWER.items() if k != "refresh_token"}
    recorder.answers.append((200, json.dumps(answer)))
    status = await connect(client)
    assert status.standing == "connected"
    assert status.reason == "no_refresh_token"
    assert 3590 < left(status.expires_at) <= 3600
    assert status.refresh_expires_at is None
    recorder.answers.append((401, ""))
    with pytest.raises(AuthorizationRequired) as caught:
        await client.session("flowaccount", "acme").get("/company/info")
    assert caught.value.reason == "no_refresh_token"


async def test_scopes_of_the_registration(recorder):
    """Who wants no refresh token leaves offline_access out of the link."""
    provider = FLOWACCOUNT.in_environment("sandbox")
    registration = Registration(
        provider, ID, SECRET, REDIRECT, scopes=["flowaccount-api"]
    )
    async with Client(registration, store=MemoryStore()) as client:
        started = await client.authorization.start("flowaccount", "acme")
    assert dict(parse_qsl(urlsplit(started.url).query))["scope"] == "flowaccount-api"


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        pytest.param(
            400, '{"error":"invalid_grant"}', AuthorizationRequired, id="grant"
        ),
        pytest.param(
            400, '{"error":"invalid_client"}', ConfigurationError, id="client"
        ),
        pytest.param(400, "", TemporarilyUnavailable, id="unknown"),
        pytest.param(401, '{"x":1}', TemporarilyUnavailable, id="unknown-401"),
    ],
)
async def test_token_errors(status, body, raised, client, recorder):
    """The body of a refusal is not documented: RFC 6749's counts, others are kept."""
    recorder.answers.append((status, body))
    await client.adopt("flowaccount", "acme", Token(refresh_token="rt-0"))
    with pytest.raises(raised):
        await client.session("flowaccount", "acme").access_token()


async def test_refusal_after_a_day(client, recorder):
    """A refresh token that idled out is said to have expired."""
    gone = datetime(2020, 1, 1, tzinfo=UTC)
    recorder.answers.append((400, '{"error":"invalid_grant"}'))
    await client.adopt(
        "flowaccount", "acme", Token(refresh_token="rt-0", refresh_expires_at=gone)
    )
    with pytest.raises(AuthorizationRequired) as caught:
        await client.session("flowaccount", "acme").access_token()
    assert caught.value.reason == "refresh_expired"


@pytest.mark.parametrize("body", ["", "{}", '{"message":"no"}'])
async def test_rejected_token(body, client, recorder):
    """A 401, whose body is not documented, costs one refresh."""
    recorder.answers += [(401, body), (200, json.dumps(ANSWER)), (200, "{}")]
    await client.adopt("flowaccount", "acme", Token("at-0", "rt-0"))
    async with client.session("flowaccount", "acme").get("/company/info") as answer:
        assert answer.status == 200
    sent = [each.headers.get("authorization") for each in recorder.arrived]
    assert sent == ["Bearer at-0", None, "Bearer at-1"]


async def test_server_errors_are_the_callers(client, recorder):
    """500, the other documented status, means no token."""
    recorder.answers.append((500, '{"message":"no"}'))
    await client.adopt("flowaccount", "acme", Token("at-0", "rt-0"))
    async with client.session("flowaccount", "acme").get("/company/info") as answer:
        assert answer.status == 500
    assert len(recorder.arrived) == 1
