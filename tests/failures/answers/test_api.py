"""Whatever the API answers: the caller gets it as from aiohttp, nothing is spent."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import zlib

import aiohttp
import pytest

from everbearer.tokens import AccountKey
from everbearer.transport import _peek

KEY = AccountKey("standard", "acme")
MEGABYTE = 2**20
BUFFERED = 24 * MEGABYTE
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
PAGE = b"<!doctype html><title>Log in</title>"
ERROR = b'{"errors":[{"Code":"NotYours","Description":"..."}]}'
EXPIRED = b'{"errors":[{"Code":"AccessTokenExpired"}]}'
BOMB = gzip.compress(bytes(50 * MEGABYTE))


def raw(*lines, body=b""):
    """An answer of these lines."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def http(status, body=b"", *headers):
    """A complete answer."""
    return raw(
        f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", body=body
    )


ANSWERS = [
    pytest.param(http("200 OK", PAGE, "Content-Type: text/html"), id="HTML"),
    pytest.param(http("200 OK", EXPIRED, JSON), id="a success that sounds like none"),
    pytest.param(http("204 No Content"), id="204"),
    pytest.param(http("304 Not Modified"), id="304"),
    pytest.param(http("302 Found", b"", "Location: http://["), id="302 to nowhere"),
    pytest.param(http("307 See", b"", "Location: /again"), id="307 to itself"),
    pytest.param(http("401 Unauthorized"), id="401"),
    pytest.param(http("401 No", PAGE, "Content-Type: text/html"), id="401, HTML"),
    pytest.param(http("401 No", PAGE, JSON), id="401, HTML as JSON"),
    pytest.param(http("401 No", EXPIRED, "Content-Type: text/html"), id="as HTML"),
    pytest.param(http("401 No", ERROR, JSON), id="401, about something else"),
    pytest.param(http("400 No", ERROR, "Content-Type: ;;;=;\xff"), id="odd type"),
    pytest.param(
        http("400 No", ERROR, f"{JSON}; charset=utf-16"), id="another charset"
    ),
    pytest.param(http("403 No", b"[" * 60_000, JSON), id="403, deep"),
    pytest.param(http("400 No", b'{"a":' * 12_000, JSON), id="400, deep"),
    pytest.param(http("400 No", b"9" * 60_000, JSON), id="400, a number"),
    pytest.param(http("400 No", b"\xff\x00\xfe", JSON), id="400, no text"),
    pytest.param(http("500 No", b" " * 70_000, JSON), id="500, above 64 kB"),
    pytest.param(
        http("400 No", gzip.compress(ERROR), JSON, "Content-Encoding: gzip"), id="gzip"
    ),
    pytest.param(
        http("400 No", ERROR, JSON, "Content-Encoding: gzip"), id="gzip that is none"
    ),
    pytest.param(
        http("400 No", gzip.compress(ERROR)[:-9], JSON, "Content-Encoding: gzip"),
        id="gzip cut off",
    ),
    pytest.param(
        http("400 No", ERROR, JSON, "Content-Encoding: banana"), id="another coding"
    ),
    pytest.param(http("400 No", BOMB, JSON, "Content-Encoding: gzip"), id="bomb"),
    pytest.param(
        http("400 No", zlib.compress(bytes(50 * MEGABYTE)), JSON).replace(
            b"\r\n", b"\r\nContent-Encoding: deflate\r\n", 1
        ),
        id="deflate bomb",
    ),
    pytest.param(
        raw("HTTP/1.1 400 No", JSON, CHUNKED, body=b"5\r\n[1,2]\r\n0\r\n\r\n"),
        id="chunked",
    ),
    pytest.param(
        raw("HTTP/1.1 400 No", JSON, CHUNKED, body=b"5\r\n[1,2]\r\n"),
        id="no last chunk",
    ),
    pytest.param(
        raw("HTTP/1.1 400 No", JSON, CHUNKED, body=b"5\r\n[1,2]\r\nbanana\r\n"),
        id="chunk without a size",
    ),
    pytest.param(
        raw("HTTP/1.1 400 No", JSON, "Content-Length: 99", body=ERROR), id="cut off"
    ),
    pytest.param(raw("HTTP/1.1 400 No", JSON, body=ERROR), id="until it closes"),
    pytest.param(
        raw("HTTP/1.1 400 No", "Content-Length: 3", "Content-Length: 4", body=ERROR),
        id="two lengths",
    ),
    pytest.param(
        http("401 No", ERROR, JSON, "Content-Type: text/html"), id="two content types"
    ),
    pytest.param(b"", id="end"),
    pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
    pytest.param(http("999 What", ERROR, JSON), id="999"),
    pytest.param(raw("HTTP/1.1 banana"), id="no status"),
    pytest.param(raw("HTTP/1.1 200 OK", "X: " + "x" * 100_000), id="header of 100 kB"),
    *(
        pytest.param(http("401 No", b"", f"WWW-Authenticate: {value}"), id=name)
        for name, value in (
            ("an empty challenge", ""),
            ("another challenge", 'Basic realm="Bearer error=invalid_token"'),
            ("another error", 'Bearer error="insufficient_scope"'),
            ("a challenge that is no text", "Bearer error=\xff\xfe\x01"),
            ("a challenge without an end", 'Bearer error="invalid_token'),
            ("a challenge made to be slow", "a" * 8000 + ";"),
            ("another one", '"' + '\\"' * 4000),
        )
    ),
]


