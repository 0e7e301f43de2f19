"""The client does what Invoiced's document shows, to the letter."""

from __future__ import annotations

import base64
import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from everbearer import (
    AuthorizationRequired,
    CallbackError,
    Client,
    ConfigurationError,
    Registration,
    TemporarilyUnavailable,
    Token,
    TokenEndpointError,
)
from everbearer.authorization._request import authorization_url
from everbearer.providers import INVOICED
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

SEED = tomllib.loads(Path(__file__).with_name("invoiced.toml").read_text("utf-8"))
ID, SECRET = "your_client_id", "your_client_secret"
CALLBACK = "https://app.example/callback"
ERRORS = SEED["reference"]["token_errors"]
YEAR = 365 * 86400
OF_HTTP = {"host", "user-agent", "accept-encoding", "content-length", "connection"}


def jwt(serial):
    """A token as the document's: RS256, for a tenant, an hour long and long over."""
    claims = {
        "aud": "tegcy8",
        "jti": serial,
        "iat": 1709751659.515504,
        "exp": 1709755259.0,
        "sub": "tenant:126",
        "scopes": ["read_write"],
    }
    parts = ({"typ": "JWT", "alg": "RS256"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(each).encode()) for each in parts]
    return ".".join(each.decode().rstrip("=") for each in (*encoded, b"c2lnbmVk"))


def answer(serial="1", **members):
    """The documented response with an access token, and *members* changed."""
    text = SEED["token"]["response"].replace("{access_token}", jwt(serial))
    return json.dumps({**json.loads(text), **members})


def error(message):
    """What stands in for every error of the token endpoint."""
    return json.dumps({"type": ERRORS["type"], "message": message})


def registration(provider, **options):
    return Registration(provider, ID, SECRET, CALLBACK, **options)


@pytest_asyncio.fixture(name="client")
async def _client(recorder):
    """A Client whose Invoiced is the recording server."""
    provider = INVOICED.with_hosts(recorder.url, recorder.url, recorder.url)
    async with Client(registration(provider), store=MemoryStore()) as client:
        yield client


async def connect(client):
    """Allowed by the user, and back with the documented code."""
    started = await client.authorization.start("invoiced", "acme")
    return await client.authorization.finish(
        f"{CALLBACK}?code=authorization_code&state={started.state}"
    )


async def test_connect_link():
    """The example's link: every parameter, in the document's order."""
    built = authorization_url(
        registration(INVOICED),
        state="your_state_value",
        code_challenge=None,
        scopes=INVOICED.scopes,
    )
    redirect = "https%3A%2F%2Fapp.example%2Fcallback"
    assert built == SEED["authorize"]["url"].replace("your_callback_url", redirect)


@pytest.mark.parametrize("scope", SEED["authorize"]["scopes"])
async def test_scope(scope):
    """Both documented scopes can be asked for; the example's is the default."""
    async with Client(
        registration(INVOICED, scopes=[scope]), store=MemoryStore()
    ) as client:
        started = await client.authorization.start("invoiced", "acme")
    assert f"&scope={scope}&" in started.url
    assert INVOICED.scopes == (SEED["authorize"]["scopes"][0],)


async def test_hosts():
    """The document's, and in the sandbox all of them changed as it says."""
    production, sandbox = INVOICED.base, INVOICED.in_environment("sandbox").base
    assert production.token + INVOICED.exchange.path == SEED["token"]["url"]
    assert production.token + INVOICED.refresh.path == SEED["refresh"]["url"]
    assert f"{production.api}/invoices" == SEED["api"]["url"]
    for name in ("login", "token", "api"):
        changed = getattr(production, name).replace(*SEED["authorize"]["sandbox"])
        assert getattr(sandbox, name) == changed


async def test_token_request(client, recorder):
    """The curl example, byte for byte, and no Authorization header."""
    recorder.answers.append((200, answer()))
    await connect(client)
    (arrived,) = recorder.arrived
    assert arrived.line == "POST /oauth/access_token HTTP/1.1"
    assert arrived.headers["content-type"] == "application/x-www-form-urlencoded"
    assert set(arrived.headers) - OF_HTTP == {"accept", "content-type"}
    redirect = "https%3A%2F%2Fapp.example%2Fcallback"
    wanted = "&".join(SEED["token"]["data"]).replace("your_callback_url", redirect)
    assert arrived.body == wanted.encode()


async def test_refresh_request(client, recorder):
    """The refresh example, byte for byte: the client's credentials are in it too."""
    recorder.answers.append((200, answer()))
    await client.adopt("invoiced", "acme", Token(refresh_token="your_refresh_token"))
    await client.session("invoiced", "acme").access_token()
    (arrived,) = recorder.arrived
    assert arrived.line == "POST /oauth/access_token HTTP/1.1"
    assert arrived.body == "&".join(SEED["refresh"]["data"]).encode()
    assert "authorization" not in arrived.headers


async def test_token_response(client, recorder):
    """The documented answer is understood, with its "bearer" in lower case."""
    recorder.answers += [(200, answer()), (200, "[]"), (200, answer("2"))]
    status = await connect(client)
    now = datetime.now(UTC)
    # expires_in counts, and not the exp of a token that the document made in 2024.
    assert 3590 < (status.expires_at - now).total_seconds() <= 3600
    assert YEAR - 10 < (status.refresh_expires_at - now).total_seconds() <= YEAR
    acme = client.session("invoiced", "acme")
    async with acme.get("/invoices") as got:
        assert got.status == 200
    sent = recorder.arrived[-1].headers["authorization"]
    assert sent.split() == ["Bearer", jwt("1")]
    await acme.refresh()
    given = json.loads(answer())["refresh_token"]
    assert f"&refresh_token={given}&" in recorder.arrived[-1].body.decode()


