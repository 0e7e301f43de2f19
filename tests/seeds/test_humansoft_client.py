"""The client does what Humansoft's document shows, to the letter."""

from __future__ import annotations

import base64
import hashlib
import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote_plus, unquote, urlsplit

import pytest
import pytest_asyncio
from attrs import evolve
from yarl import URL

from everbearer import (
    CallbackError,
    Client,
    ConfigurationError,
    Registration,
    TemporarilyUnavailable,
    Token,
)
from everbearer.authorization._pkce import challenge
from everbearer.authorization._request import authorization_url
from everbearer.providers import HUMANSOFT
from everbearer.stores import MemoryStore
from everbearer.transport import ApiBase

pytestmark = pytest.mark.asyncio

SEED = tomllib.loads(Path(__file__).with_name("humansoft.toml").read_text("utf-8"))
REDIRECT = "https://myapp.com/callback"
ID, SECRET = "my-app", "s3cr&t/plus+ü"
# RFC 7636 appendix B, whose challenge the document's example has.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
ANSWER = {
    "token_type": "Bearer",
    "expires_in": SEED["token"]["expires_in"],
    "access_token": "at-1",
    "refresh_token": "rt-1",
    "id_token": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1LTEifQ.c2lnbmVk",
    "scope": "openid profile email",
}
OF_HTTP = {"host", "user-agent", "accept-encoding", "content-length", "connection"}


def registration(provider, secret=SECRET):
    return Registration(provider, ID, secret, REDIRECT)


@pytest.fixture(name="humansoft")
def _humansoft(recorder):
    """Humansoft at the recording server."""
    return HUMANSOFT.with_hosts(recorder.url, recorder.url, recorder.url)


@pytest_asyncio.fixture(name="client")
async def _client(humansoft):
    """A confidential Client there."""
    async with Client(registration(humansoft), store=MemoryStore()) as client:
        yield client


async def connect(client):
    """The status after the documented callback, and the link's parameters."""
    started = await client.authorization.start("humansoft", "acme")
    back = SEED["callback"]["location"].replace("abc123", started.state)
    status = await client.authorization.finish(back, state=started.state)
    return status, dict(parse_qsl(urlsplit(started.url).query))


async def test_connect_link():
    """The example's link: same endpoint, and every parameter the same."""
    built = authorization_url(
        registration(HUMANSOFT),
        state="abc123",
        code_challenge=challenge(VERIFIER, "S256"),
        scopes=HUMANSOFT.scopes,
    )
    endpoint, _, query = built.partition("?")
    documented, _, example = SEED["authorize"]["example"].partition("?")
    assert endpoint == documented
    assert SEED["authorize"]["endpoint"] == f"GET {urlsplit(endpoint).path}"
    # The example leaves the redirect URI as it is; encoded it is the same.
    query = query.replace("https%3A%2F%2F", "https://").replace("%2F", "/")
    assert sorted(query.split("&")) == sorted(example.split("&"))


async def test_every_parameter():
    """All documented parameters can be sent, and state always is."""
    own = {
        "source": SEED["authorize"]["source"],
        "user_id": base64.b64encode(b"user 1").decode(),
        "user_type": SEED["authorize"]["user_type"],
        "instance_server_code": "TH-01",
    }
    async with Client(registration(HUMANSOFT), store=MemoryStore()) as client:
        started = await client.authorization.start("humansoft", "acme", extra=own)
    sent = dict(parse_qsl(urlsplit(started.url).query))
    assert sorted(sent) == sorted(SEED["authorize"]["parameters"])
    assert own.items() <= sent.items()
    assert sent["scope"].split() == SEED["authorize"]["scopes"]


@pytest.mark.parametrize("method", SEED["authorize"]["code_challenge_methods"])
async def test_pkce(method, humansoft, recorder):
    """The verifier of the exchange is the one that the link's challenge is of."""
    recorder.answers.append((200, json.dumps(ANSWER)))
    provider = evolve(humansoft, pkce=method)
    async with Client(registration(provider), store=MemoryStore()) as client:
        _, link = await connect(client)
    verifier = json.loads(recorder.arrived[0].body)["code_verifier"]
    assert link["code_challenge_method"] == method
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    wanted = verifier if method == "plain" else digest.decode().rstrip("=")
    assert link["code_challenge"] == wanted


