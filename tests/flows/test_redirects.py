"""The token and the identity headers go to the API's origin, on whatever way."""

from __future__ import annotations

import aiohttp
import pytest
import pytest_asyncio
from attrs import define, field
from yarl import URL

from everbearer.sandbox import Sandbox, faults

pytestmark = pytest.mark.asyncio

STATUSES = [301, 302, 303, 307, 308]
IDENTITY = {"PartyID": "4711", "X-On-Behalf-Of": "somebody"}
PRIVATE = {"Authorization", "ContextPartyID", *IDENTITY}


def leading(base, to, status):
    """A URL that redirects."""
    return str(URL(f"{base}/redirect").with_query(to=str(to), status=status))


@pytest_asyncio.fixture(name="acme", params=["session", "client_session", "middleware"])
async def _acme(request, client, connect, sandbox):
    """A connected account, by each of the three ways to send; with identity headers."""
    await connect()
    account = client.session("billit", "acme").with_headers(IDENTITY)
    if request.param == "session":
        yield account
        return
    session = (
        account.client_session()
        if request.param == "client_session"
        else aiohttp.ClientSession(sandbox.url, middlewares=(account.middleware,))
    )
    async with session:
        yield session


@define
class Spy:
    """A caller's own middleware: sees what is about to be sent, hop by hop."""

    hops: list = field(factory=list)
    stop_at: str = ""

    async def __call__(self, req, handler):
        self.hops.append((str(req.url), PRIVATE & set(req.headers)))
        if str(req.url) == self.stop_at:
            raise aiohttp.ClientError("far enough")
        return await handler(req)


# ---- away from the API


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", STATUSES)
async def test_sent_to_another_origin(acme, sandbox, method, status):
    """The API redirects elsewhere: nothing of the account's arrives there."""
    away = leading("/v1", f"{sandbox.other_origin}/x", status)
    headers = {"ContextPartyID": "12"}
    async with acme.request(method, away, headers=headers) as response:
        assert response.status == 200
    (seen,) = sandbox.ledger.other_origin
    assert not PRIVATE & set(seen.headers)
    (call,) = sandbox.ledger.api_calls
    assert (call.status, call.party_id) == (status, "4711")
    assert call.headers["ContextPartyID"] == "12"
    assert call.headers["X-On-Behalf-Of"] == "somebody"


@pytest.mark.parametrize("status", STATUSES)
async def test_there_and_back_and_there_again(acme, sandbox, status):
    """Every hop is judged by where it goes: at the API the token is back."""
    last = f"{sandbox.other_origin}/last"
    back = leading(f"{sandbox.url}/v1", last, status)
    there = leading(sandbox.other_origin, back, status)
    async with acme.get(leading("/v1", there, status)) as response:
        assert response.status == 200
        assert str(response.url) == last
    calls = sandbox.ledger.api_calls
    assert [(each.company, each.party_id) for each in calls] == [("acme", "4711")] * 2
    assert [each.path for each in sandbox.ledger.other_origin] == ["/redirect", "/last"]
    for seen in sandbox.ledger.other_origin:
        assert not PRIVATE & set(seen.headers)


async def test_back_at_the_api(acme, sandbox):
    """From elsewhere back to the API the call is the account's again."""
    away = leading(sandbox.other_origin, f"{sandbox.url}/v1/whoami", 302)
    async with acme.get(leading("/v1", away, 302)) as response:
        assert (await response.json())["company"] == "acme"
    assert sandbox.ledger.statuses == {302: 1, 200: 1}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_absolute_foreign_url(client, connect, sandbox, method):
    """A foreign URL in the call itself is sent plain, and costs no refresh."""
    await connect(expired=True)
    acme = client.session("billit", "acme").with_headers(IDENTITY)
    url = f"{sandbox.other_origin}/x"
    async with acme.request(method, url, headers={"ContextPartyID": "1"}) as response:
        assert response.status == 200
    (seen,) = sandbox.ledger.other_origin
    assert not PRIVATE & set(seen.headers)
    assert not sandbox.ledger.token_requests


async def test_foreign_url_that_leads_to_the_api(acme, sandbox):
    """It is the origin that counts, not where the call began."""
    url = leading(sandbox.other_origin, f"{sandbox.url}/v1/whoami", 302)
    if isinstance(acme, aiohttp.ClientSession):
        url = URL(url)
    async with acme.get(url) as response:
        assert (await response.json())["company"] == "acme"
    assert not PRIVATE & set(sandbox.ledger.other_origin[0].headers)


