"""The sandbox takes what Invoiced's document shows, and nothing else."""

from __future__ import annotations

import json
import tomllib
from base64 import urlsafe_b64decode
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from yarl import URL

from everbearer.sandbox import LoginRefused, Sandbox

pytestmark = pytest.mark.asyncio

SEEDS = Path(__file__).with_name("sandbox")
SEED = tomllib.loads(SEEDS.joinpath("invoiced.toml").read_text("utf-8"))
REDIRECT = "https://app.example/callback"
CODE, REFRESH = "authorization_code", "refresh_token"
KINDS = list(SEED["token"]["examples"])


@pytest_asyncio.fixture(name="sandbox")
async def _sandbox():
    """Invoiced with the client of the examples."""
    async with Sandbox(
        "invoiced",
        client_id="your_client_id",
        client_secret="your_client_secret",
        orders_per_account=250,
    ) as running:
        yield running


def link(sandbox, **changes):
    """The documented connect link; None leaves a parameter out."""
    shown = URL(SEED["login"]["url"])
    url = str(shown.with_query(None)).replace("https://invoiced.com", sandbox.login_url)
    query = {**shown.query, "redirect_uri": REDIRECT, **changes}
    given = {name: value for name, value in query.items() if value is not None}
    return str(URL(url).with_query(given))


@pytest.fixture(name="granted")
def _granted(sandbox):
    """Parameters of the documented examples, with values that are good."""

    def granted(kind):
        shown = dict(each.split("=", 1) for each in SEED["token"]["examples"][kind])
        if kind == CODE:
            code = sandbox.grants.new_code("acme", "your_client_id", REDIRECT)
            return {**shown, "code": code, "redirect_uri": REDIRECT}
        return {**shown, "refresh_token": sandbox.issue("acme").refresh_token}

    return granted


@pytest.fixture(name="ask")
def _ask(sandbox, http):
    """Post a form to the documented token endpoint: status and document."""
    where = SEED["token"]["url"].replace("https://invoiced.com", sandbox.token_url)

    async def ask(params, **options):
        data = {} if "json" in options else {"data": urlencode(params)}
        kind = "application/x-www-form-urlencoded"
        headers = options.pop("headers", {})
        if data:
            headers = {"Content-Type": kind, **headers}
        async with http.post(where, headers=headers, **data, **options) as answer:
            return answer.status, await answer.json()

    return ask


def about(text):
    """A token error that only its message tells apart."""
    return {"type": "invalid_request", "message": text}


# ---- the login


async def test_documented_link(sandbox):
    """The documented link is taken; the code comes back with the state."""
    back = URL(await sandbox.approve(link(sandbox), "acme"))
    assert sorted(back.query) == SEED["login"]["callback"]
    assert back.query["state"] == "your_state_value"


@pytest.mark.parametrize("scope", SEED["login"]["scopes"])
async def test_scopes(sandbox, scope):
    """Both documented scopes are taken, and are the grant's."""
    code = URL(await sandbox.approve(link(sandbox, scope=scope))).query["code"]
    assert sandbox.grants.code(code).scope == scope


async def test_state_is_optional(sandbox):
    """Without a state, none comes back."""
    back = URL(await sandbox.approve(link(sandbox, state=None)))
    assert set(back.query) == {"code"}


REFUSED_LINKS = {
    **{
        f"no-{name}": {name: None}
        for name in URL(SEED["login"]["url"]).query
        if name not in SEED["login"]["optional"]
    },
    "other-response-type": {"response_type": "token"},
    "other-scope": {"scope": "write"},
    "two-scopes": {"scope": "read read_write"},
    "pkce": {"code_challenge": "x", "code_challenge_method": "S256"},
    "unknown-client": {"client_id": "nobody"},
    "unregistered": {"redirect_uri": "https://elsewhere.example/cb"},
}


@pytest.mark.parametrize("wrong", REFUSED_LINKS.values(), ids=REFUSED_LINKS)
async def test_refused_link(sandbox, wrong):
    """A link that the document does not show sends nobody anywhere."""
    with pytest.raises(LoginRefused):
        await sandbox.approve(link(sandbox, **wrong))


# ---- the token endpoint


@pytest.mark.parametrize("kind", KINDS)
async def test_documented_request(granted, ask, kind):
    """The documented example is taken; the answer is the document's."""
    params = granted(kind)
    status, answer = await ask(params)
    assert status == 200
    assert list(answer) == SEED["token"]["response"]
    assert answer["token_type"] == SEED["token"]["token_type"]
    assert answer["expires_in"] == SEED["token"]["expires_in"]
    assert answer["refresh_token"] != params.get(REFRESH)


async def test_access_token_is_a_jwt(granted, ask):
    """The example's access token is a JWT, which says whose it is and when it ends."""
    _, answer = await ask(granted(CODE))
    _, claims, _ = answer["access_token"].split(".")
    read = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert read["sub"].startswith("tenant:")
    assert read["exp"] - read["iat"] == pytest.approx(SEED["token"]["expires_in"])
    assert read["scopes"] == ["read_write"]


