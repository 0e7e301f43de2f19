"""The standard twin takes what RFC 6749, 6750 and 7636 show, and nothing else."""

from __future__ import annotations

from base64 import b64encode

import pytest
import pytest_asyncio
from yarl import URL

from everbearer.sandbox import LoginRefused, Sandbox

pytestmark = pytest.mark.asyncio

REDIRECT = "https://client.example.com/cb"  # RFC 6749 section 4.1.1
# RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest_asyncio.fixture(name="sandbox")
async def _sandbox():
    """A standard server with the client of RFC 6749's examples."""
    async with Sandbox(
        "standard",
        client_id="s6BhdRkqt3",
        client_secret="7Fjfp0ZBr1KtDRbnfVdmIw",
        redirect_uris=(REDIRECT,),
        orders_per_account=250,
    ) as running:
        yield running


def link(sandbox, **changes):
    """The connect link of section 4.1.1; None leaves a parameter out."""
    query = {
        "response_type": "code",
        "client_id": "s6BhdRkqt3",
        "state": "xyz",
        "redirect_uri": REDIRECT,
        **changes,
    }
    given = {name: value for name, value in query.items() if value is not None}
    return str(URL(f"{sandbox.login_url}/authorize").with_query(given))


@pytest.fixture(name="ask")
def _ask(sandbox, http):
    """Post a form to the token endpoint, by default with section 2.3.1's header."""

    async def ask(params, *, headers=None, **options):
        basic = {"Authorization": "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"}
        async with http.post(
            f"{sandbox.token_url}/token",
            headers=basic if headers is None else headers,
            **({"data": params} | options),
        ) as answer:
            return answer.status, await answer.json()

    return ask


async def code_of(sandbox, **changes):
    """Press Allow, and take the code out of the callback."""
    back = URL(await sandbox.approve(link(sandbox, **changes), "acme"))
    return back.query["code"]


def exchange(code, **changes):
    """The body of section 4.1.3; None leaves a parameter out."""
    params = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        **changes,
    }
    return {name: value for name, value in params.items() if value is not None}


async def test_connect_exchange_refresh_call(sandbox, ask, http):
    """The examples of sections 4.1.1, 4.1.3, 5.1 and 6, one after the other."""
    back = URL(await sandbox.approve(link(sandbox), "acme"))
    assert set(back.query) == {"code", "state"}
    assert back.query["state"] == "xyz"
    status, pair = await ask(exchange(back.query["code"]))
    assert status == 200
    assert set(pair) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert pair["expires_in"] == 3600
    params = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    status, newer = await ask(params)
    assert (status, set(newer)) == (200, set(pair))
    headers = {"Authorization": f"Bearer {newer['access_token']}"}
    async with http.get(f"{sandbox.api_url}/v1/orders", headers=headers) as answer:
        page = await answer.json()
    assert len(page["orders"]) == 100
    assert URL(page["next"]).query == {"page": "2", "per_page": "100"}


async def test_deny(sandbox):
    """Section 4.1.2.1: access_denied, with the state."""
    back = URL(await sandbox.deny(link(sandbox)))
    assert back.query == {"error": "access_denied", "state": "xyz"}


async def test_scope_is_granted(sandbox, ask):
    """The scope that was asked for is in the answer (section 5.1)."""
    _, pair = await ask(exchange(await code_of(sandbox, scope="read write")))
    assert pair["scope"] == "read write"


async def test_redirect_uri_keeps_its_query(sandbox):
    """Section 3.1.2: a query component "MUST be retained"."""
    own = f"{REDIRECT}?a=1&b=%20"
    sandbox.settings.redirect_uris = (own,)
    back = await sandbox.approve(link(sandbox, redirect_uri=own), "acme")
    assert back.startswith(f"{REDIRECT}?a=1&b=%20&code=")


REFUSED_LINKS = {
    "no-response-type": {"response_type": None},
    "other-response-type": {"response_type": "token"},
    "unknown-client": {"client_id": "nobody"},
    "no-redirect": {"redirect_uri": None},
    "unregistered": {"redirect_uri": f"{REDIRECT}/more"},
    "fragment": {"redirect_uri": f"{REDIRECT}#top"},
    "unknown-parameter": {"prompt": "login"},
    "method-without-challenge": {"code_challenge_method": "S256"},
    "unknown-method": {"code_challenge": "x", "code_challenge_method": "S512"},
}


@pytest.mark.parametrize("wrong", REFUSED_LINKS.values(), ids=REFUSED_LINKS)
async def test_refused_link(sandbox, wrong):
    """A link that is wrong sends nobody anywhere."""
    with pytest.raises(LoginRefused):
        await sandbox.approve(link(sandbox, **wrong))


# ---- PKCE


@pytest.mark.parametrize(
    ("asked", "given", "status"),
    [
        (("S256", CHALLENGE), VERIFIER, 200),
        (("S256", CHALLENGE), CHALLENGE, 400),
        (("S256", CHALLENGE), None, 400),
        (("plain", VERIFIER), VERIFIER, 200),
        ((None, VERIFIER), VERIFIER, 200),
        (("plain", VERIFIER), CHALLENGE, 400),
        ((None, None), VERIFIER, 400),
        ((None, None), None, 200),
    ],
    ids=[
        "s256",
        "s256-wrong",
        "s256-missing",
        "plain",
        "plain-by-default",
        "plain-wrong",
        "verifier-without-challenge",
        "none",
    ],
)
async def test_pkce(sandbox, ask, asked, given, status):
    """RFC 7636 section 4.6, with the example of its appendix B."""
    method, challenge = asked
    code = await code_of(
        sandbox, code_challenge=challenge, code_challenge_method=method
    )
    answered, document = await ask(exchange(code, code_verifier=given))
    assert answered == status
    assert document.get("error") == (None if status == 200 else "invalid_grant")