async def test_another_name_for_the_host(acme, sandbox):
    """Not the address but the name counts: under another the API is told nothing."""
    port = URL(sandbox.url).port
    alias = f"http://localhost:{port}/v1/whoami"
    async with acme.get(leading("/v1", alias, 302)) as response:
        assert response.status == 401
    assert not PRIVATE & set(sandbox.ledger.api_calls[-1].headers)
    assert not sandbox.ledger.token_requests


async def test_rejection_by_a_stranger(acme, sandbox):
    """Another server's error about a token is not about ours."""
    async with Sandbox() as stranger:
        away = leading("/v1", f"{stranger.url}/v1/whoami", 307)
        async with acme.get(away) as response:
            assert response.status == 401
            assert "InvalidAccessToken" in await response.text()
        assert stranger.ledger.refused == 1
    assert not sandbox.ledger.token_requests


def origins(sandbox):
    """URLs that look like the API's and are not."""
    api = URL(sandbox.url)
    host, port = api.host, api.port
    return {
        "other-scheme": api.with_scheme("https").with_port(port) / "v1/whoami",
        "default-port": URL(f"http://{host}/v1/whoami"),
        "one-port-up": URL(f"http://{host}:{port % 65_535 + 1}/v1/whoami"),
        "host-as-prefix": URL(f"http://{host}.example:{port}/v1/whoami"),
        "host-as-user": URL(f"http://{host}:{port}@elsewhere.example/v1/whoami"),
        "host-in-path": URL(f"http://elsewhere.example/{host}:{port}/v1/whoami"),
        "trailing-dot": URL(f"http://localhost.:{port}/v1/whoami"),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "other-scheme",
        "default-port",
        "one-port-up",
        "host-as-prefix",
        "host-as-user",
        "host-in-path",
        "trailing-dot",
    ],
)
async def test_almost_the_api(client, connect, sandbox, kind):
    """Scheme, host and port, all three; nothing leaves before that is known."""
    await connect()
    acme = client.session("billit", "acme").with_headers(IDENTITY)
    target = origins(sandbox)[kind]
    # aiohttp turns user:password@ into an Authorization of its own before it asks.
    seen_as = str(target.with_user(None))
    spy = Spy(stop_at=seen_as)
    with pytest.raises(aiohttp.ClientError, match="far enough"):
        await acme.get(leading("/v1", target, 302), middlewares=(spy,))
    (_, first), (url, second) = spy.hops
    assert first == {"Authorization", *IDENTITY}
    assert url == seen_as
    assert second <= ({"Authorization"} if kind == "host-as-user" else set())


async def test_password_in_a_redirect(client, connect, sandbox):
    """The API's redirect to itself with user:password@ gets the token all the same."""
    await connect()
    target = URL(sandbox.url).with_user("mallory").with_password("pw") / "v1/whoami"
    acme = client.session("billit", "acme")
    async with acme.get(leading("/v1", target, 302)) as response:
        assert (await response.json())["company"] == "acme"


# ---- within the API


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", STATUSES)
async def test_within_the_api(acme, sandbox, method, status):
    """A redirect within the API keeps token and identity headers."""
    async with acme.request(method, leading("/v1", "/v1/echo", status)) as response:
        assert (await response.json())["company"] == "acme"
    calls = sandbox.ledger.api_calls
    assert [(each.status, each.party_id) for each in calls] == [
        (status, "4711"),
        (200, "4711"),
    ]


@pytest.mark.parametrize("status", [307, 308])
async def test_body_on_its_way(acme, sandbox, status):
    """What keeps the method keeps the body."""
    away = leading("/v1", "/v1/echo", status)
    async with acme.post(away, data=b"body") as response:
        answer = await response.json()
    assert (answer["method"], answer["length"]) == ("POST", 4)


async def test_rejected_on_the_second_hop(acme, sandbox):
    """Only the hop that was refused is sent again."""
    sandbox.script.add(faults.refuse(path="/v1/whoami"))
    async with acme.get(leading("/v1", "/v1/whoami", 302)) as response:
        assert response.status == 200
    paths = [each.path for each in sandbox.ledger.api_calls]
    assert paths == ["/v1/redirect", "/v1/whoami", "/v1/whoami"]
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


async def test_not_followed(acme, sandbox):
    """A redirect that the caller does not follow is the caller's answer."""
    away = leading("/v1", f"{sandbox.other_origin}/x", 302)
    async with acme.get(away, allow_redirects=False) as response:
        assert response.status == 302
    async with acme.head(leading("/v1", "/v1/whoami", 302)) as response:
        assert response.status == 302
    assert not sandbox.ledger.other_origin
