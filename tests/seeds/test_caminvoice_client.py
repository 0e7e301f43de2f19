"""The client does what CamInvoice's document shows, to the letter."""

from __future__ import annotations

import base64
import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from everbearer import (
    CallbackError,
    Client,
    ConfigurationError,
    Registration,
    TemporarilyUnavailable,
    Token,
    TokenEndpointError,
)
from everbearer.authorization._request import authorization_url
from everbearer.providers import BILLIT, CAMINVOICE
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

SEED = tomllib.loads(Path(__file__).with_name("caminvoice.toml").read_text("utf-8"))
EXAMPLE = SEED["connect"]["example"]
REDIRECT = "https://app.example/callback"
# Characters that a form-urlencoded Basic would change.
ID, SECRET = "client of ours", "s3cr&t/plus+ü"
BASIC = "Basic " + base64.b64encode(f"{ID}:{SECRET}".encode()).decode()
RESPONSE = SEED["token"]["response"].replace(",\n    ...", "")
NEWER = SEED["reference"]["refresh_path"]
OF_HTTP = {"host", "user-agent", "accept-encoding", "content-length", "connection"}


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


async def test_connect_link():
    """The complete example, letter by letter."""
    registration = Registration(
        at(EXAMPLE["base"]), EXAMPLE["client_id"], SECRET, EXAMPLE["redirect_url"]
    )
    built = authorization_url(
        registration, state=EXAMPLE["state"], code_challenge=None, scopes=()
    )
    assert built == EXAMPLE["url"]
    assert built == SEED["connect"]["url"].format(
        BaseURL=EXAMPLE["base"],
        client_id=EXAMPLE["client_id"],
        encoded_redirect_url=quote(EXAMPLE["redirect_url"], safe=""),
        state=EXAMPLE["state"],
    )


async def test_start_makes_that_link(client, recorder):
    """What `start` gives out has the documented parameters and no other."""
    started = await client.authorization.start("caminvoice", "acme")
    assert started.url == SEED["connect"]["url"].format(
        BaseURL=recorder.url,
        client_id=quote(ID, safe=""),
        encoded_redirect_url=quote(REDIRECT, safe=""),
        state=started.state,
    )


async def test_production_has_no_host():
    """The base URL comes with the credentials: the error says where to put it."""
    with pytest.raises(ConfigurationError, match="with_hosts"):
        Registration(CAMINVOICE, ID, SECRET, REDIRECT)
    with pytest.raises(ConfigurationError, match="with_hosts"):
        CAMINVOICE.in_environment("production")
    assert at("https://given.example").base.api == "https://given.example"


async def test_http_redirect_uri_is_taken_with_a_warning():
    """The document's whitelist has one that is plain http."""
    (uri,) = json.loads(SEED["configuration"]["body"])["white_list_redirect_urls"]
    with pytest.warns(UserWarning, match="plain http"):
        Registration(at("https://given.example"), ID, SECRET, uri)


async def test_register_redirects(client, recorder):
    """The documented call, with the documented list."""
    wanted = json.loads(SEED["configuration"]["body"])
    recorder.answers.append((200, "{}"))
    await client.authorization.register_redirects(
        "caminvoice", wanted["white_list_redirect_urls"]
    )
    (arrived,) = recorder.arrived
    path = SEED["configuration"]["url"].removeprefix("{BaseURL}")
    assert arrived.line == f"POST {path} HTTP/1.1"
    assert arrived.headers["content-type"] == SEED["configuration"]["content_type"]
    assert arrived.headers["authorization"] == BASIC
    assert json.loads(arrived.body) == wanted


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        pytest.param(401, '{"message":"no"}', ConfigurationError, id="not-this-client"),
        pytest.param(403, '{"message":"no"}', ConfigurationError, id="not-allowed"),
        pytest.param(422, '{"message":"no"}', TokenEndpointError, id="not-such-urls"),
        pytest.param(503, "", TemporarilyUnavailable, id="not-now"),
        pytest.param(500, "", TemporarilyUnavailable, id="perhaps"),
    ],
)
async def test_register_redirects_refused(status, body, raised, client, recorder):
    """Each status says whose move is next."""
    recorder.answers.append((status, body))
    with pytest.raises(raised, match="not registered"):
        await client.authorization.register_redirects("caminvoice", [REDIRECT])


