"""What fails after the request went out: the refresh token may have been spent."""

from __future__ import annotations

import asyncio
import gzip

import aiohttp
import pytest

from everbearer.token_endpoint import OutcomeKind

pytestmark = pytest.mark.asyncio

# How long a server is waited for that says no more; the request is out long before.
PATIENCE = {"closed": 5.0, "reset": 5.0, "silence": 0.5}
GOOD = b'{"access_token":"at-2","refresh_token":"rt-2","expires_in":3600}'
JSON = "Content-Type: application/json"


def http(status, body=b"", *headers, length=None):
    """An answer; with *length* it promises more than it has."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {size}", "", ""]
    return "\r\n".join(lines).encode() + body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# How far an answer comes before it breaks off.
STAGES = {
    "before-the-headers": b"",
    "in-the-status-line": b"HTTP/1.1 20",
    "in-the-headers": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "before-the-body": http("200 OK", length=64),
    "in-the-body": http("200 OK", GOOD[:20], JSON, length=len(GOOD)),
    "in-a-chunk": CHUNKED + b"40\r\n" + GOOD[:20],
    "between-chunks": CHUNKED + b"14\r\n" + GOOD[:20] + b"\r\n",
    "after-an-interim-answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
}


def breaking_off(answer, ending):
    """Read the request, say *answer*, and no more."""

    async def handler(judge, reader, writer):
        await judge.request(reader)
        writer.write(answer)
        await writer.drain()
        if ending == "reset":
            # Else the RST throws away what was not read yet.
            await asyncio.sleep(0.01)
            judge.reset(writer)
        elif ending == "silence":
            await asyncio.Event().wait()

    return handler


@pytest.mark.parametrize("ending", ["closed", "reset", "silence"])
@pytest.mark.parametrize("answer", STAGES.values(), ids=STAGES)
async def test_an_answer_breaks_off(answer, ending, serving, caller, judged):
    """Closed, reset, or never continued: it may have been processed."""
    async with serving(breaking_off(answer, ending)) as judge:
        outcome = await caller().ask(judge.url, total=PATIENCE[ending])
        judged(outcome, OutcomeKind.AMBIGUOUS, judge)
        assert judge.has_the_token


@pytest.mark.parametrize("ending", ["closed", "reset", "silence"])
async def test_an_answer_breaks_off_behind_tls(
    ending, serving, caller, authority, judged
):
    """The same where the server sees more than the network does."""
    tls = authority.server()
    async with serving(breaking_off(b"HTTP/1.1 2", ending), tls) as judge:
        connector = aiohttp.TCPConnector(force_close=True, ssl=authority.client())
        outcome = await caller(connector).ask(judge.tls_url, total=PATIENCE[ending])
        judged(outcome, OutcomeKind.AMBIGUOUS, judge)
        assert judge.has_the_token


async def half_a_request(judge, reader, writer):
    judge.seen += await reader.readuntil(b"\r\n\r\n")
    judge.reset(writer)


async def unread(judge, reader, writer):
    while not reader._buffer:
        await asyncio.sleep(0)
    judge.reset(writer)


async def never_read(judge, reader, writer):
    reader._transport.pause_reading()
    await asyncio.Event().wait()


@pytest.mark.parametrize("handler", [half_a_request, unread, never_read])
async def test_nobody_knows_how_much_was_read(handler, serving, caller, judged):
    """Once it has left, what the server made of it cannot be known."""
    async with serving(handler) as judge:
        outcome = await caller().ask(judge.url, total=PATIENCE["silence"])
        judged(outcome, OutcomeKind.AMBIGUOUS, judge)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(http("200 OK"), id="empty"),
        pytest.param(http("204 No Content"), id="no-content"),
        pytest.param(http("200 OK", b"<h1>Welcome</h1>", "Content-Type: text/html")),
        pytest.param(http("200 OK", GOOD[:-9], JSON), id="half-a-document"),
        pytest.param(http("200 OK", b'{"token_type":"bearer"}', JSON), id="no-token"),
        pytest.param(http("200 OK", b'["at-2"]', JSON), id="a-list"),
        pytest.param(
            http("200 OK", gzip.compress(GOOD)[:-12], JSON, "Content-Encoding: gzip"),
            id="half-of-a-gzip",
        ),
        pytest.param(
            http("200 OK", b"x" * 2**21, JSON), id="longer-than-any-token-response"
        ),
        pytest.param(b"220 mail.example ESMTP\r\n", id="no-http"),
        pytest.param(b"HTTP/1.1 99999 Odd\r\n\r\n", id="no-status"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", id="no-length"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
            id="headers-too-long",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
            id="no-chunk",
        ),
        pytest.param(http("307 Temporary Redirect", b"", "Location: /"), id="307"),
        pytest.param(http("408 Request Timeout"), id="408"),
        pytest.param(http("425 Too Early"), id="425"),
        pytest.param(http("500 Internal Server Error"), id="500"),
        pytest.param(http("502 Bad Gateway"), id="502"),
        pytest.param(http("504 Gateway Timeout"), id="504"),
    ],
)
async def test_an_answer_that_says_nothing(answer, serving, caller, judged):
    """Whole, perhaps, and still nobody can tell whether the token was rotated."""
    async with serving(breaking_off(answer, "closed")) as judge:
        outcome = await caller().ask(judge.url)
        judged(outcome, OutcomeKind.AMBIGUOUS, judge)
        assert judge.has_the_token


async def test_a_proxy_that_lost_the_answer(serving, caller, judged):
    """Without TLS the proxy is sent the request itself: its 502 may come after it."""
    async with serving(breaking_off(http("502 Bad Gateway"), "closed")) as judge:
        asking = caller(options={"proxy": judge.url})
        outcome = await asking.ask("http://127.0.0.1:9")
        judged(outcome, OutcomeKind.AMBIGUOUS, judge)
        assert judge.has_the_token
