"""The sandbox takes what Humansoft's documents show, and nothing else."""

from __future__ import annotations

import json
import tomllib
from base64 import b64encode, urlsafe_b64decode
from pathlib import Path

import pytest
import pytest_asyncio
from attrs import define
from yarl import URL

from everbearer.sandbox import LoginRefused, Sandbox

pytestmark = pytest.mark.asyncio

SEEDS = Path(__file__).with_name("sandbox")
SEED = tomllib.loads(SEEDS.joinpath("humansoft.toml").read_text("utf-8"))
HOST = "https://auth.humansoft.co.th"
REDIRECT = "https://myapp.com/callback"
VERIFIER = SEED["login"]["verifier"]
CODE, REFRESH = "authorization_code", "refresh_token"


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
    """Humansoft with the client of the example."""
    async with Sandbox(
        "humansoft", clock=clock, client_id="my-app", redirect_uris=(REDIRECT,)
    ) as running:
        yield running


def link(sandbox, **changes):
    """The documented connect link; None leaves a parameter out."""
    shown = URL(SEED["login"]["url"])
    url = str(shown.with_query(None)).replace(HOST, sandbox.login_url)
    query = {**shown.query, **changes}
    given = {name: value for name, value in query.items() if value is not None}
    return str(URL(url).with_query(given))


async def code_of(sandbox, **changes):
    """Press Allow, and take the code out of the callback."""
    back = URL(await sandbox.approve(link(sandbox, **changes), "acme"))
    return back.query["code"]


def exchange(granted, **changes):
    """The documented body of a public client; None leaves a parameter out."""
    params = {
        "grant_type": CODE,
        "code": granted,
        "client_id": "my-app",
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        **changes,
    }
    return {name: value for name, value in params.items() if value is not None}


@pytest.fixture(name="ask")
def _ask(sandbox, http):
    """Post to the documented token endpoint: status and document."""
    where = SEED["token"]["url"].replace(HOST, sandbox.token_url)

    async def ask(params, encoding="json", **options):
        async with http.post(where, **{encoding: params}, **options) as answer:
            return answer.status, await answer.json()

    return ask


# ---- the login


async def test_documented_link(sandbox):
    """The documented link is taken; the callback is the document's."""
    back = URL(await sandbox.approve(link(sandbox), "acme"))
    shown = URL(SEED["login"]["callback"])
    assert back.with_query(None) == shown.with_query(None)
    assert list(back.query) == list(shown.query)
    assert back.query["state"] == shown.query["state"]


@pytest.mark.parametrize("name", SEED["login"]["optional"])
async def test_optional_parameter(sandbox, name):
    """Each further parameter of the table is taken."""
    assert name in SEED["login"]["parameters"]
    url = link(sandbox, **{name: SEED["login"]["optional"][name]})
    assert "code=" in await sandbox.approve(url)


async def test_table_is_complete(sandbox):
    """All parameters of the table at once are taken."""
    url = link(sandbox, **SEED["login"]["optional"])
    assert sorted(URL(url).query) == sorted(SEED["login"]["parameters"])
    assert "code=" in await sandbox.approve(url)


REFUSED_LINKS = {
    **{f"no-{name}": {name: None} for name in SEED["login"]["required"]},
    "other-response-type": {"response_type": "token"},
    "unknown-parameter": {"nonce": "n"},
    "unknown-method": {"code_challenge_method": "S512"},
    "method-without-challenge": {"code_challenge": None},
    "plain-user-id": {"user_id": "not base64!"},
}


@pytest.mark.parametrize("wrong", REFUSED_LINKS.values(), ids=REFUSED_LINKS)
async def test_refused_link(sandbox, wrong):
    """A link that the document does not show sends nobody anywhere."""
    with pytest.raises(LoginRefused):
        await sandbox.approve(link(sandbox, **wrong))