@pytest.mark.parametrize("urls", [[], ["/callback"], ["ftp://x/y"], [None]], ids=repr)
async def test_register_nothing_that_is_none(urls, client, recorder):
    """What is no redirect URI is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="redirect URI"):
        await client.authorization.register_redirects("caminvoice", urls)
    assert recorder.arrived == []


async def test_register_where_there_is_no_such_call():
    """Billit registers redirect URIs in another way, and the error says so."""
    registration = Registration(BILLIT, ID, SECRET, REDIRECT)
    async with Client(registration, store=MemoryStore()) as client:
        with pytest.raises(ConfigurationError, match="no call that registers"):
            await client.authorization.register_redirects("billit", [REDIRECT])


async def test_token_request(client, recorder):
    """The documented body and nothing else, with Basic as the document writes it."""
    recorder.answers.append((200, RESPONSE))
    started = await client.authorization.start("caminvoice", "acme")
    back = SEED["callback"]["url"].replace("redirect_url", REDIRECT)
    await client.authorization.finish(back, state=started.state)
    (arrived,) = recorder.arrived
    path = SEED["token"]["url"].removeprefix("{BaseURL}")
    assert arrived.line == f"POST {path} HTTP/1.1"
    assert arrived.headers["content-type"] == SEED["token"]["content_type"]
    wanted = SEED["token"]["authorization"].replace(
        "base64encode({clientId:clientSecret})",
        base64.b64encode(f"{ID}:{SECRET}".encode()).decode(),
    )
    assert arrived.headers["authorization"] == wanted
    assert set(arrived.headers) - OF_HTTP == {"accept", "authorization", "content-type"}
    assert json.loads(arrived.body) == json.loads(SEED["token"]["body"])


async def test_token_response(client, recorder):
    """The documented answer is understood, and the company kept, Khmer included."""
    recorder.answers += [(200, RESPONSE), (200, "{}")]
    started = await client.authorization.start("caminvoice", "acme")
    status = await client.authorization.finish(
        {"authToken": "code"}, state=started.state
    )
    documented = json.loads(RESPONSE)
    assert status.extra == {"business_info": documented["business_info"]}
    assert status.extra["business_info"]["company_name_kh"] == "ក្រុមហ៊ុនស៊ីអេច១៦៨"
    assert 890 < lives(status) <= 900
    acme = client.session("caminvoice", "acme")
    assert (await acme.status()).extra == status.extra
    async with acme.get("/api/v1/document") as answer:
        assert answer.status == 200
    wanted = SEED["api"]["authorization"].replace(
        "ACCESS-TOKEN", documented["access_token"]
    )
    assert recorder.arrived[-1].headers["authorization"] == wanted


async def test_every_documented_member_of_the_company(client, recorder):
    """All that the table of business information names is kept as it came."""
    company = dict.fromkeys(SEED["token"]["business_info"]["members"], "ក")
    recorder.answers.append(
        (200, json.dumps({"access_token": "at-1", "business_info": company}))
    )
    started = await client.authorization.start("caminvoice", "acme")
    status = await client.authorization.finish(
        f"{REDIRECT}?authToken=x&state={started.state}"
    )
    assert status.extra["business_info"] == company
    assert status.reason == "no_refresh_token"


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("?authToken=one", id="documented"),
        pytest.param("?authToken=one&state={state}", id="with-state"),
        pytest.param("?state={state}&authToken=one", id="state-first"),
        pytest.param("?a=1&authToken=one", id="ampersand"),
        pytest.param("?a=1?authToken=one", id="second-question-mark"),
        pytest.param("?a=1?authToken=one&state={state}", id="and-state"),
        pytest.param("?a=1&state={state}?authToken=one", id="after-state"),
        pytest.param("?a=1&b=2?authToken=one?state={state}", id="third"),
    ],
)
@pytest.mark.parametrize("form", ["url", "mapping"])
async def test_callback(query, form, client, recorder):
    """However authToken is appended, and whether or not state comes back."""
    recorder.answers.append((200, RESPONSE))
    started = await client.authorization.start("caminvoice", "acme")
    back = "http://x/cb" + query.format(state=started.state)
    if form == "mapping":
        pairs = [each.split("=", 1) for each in back.partition("?")[2].split("&")]
        back = dict(pairs)
    await client.authorization.finish(back, state=started.state)
    assert json.loads(recorder.arrived[0].body) == {"auth_token": "one"}


async def test_callback_without_state_needs_the_browsers(client, recorder):
    """Where state is not echoed, the caller has to say which browser it is."""
    await client.authorization.start("caminvoice", "acme")
    with pytest.raises(CallbackError) as caught:
        await client.authorization.finish(f"{REDIRECT}?authToken=x")
    assert caught.value.code == "malformed"
    for nobody in ("", "x" * 43):
        with pytest.raises(CallbackError) as caught:
            await client.authorization.finish(f"{REDIRECT}?authToken=x", state=nobody)
        assert caught.value.code == "unknown"
    assert recorder.arrived == []


async def test_callback_with_another_browsers_state(client, recorder):
    """An echoed state that this browser was not given is foreign."""
    mine = await client.authorization.start("caminvoice", "acme")
    theirs = await client.authorization.start("caminvoice", "mallory")
    with pytest.raises(CallbackError) as caught:
        await client.authorization.finish(
            f"{REDIRECT}?a=1?authToken=x&state={theirs.state}", state=mine.state
        )
    assert caught.value.code == "foreign"
    assert recorder.arrived == []


@pytest.mark.parametrize(
    "back",
    [
        pytest.param("?authToken=one&authToken=two", id="twice"),
        pytest.param("?authToken=one?authToken=two", id="twice-appended"),
        pytest.param("?a=1?b=2", id="none"),
        pytest.param("?code=one", id="another-name"),
    ],
)
async def test_callback_that_is_none(back, client, recorder):
    """A value that is there twice or not at all is refused."""
    started = await client.authorization.start("caminvoice", "acme")
    with pytest.raises(CallbackError) as caught:
        await client.authorization.finish(f"http://x/cb{back}", state=started.state)
    assert caught.value.code == "malformed"
    assert recorder.arrived == []


async def test_text_in_a_mapping_is_not_the_code(client, recorder):
    """A decoded value that looks like the code does not beat the code itself."""
    recorder.answers.append((200, RESPONSE))
    started = await client.authorization.start("caminvoice", "acme")
    await client.authorization.finish(
        {"next": "/page?authToken=other", "authToken": "one"}, state=started.state
    )
    assert json.loads(recorder.arrived[0].body) == {"auth_token": "one"}


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
