"""A Client that sends through somebody else's aiohttp session."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from everbearer import Client, Registration, Token
from everbearer.providers import standard_provider
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio


def make_certificate(folder):
    """A key and a certificate for 127.0.0.1 that only this test trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "loopback.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_its_tls_settings_serve_token_calls_too(tmp_path) -> None:
    """A token endpoint whose certificate only the caller's SSLContext trusts."""
    path = make_certificate(tmp_path)
    at_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    at_server.load_cert_chain(path)
    trusting = ssl.create_default_context(cafile=str(path))

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(
            {"access_token": "new-access", "token_type": "Bearer", "expires_in": 3600}
        )

    application = web.Application()
    application.router.add_post("/token", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=at_server).start()
    base = f"https://127.0.0.1:{runner.addresses[0][1]}"
    provider = standard_provider(
        "local",
        authorize_url=f"{base}/authorize",
        token_url=f"{base}/token",
        api_base=base,
    )
    connector = aiohttp.TCPConnector(ssl=trusting, family=socket.AF_INET)
    async with (
        aiohttp.ClientSession(connector=connector) as given,
        Client(
            Registration(provider, "an-id", "a-secret"),
            store=MemoryStore(),
            session=given,
        ) as client,
    ):
        await client.adopt("local", "acme", Token(None, "a-refresh-token"))
        token = await client.session("local", "acme").access_token()
        assert token == "new-access"
        assert not given.closed
    await runner.cleanup()


async def test_it_stays_open_and_its_pool_is_its_own(
    sandbox, registration, connect
) -> None:
    """Closing the Client closes neither the session nor its connector."""
    async with aiohttp.ClientSession() as given:
        async with Client(registration, store=MemoryStore(), session=given) as client:
            await connect(to=client, expired=True)
            async with client.session("billit", "acme").get("/v1/whoami") as response:
                assert response.status == 200
        assert not given.closed
        assert not given.connector.closed
        async with given.get(f"{sandbox.other_origin}/") as response:
            assert response.status == 200


async def test_its_own_middlewares_run_inside_ours(
    sandbox, registration, connect
) -> None:
    """They see the token that is sent, and are no part of a token call."""
    seen = []

    async def watching(request, handler):
        seen.append((request.url.path, "Authorization" in request.headers))
        return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=(watching,)) as given,
        Client(registration, store=MemoryStore(), session=given) as client,
    ):
        await connect(to=client, expired=True)
        async with client.session("billit", "acme").get("/v1/whoami") as response:
            assert response.status == 200
    assert seen == [("/v1/whoami", True)]
