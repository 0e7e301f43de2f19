"""Mix-up: a code that another authorization server sent is never spent (RFC 9207)."""

from __future__ import annotations

import pytest
import pytest_asyncio
from aiohttp import web

from everbearer import CallbackError, Client, ConfigurationError, Registration
from everbearer.providers import BILLIT, standard_provider
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

ISSUER = "https://login.example/tenant"
CALLBACK = "https://app.example/callback"


class Server:
    """A token endpoint that notes the codes it was brought, and takes all of them."""

    def __init__(self):
        self.codes, self.url = [], ""

    async def token(self, request):
        self.codes.append((await request.post())["code"])
        return web.json_response({"access_token": "access-1", "expires_in": 60})


@pytest_asyncio.fixture(name="server")
async def _server():
    server = Server()
    app = web.Application()
    app.router.add_post("/token", server.token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def register(server, name="shop", login="login", **options):
    provider = standard_provider(
        name,
        authorize_url=f"https://{login}.example/authorize",
        token_url=f"{server.url}/token",
        api_base=server.url,
        **options,
    )
    return Registration(provider, "my-client", "a-secret", CALLBACK)


DECLARED = {"issuer": ISSUER}
PROMISED = {"issuer": ISSUER, "returns_issuer": True}


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with-another"])
@pytest.mark.parametrize(
    ("options", "said", "accepted"),
    [
        pytest.param(PROMISED, ISSUER, "yes", id="promised-right"),
        pytest.param(PROMISED, None, "no", id="promised-missing"),
        pytest.param(PROMISED, "", "no", id="promised-empty"),
        pytest.param(PROMISED, "https://other.example", "no", id="another-server"),
        # Simple string comparison (RFC 3986 section 6.2.1): no normalization.
        pytest.param(PROMISED, ISSUER + "/", "no", id="slash"),
        pytest.param(PROMISED, ISSUER.upper(), "no", id="letter-case"),
        pytest.param(
            PROMISED, "https://login.example:443/tenant", "no", id="default-port"
        ),
        pytest.param(DECLARED, ISSUER, "yes", id="known-right"),
        pytest.param(DECLARED, None, "yes", id="known-missing"),
        pytest.param(DECLARED, "https://other.example", "no", id="known-another"),
        pytest.param({}, None, "yes", id="unknown-missing"),
        pytest.param({}, ISSUER, "alone", id="unknown-there"),
    ],
)
async def test_who_sent_it(server, others, options, said, accepted):
    """Exactly the declared issuer, and with several providers nobody's guess."""
    more = [register(server, f"other-{n}", f"other-{n}") for n in range(others)]
    registrations = [register(server, **options), *more]
    async with Client(*registrations, store=MemoryStore()) as client:
        request = await client.authorization.start("shop", "acme")
        callback = {"code": "a-code", "state": request.state}
        if said is not None:
            callback["iss"] = said
        if accepted == "yes" or (accepted == "alone" and not others):
            status = await client.authorization.finish(callback)
            assert status.standing == "connected"
            return
        with pytest.raises(CallbackError) as caught:
            await client.authorization.finish(callback)
        assert caught.value.code == "issuer"
        assert server.codes == []
        with pytest.raises(CallbackError, match="reused"):
            await client.authorization.finish(callback | {"iss": ISSUER})


async def test_an_error_of_another_server_is_not_passed_on(server):
    """Section 2.4: error responses are checked too, and its words are not shown."""
    async with Client(register(server, **PROMISED), store=MemoryStore()) as client:
        request = await client.authorization.start("shop", "acme")
        callback = {
            "error": "access_denied",
            "error_description": "call this number",
            "state": request.state,
            "iss": "https://other.example",
        }
        with pytest.raises(CallbackError) as caught:
            await client.authorization.finish(callback)
    assert caught.value.code == "issuer"
    assert "number" not in str(caught.value)


async def test_two_registrations_at_one_server(server):
    """They are no two providers: there is nobody else whom the callback is from."""
    here = [register(server, name) for name in ("shop", "second")]
    async with Client(*here, store=MemoryStore()) as client:
        request = await client.authorization.start("shop", "acme")
        await client.authorization.finish(
            {"code": "a-code", "state": request.state, "iss": ISSUER}
        )
    assert server.codes == ["a-code"]


async def test_said_twice(server):
    """RFC 6749 section 3.1: refused before anything is used up."""
    async with Client(register(server, **PROMISED), store=MemoryStore()) as client:
        request = await client.authorization.start("shop", "acme")
        twice = f"{CALLBACK}?code=c&state={request.state}&iss={ISSUER}&iss={ISSUER}"
        with pytest.raises(CallbackError) as caught:
            await client.authorization.finish(twice)
        assert caught.value.code == "malformed"
        once = {"code": "c", "state": request.state, "iss": ISSUER}
        await client.authorization.finish(once)


async def test_a_promise_needs_a_name(server):
    """A check against nothing would let everything pass."""
    with pytest.raises(ConfigurationError, match="returns_issuer"):
        register(server, returns_issuer=True)


@pytest.mark.parametrize(
    ("moved", "issuer"),
    [
        pytest.param({"api": "https://proxy.example"}, ISSUER, id="api"),
        pytest.param({"token": "https://proxy.example"}, ISSUER, id="token"),
        pytest.param({"login": "https://test.example"}, None, id="login"),
        pytest.param(
            {"login": "https://test.example", "issuer": "https://test.example"},
            "https://test.example",
            id="login-and-issuer",
        ),
    ],
)
async def test_another_login_is_another_issuer(server, moved, issuer):
    """What a sandbox calls itself is not what production calls itself."""
    provider = register(server, **PROMISED).provider
    assert provider.with_hosts(**moved).base.issuer == issuer
    assert BILLIT.with_hosts(**moved).base.issuer == moved.get("issuer")
