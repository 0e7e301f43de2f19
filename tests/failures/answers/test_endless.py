"""Token endpoints that never stop, or hardly begin: bounded time, bounded memory."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import TemporarilyUnavailable, Timing
from everbearer.tokens import AccountKey, Standing

KEY = AccountKey("standard", "acme")
MEGABYTE = 2**20
# What sockets hold of an answer that nobody reads, and then some.
BUFFERED = 24 * MEGABYTE
JSON = "Content-Type: application/json"
GOOD = b'{"access_token":"access-2","refresh_token":"refresh-2","expires_in":3600}'


def raw(*lines):
    """The head of an answer."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _large(server, writer):
    """50 MB, announced."""
    size = 50 * MEGABYTE
    await server.write(writer, raw("HTTP/1.1 200 OK", JSON, f"Content-Length: {size}"))
    for _ in range(50):
        await server.write(writer, bytes(MEGABYTE))


async def _until_closed(server, writer):
    """A body that ends with its connection, which does not."""
    await server.write(writer, raw("HTTP/1.1 200 OK", JSON))
    for _ in range(50):
        await server.write(writer, b" " * MEGABYTE)


async def _endless(server, writer):
    """Chunks, for ever."""
    await server.write(
        writer, raw("HTTP/1.1 200 OK", JSON, "Transfer-Encoding: chunked")
    )
    while True:
        await server.write(writer, b"10000\r\n" + b" " * 65536 + b"\r\n")


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [_large, _until_closed, _endless])
async def test_what_does_not_end(answer, server, store, expired, recovered, peak):
    """After a megabyte nobody listens: the server cannot get rid of the rest."""
    server.token = answer
    peak()
    with pytest.raises(TemporarilyUnavailable):
        await expired.get("/v1/orders")
    await asyncio.wait_for(server.ended.wait(), 30)
    assert peak() < 32 * MEGABYTE
    assert server.written < BUFFERED
    record = await store.load(KEY)
    assert record.token.refresh_token == "refresh-1"
    assert record.live_intent is not None

    server.token = raw("HTTP/1.1 200 OK", JSON) + GOOD
    assert (await recovered(expired)).status == 200
    assert server.token_requests == 2


async def _never(server, writer):
    """Silence."""
    await server.go_on.wait()


async def _drip_body(server, writer):
    """One byte at a time, of a body that would be good."""
    await server.write(
        writer, raw("HTTP/1.1 200 OK", JSON, f"Content-Length: {len(GOOD)}")
    )
    await _drip(server, writer, GOOD)


async def _drip_headers(server, writer):
    """One byte at a time, of headers without an end."""
    await server.write(writer, b"HTTP/1.1 200 OK\r\nX: ")
    await _drip(server, writer, b"x" * 1000)


async def _drip_status(server, writer):
    """Interim answers, again and again (RFC 9110 section 15.2)."""
    for _ in range(1000):
        await server.write(writer, b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.05)


async def _tiny(server, writer):
    """Chunks of one byte each, for ever."""
    await server.write(
        writer, raw("HTTP/1.1 200 OK", JSON, "Transfer-Encoding: chunked")
    )
    while True:
        await server.write(writer, b"1\r\n \r\n" * 10_000)


async def _extended(server, writer):
    """Chunks that are nearly all extension (RFC 9112 section 7.1.1)."""
    await server.write(
        writer, raw("HTTP/1.1 200 OK", JSON, "Transfer-Encoding: chunked")
    )
    while True:
        await server.write(writer, (b"1;" + b"x" * 4000 + b"\r\n \r\n") * 16)


async def _drip(server, writer, text):
    for each in text:
        await server.write(writer, bytes([each]))
        await asyncio.sleep(0.05)


class TestSlow:
    """With deadlines that strike."""

    @pytest.fixture
    def timing(self):
        """Short ones."""
        return Timing(
            lease=0.6, deadline=0.4, linger=0.3, grace=0.2, connect=0.3, back_off=0.05
        )

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        "answer",
        [_never, _drip_body, _drip_headers, _drip_status, _tiny, _extended],
    )
    async def test_what_takes_for_ever(self, answer, server, store, expired, peak):
        """Whoever waits is told at the deadline, and the connection does not stay."""
        server.token = answer
        peak()
        with pytest.raises(TemporarilyUnavailable):
            await expired.get("/v1/orders")
        record = await store.load(KEY)
        assert record.token.refresh_token == "refresh-1"
        assert record.standing is Standing.CONNECTED
        assert record.live_intent is not None
        if answer is not _never:
            await asyncio.wait_for(server.ended.wait(), 30)
        assert peak() < 32 * MEGABYTE
        assert server.token_requests == 1