# ---- the client


def header(user, password):
    """A Basic header."""
    both = b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {both}"}


BODY = {"client_id": "s6BhdRkqt3", "client_secret": "7Fjfp0ZBr1KtDRbnfVdmIw"}
FORM = {
    **header("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw"),
    "Content-Type": "application/x-www-form-urlencoded",
}
CLIENTS = {
    "basic": ({}, None, 200),
    "body": (BODY, {}, 200),
    "both": (BODY, None, 400),
    "basic-and-id": ({"client_id": "s6BhdRkqt3"}, None, 200),
    "basic-and-other-id": ({"client_id": "other"}, None, 401),
    "nothing": ({}, {}, 401),
    "no-secret": ({"client_id": "s6BhdRkqt3"}, {}, 401),
    "wrong-secret": ({}, header("s6BhdRkqt3", "wrong"), 401),
    "wrong-id": ({}, header("nobody", "7Fjfp0ZBr1KtDRbnfVdmIw"), 401),
    "bearer": ({}, {"Authorization": "Bearer x"}, 401),
    "no-base64": ({}, {"Authorization": "Basic !"}, 401),
    "no-text": ({}, {"Authorization": "Basic /w=="}, 401),
}


@pytest.mark.parametrize(("extra", "headers", "status"), CLIENTS.values(), ids=CLIENTS)
async def test_client(sandbox, ask, extra, headers, status):
    """Section 2.3.1: by Basic or in the body, never both, or nothing is spent."""
    token = sandbox.issue("acme").refresh_token
    params = {"grant_type": "refresh_token", "refresh_token": token}
    assert (await ask(params | extra, headers=headers))[0] == status
    assert sandbox.ledger.refreshes == (status == 200)


async def test_wrong_client_is_challenged(sandbox, http):
    """Section 5.2: a 401 includes the challenge of the scheme."""
    url = f"{sandbox.token_url}/token"
    params = {"grant_type": "refresh_token", "refresh_token": "x"}
    async with http.post(url, data=params, headers=header("a", "b")) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert (await answer.json())["error"] == "invalid_client"


async def test_credentials_are_form_encoded(sandbox, ask):
    """Section 2.3.1: id and secret are form-encoded inside Basic."""
    sandbox.settings.client_secret = "a:b c%é"
    token = sandbox.issue("acme").refresh_token
    params = {"grant_type": "refresh_token", "refresh_token": token}
    good = header("s6BhdRkqt3", "a%3Ab+c%25%C3%A9")
    assert (await ask(params, headers=good))[0] == 200


# ---- errors


async def test_errors(sandbox, ask):
    """Section 5.2: each by its code."""
    refusals = {
        "unsupported_grant_type": {"grant_type": "password"},
        "invalid_request": {"grant_type": "refresh_token"},
        "invalid_grant": {"grant_type": "refresh_token", "refresh_token": "unknown"},
    }
    for code, params in refusals.items():
        status, document = await ask(params)
        assert (status, document["error"]) == (400, code)
    status, document = await ask(None, json={"grant_type": "refresh_token"})
    assert (status, document["error"]) == (400, "invalid_request")
    status, document = await ask("grant_type=refresh_token&grant_type=refresh_token")
    assert (status, document["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"grant_type",
        b"grant_type=refresh_token&refresh_token=\xff",
        b"grant_type=refresh_token&refresh_token=%FF",
        b"&".join(b"a%d=1" % number for number in range(1000)),
        b"{}",
    ],
    ids=["empty", "no-value", "no-ascii", "no-utf-8", "many", "json"],
)
async def test_no_form(sandbox, ask, body):
    """What is no form with the parameters is refused, whatever it is."""
    status, document = await ask(body, data=body, headers=FORM)
    assert (status, document["error"]) == (400, "invalid_request")


async def test_parameters_in_the_url(sandbox, http):
    """Section 3.2: parameters are sent in the body, never in the URL."""
    token = sandbox.issue("acme").refresh_token
    params = {"grant_type": "refresh_token", "refresh_token": token}
    url = URL(f"{sandbox.token_url}/token").with_query(a="b")
    async with http.post(url, data=params | BODY) as answer:
        assert (answer.status, sandbox.ledger.refreshes) == (400, 0)


async def test_code_is_single_use(sandbox, ask):
    """Section 4.1.2: a second use is refused and ends what came of the first."""
    code = await code_of(sandbox)
    _, pair = await ask(exchange(code))
    assert (await ask(exchange(code)))[0] == 400
    params = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    assert (await ask(params))[1]["error"] == "invalid_grant"
    assert [each.cause for each in sandbox.ledger.lost] == ["code_reuse"]


async def test_challenges(sandbox, http):
    """RFC 6750 section 3: an error code for a token, none for no token."""
    url = f"{sandbox.api_url}/v1/orders"
    async with http.get(url) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sandbox"'
    async with http.get(url, headers={"Authorization": "Bearer x"}) as answer:
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