@pytest.mark.parametrize("public", [False, True], ids=["confidential", "public"])
async def test_token_request(public, humansoft, recorder):
    """The documented parameters as JSON; the secret only where there is one."""
    recorder.answers.append((200, json.dumps(ANSWER)))
    secret = None if public else SECRET
    async with Client(registration(humansoft, secret), store=MemoryStore()) as client:
        await connect(client)
    (arrived,) = recorder.arrived
    assert arrived.line == f"{SEED['token']['endpoint']} HTTP/1.1"
    assert arrived.headers["content-type"] == SEED["token"]["content_type"]
    assert set(arrived.headers) - OF_HTTP == {"accept", "content-type"}
    body = json.loads(arrived.body)
    names = {*SEED["token"]["parameters"], SEED["token"]["public"]}
    assert set(body) == names | (set() if public else {SEED["token"]["confidential"]})
    assert body["grant_type"] == "authorization_code"
    assert body["code"] == "AUTH_CODE_HERE"
    assert body["redirect_uri"] == REDIRECT


@pytest.mark.parametrize("public", [False, True], ids=["confidential", "public"])
async def test_refresh_request(public, humansoft, recorder):
    """RFC 6749's parameters, as JSON like the exchange."""
    recorder.answers.append((200, json.dumps(ANSWER)))
    secret = None if public else SECRET
    async with Client(registration(humansoft, secret), store=MemoryStore()) as client:
        await client.adopt("humansoft", "acme", Token(refresh_token="rt-0"))
        await client.session("humansoft", "acme").access_token()
    (arrived,) = recorder.arrived
    assert json.loads(arrived.body) == {
        "grant_type": "refresh_token",
        "refresh_token": "rt-0",
        "client_id": ID,
        **({} if public else {"client_secret": SECRET}),
    }


async def test_form_instead_of_json(humansoft, recorder):
    """`with_encoding` sends the same parameters as RFC 6749 writes them."""
    recorder.answers.append((200, json.dumps(ANSWER)))
    provider = humansoft.with_encoding("form")
    async with Client(registration(provider), store=MemoryStore()) as client:
        await client.adopt("humansoft", "acme", Token(refresh_token="rt-0"))
        await client.session("humansoft", "acme").access_token()
    (arrived,) = recorder.arrived
    assert arrived.headers["content-type"] == "application/x-www-form-urlencoded"
    assert arrived.body.decode() == (
        "grant_type=refresh_token&refresh_token=rt-0&client_id=my-app"
        f"&client_secret={quote_plus(SECRET)}"
    )


async def test_token_response(client, recorder):
    """Every documented member is understood, and the id token kept."""
    assert set(ANSWER) == set(SEED["token"]["members"])
    recorder.answers += [(200, json.dumps(ANSWER)), (200, '{"sub":"u-1"}')]
    status, _ = await connect(client)
    lives = (status.expires_at - datetime.now(UTC)).total_seconds()
    assert 3590 < lives <= SEED["token"]["expires_in"]
    assert status.scope == ANSWER["scope"]
    assert status.extra == {
        "id_token": ANSWER["id_token"],
        "id_token_claims": {"sub": "u-1"},
    }
    async with client.session("humansoft", "acme").get(SEED["userinfo"]["path"]) as got:
        assert (await got.json())["sub"] == "u-1"
    assert recorder.arrived[-1].line == f"GET {SEED['userinfo']['path']} HTTP/1.1"
    assert recorder.arrived[-1].headers["authorization"] == "Bearer at-1"


async def test_the_id_token_outlives_a_refresh(client, recorder):
    """A refresh whose answer has none keeps the one of the connect."""
    later = {"access_token": "at-2", "refresh_token": "rt-2", "expires_in": 3600}
    recorder.answers += [(200, json.dumps(ANSWER)), (200, json.dumps(later))]
    await connect(client)
    status = await client.session("humansoft", "acme").refresh()
    assert status.extra["id_token"] == ANSWER["id_token"]
    assert status.extra["id_token_claims"] == {"sub": "u-1"}


