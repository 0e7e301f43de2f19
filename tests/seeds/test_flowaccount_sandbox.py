"""The sandbox takes what FlowAccount's document shows, and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from attrs import define
from yarl import URL

from everbearer.sandbox import LoginRefused, Sandbox

pytestmark = pytest.mark.asyncio

SEEDS = Path(__file__).with_name("sandbox")
SEED = tomllib.loads(SEEDS.joinpath("flowaccount.toml").read_text("utf-8"))
# The document's example has "https:\\localhost:3000", which is no web address.
REDIRECT = "https://localhost:3000"
CODE, REFRESH = "authorization_code", "refresh_token"
KINDS = list(SEED["token"]["parameters"])
FORM = SEED["token"]["content_type"]


@define
class Clock:
    """Time that passes when a test says so."""

    now: float = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture(name="clock")
def _clock():
    """The sandbox's time."""
    return Clock()


@pytest_asyncio.fixture(name="sandbox")
async def _sandbox(clock):
    """FlowAccount with the client of the example."""
    async with Sandbox(
        "flowaccount", clock=clock, client_id="id", orders_per_account=45
    ) as running:
        yield running


def link(sandbox, **changes):
    """The documented connect link; None leaves a parameter out."""
    shown = URL(SEED["login"]["url"])
    url = str(shown.with_query(None)).replace(SEED["login"]["host"], sandbox.login_url)
    query = {**shown.query, "redirect_uri": REDIRECT, "state": "s-1", **changes}
    given = {name: value for name, value in query.items() if value is not None}
    return str(URL(url).with_query(given))


@pytest.fixture(name="granted")
def _granted(sandbox):
    """Parameters of a token request of each kind, all good."""

    def granted(kind):
        particular = (
            {
                "code": sandbox.grants.new_code("acme", "id", REDIRECT),
                "redirect_uri": REDIRECT,
            }
            if kind == CODE
            else {"refresh_token": sandbox.issue("acme").refresh_token}
        )
        return {
            "grant_type": kind,
            "client_id": "id",
            "client_secret": sandbox.settings.client_secret,
            **particular,
        }

    return granted


@pytest.fixture(name="ask")
def _ask(sandbox, http):
    """Post to the documented token endpoint: status and document."""
    url = SEED["token"]["url"].format(environment=SEED["token"]["environment"])
    where = url.replace("https://openapi.flowaccount.com", sandbox.url)

    async def ask(params, *, content_type=FORM, headers=None):
        body = params if isinstance(params, str) else urlencode(params)
        given = {"Content-Type": content_type, **(headers or {})}
        async with http.post(where, data=body, headers=given) as answer:
            return answer.status, await answer.json()

    return ask


# ---- the login


async def test_documented_link(sandbox):
    """The documented link is taken, and the documented three parameters come back."""
    shown = URL(link(sandbox))
    assert sorted(shown.query) == sorted(SEED["login"]["parameters"])
    assert shown.query["scope"] == SEED["login"]["scope"]
    assert shown.query["response_type"] == SEED["login"]["response_type"]
    back = URL(await sandbox.approve(str(shown), "acme"))
    assert sorted(back.query) == sorted(SEED["login"]["callback"])
    assert back.query["scope"] == SEED["login"]["scope"]
    assert back.query["state"] == "s-1"


async def test_scope_is_percent_encoded(sandbox):
    """A blank as %20, as in the example, is the same as a plus sign."""
    assert "scope=flowaccount-api%20offline_access" in SEED["login"]["url"]
    url = link(sandbox).replace("+", "%20")
    assert "code=" in await sandbox.approve(url)


async def test_state_is_optional(sandbox):
    """Without a state, none comes back."""
    back = URL(await sandbox.approve(link(sandbox, state=None)))
    assert sorted(back.query) == ["code", "scope"]


REFUSED_LINKS = {
    **{
        f"no-{name}": {name: None}
        for name in SEED["login"]["parameters"]
        if name not in SEED["login"]["optional"]
    },
    "other-response-type": {"response_type": "token"},
    "other-scope": {"scope": "openid"},
    "offline-only": {"scope": "offline_access"},
    "more-scope": {"scope": "flowaccount-api offline_access profile"},
    "pkce": {"code_challenge": "x", "code_challenge_method": "S256"},
    "unknown-client": {"client_id": "nobody"},
    "unregistered": {"redirect_uri": "https://elsewhere.example/cb"},
    "example-to-the-letter": {"redirect_uri": "https:\\\\localhost:3000"},
}


@pytest.mark.parametrize("wrong", REFUSED_LINKS.values(), ids=REFUSED_LINKS)
async def test_refused_link(sandbox, wrong):
    """A link that the document does not show sends nobody anywhere."""
    with pytest.raises(LoginRefused):
        await sandbox.approve(link(sandbox, **wrong))


# ---- the token endpoint


@pytest.mark.parametrize("kind", KINDS)
async def test_documented_request(granted, ask, kind):
    """Exactly the documented parameters are taken; the answer is the document's."""
    params = granted(kind)
    assert sorted(params) == sorted(SEED["token"]["parameters"][kind])
    status, answer = await ask(params)
    assert status == 200
    assert list(answer) == SEED["token"]["response"]
    assert isinstance(answer["expires_in"], int)
    assert answer["token_type"] == "Bearer"
    assert isinstance(answer["supportCode"], str)
    assert answer["refresh_token"] != params.get(REFRESH)