@pytest.mark.parametrize("kind", KINDS)
async def test_basic(granted, ask, kind):
    """The server takes Basic too, in place of the body's credentials."""
    params = granted(kind)
    del params["client_id"], params["client_secret"]
    basic = {"Authorization": "Basic eW91cl9jbGllbnRfaWQ6eW91cl9jbGllbnRfc2VjcmV0"}
    assert (await ask(params, headers=basic))[0] == 200


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, each.partition("=")[0])
        for kind in KINDS
        for each in SEED["token"]["examples"][kind]
    ],
)
async def test_missing_parameter(sandbox, granted, ask, kind, name):
    """Everything in the examples is needed, and its lack spends nothing."""
    params = granted(kind)
    lacking = {key: value for key, value in params.items() if key != name}
    status, answer = await ask(lacking)
    told = SEED["errors"]["client" if name.startswith("client_") else "request"]
    assert (status, answer["type"]) == (400, "invalid_request")
    assert answer["message"].startswith(told)
    assert sandbox.ledger.refreshes == sandbox.ledger.exchanges == 0
    assert (await ask(params))[0] == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("extra", ["scope", "code_verifier", "state"])
async def test_extra_parameter(granted, ask, kind, extra):
    """What the document does not list is refused, and spends nothing."""
    params = granted(kind)
    status, answer = await ask({**params, extra: "x"})
    assert status == 400
    assert answer["message"].startswith(SEED["errors"]["request"])
    assert (await ask(params))[0] == 200


async def test_json_body(sandbox, granted, ask):
    """The examples are forms; JSON is not taken."""
    status, _ = await ask(None, json=granted(REFRESH))
    assert (status, sandbox.ledger.refreshes) == (400, 0)


async def test_errors_by_their_message(granted, ask):
    """Every refusal is the same 400, told apart by its message alone."""
    wrong = {**granted(REFRESH), "client_secret": "wrong"}
    assert await ask(wrong) == (400, about(SEED["errors"]["client"]))
    unknown = {**granted(REFRESH), "refresh_token": "unknown"}
    assert await ask(unknown) == (400, about(SEED["errors"]["refresh_token"]))
    status, answer = await ask({**granted(CODE), "code": "unknown"})
    assert (status, answer["type"]) == (400, "invalid_request")
    assert answer["message"].startswith(SEED["errors"]["code"])


async def test_spent_refresh_token(sandbox, granted, ask):
    """A refresh token is revoked by its refresh, without a grace."""
    params = granted(REFRESH)
    assert (await ask(params))[0] == 200
    assert await ask(params) == (400, about(SEED["errors"]["refresh_token"]))
    assert sandbox.ledger.reuse == 1


# ---- the API


@pytest.fixture(name="call")
def _call(sandbox, http):
    """The documented API request: the answer."""
    where = SEED["api"]["url"].replace("https://api.invoiced.com", sandbox.api_url)

    async def call(token, query=""):
        headers = {"Authorization": f"Bearer {token}"}
        async with http.get(where + query, headers=headers) as answer:
            await answer.read()
            return answer

    return call


async def test_pages(granted, ask, call):
    """The token opens the API; the Link header leads through every invoice."""
    _, pair = await ask(granted(CODE))
    query, numbers = "", []
    while query is not None:
        answer = await call(pair["access_token"], query)
        assert answer.headers["X-Total-Count"] == "250"
        numbers += [each["number"] for each in await answer.json()]
        following = answer.links.get("next")
        query = f"?{following['url'].query_string}" if following else None
    assert numbers == [f"acme-{number + 1}" for number in range(250)]


@pytest.mark.parametrize("query", ["?per_page=101", "?page=0", "?page=x", "?filter=a"])
async def test_refused_page(sandbox, call, query):
    """More than 100, no number, or what is not emulated."""
    answer = await call(sandbox.issue("acme").access_token, query)
    assert (answer.status, (await answer.json())["type"]) == (400, "invalid_request")


@pytest.mark.parametrize("what", ["expire_now", "invalidate_now", "revoke", "nothing"])
async def test_refused_token(sandbox, call, what):
    """Expired, revoked or unknown: one text, with a challenge for Basic."""
    token = sandbox.issue("acme").access_token
    if what == "nothing":
        token = "nobody's"
    else:
        getattr(sandbox.script, what)("acme")
    answer = await call(token)
    assert answer.status == 401
    assert await answer.text() == SEED["errors"]["api"]
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Invoiced"'


async def test_old_access_token_dies(sandbox, ask, granted, call):
    """A refresh revokes the access token before it too."""
    pair = sandbox.issue("acme")
    assert (await call(pair.access_token)).status == 200
    await ask({**granted(REFRESH), "refresh_token": pair.refresh_token})
    assert (await call(pair.access_token)).status == 401


async def test_revoke(sandbox, http, ask, granted, call):
    """Revoking by the access token ends the grant, with 204."""
    pair = sandbox.issue("acme")
    form = {"token": pair.access_token}
    async with http.post(f"{sandbox.token_url}/oauth/revoke", data=form) as answer:
        assert answer.status == 204
    assert (await call(pair.access_token)).status == 401
    params = {**granted(REFRESH), "refresh_token": pair.refresh_token}
    assert (await ask(params))[0] == 400
    assert sandbox.ledger.lost_grants == sandbox.ledger.reuse == 0