@pytest.mark.parametrize("id_token", ["opaque", "", None, 7], ids=repr)
async def test_an_id_token_that_is_none(id_token, client, recorder):
    """The tokens beside it are good, so nothing is refused; claims it has none."""
    recorder.answers.append((200, json.dumps({**ANSWER, "id_token": id_token})))
    status, _ = await connect(client)
    assert status.extra == {"id_token": id_token}


async def test_without_openid(client, recorder):
    """No id token, no claims."""
    answer = {name: ANSWER[name] for name in ("access_token", "refresh_token")}
    recorder.answers.append((200, json.dumps(answer)))
    status, _ = await connect(client)
    assert status.extra == {}


async def test_bearer_goes_to_the_auth_host_only():
    """The business API, which takes an API key, is not an allowed origin."""
    allowed = ApiBase(HUMANSOFT.base.api)
    assert allowed.allows(URL(SEED["authorize"]["example"]))
    assert not allowed.allows(URL(SEED["business_api"]["url"]))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_rejected_token(method, client, recorder):
    """The documented rejection costs one refresh, and the caller does not see it."""
    recorder.answers += [
        (401, SEED["userinfo"]["rejected"]),
        (200, json.dumps(ANSWER)),
        (200, "{}"),
    ]
    await client.adopt("humansoft", "acme", Token("at-0", "rt-0"))
    acme = client.session("humansoft", "acme")
    async with acme.request(method, SEED["userinfo"]["path"]) as got:
        assert got.status == 200
    sent = [each.headers.get("authorization") for each in recorder.arrived]
    assert sent == ["Bearer at-0", None, "Bearer at-1"]


async def test_a_header_that_did_not_arrive_is_no_rejection(client, recorder):
    """The other documented 401 says nothing of the token: it is the caller's."""
    recorder.answers.append((401, SEED["userinfo"]["no_token"]))
    await client.adopt("humansoft", "acme", Token("at-0", "rt-0"))
    async with client.session("humansoft", "acme").get("/oauth2/v1/userinfo") as got:
        assert got.status == 401
        assert await got.json() == json.loads(SEED["userinfo"]["no_token"])
    assert len(recorder.arrived) == 1


@pytest.mark.parametrize("name", SEED["errors"])
@pytest.mark.parametrize("status", [400, 401, 403])
async def test_documented_errors(name, status, client, recorder):
    """Should the token endpoint say them, it is the registration that is wrong."""
    recorder.answers.append((status, SEED["errors"][name]))
    await client.adopt("humansoft", "acme", Token(refresh_token="rt-0"))
    with pytest.raises(
        ConfigurationError,
        match=json.loads(SEED["errors"][name])["message"].split("/")[0],
    ):
        await client.session("humansoft", "acme").access_token()
    assert (await client.session("humansoft", "acme").status()).standing == "connected"


async def test_other_json_errors_keep_the_grant(client, recorder):
    """The token endpoint's own errors are not documented: unknown ends no grant."""
    recorder.answers.append((400, '{"error":"Something new","message":"no"}'))
    await client.adopt("humansoft", "acme", Token(refresh_token="rt-0"))
    with pytest.raises(TemporarilyUnavailable):
        await client.session("humansoft", "acme").access_token()


async def test_error_in_a_callback_is_passed_through(client, recorder):
    """Not documented, since errors are shown as JSON; whatever comes is told."""
    started = await client.authorization.start("humansoft", "acme")
    with pytest.raises(CallbackError) as caught:
        await client.authorization.finish(
            {"error": "Invalid scopes", "state": started.state}
        )
    assert caught.value.code == "Invalid scopes"
    assert recorder.arrived == []


async def test_disconnect(client, recorder):
    """Revocation authenticates by Basic, though the token calls do it in the body."""
    recorder.answers.append((200, SEED["revocation"]["response"]))
    await client.adopt("humansoft", "acme", Token("at-1", "rt-1"))
    await client.disconnect("humansoft", "acme")
    (arrived,) = recorder.arrived
    assert arrived.line == f"{SEED['revocation']['endpoint']} HTTP/1.1"
    assert json.loads(arrived.body) == {"token": "rt-1"}
    scheme, _, pair = arrived.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    name, _, secret = base64.b64decode(pair).decode().partition(":")
    assert (name, unquote(secret)) == (ID, SECRET)
