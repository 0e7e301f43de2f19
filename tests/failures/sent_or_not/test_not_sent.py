"""What fails before the request goes out: the refresh token is as good as before."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import ExitStack, suppress

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from everbearer.errors import LeaseLost
from everbearer.token_endpoint import OutcomeKind

pytestmark = pytest.mark.asyncio

SHORT = 0.15


async def silent(judge, reader, writer):
    """Accept, and say nothing until the other side leaves."""
    while chunk := await reader.read(65536):
        judge.seen += chunk


def connector(**settings):
    return aiohttp.TCPConnector(force_close=True, **settings)


# ---- no connection


class Resolver(AbstractResolver):
    """A name service that fails in one way."""

    def __init__(self, error=None):
        self._error = error

    async def resolve(self, host, port=0, family=socket.AF_INET):
        if self._error is None:
            await asyncio.Event().wait()
        raise self._error

    async def close(self):
        pass


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(socket.gaierror(-2, "Name or service not known"), id="no-name"),
        pytest.param(OSError(None, "DNS server returned garbage"), id="garbage"),
        pytest.param(UnicodeError("label too long"), id="an-error-of-its-own"),
        pytest.param(None, id="no-answer"),
    ],
)
async def test_names(error, serving, caller, judged):
    """A name that does not resolve, or not in time: nobody was even called."""
    async with serving(silent) as judge:
        asking = caller(connector(resolver=Resolver(error)))
        outcome = await asking.ask(f"https://token.example:{judge.port}", connect=SHORT)
        judged(outcome, OutcomeKind.NOT_SENT, judge)
        assert not judge.connections


async def test_nobody_listens(serving, caller, judged):
    """Connection refused."""
    async with serving(silent) as judge:
        pass
    judged(await caller().ask(judge.url), OutcomeKind.NOT_SENT, judge)


async def test_a_host_that_does_not_answer(caller):
    """A connect timeout: the SYN meets a backlog that is full."""
    with ExitStack() as opened:
        deaf = opened.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):
            filler = opened.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        outcome = await caller().ask(url, connect=SHORT)
    assert outcome.kind is OutcomeKind.NOT_SENT
    assert "Timeout" in outcome.description


@pytest.mark.parametrize("deadline", ["connect", "total"])
async def test_a_pool_that_is_full(deadline, serving, caller, judged):
    """Others hold all connections for longer than one is waited for."""
    async with (
        serving(silent) as judge,
        aiohttp.ClientSession(connector=connector(limit=1)) as session,
    ):
        other = asyncio.create_task(session.get(judge.url))
        while not judge.seen:
            await asyncio.sleep(0)
        judge.seen.clear()
        outcome = await caller().asked(session, judge.url, **{deadline: SHORT})
        judged(outcome, OutcomeKind.NOT_SENT, judge)
        other.cancel()


class Socks(aiohttp.TCPConnector):
    """A connector that somebody else wrote."""

    async def connect(self, *arguments, **options):
        raise Exception("general SOCKS failure")  # noqa: TRY002 - as python-socks does


async def test_a_connector_with_errors_of_its_own(caller):
    """What no class of aiohttp's says fails like the rest."""
    outcome = await caller(Socks(force_close=True)).ask("http://127.0.0.1:9")
    assert outcome.kind is OutcomeKind.NOT_SENT


# ---- no TLS


async def speaks_plain(judge, reader, writer):
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def hangs_up(judge, reader, writer):
    await reader.read(1)


async def resets(judge, reader, writer):
    await reader.read(1)
    judge.reset(writer)


async def says_nothing(judge, reader, writer):
    await reader.read(65536)
    await asyncio.Event().wait()


@pytest.mark.parametrize("handler", [speaks_plain, hangs_up, resets, says_nothing])
async def test_no_handshake(handler, serving, caller, authority):
    """A ClientHello is answered with anything else than TLS: no request follows."""
    async with serving(handler) as judge:
        asking = caller(connector(ssl=authority.client()))
        outcome = await asking.ask(judge.tls_url, connect=SHORT)
        assert outcome.kind is OutcomeKind.NOT_SENT
        assert not judge.has_the_token


def unknown_authority(authority, tls):
    return ssl.create_default_context()


def wants_a_certificate(authority, tls):
    # In TLS 1.3 the client has done its part before the server misses anything.
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.verify_mode = ssl.CERT_REQUIRED
    return authority.client()


def no_common_version(authority, tls):
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    client = authority.client()
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    return client


def another_fingerprint(authority, tls):
    return aiohttp.Fingerprint(b"\0" * 32)


@pytest.mark.parametrize(
    "settings",
    [unknown_authority, wants_a_certificate, no_common_version, another_fingerprint],
)
async def test_no_trust(settings, serving, caller, authority, judged):
    """One side does not accept the other: it comes to no request."""
    tls = authority.server()
    client = settings(authority, tls)
    async with serving(silent, tls) as judge:
        outcome = await caller(connector(ssl=client)).ask(judge.tls_url)
        judged(outcome, OutcomeKind.NOT_SENT, judge)


