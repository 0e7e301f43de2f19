"""What a description makes of a call: the client, what is revoked, other paths."""

from __future__ import annotations

import base64

import pytest
from attrs import evolve

from everbearer import ConfigurationError, Registration, Token
from everbearer.providers import BILLIT, CAMINVOICE, TokenCall, standard_provider
from everbearer.token_endpoint import (
    CodeGrant,
    Granted,
    NotSent,
    RedirectUris,
    RefreshGrant,
    Revocation,
    Unrecognised,
    token_request,
)

STANDARD = standard_provider(
    "standard",
    authorize_url="https://login.example/authorize",
    token_url="https://login.example/token",
    api_base="https://api.example",
)


def sent(provider, secret, grant=None):
    """The request of a refresh, or of *grant*."""
    registration = Registration(provider, "i/d", "unused")
    return token_request(registration, grant or RefreshGrant("rt-1"), secret)


def basic(request):
    scheme, _, pair = request.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(pair).decode()


@pytest.mark.parametrize(
    ("plain", "pair"),
    [
        pytest.param(False, "i%2Fd:s%2B%C3%BC", id="rfc-6749"),
        pytest.param(True, "i/d:s+ü", id="plain"),
    ],
)
def test_basic(plain, pair):
    """RFC 6749 wants form-urlencoding first; servers that do not can be described."""
    call = evolve(STANDARD.refresh, plain_basic=plain)
    assert basic(sent(evolve(STANDARD, refresh=call), "s+ü")) == pair


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_without_a_secret(method):
    """RFC 6749 section 3.2.1: a client without credentials sends its id."""
    call = evolve(STANDARD.refresh, client_authentication=method)
    request = sent(evolve(STANDARD, refresh=call), None)
    assert "Authorization" not in request.headers
    assert b"client_id=i%2Fd" in request.body
    assert b"client_secret" not in request.body


def test_a_registration_may_do_without_where_that_is_said():
    """Elsewhere it is a mistake, and said so at once."""
    assert Registration(evolve(STANDARD, secret_optional=True), "id").secret() is None
    with pytest.raises(ConfigurationError, match="client_secret"):
        Registration(STANDARD, "id")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        pytest.param("json", b'{"uris": ["https://a.example/", "https://b.example/"]}'),
        pytest.param(
            "form", b"uris=https%3A%2F%2Fa.example%2F&uris=https%3A%2F%2Fb.example%2F"
        ),
    ],
    ids=["json", "form"],
)
def test_lists(encoding, body):
    """A list is a JSON array, or in a form one parameter several times."""
    provider = evolve(STANDARD, redirects=TokenCall("/redirects", "uris", encoding))
    uris = RedirectUris(("https://a.example/", "https://b.example/"))
    request = sent(provider, "s", uris)
    assert request.body == body
    assert request.url == "https://login.example/redirects"


def test_no_call_that_registers_redirects():
    """It is the developer's to know."""
    with pytest.raises(ConfigurationError, match="redirect URIs"):
        sent(BILLIT, "s", RedirectUris(("https://a.example/",)))


@pytest.mark.parametrize(
    ("revokes", "value"),
    [
        pytest.param(("refresh_token",), "rt-1", id="refresh-token"),
        pytest.param(("access_token",), "at-1", id="access-token"),
        pytest.param(("info", "id"), "KH1", id="kept-member"),
        pytest.param(("info", "other"), None, id="not-there"),
        pytest.param(("info",), None, id="no-text"),
        pytest.param(("info", "id", "x"), None, id="too-deep"),
    ],
)
def test_what_is_revoked(revokes, value):
    """A token, or what else the provider takes for the grant; or nothing is known."""
    token = Token("at-1", "rt-1", extra={"info": {"id": "KH1"}, "refresh_token": "x"})
    wanted = None if value is None else Revocation(value)
    assert Revocation.of(evolve(STANDARD, revokes=revokes), token) == wanted


def test_encoding_of_all_calls():
    """`with_encoding` changes every token call and nothing else."""
    form = CAMINVOICE.with_encoding("form")
    calls = (form.exchange, form.refresh, form.revoke)
    assert {each.encoding for each in calls} == {"form"}
    assert BILLIT.with_encoding("form").revoke is None
    assert form.with_encoding("json") == CAMINVOICE


