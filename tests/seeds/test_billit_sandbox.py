"""The sandbox takes what Billit's document shows, and nothing else."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.asyncio

SEED = tomllib.loads(Path(__file__).with_name("billit.toml").read_text("utf-8"))
HOST = "https://api.sandbox.billit.be"
REDIRECT = "https://app.example/callback"
JSON = SEED["token"]["content_type"]
CODE, REFRESH = "authorization_code", "refresh_token"
KINDS = list(SEED["token"]["parameters"])


def at(sandbox, url):
    """A documented URL, at the sandbox."""
    return url.replace(HOST, sandbox.url)


@pytest.fixture(name="granted")
def _granted(sandbox):
    """Parameters of a token request of each kind, all good."""
    sandbox.settings.redirect_uris = (REDIRECT,)
    client_id = sandbox.settings.client_id

    def granted(kind, company="acme"):
        particular = (
            {
                "code": sandbox.grants.new_code(company, client_id, REDIRECT),
                "redirect_uri": REDIRECT,
            }
            if kind == CODE
            else {"refresh_token": sandbox.issue(company).refresh_token}
        )
        return {
            "client_id": client_id,
            "client_secret": sandbox.settings.client_secret,
            "grant_type": kind,
            **particular,
        }

    return granted


@pytest.fixture(name="ask")
def _ask(sandbox, http):
    """Post to the token endpoint: status and document."""

    async def ask(params, *, content_type=JSON, headers=None, query="", method="POST"):
        body = params if isinstance(params, bytes) else json.dumps(params).encode()
        url = at(sandbox, SEED["token"]["url"]) + query
        given = {"Content-Type": content_type, **(headers or {})}
        async with http.request(method, url, data=body, headers=given) as answer:
            text = await answer.text()
            plain = answer.content_type != "application/json"
            return answer.status, text if plain else json.loads(text)

    return ask


# ---- the token endpoint


@pytest.mark.parametrize("kind", KINDS)
async def test_documented_request(sandbox, granted, ask, kind):
    """Exactly the documented parameters are taken; the answer is the document's."""
    params = granted(kind)
    assert sorted(params) == SEED["token"]["parameters"][kind]
    status, answer = await ask(params)
    shown = json.loads(SEED["token"]["response"])
    assert status == 200
    assert list(answer) == list(shown)
    assert answer["token_type"] == shown["token_type"]
    assert answer["expires_in"] == shown["expires_in"]
    assert answer["refresh_token"] != params.get(REFRESH)
    (seen,) = sandbox.ledger.token_requests
    assert (seen.status, seen.grant_type, seen.company) == (200, kind, "acme")


@pytest.mark.parametrize("content_type", [JSON, JSON.lower(), f"{JSON}; charset=utf-8"])
async def test_body_type_in_any_letter_case(granted, ask, content_type):
    """The document writes Application/json; a media type has no letter case."""
    assert (await ask(granted(REFRESH), content_type=content_type))[0] == 200


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in SEED["token"]["parameters"][kind]],
)
async def test_missing_parameter(sandbox, granted, ask, kind, name):
    """Every "Required POST parameter" is required, and its lack spends nothing."""
    params = granted(kind)
    lacking = {key: value for key, value in params.items() if key != name}
    assert (await ask(lacking))[0] == 400
    assert sandbox.ledger.refreshes == sandbox.ledger.exchanges == 0
    assert (await ask(params))[0] == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "extra",
    [
        {"scope": "all"},
        {"state": "s-1"},
        {"code_verifier": "v"},
        {"anything": ""},
        {"client_id": 1},
        {"grant_type": "password"},
        {"client_secret": None},
    ],
    ids=lambda extra: next(iter(extra)),
)
async def test_extra_or_wrong_parameter(sandbox, granted, ask, kind, extra):
    """What the tables do not list is refused, and spends nothing."""
    params = granted(kind)
    assert (await ask({**params, **extra}))[0] == 400
    assert sandbox.ledger.refreshes == sandbox.ledger.exchanges == 0
    assert (await ask(params))[0] == 200


async def test_parameters_of_the_other_kind(granted, ask):
    """A refresh has no redirect_uri, an exchange no refresh_token."""
    mixed = granted(CODE) | granted(REFRESH)
    assert (await ask(mixed))[0] == 400
    assert (await ask({**mixed, "grant_type": CODE}))[0] == 400