async def told(calling):
    """Everything that a caller is told: the answer and its body, or the error."""
    try:
        response = await calling
        body = hashlib.sha256()
        told = [response.status, response.reason, [*response.headers.items()]]
        try:
            async for part in response.content.iter_chunked(65536):
                body.update(part)
        finally:
            response.close()
        return [*told, body.hexdigest()]
    except aiohttp.ClientError as error:
        return type(error)


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", ANSWERS)
async def test_as_from_aiohttp(answer, server, store, connected):
    """Status, headers, body or error are aiohttp's own, and no token is spent."""
    server.api = answer
    async with aiohttp.ClientSession() as bare:
        wanted = await told(bare.get(f"{server.url}/v1/orders"))
    asked = len(server.asked)
    before = await store.load(KEY)
    assert await told(connected.get("/v1/orders")) == wanted
    assert await store.load(KEY) == before
    assert len(server.asked) == 2 * asked
    assert server.token_requests == 0

    server.api = http("200 OK", b"[1]", JSON)
    async with connected.get("/v1/orders") as response:
        assert await response.json() == [1]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(["HTTP/1.1 200 OK", JSON], id="a success"),
        pytest.param(["HTTP/1.1 200 OK", JSON, CHUNKED], id="chunked"),
        pytest.param(["HTTP/1.1 206 Partial", JSON], id="206"),
        pytest.param(["HTTP/1.1 300 Choose", JSON], id="300"),
        pytest.param(["HTTP/1.1 404 No", "Content-Type: text/html"], id="a page"),
        pytest.param(
            ["HTTP/1.1 401 No", JSON, "Content-Length: 99999"], id="an error, large"
        ),
    ],
)
async def test_what_is_not_looked_into(head, server, connected, monkeypatch):
    """The caller has the answer before the first byte of its body is sent."""
    # Who waits for a body here waits until this test is over.
    monkeypatch.setitem(_peek.take.__kwdefaults__, "patience", 600)

    async def later(server, writer):
        await server.write(writer, raw(*head))
        await server.go_on.wait()
        chunked = CHUNKED in head
        await server.write(writer, b"3\r\n[1]\r\n0\r\n\r\n" if chunked else b"[1]")

    server.api = later
    response = await asyncio.wait_for(connected.get("/v1/orders"), 20)
    server.go_on.set()
    assert await response.content.read(3) == b"[1]"
    response.close()
    assert server.token_requests == 0


async def _endless(server, writer):
    """Chunks, for ever."""
    await server.write(writer, raw("HTTP/1.1 401 No", JSON, CHUNKED))
    while True:
        await server.write(writer, b"10000\r\n" + b" " * 65536 + b"\r\n")


