"""The client refreshes and revokes as CamInvoice's document shows, to the letter."""

from __future__ import annotations

import base64
import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from everbearer import (
    Client,
    ConfigurationError,
    Registration,
    TemporarilyUnavailable,
    Token,
)
from everbearer.providers import CAMINVOICE
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

SEED = tomllib.loads(Path(__file__).with_name("caminvoice.toml").read_text("utf-8"))
REDIRECT = "https://app.example/callback"
# Characters that a form-urlencoded Basic would change.
ID, SECRET = "client of ours", "s3cr&t/plus+ü"
BASIC = "Basic " + base64.b64encode(f"{ID}:{SECRET}".encode()).decode()
RESPONSE = SEED["token"]["response"].replace(",\n    ...", "")
NEWER = SEED["reference"]["refresh_path"]


def at(url):
    return CAMINVOICE.with_hosts(url, url, url)


@pytest_asyncio.fixture(name="client")
async def _client(recorder):
    """A Client whose CamInvoice is the recording server."""
    registration = Registration(at(recorder.url), ID, SECRET, REDIRECT)
    async with Client(registration, store=MemoryStore()) as client:
        yield client


def jwt(**claims):
    """A token as the samples have it: header, claims, signature."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()) for p in parts]
    return ".".join(each.decode().rstrip("=") for each in (*encoded, b"c2lnbmVk"))


def lives(status):
    """Seconds that are left of the access token."""
    return (status.expires_at - datetime.now(UTC)).total_seconds()


async def test_refresh(client, recorder):
    """The reference page's call: the refresh token alone, with Basic; it stays."""
    recorder.answers += [
        (200, '{"token":"at-2","token_type":"Bearer","expire_in":900}')
    ]
    recorder.answers += [(200, '{"access_token":"at-3"}')]
    await client.adopt("caminvoice", "acme", Token(refresh_token="rt-1"))
    acme = client.session("caminvoice", "acme")
    assert await acme.access_token() == "at-2"
    await acme.refresh(rejected="at-2")
    assert await acme.access_token() == "at-3"
    for arrived in recorder.arrived:
        assert arrived.line == f"POST {NEWER} HTTP/1.1"
        assert arrived.headers["authorization"] == BASIC
        assert json.loads(arrived.body) == {"refresh_token": "rt-1"}


@pytest.mark.parametrize("missing", [404, 405])
async def test_the_guides_refresh_path(missing, client, recorder):
    """Where the newer path does not exist the guide's is asked, and then first."""
    recorder.answers += [(missing, "{}"), (200, '{"access_token":"at-2"}')]
    recorder.answers += [(200, '{"access_token":"at-3"}')]
    await client.adopt("caminvoice", "acme", Token(refresh_token="rt-1"))
    acme = client.session("caminvoice", "acme")
    await acme.access_token()
    await acme.refresh(rejected="at-2")
    paths = [each.line.split()[1] for each in recorder.arrived]
    assert paths == [NEWER, SEED["refresh"]["path"], SEED["refresh"]["path"]]
    assert json.loads(recorder.arrived[1].body) == {"refresh_token": "rt-1"}


@pytest.mark.parametrize("status", [400, 401, 403, 422, 500])
async def test_other_answers_do_not_ask_a_second_path(status, client, recorder):
    """Only a path that does not exist proves that nothing was done there."""
    recorder.answers.append((status, '{"message":"Unauthorized"}'))
    await client.adopt("caminvoice", "acme", Token(refresh_token="rt-1"))
    with pytest.raises(TemporarilyUnavailable):
        await client.session("caminvoice", "acme").access_token()
    assert len(recorder.arrived) == 1
    status = await client.session("caminvoice", "acme").status()
    assert status.standing == "connected"


@pytest.mark.parametrize("error", ["invalid_request", "Unauthorized", "x"])
async def test_bad_client_credentials(error, client, recorder):
    """The earlier form of the error names the client: no grant is at fault."""
    said = {"error": error, "error_description": "Invalid client credentials"}
    recorder.answers.append((401, json.dumps(said)))
    await client.adopt("caminvoice", "acme", Token(refresh_token="rt-1"))
    with pytest.raises(ConfigurationError):
        await client.session("caminvoice", "acme").access_token()


