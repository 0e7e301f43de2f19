"""The sandbox takes what CamInvoice's document shows, and nothing else."""

from __future__ import annotations

import json
import tomllib
from base64 import b64encode, urlsafe_b64decode
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio
from yarl import URL

from everbearer.sandbox import LoginRefused, Sandbox

pytestmark = pytest.mark.asyncio

SEEDS = Path(__file__).with_name("sandbox")
SEED = tomllib.loads(SEEDS.joinpath("caminvoice.toml").read_text("utf-8"))
COMPANY = json.loads(SEED["token"]["response"])["business_info"]["company_name_en"]
REDIRECT = SEED["login"]["redirect_url"]
UNAUTHORIZED = (401, {"message": "Unauthorized"})
NOW = 1_700_000_000.0


@pytest_asyncio.fixture(name="sandbox")
async def _sandbox():
    """CamInvoice with the client of the examples, at a known moment."""
    async with Sandbox(
        "caminvoice",
        clock=lambda: NOW,
        client_id="your_client_id",
        client_secret="your client:secret+",
        redirect_uris=(REDIRECT,),
        orders_per_account=45,
    ) as running:
        yield running


@pytest.fixture(name="basic")
def _basic(sandbox):
    """The documented header: base64encode({clientId:clientSecret})."""
    both = f"your_client_id:{sandbox.settings.client_secret}".encode()
    return {"Authorization": f"Basic {b64encode(both).decode()}"}


@pytest.fixture(name="ask")
def _ask(sandbox, http, basic):
    """Post JSON: status and document."""

    async def ask(request, content, *, headers=basic, **options):
        url = request.removeprefix("POST ").replace("{BaseURL}", sandbox.url)
        body = {} if "data" in options else {"json": content}
        async with http.post(url, headers=headers, **body, **options) as answer:
            return answer.status, await answer.json()

    return ask


@pytest.fixture(name="exchange")
def _exchange(sandbox, ask):
    """Redeem a good authToken of the company in the example."""

    async def exchange():
        token = sandbox.grants.new_code(COMPANY, "your_client_id", REDIRECT)
        return await ask(SEED["token"]["request"], {"auth_token": token})

    return exchange


def refresh_url(path):
    """Where a refresh goes."""
    return f"{{BaseURL}}{path}"


# ---- the white list


async def test_configuration(sandbox, ask):
    """The documented call makes its URLs the ones that a login may return to."""
    body = json.loads(SEED["configuration"]["body"])
    url = link(sandbox, redirect_url="http://domain_webhook")
    with pytest.raises(LoginRefused):
        await sandbox.approve(url)
    assert (await ask(SEED["configuration"]["request"], body))[0] == 200
    assert "authToken=" in await sandbox.approve(url)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"white_list_redirect_urls": "http://domain_webhook"},
        {"white_list_redirect_urls": ["no address"]},
        {"white_list_redirect_urls": [1]},
        {"white_list_redirect_urls": [], "more": 1},
        [],
    ],
    ids=["empty", "text", "no-address", "number", "more", "list"],
)
async def test_refused_configuration(sandbox, ask, body):
    """What is not as documented changes nothing."""
    assert (await ask(SEED["configuration"]["request"], body))[0] == 422
    assert sandbox.settings.redirect_uris == (REDIRECT,)


async def test_configuration_needs_the_client(sandbox, ask):
    """The white list belongs to a client, which proves itself by Basic."""
    body = json.loads(SEED["configuration"]["body"])
    answer = await ask(SEED["configuration"]["request"], body, headers={})
    assert answer == UNAUTHORIZED
    assert sandbox.settings.redirect_uris == (REDIRECT,)


# ---- the login


def link(sandbox, **changes):
    """The documented connect link; None leaves a parameter out."""
    shown = URL(SEED["login"]["url"])
    base = str(shown.with_query(None)).replace(SEED["login"]["base"], sandbox.login_url)
    query = {**shown.query, **changes}
    given = {name: value for name, value in query.items() if value is not None}
    return str(URL(base).with_query(given))


async def test_documented_link(sandbox):
    """The "Complete Example" is taken as it stands; its own query stays."""
    url = SEED["login"]["url"].replace(SEED["login"]["base"], sandbox.login_url)
    back = await sandbox.approve(url)
    assert back.startswith(f"{REDIRECT}&authToken=")
    assert sorted(URL(url).query) == SEED["login"]["parameters"]


async def test_callback_without_a_query(sandbox):
    """The letter of the document: redirect_url?authToken={authToken}."""
    plain = "https://example.com/callback"
    sandbox.settings.redirect_uris = (plain,)
    back = await sandbox.approve(link(sandbox, redirect_url=plain))
    assert back.startswith(f"{plain}?{SEED['login']['callback']}=")
    assert "state" not in URL(back).query


