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
OF_HTTP = {"host", "user-agent", "accept-encoding", "content-length", "connection"}


def at(url):
    return CAMINVOICE.with_hosts(url, url, url)


@pytest_asyncio.fixture(name="client")
async def _client(recorder):
    """A Client whose CamInvoice is the recording server."""
    registration = Registration(at(recorder.url), ID, SECRET, REDIRECT)
    async with Client(registration, store=MemoryStore()) as client:
        yield client


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