async def test_the_wrong_name(serving, caller, authority, judged):
    """A certificate that is trusted, of another host."""
    async with serving(silent, authority.server("other.example")) as judge:
        asking = caller(connector(ssl=authority.client()))
        judged(await asking.ask(judge.tls_url), OutcomeKind.NOT_SENT, judge)


# ---- no way through a proxy


def proxy(answer, then=None):
    """A proxy that answers CONNECT so; what it reads there is no request."""

    async def handler(judge, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"CONNECT token.example:443 ")
        writer.write(answer)
        if then is not None:
            await then(judge, reader, writer)

    return handler


REACHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(proxy(b"HTTP/1.1 403 Forbidden\r\n\r\n"), id="403"),
        pytest.param(proxy(b"HTTP/1.1 407 Proxy Authentication\r\n\r\n"), id="407"),
        pytest.param(proxy(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), id="502"),
        pytest.param(proxy(b"SSH-2.0-OpenSSH\r\n\r\n"), id="no-http"),
        pytest.param(proxy(b""), id="hangs-up"),
        pytest.param(proxy(b"", says_nothing), id="no-answer"),
        pytest.param(proxy(REACHED, speaks_plain), id="no-tls-behind-it"),
        pytest.param(proxy(REACHED, resets), id="reset-behind-it"),
        pytest.param(proxy(REACHED, says_nothing), id="silence-behind-it"),
    ],
)
async def test_connect_fails(handler, serving, caller):
    """A proxy's CONNECT carries no body: whatever fails there was not sent."""
    async with serving(handler) as judge:
        asking = caller(options={"proxy": judge.url})
        outcome = await asking.ask("https://token.example", connect=SHORT)
        assert outcome.kind is OutcomeKind.NOT_SENT
        assert not judge.has_the_token


async def test_no_proxy(serving, caller, judged):
    """The proxy itself is not there."""
    async with serving(silent) as judge:
        pass
    asking = caller(options={"proxy": judge.url})
    outcome = await asking.ask("https://token.example")
    judged(outcome, OutcomeKind.NOT_SENT, judge)


# ---- a connection that ends before the request goes out


async def closes(judge, reader, writer):
    """A FIN at once."""


async def aborts(judge, reader, writer):
    """A RST at once."""
    judge.reset(writer)


async def gives_up_waiting(judge, reader, writer):
    """As servers do with a connection that says nothing for too long."""
    writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("handler", [closes, aborts, gives_up_waiting])
async def test_closed_while_leave_is_asked(handler, serving, caller, judged):
    """The lease is looked at while the connection stands, and that may take a while."""
    async with serving(handler) as judge:

        async def before_sending():
            await judge.gone.wait()
            for _ in range(5):
                await asyncio.sleep(0)

        outcome = await caller().ask(judge.url, before_sending=before_sending)
        judged(outcome, OutcomeKind.NOT_SENT, judge)


class Watched(aiohttp.TCPConnector):
    """Keeps the transport that it made."""

    transport = None

    async def _create_connection(self, *arguments):
        protocol = await super()._create_connection(*arguments)
        self.transport = protocol.transport
        return protocol


async def test_closed_in_the_turn_in_which_leave_is_given(serving, caller, judged):
    """The FIN is known and nobody has acted on it yet: one look tells."""
    watched = Watched(force_close=True)
    asked = asyncio.Event()

    async def closes_then(judge, reader, writer):
        await asked.wait()

    async def before_sending():
        asked.set()
        while not watched.transport.is_closing():
            await asyncio.sleep(0)

    async with serving(closes_then) as judge:
        outcome = await caller(watched).ask(judge.url, before_sending=before_sending)
        judged(outcome, OutcomeKind.NOT_SENT, judge)


async def stops(waiting):
    await waiting.wait()


async def goes_on(waiting):
    # A store's driver may need a while, or swallow it.
    with suppress(asyncio.CancelledError):
        await waiting.wait()


@pytest.mark.parametrize("cancelled", [stops, goes_on])
async def test_leave_that_is_not_given_in_time(cancelled, serving, caller, judged):
    """A store that hangs: the deadline passes, and nothing goes out later either."""
    hanging = asyncio.Event()

    async def before_sending():
        await cancelled(hanging)

    async with serving(silent) as judge:
        outcome = await caller().ask(
            judge.url, total=SHORT, before_sending=before_sending
        )
        hanging.set()
        await asyncio.wait_for(judge.gone.wait(), 5)
        judged(outcome, OutcomeKind.NOT_SENT, judge)


async def test_leave_that_is_refused(serving, caller):
    """The lease is lost: the caller hears that, the server nothing."""

    async def before_sending():
        raise LeaseLost("gone")

    async with serving(silent) as judge:
        with pytest.raises(LeaseLost):
            await caller().ask(judge.url, before_sending=before_sending)
        assert not judge.seen
