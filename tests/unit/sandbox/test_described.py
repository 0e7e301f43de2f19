"""A twin made from a description asks for what is described, and for nothing else."""

from __future__ import annotations

from base64 import b64encode

import aiohttp
import pytest
from attrs import evolve
from yarl import URL

from everbearer.providers import (
    EXACT_ONLINE,
    FORTNOX,
    HUMANSOFT,
    QUICKBOOKS,
    XERO,
    ZOHO_BOOKS,
)
from everbearer.sandbox import LoginRefused, Sandbox

pytestmark = pytest.mark.asyncio

CALLBACK = "https://app.example/callback"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636 appendix B


async def refresh(sandbox, provider, token, **other):
    """Ask for tokens as *provider* says; the status and the body."""
    settings, headers = sandbox.settings, {}
    data = {**provider.refresh.fixed, provider.refresh.grant_name: token, **other}
    if provider.refresh.client_authentication == "client_secret_basic":
        pair = f"{settings.client_id}:{settings.client_secret}".encode()
        headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
    else:
        data["client_id"] = settings.client_id
        data["client_secret"] = settings.client_secret
    url = sandbox.token_url + provider.refresh.path
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, data=data) as response,
    ):
        return response.status, await response.json()


async def call(sandbox, token, scheme="Bearer"):
    """Call the API; the status and the challenge."""
    headers = {"Authorization": f"{scheme} {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{sandbox.api_url}/v1/whoami") as response,
    ):
        return response.status, response.headers.get("WWW-Authenticate")


LINK = {
    "client_id": "sandbox-client",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "access_type": "offline",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "state": "s",
}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"access_type": None}, "access_type"),
        ({"access_type": "online"}, "access_type"),
        ({"response_type": "token"}, "response_type"),
        ({"code_challenge": None}, "code_challenge"),
        ({"code_challenge_method": "plain"}, "code_challenge_method"),
        ({"prompt": "login"}, "prompt"),
    ],
    ids=["no-fixed", "other-fixed", "response-type", "no-pkce", "method", "unknown"],
)
async def test_a_link_that_is_not_as_described(clock, change, why):
    """It is refused, and the page names the parameter."""
    query = {**LINK, **change}
    query = {name: value for name, value in query.items() if value is not None}
    async with Sandbox(FORTNOX, clock=clock) as sandbox:
        url = f"{sandbox.login_url}{FORTNOX.authorize.path}"
        with pytest.raises(LoginRefused, match=why):
            await sandbox.approve(str(URL(url).with_query(query)))
        link = str(URL(url).with_query(LINK))
        assert (await sandbox.approve(link, "acme")).startswith(CALLBACK)


async def test_the_company_in_the_callback(clock):
    """What is kept of a callback comes back, and every company has its own."""
    query = {**LINK, "scope": QUICKBOOKS.scopes[0]}
    del query["access_type"]
    async with Sandbox(QUICKBOOKS, clock=clock) as sandbox:
        url = URL(sandbox.login_url + QUICKBOOKS.authorize.path)
        back = [
            URL(await sandbox.approve(str(url.with_query(query)), company)).query
            for company in ("acme", "other")
        ]
    assert [each["state"] for each in back] == ["s", "s"]
    assert back[0]["realmId"] != back[1]["realmId"]


IN_THE_BODY = evolve(
    FORTNOX,
    refresh=evolve(FORTNOX.refresh, client_authentication="client_secret_post"),
)


@pytest.mark.parametrize(
    ("asked", "other"),
    [
        (FORTNOX, {"scope": "more"}),
        (FORTNOX, {"grant_type": "password"}),
        (FORTNOX, {"client_secret": "sandbox-secret"}),
        (IN_THE_BODY, {}),
    ],
    ids=["unknown", "other-fixed", "both-places", "other-place"],
)
async def test_a_refresh_that_is_not_as_described(clock, asked, other):
    """It is refused, and spends nothing."""
    async with Sandbox(FORTNOX, clock=clock) as sandbox:
        pair = sandbox.issue("acme")
        status, body = await refresh(sandbox, asked, pair.refresh_token, **other)
        assert (status, body["error"]) == (400, "invalid_request")
        status, _ = await refresh(sandbox, FORTNOX, pair.refresh_token)
        assert status == 200


@pytest.mark.parametrize(
    ("late", "status"), [(0.0, 200), (1799.0, 200), (1800.0, 400)], ids=str
)
async def test_the_replay_window(clock, late, status):
    """A spent token is answered again for as long as the description says."""
    async with Sandbox(XERO, clock=clock) as sandbox:
        token = sandbox.issue("acme").refresh_token
        first = await refresh(sandbox, XERO, token)
        clock.now += late
        again = await refresh(sandbox, XERO, token)
        assert again[0] == status
        assert again[1] == (first[1] if status == 200 else again[1])


@pytest.mark.parametrize(("age", "status"), [(569.0, 400), (570.0, 200)], ids=str)
async def test_the_minimum_age(clock, age, status):
    """Too early is said in the provider's words, and spends nothing."""
    async with Sandbox(EXACT_ONLINE, clock=clock) as sandbox:
        token = sandbox.issue("acme").refresh_token
        clock.now += age
        answer = await refresh(sandbox, EXACT_ONLINE, token)
        assert answer[0] == status
        if status == 400:
            (rule,) = EXACT_ONLINE.error_rules[0].values
            assert answer[1] == {"error_description": rule}


@pytest.mark.parametrize(("days", "status"), [(44, 200), (45, 400)], ids=str)
async def test_the_idle_lifetime(clock, days, status):
    """A refresh token that is left alone ends when the description says."""
    async with Sandbox(FORTNOX, clock=clock) as sandbox:
        token = sandbox.issue("acme").refresh_token
        clock.now += days * 86400.0
        answer = await refresh(sandbox, FORTNOX, token)
        assert answer[0] == status


async def test_the_setting_wins(clock):
    """A field that is named is not the description's."""
    async with Sandbox(FORTNOX, clock=clock, rotation="never") as sandbox:
        token = sandbox.issue("acme").refresh_token
        for _ in range(2):
            status, body = await refresh(sandbox, FORTNOX, token)
            assert status == 200
            assert "refresh_token" not in body


async def test_the_token_scheme(clock):
    """The API knows a token by the scheme that is described, and by no other."""
    async with Sandbox(ZOHO_BOOKS, clock=clock) as sandbox:
        token = sandbox.issue("acme").access_token
        assert await call(sandbox, token, "Zoho-oauthtoken") == (200, None)
        assert await call(sandbox, token) == (401, None)


async def test_an_expired_token(clock):
    """It is refused by the first signal, at the end that the description says."""
    async with Sandbox(XERO, clock=clock) as sandbox:
        token = sandbox.issue("acme").access_token
        clock.now += 1799.0
        assert (await call(sandbox, token))[0] == 200
        clock.now += 1.0
        assert await call(sandbox, token) == (401, 'Bearer error="invalid_token"')


async def test_a_public_client(clock):
    """Where a secret is optional, the client id and the proof are enough."""
    async with Sandbox(HUMANSOFT, clock=clock) as sandbox:
        body = {
            **HUMANSOFT.refresh.fixed,
            "refresh_token": sandbox.issue("acme").refresh_token,
            "client_id": sandbox.settings.client_id,
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                sandbox.token_url + HUMANSOFT.refresh.path, json=body
            ) as response,
        ):
            assert response.status == 200