async def test_support_code_stays(granted, ask):
    """The customer number is the business's, whatever the grant."""
    _, first = await ask(granted(CODE))
    _, second = await ask(granted(REFRESH))
    assert first["supportCode"] == second["supportCode"]


async def test_without_offline_access(sandbox, ask):
    """Without offline_access there is "only an access token"."""
    url = link(sandbox, scope="flowaccount-api")
    back = URL(await sandbox.approve(url, "acme"))
    assert back.query["scope"] == "flowaccount-api"
    params = {
        "grant_type": CODE,
        "code": back.query["code"],
        "redirect_uri": REDIRECT,
        "client_id": "id",
        "client_secret": sandbox.settings.client_secret,
    }
    status, answer = await ask(params)
    assert status == 200
    assert sorted([*answer, REFRESH]) == sorted(SEED["token"]["response"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in SEED["token"]["parameters"][kind]],
)
async def test_missing_parameter(sandbox, granted, ask, kind, name):
    """Every documented parameter is required, and its lack spends nothing."""
    params = granted(kind)
    lacking = {key: value for key, value in params.items() if key != name}
    status, answer = await ask(lacking)
    assert (status, list(answer)) == (400, ["error"])
    assert sandbox.ledger.refreshes == sandbox.ledger.exchanges == 0
    assert (await ask(params))[0] == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "extra",
    [{"scope": SEED["login"]["scope"]}, {"code_verifier": "v"}, {"state": "s-1"}],
    ids=lambda extra: next(iter(extra)),
)
async def test_extra_parameter(sandbox, granted, ask, kind, extra):
    """What is not listed is refused, and spends nothing."""
    params = granted(kind)
    assert (await ask({**params, **extra}))[0] == 400
    assert (await ask(params))[0] == 200


SPOILT = {
    "json": {"content_type": "application/json"},
    "basic": {"headers": {"Authorization": "Basic eDp5"}},
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
async def test_spoilt_request(sandbox, granted, ask, spoilt):
    """Another body type or credentials in a header: refused, nothing spent."""
    params = granted(REFRESH)
    status, answer = await ask(params, **spoilt)
    assert (status, answer) == (400, {"error": "invalid_request"})
    assert sandbox.ledger.refreshes == 0


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
async def test_wrong_client(sandbox, granted, ask, name):
    """An unknown client or a wrong secret costs the grant nothing."""
    params = granted(REFRESH)
    status, answer = await ask({**params, name: "wrong"})
    assert (status, answer) == (400, {"error": "invalid_client"})
    assert sandbox.ledger.refreshes == 0


@pytest.mark.parametrize(("left", "status"), [(0.1, 200), (0.0, 400)])
async def test_code_lifetime(granted, ask, clock, left, status):
    """A code lives 150 minutes."""
    params = granted(CODE)
    clock.now += SEED["login"]["code_minutes"] * 60 - left
    assert (await ask(params))[0] == status


async def test_code_is_single_use(granted, ask):
    """A code "can be used only once"."""
    params = granted(CODE)
    assert (await ask(params))[0] == 200
    assert await ask(params) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize(("left", "status"), [(0.1, 200), (0.0, 400)])
async def test_refresh_token_lifetime(sandbox, granted, ask, clock, left, status):
    """A refresh token lives "1 day from the last access token request"."""
    day = SEED["token"]["refresh_days"] * 86_400
    params = granted(REFRESH)
    clock.now += day - 0.1
    _, pair = await ask(params)
    clock.now += day - left
    newer = {**params, "refresh_token": pair["refresh_token"]}
    assert (await ask(newer))[0] == status
    assert sandbox.ledger.reuse == 0


async def test_newest_refresh_token_only(sandbox, granted, ask):
    """Only the refresh token of "the latest response" is of use."""
    params = granted(REFRESH)
    assert (await ask(params))[0] == 200
    assert await ask(params) == (400, {"error": "invalid_grant"})
    assert sandbox.ledger.reuse == 1


# ---- the API (openapi.yaml, PROVIDERS 3.4)


async def test_pages(sandbox, granted, ask, http):
    """The token opens the API of its environment, page by page, to a short one."""
    _, pair = await ask(granted(CODE))
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    sizes = []
    for page in ("1", "2", "3", "4"):
        url = URL(sandbox.api_url + sandbox.documents_path)
        url = url.update_query(currentPage=page)
        async with http.get(url, headers=headers) as answer:
            document = await answer.json()
        sizes.append(len(document["data"]["list"]))
    assert sizes == [20, 20, 5, 0]
    assert sandbox.api_url.endswith(f"/{SEED['token']['environment']}")


@pytest.mark.parametrize("query", ["", "?currentPage=1", "?currentPage=0&pageSize=20"])
async def test_paging_is_required(sandbox, http, query):
    """Both paging parameters are required."""
    headers = {"Authorization": f"Bearer {sandbox.issue('acme').access_token}"}
    url = f"{sandbox.api_url}/tax-invoices{query}"
    async with http.get(url, headers=headers) as answer:
        assert answer.status == 400


async def test_refused_token(sandbox, http):
    """A 401 with nothing in it: its body is not documented."""
    token = sandbox.issue("acme").access_token
    sandbox.script.expire_now()
    headers = {"Authorization": f"Bearer {token}"}
    url = sandbox.api_url + sandbox.documents_path
    async with http.get(url, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (401, b"")