@pytest.mark.parametrize(
    "wrong",
    [{"client_id": "nobody"}, {"redirect_uri": "https://elsewhere.example/cb"}],
    ids=["client", "redirect"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_invalid_client(sandbox, http, wrong, method):
    """The documented error, as JSON and not by a callback."""
    url = link(sandbox, **wrong)
    form = {"data": {"decision": "allow"}} if method == "POST" else {}
    async with http.request(method, url, allow_redirects=False, **form) as answer:
        assert answer.status == 400
        assert await answer.json() == json.loads(SEED["login"]["invalid_client"])


async def test_invalid_scopes(sandbox, http):
    """The documented error names the scopes that are not available."""
    url = link(sandbox, scope="openid invalid_scope")
    async with http.get(url) as answer:
        assert answer.status == 400
        assert await answer.json() == json.loads(SEED["login"]["invalid_scopes"])


async def test_redirect_is_https(sandbox):
    """A redirect URI is https, except on localhost."""
    insecure = REDIRECT.replace("https", "http")
    sandbox.settings.redirect_uris = (insecure,)
    with pytest.raises(LoginRefused, match="https"):
        await sandbox.approve(link(sandbox, redirect_uri=insecure))
    local = link(sandbox, redirect_uri="http://localhost:9/cb")
    assert "code=" in await sandbox.approve(local)


# ---- the token endpoint


def claims_of(token):
    """What a JWT says."""
    part = token.split(".")[1]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.mark.parametrize("encoding", ["json", "data"])
@pytest.mark.parametrize("kind", ["public", "confidential", "both"])
async def test_documented_exchange(sandbox, ask, kind, encoding):
    """A verifier or a secret; as JSON or as a form; the answer is the document's."""
    secret = None if kind == "public" else sandbox.settings.client_secret
    without = {"code_challenge": None, "code_challenge_method": None}
    pkce = without if kind == "confidential" else {}
    verifier = None if kind == "confidential" else VERIFIER
    code = await code_of(sandbox, **pkce)
    params = exchange(code, client_secret=secret, code_verifier=verifier)
    status, answer = await ask(params, encoding)
    assert status == 200
    assert sorted(answer) == sorted(SEED["token"]["response"])
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == SEED["token"]["expires_in"]
    assert answer["scope"] == "openid profile email"
    claims = claims_of(answer["id_token"])
    assert claims["aud"] == "my-app"
    assert claims["first_name"] == "acme"


async def test_plain_challenge(sandbox, ask):
    """Method plain: the verifier is the challenge."""
    code = await code_of(
        sandbox, code_challenge=VERIFIER, code_challenge_method="plain"
    )
    assert (await ask(exchange(code)))[0] == 200


async def test_without_openid(sandbox, ask):
    """The id token comes with openid, and not without it."""
    code = await code_of(sandbox, scope="profile")
    _, answer = await ask(exchange(code))
    assert sorted([*answer, "id_token"]) == sorted(SEED["token"]["response"])


REFUSED_EXCHANGES = {
    "no-grant-type": {"grant_type": None},
    "no-code": {"code": None},
    "no-client-id": {"client_id": None},
    "no-redirect-uri": {"redirect_uri": None},
    "no-proof": {"code_verifier": None},
    "wrong-verifier": {"code_verifier": "x" * 43},
    "scope": {"scope": "openid"},
    "other-redirect-uri": {"redirect_uri": f"{REDIRECT}/more"},
}


@pytest.mark.parametrize("wrong", REFUSED_EXCHANGES.values(), ids=REFUSED_EXCHANGES)
async def test_refused_exchange(sandbox, ask, wrong):
    """What is not as documented is refused, and costs nothing."""
    code = await code_of(sandbox)
    status, answer = await ask(exchange(code, **wrong))
    assert (status, "error" in answer) == (400, True)
    assert (await ask(exchange(code)))[0] == 200


async def test_secret_is_no_substitute_for_the_verifier(sandbox, ask):
    """A code with a challenge needs its verifier, whoever asks (RFC 7636)."""
    code = await code_of(sandbox)
    secret = sandbox.settings.client_secret
    params = exchange(code, code_verifier=None, client_secret=secret)
    status, answer = await ask(params)
    assert (status, answer["error"]) == (400, "invalid_grant")


async def test_wrong_secret(sandbox, ask):
    """A secret that is given has to be right."""
    code = await code_of(sandbox)
    status, answer = await ask(exchange(code, client_secret="wrong"))
    assert (status, answer["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(("left", "status"), [(0.1, 200), (0.0, 400)])
async def test_code_lifetime(sandbox, ask, clock, left, status):
    """A code lives five minutes."""
    code = await code_of(sandbox)
    clock.now += SEED["login"]["code_minutes"] * 60 - left
    assert (await ask(exchange(code)))[0] == status


async def test_code_is_single_use(sandbox, ask):
    """A code is used once."""
    code = await code_of(sandbox)
    assert (await ask(exchange(code)))[0] == 200
    assert (await ask(exchange(code)))[0] == 400


@pytest.mark.parametrize("secret", [True, False], ids=["confidential", "public"])
async def test_refresh(sandbox, ask, secret):
    """A refresh goes to the same place and answers the same members."""
    params = {
        "grant_type": REFRESH,
        "refresh_token": sandbox.issue("acme").refresh_token,
        "client_id": "my-app",
    }
    if secret:
        params["client_secret"] = sandbox.settings.client_secret
    status, answer = await ask(params)
    assert status == 200
    assert sorted(answer) == sorted(SEED["token"]["response"])


# ---- userinfo, introspection, revocation


@pytest.fixture(name="userinfo")
def _userinfo(sandbox, http):
    """The documented userinfo request: status and document."""
    where = SEED["userinfo"]["url"].replace(HOST, sandbox.api_url)

    async def userinfo(token, method="GET"):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with http.request(method, where, headers=headers) as answer:
            return answer.status, await answer.json()

    return userinfo


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("scopes", ["openid", "openid profile", "openid profile email"])
async def test_userinfo(sandbox, ask, userinfo, method, scopes):
    """The claims are those of the scopes."""
    code = await code_of(sandbox, scope=scopes)
    _, pair = await ask(exchange(code))
    status, claims = await userinfo(pair["access_token"], method)
    expected = [name for scope in scopes.split() for name in SEED["userinfo"][scope]]
    assert status == 200
    assert sorted(claims) == sorted(expected)


@pytest.mark.parametrize("what", ["expire_now", "invalidate_now", "revoke"])
async def test_bad_token(sandbox, userinfo, what):
    """Expired, unknown and revoked are one documented answer."""
    token = sandbox.issue("acme").access_token
    getattr(sandbox.script, what)("acme")
    shown = json.loads(SEED["userinfo"]["bad_token"])
    assert await userinfo(token) == (401, shown)


async def test_no_token(userinfo):
    """A request without a token is another documented answer."""
    assert await userinfo(None) == (401, json.loads(SEED["userinfo"]["no_token"]))


@pytest.fixture(name="basic")
def _basic(sandbox):
    """The Basic header of the client."""
    both = f"my-app:{sandbox.settings.client_secret}".encode()
    return {"Authorization": f"Basic {b64encode(both).decode()}"}


async def test_introspect(sandbox, http, basic):
    """A living token is active; an unknown one and a wrong client are not."""
    url = f"{sandbox.token_url}/oauth2/v1/introspect"
    good = {"token": sandbox.issue("acme").access_token}
    async with http.post(url, json=good, headers=basic) as answer:
        said = await answer.json()
        assert (answer.status, said["active"]) == (200, True)
        assert said["exp"] - said["iat"] == SEED["token"]["expires_in"]
    for body, headers in (({"token": "unknown"}, basic), (good, {})):
        async with http.post(url, json=body, headers=headers) as answer:
            assert (answer.status, await answer.json()) == (200, {"active": False})


async def test_revoke(sandbox, http, basic, userinfo):
    """Always 200 and {}; a refresh token ends the user's sessions of this client."""
    url = f"{sandbox.token_url}/oauth2/v1/revoke"
    first, second = sandbox.issue("acme"), sandbox.issue("acme")
    body = {"token": first.refresh_token}
    async with http.post(url, json=body) as answer:
        assert answer.status == 401
    assert (await userinfo(second.access_token))[0] == 200
    for each in (body, {"token": "unknown"}):
        async with http.post(url, json=each, headers=basic) as answer:
            assert (answer.status, await answer.json()) == (200, {})
    assert (await userinfo(first.access_token))[0] == 401
    assert (await userinfo(second.access_token))[0] == 401