SPOILT = {
    "authorization-basic": {"headers": {"Authorization": "Basic eDp5"}},
    "authorization-bearer": {"headers": {"Authorization": "Bearer x"}},
    "form": {"content_type": "application/x-www-form-urlencoded"},
    "text": {"content_type": "text/json"},
    "query": {"query": "?a=b"},
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
async def test_spoilt_request(sandbox, granted, ask, spoilt):
    """Another body type, or credentials anywhere else: refused, nothing spent."""
    params = granted(REFRESH)
    status, answer = await ask(params, **spoilt)
    assert (status, answer["error"]) == (400, "invalid_request")
    assert sandbox.ledger.refreshes == 0
    assert (await ask(params))[0] == 200
    assert sandbox.ledger.reuse == sandbox.ledger.last_resort == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post(sandbox, granted, ask, method):
    """The document knows "POST parameters": no other method is answered."""
    assert (await ask(granted(REFRESH), method=method))[0] == 405
    assert sandbox.ledger.refreshes == 0


async def test_form_body(sandbox, granted, http):
    """RFC 6749's own encoding is not Billit's."""
    url = at(sandbox, SEED["token"]["url"])
    async with http.post(url, data=granted(REFRESH)) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe\x00",
        b'{"grant_type":"refresh_token","grant_type":"refresh_token"}',
        b'{"client_id":"\\ud800"}',
        b"[" * 100_000,
    ],
    ids=[
        "empty",
        "half",
        "list",
        "text",
        "null",
        "no-utf-8",
        "twice",
        "half-a-character",
        "deep",
    ],
)
async def test_no_parameters(ask, body):
    """What is not a JSON object with the parameters is refused, whatever it is."""
    status, answer = await ask(body)
    assert (status, answer["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", ["client_id", "client_secret"])
@pytest.mark.parametrize("value", ["nobody's", "\ud800", ""])
async def test_wrong_client(sandbox, granted, ask, kind, wrong, value):
    """An unknown client or a wrong secret is 401, and costs the grant nothing."""
    params = granted(kind)
    status, answer = await ask({**params, wrong: value})
    assert (status, answer["error"]) == (401, "invalid_client")
    assert (await ask(params))[0] == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_another_client(sandbox, granted, ask, kind):
    """To refresh "using another client will fail", and costs the grant nothing."""
    sandbox.settings.other_clients = {"second": "its secret"}
    params = granted(kind)
    theirs = {**params, "client_id": "second", "client_secret": "its secret"}
    status, answer = await ask(theirs)
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert (await ask(params))[0] == 200


async def test_another_redirect_uri(granted, ask):
    """A code is bound to the redirect URI that it was sent to."""
    params = granted(CODE)
    status, answer = await ask({**params, "redirect_uri": f"{REDIRECT}/"})
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert (await ask(params))[0] == 200


# ---- the API


async def orders(sandbox, http, token):
    """The documented API request: status and document."""
    request = SEED["api"]["request"].format(ACCESS_TOKEN=token)
    line, *headers = request.strip().split("\n")
    method, url, _ = line.split()
    given = dict(each.split(": ", 1) for each in headers)
    async with http.request(method, at(sandbox, url), headers=given) as answer:
        return answer.status, await answer.json()


async def test_documented_api_request(sandbox, granted, ask, http):
    """The token of the answer opens the API, as the document writes it."""
    _, pair = await ask(granted(CODE))
    status, answer = await orders(sandbox, http, pair["access_token"])
    assert (status, len(answer["Items"])) == (200, 3)


ERRORS = {
    "AccessTokenExpired": lambda script: script.expire_now("acme"),
    "InvalidAccessToken": lambda script: script.invalidate_now("acme"),
    "AccessTokenRevoked": lambda script: script.revoke("acme"),
}


@pytest.mark.parametrize("code", SEED["errors"])
async def test_error_states(sandbox, http, code):
    """The three documented errors, each for its own reason."""
    token = sandbox.issue("acme").access_token
    ERRORS[code](sandbox.script)
    status, answer = await orders(sandbox, http, token)
    (error,) = answer["errors"]
    (shown,) = json.loads(SEED["errors"][code])["errors"]
    assert status == 401
    # 400.md adds a description; everything that the seed shows is there.
    assert {name: error[name] for name in shown} == shown
    assert set(error) - set(shown) == {"Description"}
    assert list(answer) == ["errors"]


@pytest.mark.parametrize(
    "header", [None, "Bearer nobody's", "Basic eDp5", "Bearer"], ids=str
)
async def test_token_of_nobody(sandbox, http, header):
    """What is no token of the sandbox's is an InvalidAccessToken."""
    headers = {} if header is None else {"Authorization": header}
    async with http.get(f"{sandbox.url}/v1/orders", headers=headers) as answer:
        assert answer.status == 401
        document = await answer.json()
    assert [each["Code"] for each in document["errors"]] == ["InvalidAccessToken"]