@pytest.mark.parametrize(
    ("members", "seconds"),
    [
        pytest.param({}, 900, id="documented: nothing"),
        pytest.param({"expire_in": 600}, 600, id="seconds"),
        pytest.param({"expire_in": "600"}, 600, id="text"),
        pytest.param({"expires_in": "1d"}, 86400, id="1d"),
        pytest.param({"expireIn": "15m"}, 900, id="15m"),
        pytest.param({"expireIn": "1 hour"}, 3600, id="1 hour"),
        pytest.param({"expire_at": 7200}, 7200, id="epoch-seconds"),
        pytest.param({"expired_at": "iso"}, 1800, id="iso"),
        pytest.param({"expires_in": "soon"}, 900, id="nonsense"),
        pytest.param({"expire_in": 0, "expireIn": "10m"}, 600, id="next-candidate"),
        pytest.param({"exp": 5400, "expire_in": 60}, 5400, id="jwt-exp"),
        pytest.param({"exp": -5, "expire_in": 60}, 60, id="jwt-over"),
    ],
)
async def test_lifetime(members, seconds, client, recorder):
    """No documented expiry: whatever says how long the token lives is read."""
    now = datetime.now(UTC).timestamp()
    members = dict(members)
    token = "at-1"
    if "exp" in members:
        token = jwt(exp=int(now) + members.pop("exp"))
    if isinstance(members.get("expire_at"), int):
        members["expire_at"] += int(now)
    if members.get("expired_at") == "iso":
        members["expired_at"] = datetime.fromtimestamp(now + 1800, UTC).isoformat()
    recorder.answers.append((200, json.dumps({"access_token": token, **members})))
    started = await client.authorization.start("caminvoice", "acme")
    status = await client.authorization.finish({"authToken": "x"}, state=started.state)
    assert seconds - 30 < lives(status) <= seconds + 1


async def test_rejected_token(client, recorder):
    """A 401 means the token: one refresh, and the caller does not see it."""
    recorder.answers += [
        (401, '{"message":"Unauthorized"}'),
        (200, '{"token":"at-2","expire_in":900}'),
        (200, "{}"),
    ]
    await client.adopt("caminvoice", "acme", Token("at-1", "rt-1"))
    acme = client.session("caminvoice", "acme")
    async with acme.post("/api/v1/document", json={}) as answer:
        assert answer.status == 200
    sent = [each.headers["authorization"] for each in recorder.arrived]
    assert sent == ["Bearer at-1", BASIC, "Bearer at-2"]


@pytest.mark.parametrize("status", [403, 422, 500])
async def test_other_errors_are_the_callers(status, client, recorder):
    """No refresh where the status does not mean the token."""
    recorder.answers.append((status, '{"message":"no"}'))
    await client.adopt("caminvoice", "acme", Token("at-1", "rt-1"))
    async with client.session("caminvoice", "acme").get("/api/v1/document") as answer:
        assert answer.status == status
    assert len(recorder.arrived) == 1


async def test_disconnect_names_the_business(client, recorder):
    """The reference page's revoke call is given the company's id, with Basic."""
    recorder.answers.append((200, '{"message":"ok"}'))
    kept = {"business_info": {"endpoint_id": "KHUID00001234"}}
    await client.adopt("caminvoice", "acme", Token("at-1", "rt-1", extra=kept))
    await client.disconnect("caminvoice", "acme")
    (arrived,) = recorder.arrived
    assert arrived.line == f"POST {SEED['reference']['revoke_path']} HTTP/1.1"
    assert arrived.headers["authorization"] == BASIC
    assert json.loads(arrived.body) == {"endpoint_id": "KHUID00001234"}


async def test_disconnect_without_its_id(client, recorder):
    """A company whose id is not known is forgotten, and nobody is asked."""
    await client.adopt("caminvoice", "acme", Token("at-1", "rt-1"))
    await client.disconnect("caminvoice", "acme")
    assert recorder.arrived == []