async def test_naive_callback(sandbox):
    """A server that takes its own words literally has two question marks."""
    sandbox.settings.naive_callbacks = True
    back = await sandbox.approve(link(sandbox))
    assert back.startswith(f"{REDIRECT}?authToken=")


@pytest.mark.parametrize("returns", [True, False])
async def test_state(sandbox, returns):
    """Whether the state comes back is not documented: either can be played."""
    sandbox.settings.state_returns = returns
    back = URL(await sandbox.approve(link(sandbox)))
    assert back.query.get("state") == ("your_unique_state" if returns else None)


REFUSED_LINKS = {
    **{f"no-{name}": {name: None} for name in SEED["login"]["required"]},
    "redirect-uri": {"redirect_uri": REDIRECT},
    "response-type": {"response_type": "code"},
    "scope": {"scope": "all"},
    "pkce": {"code_challenge": "x", "code_challenge_method": "S256"},
    "unknown-client": {"client_id": "nobody"},
    "not-white-listed": {"redirect_url": "https://example.com/callback"},
}


@pytest.mark.parametrize("wrong", REFUSED_LINKS.values(), ids=REFUSED_LINKS)
async def test_refused_link(sandbox, wrong):
    """A link that the document does not show sends nobody anywhere."""
    with pytest.raises(LoginRefused):
        await sandbox.approve(link(sandbox, **wrong))


# ---- the exchange


async def test_documented_exchange(sandbox, ask):
    """The authToken of the callback buys the documented answer, Khmer included."""
    back = URL(await sandbox.approve(link(sandbox), COMPANY))
    body = json.loads(SEED["token"]["body"])
    assert list(body) == ["auth_token"]
    body["auth_token"] = back.query["authToken"]
    status, answer = await ask(SEED["token"]["request"], body)
    shown = json.loads(SEED["token"]["response"])
    assert status == 200
    assert list(answer) == list(shown)
    assert list(answer["business_info"]) == SEED["token"]["business_info"]
    assert shown["business_info"].items() <= answer["business_info"].items()


SPOILT_BODIES = {
    "nothing": {},
    "grant-type": {"auth_token": "x", "grant_type": "authorization_code"},
    "redirect": {"auth_token": "x", "redirect_url": REDIRECT},
    "client": {"auth_token": "x", "client_id": "your_client_id"},
    "code": {"code": "x"},
    "number": {"auth_token": 1},
    "list": [],
}


@pytest.mark.parametrize("body", SPOILT_BODIES.values(), ids=SPOILT_BODIES)
async def test_spoilt_exchange(ask, body):
    """The body has one member, and nothing else."""
    status, answer = await ask(SEED["token"]["request"], body)
    assert (status, list(answer)) == (422, ["message"])


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic eDp5"},
        # RFC 6749 section 2.3.1 would encode "your client:secret+" first.
        {
            "Authorization": "Basic "
            + b64encode(b"your_client_id:your+client%3Asecret%2B").decode()
        },
    ],
    ids=["none", "bearer", "wrong", "form-encoded"],
)
async def test_client_authentication(sandbox, ask, header):
    """The client proves itself by Basic, its credentials as they are."""
    token = sandbox.grants.new_code(COMPANY, "your_client_id", REDIRECT)
    body = {"auth_token": token}
    assert await ask(SEED["token"]["request"], body, headers=header) == UNAUTHORIZED
    assert (await ask(SEED["token"]["request"], body))[0] == 200


async def test_form_body(sandbox, ask):
    """The document says JSON."""
    token = sandbox.grants.new_code(COMPANY, "your_client_id", REDIRECT)
    form = {"auth_token": token}
    assert (await ask(SEED["token"]["request"], None, data=form))[0] == 422


# ---- the refresh


@pytest.mark.parametrize("path", SEED["refresh"]["paths"])
async def test_refresh(sandbox, ask, exchange, path):
    """Either path takes the refresh token alone, time and again."""
    _, pair = await exchange()
    body = {"refresh_token": pair["refresh_token"]}
    for _ in range(3):
        status, answer = await ask(refresh_url(path), body)
        assert status == 200
        assert list(answer) == SEED["refresh"]["response"]
        assert answer["expire_in"] == SEED["refresh"]["expire_in"]
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (3, 0)


@pytest.mark.parametrize("path", SEED["refresh"]["paths"])
@pytest.mark.parametrize("extra", ["grant_type", "client_id", "auth_token"])
async def test_refresh_with_more(sandbox, ask, exchange, path, extra):
    """The body has the refresh token only: no grant_type, no client."""
    _, pair = await exchange()
    body = {"refresh_token": pair["refresh_token"], extra: "x"}
    assert (await ask(refresh_url(path), body))[0] == 422
    assert sandbox.ledger.refreshes == 0