@pytest.mark.parametrize(
    ("message", "raised"),
    [
        pytest.param(ERRORS["refused"], AuthorizationRequired, id="refused"),
        pytest.param(ERRORS["refused_code"], AuthorizationRequired, id="grant"),
        pytest.param(ERRORS["misconfigured"], ConfigurationError, id="client"),
        pytest.param(ERRORS["misconfigured_grant"], ConfigurationError, id="type"),
        pytest.param(ERRORS["unrecognised"], TemporarilyUnavailable, id="malformed"),
        pytest.param("Something new", TemporarilyUnavailable, id="unknown"),
    ],
)
@pytest.mark.parametrize("status", [400, 401])
async def test_refresh_errors(status, message, raised, client, recorder):
    """Told apart by the message alone, whatever the status."""
    recorder.answers.append((status, error(message)))
    await client.adopt("invoiced", "acme", Token(refresh_token="rt-1"))
    with pytest.raises(raised):
        await client.session("invoiced", "acme").access_token()
    standing = (await client.session("invoiced", "acme").status()).standing
    assert (standing == "connected") is (raised is not AuthorizationRequired)


async def test_leagues_own_form_of_a_refused_refresh_token(client, recorder):
    """Its code is invalid_request, but the message beside it says what is meant."""
    body = {"error": "invalid_request", "message": ERRORS["refused"], "hint": "Token"}
    recorder.answers.append((401, json.dumps(body)))
    await client.adopt("invoiced", "acme", Token(refresh_token="rt-1"))
    with pytest.raises(AuthorizationRequired):
        await client.session("invoiced", "acme").access_token()


@pytest.mark.parametrize(
    ("message", "raised"),
    [
        pytest.param(ERRORS["refused_code"], CallbackError, id="code"),
        pytest.param(ERRORS["misconfigured"], ConfigurationError, id="client"),
        pytest.param(ERRORS["unrecognised"], TokenEndpointError, id="expired-code"),
    ],
)
async def test_exchange_errors(message, raised, client, recorder):
    """The same messages at the exchange say whose move is next."""
    recorder.answers.append((400, error(message)))
    with pytest.raises(raised):
        await connect(client)


async def test_denied(client, recorder):
    """RFC 6749's refusal is the user's, and no token is asked for."""
    started = await client.authorization.start("invoiced", "acme")
    with pytest.raises(CallbackError) as caught:
        await client.authorization.finish(
            f"{CALLBACK}?error=access_denied&state={started.state}"
        )
    assert caught.value.code == "access_denied"
    assert recorder.arrived == []


async def test_rejected_token(client, recorder):
    """A 401 with a challenge for Basic means the token all the same: one refresh."""
    recorder.headers[401] = f"WWW-Authenticate: {SEED['reference']['challenge']}"
    recorder.answers += [
        (401, SEED["reference"]["unauthorized"]),
        (200, answer("2")),
        (200, "{}"),
    ]
    await client.adopt("invoiced", "acme", Token("at-1", "rt-1"))
    async with client.session("invoiced", "acme").post("/invoices", json={}) as got:
        assert got.status == 200
    sent = [each.headers.get("authorization") for each in recorder.arrived]
    assert sent == ["Bearer at-1", None, f"Bearer {jwt('2')}"]


async def test_a_call_that_carries_the_old_token(client, recorder):
    """The old access token dies at a refresh: who carried it causes no second one."""
    assert INVOICED.old_access_dies
    await client.adopt("invoiced", "acme", Token("at-1", "rt-1"))
    acme = client.session("invoiced", "acme")

    async def refreshed_meanwhile():
        await acme.refresh()
        return 401, SEED["reference"]["unauthorized"]

    recorder.answers += [refreshed_meanwhile, (200, answer("2")), (200, "{}")]
    async with acme.get("/invoices") as got:
        assert got.status == 200
    sent = [each.headers.get("authorization") for each in recorder.arrived]
    assert sent == ["Bearer at-1", None, f"Bearer {jwt('2')}"]


@pytest.mark.parametrize("status", [400, 402, 403, 404, 429, 500])
async def test_other_errors_are_the_callers(status, client, recorder):
    """The envelope is the same; only a 401 means the token."""
    recorder.answers.append((status, '{"type":"invalid_request","message":"no"}'))
    await client.adopt("invoiced", "acme", Token("at-1", "rt-1"))
    async with client.session("invoiced", "acme").get("/invoices") as got:
        assert got.status == status
    assert len(recorder.arrived) == 1


async def test_disconnect(client, recorder):
    """The revoke call is given the access token."""
    recorder.answers.append((204, ""))
    await client.adopt("invoiced", "acme", Token("at-1", "rt-1"))
    await client.disconnect("invoiced", "acme")
    (arrived,) = recorder.arrived
    assert arrived.line == "POST /oauth/revoke HTTP/1.1"
    assert b"token=at-1&" in arrived.body
    assert SEED["reference"]["revoke_url"].endswith("/oauth/revoke")