# ---- other paths


def answer(status, body="{}"):
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\n\r\n{body}".encode()


GOOD = answer(200, '{"access_token":"at-2"}')


@pytest.fixture(name="asked")
def _asked(server):
    """The paths that were asked; the server answers by path, 404 where it has none."""
    paths = []
    by_path = {}

    async def handler(reader, writer):
        head = await server.request(reader)
        paths.append(head.split(b" ")[1].decode())
        writer.write(by_path.get(paths[-1], answer(404)))
        await writer.drain()

    server.handler = handler
    return paths, by_path


@pytest.fixture(name="several")
def _several(registration):
    """A registration whose refresh has three paths."""
    provider = registration.provider
    refresh = evolve(provider.refresh, path="/1", other_paths=("/2", "/3"))
    return Registration(evolve(provider, refresh=refresh), "id", "secret")


async def refresh(endpoint, registration, **options):
    return await endpoint.ask(
        registration, RefreshGrant("rt-1"), total=5.0, connect=5.0, **options
    )


@pytest.mark.asyncio
async def test_paths_in_order(endpoint, several, asked):
    """The next is asked where the one before does not exist; what works is kept."""
    paths, by_path = asked
    by_path["/3"] = GOOD
    assert isinstance(await refresh(endpoint, several), Granted)
    assert paths == ["/1", "/2", "/3"]
    assert isinstance(await refresh(endpoint, several), Granted)
    assert paths == ["/1", "/2", "/3", "/3"]


@pytest.mark.asyncio
async def test_a_path_that_worked_may_go_away(endpoint, several, asked):
    """Then the others are asked again."""
    paths, by_path = asked
    by_path["/2"] = GOOD
    await refresh(endpoint, several)
    by_path.clear()
    by_path["/1"] = GOOD
    assert isinstance(await refresh(endpoint, several), Granted)
    assert paths == ["/1", "/2", "/2", "/1"]


@pytest.mark.asyncio
async def test_another_call_has_paths_of_its_own(endpoint, several, asked):
    """What worked for a refresh says nothing of an exchange at the same path."""
    paths, by_path = asked
    by_path["/2"] = GOOD
    provider = several.provider
    exchange = evolve(provider.exchange, path="/1")
    both = Registration(evolve(provider, exchange=exchange), "id", "secret")
    await refresh(endpoint, both)
    await endpoint.ask(both, CodeGrant("code"), total=5.0, connect=5.0)
    assert paths == ["/1", "/2", "/1"]


@pytest.mark.asyncio
async def test_no_path_at_all(endpoint, several, asked):
    """All of them are missing: unrecognised, which ends no grant."""
    outcome = await refresh(endpoint, several)
    assert isinstance(outcome, Unrecognised)
    assert outcome.status == 404
    assert asked[0] == ["/1", "/2", "/3"]


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [200, 400, 401, 403, 410, 429, 500, 503])
async def test_only_what_does_not_exist_leads_on(status, endpoint, several, asked):
    """Any other answer may mean that the grant was spent there."""
    paths, by_path = asked
    by_path["/1"] = answer(status)
    await refresh(endpoint, several)
    assert paths == ["/1"]


@pytest.mark.asyncio
async def test_a_404_that_is_understood_leads_nowhere(endpoint, several, asked):
    """A path that refuses the grant by name exists, whatever status it says."""
    paths, by_path = asked
    by_path["/1"] = answer(404, '{"error":"invalid_grant"}')
    await refresh(endpoint, several)
    assert paths == ["/1"]


@pytest.mark.asyncio
async def test_leave_is_asked_before_every_path(endpoint, several, asked):
    """The lease must hold for the second request as for the first."""
    leave = []

    async def before_sending():
        leave.append(len(asked[0]))

    asked[1]["/2"] = GOOD
    await refresh(endpoint, several, before_sending=before_sending)
    assert leave == [0, 1]


@pytest.mark.asyncio
async def test_nobody_there(endpoint, several, server, asked):
    """Without a connection no other path is tried, and nothing was sent."""
    gone = several.provider.with_hosts(token="http://127.0.0.1:9")
    outcome = await refresh(endpoint, Registration(gone, "id", "secret"))
    assert isinstance(outcome, NotSent)
    assert server.connections == 0
    assert asked[0] == []