async def test_one_path_only(sandbox, http, basic, ask, exchange):
    """A server can be played that has only one of the two paths."""
    _, pair = await exchange()
    body = {"refresh_token": pair["refresh_token"]}
    sandbox.settings.absent_paths = ("/api/v1/auth/token",)
    url = f"{sandbox.url}/api/v1/auth/token"
    async with http.post(url, json=body, headers=basic) as answer:
        assert answer.status == 404
    assert (await ask(refresh_url("/api/v1/token"), body))[0] == 200


SHAPES = {
    "documented": {"token_type": "Bearer", "expire_in": 900},
    "sample": {"expire_at": "2023-11-14T22:28:20+00:00"},
    "durations": {
        "expireIn": "15m",
        "expire_at": "2023-11-14T22:28:20+00:00",
        "expired_at": "2023-11-14T22:28:20+00:00",
    },
    "bare": {},
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_shapes(sandbox, ask, exchange, shape):
    """Every answer to a refresh that was seen anywhere can be played."""
    sandbox.settings.token_shape = shape
    _, pair = await exchange()
    assert pair.get("expires_in") == ("15m" if shape == "durations" else None)
    body = {"refresh_token": pair["refresh_token"]}
    _, answer = await ask(refresh_url("/api/v1/auth/token"), body)
    token = answer.pop("token" if shape == "documented" else "access_token")
    assert token == sandbox.grants.current(COMPANY).access_token
    assert answer == SHAPES[shape]
    if "expire_at" in answer:
        assert datetime.fromisoformat(answer["expire_at"]).timestamp() == NOW + 900


async def test_rotation(sandbox, ask, exchange):
    """Should a new refresh token ever come, it is in the answer."""
    sandbox.settings.rotation = "every_use"
    _, pair = await exchange()
    body = {"refresh_token": pair["refresh_token"]}
    _, answer = await ask(refresh_url("/api/v1/auth/token"), body)
    assert answer["refresh_token"] != pair["refresh_token"]


async def test_access_token_is_a_jwt(sandbox, exchange):
    """The access token says when it ends; or, as a setting, nothing."""
    _, pair = await exchange()
    part = pair["access_token"].split(".")[1]
    claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert claims["exp"] == NOW + 900
    assert claims["expire_in"] == "15m"
    assert claims["endpoint_id"] == pair["business_info"]["endpoint_id"]
    sandbox.settings.opaque_tokens = True
    _, pair = await exchange()
    assert "." not in pair["access_token"]


async def test_refused_refresh(ask):
    """A dead refresh token and a bad client are one and the same answer."""
    url = refresh_url("/api/v1/auth/token")
    assert await ask(url, {"refresh_token": "unknown"}) == UNAUTHORIZED
    bad = {"Authorization": "Basic eDp5"}
    assert await ask(url, {"refresh_token": "x"}, headers=bad) == UNAUTHORIZED


# ---- the API, and the end


@pytest.fixture(name="documents")
def _documents(sandbox, http):
    """The list of documents: status and document."""

    async def documents(token, **query):
        url = URL(sandbox.api_url + sandbox.documents_path).update_query(query)
        headers = {"Authorization": f"Bearer {token}"}
        async with http.get(url, headers=headers) as answer:
            return answer.status, await answer.json()

    return documents


async def test_pages(exchange, documents):
    """The access token opens the API, page by page."""
    _, pair = await exchange()
    sizes = []
    for page in ("1", "2", "3"):
        status, answer = await documents(pair["access_token"], page=page)
        sizes.append(len(answer["data"]))
        assert status == 200
    assert sizes == [20, 20, 5]
    assert answer["pagination"] == {
        "page": 3,
        "size": 20,
        "total_counts": 45,
        "total_pages": 3,
    }


@pytest.mark.parametrize("query", [{"type": "x"}, {"page": "0"}, {"filter": "x"}])
async def test_refused_page(sandbox, documents, query):
    """What is not documented is 422."""
    token = sandbox.issue("acme").access_token
    status, answer = await documents(token, **query)
    assert (status, list(answer)) == (422, ["message"])


@pytest.mark.parametrize("what", ["expire_now", "invalidate_now", "revoke"])
async def test_refused_token(sandbox, documents, what):
    """A 401 with a message, whatever the cause."""
    token = sandbox.issue("acme").access_token
    getattr(sandbox.script, what)("acme")
    assert await documents(token) == UNAUTHORIZED


async def test_revoke(sandbox, ask, exchange, documents):
    """Revocation is by business; one that is not the client's is 403."""
    _, pair = await exchange()
    url = "{BaseURL}/api/v1/auth/revoke"
    mine = {"endpoint_id": pair["business_info"]["endpoint_id"]}
    assert (await ask(url, {"endpoint_id": "KHUID99999999"}))[0] == 403
    assert (await ask(url, mine, headers={}))[0] == 403
    assert (await documents(pair["access_token"]))[0] == 200
    assert (await ask(url, mine))[0] == 200
    assert await documents(pair["access_token"]) == UNAUTHORIZED