async def _large(server, writer):
    """50 MB, until the connection closes."""
    await server.write(writer, raw("HTTP/1.1 401 No", JSON))
    for _ in range(50):
        await server.write(writer, b" " * MEGABYTE)


async def _announced(server, writer):
    """50 MB, announced."""
    length = f"Content-Length: {50 * MEGABYTE}"
    await server.write(writer, raw("HTTP/1.1 401 No", JSON, length))
    for _ in range(50):
        await server.write(writer, b" " * MEGABYTE)


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [_endless, _large, _announced])
async def test_an_error_without_an_end(answer, server, connected, peak):
    """What was looked at is put back in front, and the rest comes as it comes."""
    server.api = answer
    peak()
    response = await connected.get("/v1/orders")
    assert response.status == 401
    assert await response.content.readexactly(MEGABYTE) == b" " * MEGABYTE
    response.close()
    await asyncio.wait_for(server.ended.wait(), 30)
    assert server.written < BUFFERED
    assert peak() < 16 * MEGABYTE
    assert server.token_requests == 0


@pytest.mark.asyncio
async def test_an_error_that_trickles(server, connected, monkeypatch):
    """A look has its patience, and then the caller gets what came, and the rest."""
    monkeypatch.setitem(_peek.take.__kwdefaults__, "patience", 0.2)

    async def trickle(server, writer):
        await server.write(
            writer, raw("HTTP/1.1 401 No", JSON, f"Content-Length: {len(EXPIRED)}")
        )
        await server.write(writer, EXPIRED[:10])
        await server.go_on.wait()
        await server.write(writer, EXPIRED[10:])

    server.api = trickle
    response = await connected.get("/v1/orders")
    assert response.status == 401
    server.go_on.set()
    assert await response.read() == EXPIRED
    assert server.token_requests == 0


@pytest.mark.asyncio
async def test_a_bomb_is_not_let_off(server, connected, peak):
    """A look at a compressed error inflates no more of it than aiohttp does by itself.

    That is little, or with older versions whatever one packet holds.
    """
    server.api = http("400 No", BOMB, JSON, "Content-Encoding: gzip")
    peak()
    async with aiohttp.ClientSession() as bare:
        response = await bare.get(f"{server.url}/v1/orders")
        await response.content.read(1)
        response.close()
    alone = peak()
    response = await connected.get("/v1/orders")
    assert peak() < 2 * alone + 2 * MEGABYTE
    response.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(http("401 No", BOMB, JSON, "Content-Encoding: gzip"), id="bomb"),
        pytest.param(http("401 No", b" " * 10 * MEGABYTE, JSON), id="large"),
        pytest.param(http("401 No", b"[" * 60_000, JSON), id="deep"),
        pytest.param(http("401 No", PAGE, "Content-Type: text/html"), id="page"),
        pytest.param(raw("HTTP/1.1 401 No", "Content-Length: 99", body=b"["), id="cut"),
    ],
)
async def test_a_rejection_with_a_body_from_hell(body, server, connected):
    """Where the headers say that the token is no good, the body is not in the way."""
    refused = body.replace(
        b"\r\n", b'\r\nWWW-Authenticate: Bearer error="invalid_token"\r\n', 1
    )

    async def once(server, writer):
        server.api = http("200 OK", b"[1]", JSON)
        await server.write(writer, refused)

    server.api = once
    async with connected.get("/v1/orders") as response:
        assert await response.json() == [1]
    assert server.token_requests == 1
    assert len(server.asked) == 3


@pytest.mark.asyncio
async def test_a_signal_among_much_else(server, connected):
    """It is found in a body just small enough, whatever is around it."""
    much = json.dumps({"much": "x" * 60_000, **json.loads(EXPIRED)}).encode()

    async def once(server, writer):
        server.api = http("200 OK", b"[1]", JSON)
        await server.write(writer, http("401 No", much, JSON))

    server.api = once
    async with connected.get("/v1/orders") as response:
        assert await response.json() == [1]
    assert server.token_requests == 1
