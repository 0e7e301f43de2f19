"""Whatever the token endpoint answers: a typed error, and the grant survives it."""

from __future__ import annotations

import gzip
import zlib

import pytest

from everbearer import AuthorizationRequired, TemporarilyUnavailable
from everbearer.tokens import AccountKey, Standing

KEY = AccountKey("standard", "acme")
MEGABYTE = 2**20
JSON = "Content-Type: application/json"
GOOD = b'{"access_token":"access-2","refresh_token":"refresh-2","expires_in":3600}'
PAGE = b"<!doctype html><title>We will be back</title>"
BOMB = gzip.compress(bytes(50 * MEGABYTE))


def http(status, body=b"", *headers):
    """A complete answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def good(*headers, body=GOOD):
    """A token response."""
    return http("200 OK", body, *headers)


def members(**said):
    """A good token response but for what is *said*, as raw JSON."""
    both = {"access_token": '"access-2"', "refresh_token": '"refresh-2"'} | said
    inner = ",".join(f'"{name}":{value}' for name, value in both.items())
    return good(JSON, body=f"{{{inner}}}".encode())


def raw(*lines, body=b""):
    """An answer of these lines."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


AMBIGUOUS = [
    pytest.param(http("200 OK", PAGE, "Content-Type: text/html"), id="HTML"),
    pytest.param(http("200 OK", PAGE, JSON), id="HTML labelled as JSON"),
    pytest.param(http("200 OK", b"", JSON), id="nothing"),
    pytest.param(http("204 No Content"), id="204"),
    pytest.param(http("500 Oops", PAGE, "Content-Type: text/html"), id="500"),
    pytest.param(http("502 Bad Gateway"), id="502"),
    pytest.param(http("504 Gateway Timeout"), id="504"),
    pytest.param(http("408 Request Timeout"), id="408"),
    pytest.param(http("999 What"), id="999"),
    pytest.param(good(JSON, body=b"[" * 200_000), id="deep"),
    pytest.param(
        good(JSON, body=b'{"a":' * 90_000 + b"1" + b"}" * 90_000), id="deep and whole"
    ),
    pytest.param(good(JSON, body=GOOD + b"garbage"), id="more than JSON"),
    pytest.param(good(JSON, body=GOOD[:-1]), id="less than JSON"),
    pytest.param(good(JSON, body=b"[" + GOOD + b"]"), id="list"),
    pytest.param(good(JSON, body=b'"access-2"'), id="text"),
    pytest.param(good(JSON, body=b"null"), id="null"),
    pytest.param(good(JSON, body=b"\xff\xfe\x00"), id="no text"),
    pytest.param(members(access_token='"a b"'), id="token with a space"),
    pytest.param(
        members(access_token='"a\\r\\nX-Admin:1"'), id="token that injects a header"
    ),
    pytest.param(members(access_token='"a\\u0000"'), id="token with a NUL"),
    pytest.param(members(access_token='"\\u0430"'), id="token that is not ASCII"),
    pytest.param(members(access_token='"\\ud800"'), id="half a character"),
    pytest.param(members(access_token=f'"{"a" * 65_537}"'), id="token above 64 kB"),
    pytest.param(members(access_token="7"), id="number as token"),
    pytest.param(members(access_token='["access-2"]'), id="list as token"),
    pytest.param(members(access_token="null"), id="no token"),
    pytest.param(
        members(refresh_token='"r\\nX:y"'), id="refresh token that injects a header"
    ),
    pytest.param(members(refresh_token=f'"{"r" * 65_537}"'), id="refresh token 64 kB"),
    pytest.param(http("307 Temporary Redirect", b"", "Location: /elsewhere"), id="307"),
    pytest.param(
        http("308 Permanent Redirect", b"", "Location: //127.0.0.1/elsewhere"), id="308"
    ),
    pytest.param(http("302 Found", b"", "Location: /login"), id="302"),
    pytest.param(http("303 See Other", b"", "Location: \xff://["), id="303 to nowhere"),
    pytest.param(b"", id="end"),
    pytest.param(b"HTTP/1.1 200 OK\r\n", id="end among the headers"),
    pytest.param(
        raw("HTTP/1.1 200 OK", JSON, "Content-Length: 999", body=GOOD),
        id="end in the body",
    ),
    pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
    pytest.param(b"\x16\x03\x01" + bytes(200), id="TLS"),
    pytest.param(raw("HTTP/1.1 banana", JSON), id="no status"),
    pytest.param(raw("HTTP/1.1 200 OK", "X: " + "x" * 100_000), id="header of 100 kB"),
    pytest.param(raw("HTTP/1.1 200 OK", "no colon"), id="header without a colon"),
    pytest.param(
        raw("HTTP/1.1 200 OK", "Content-Length: 3", "Content-Length: 4", body=GOOD),
        id="two lengths",
    ),
    pytest.param(
        raw("HTTP/1.1 200 OK", "Content-Length: -1", body=GOOD), id="negative length"
    ),
    pytest.param(
        raw("HTTP/1.1 200 OK", "Content-Length: banana", body=GOOD), id="no length"
    ),
    pytest.param(
        raw("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"zz\r\n" + GOOD),
        id="chunk without a size",
    ),
    pytest.param(
        raw(
            "HTTP/1.1 200 OK",
            "Transfer-Encoding: chunked",
            body=b"%x\r\n%b\r\n" % (len(GOOD), GOOD),
        ),
        id="no last chunk",
    ),
    pytest.param(raw("HTTP/1.1 101 Switching Protocols", "Upgrade: x"), id="101"),
    pytest.param(good(JSON, "Content-Encoding: gzip", body=BOMB), id="bomb"),
    pytest.param(
        good(
            JSON, "Content-Encoding: deflate", body=zlib.compress(bytes(MEGABYTE * 50))
        ),
        id="deflate bomb",
    ),
    pytest.param(
        good(JSON, "Content-Encoding: gzip, gzip", body=gzip.compress(BOMB)),
        id="bomb in a bomb",
    ),
    pytest.param(
        good(JSON, "Content-Encoding: gzip", body=gzip.compress(GOOD)[:-20]),
        id="gzip cut off",
    ),
    pytest.param(
        good(JSON, "Content-Encoding: " + "gzip," * 1000, body=BOMB), id="gzip, often"
    ),
]


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", AMBIGUOUS)
async def test_what_says_nothing(answer, server, store, expired, recovered, peak):
    """The refresh token may be spent: it is kept, and what was begun stays on record.

    Nothing is sent again before the grace, no redirect is followed, and the next good
    answer is the end of it.
    """
    before = (await store.load(KEY)).token
    server.token = answer
    peak()
    with pytest.raises(TemporarilyUnavailable):
        await expired.get("/v1/orders")
    assert peak() < 16 * MEGABYTE
    record = await store.load(KEY)
    assert record.token == before
    assert record.standing is Standing.CONNECTED
    assert record.live_intent is not None
    assert len(server.asked) == server.token_requests == 1

    server.token = good(JSON)
    response = await recovered(expired)
    assert response.status == 200
    record = await store.load(KEY)
    assert record.token.refresh_token == "refresh-2"
    assert record.intent is None
    assert server.token_requests == 2


REFUSALS = [
    pytest.param(http("400 Bad Request", PAGE), id="400"),
    pytest.param(http("401 Unauthorized"), id="401"),
    pytest.param(http("403 Forbidden", PAGE, "Content-Type: text/html"), id="403"),
    pytest.param(http("403 Forbidden", b"[" * 200_000, JSON), id="403, deep"),
    pytest.param(http("404 Not Found", PAGE), id="404"),
    pytest.param(http("400 Bad", b'{"error":["x"]}', JSON), id="a list as the error"),
    pytest.param(http("400 Bad", b'{"error":{"a":1}}', JSON), id="an object as error"),
    pytest.param(http("400 Bad", b'{"error":"\xff\\u0000"}', JSON), id="no text"),
    pytest.param(
        http("403 Forbidden", BOMB, JSON, "Content-Encoding: gzip"), id="403, bomb"
    ),
    pytest.param(http("429 Too Many Requests", PAGE), id="429"),
    pytest.param(http("429 Slow", b"", "Retry-After: -5"), id="429, negative"),
    pytest.param(http("429 Slow", b"", "Retry-After: soon"), id="429, a word"),
    pytest.param(
        http("429 Slow", b"", "Retry-After: 0", "Retry-After: 9999"), id="429, twice"
    ),
    pytest.param(
        http("503 Away", PAGE, "Retry-After: Mon, 99 Foo 2026 99:99:99 GMT"),
        id="503, no date",
    ),
    pytest.param(http("503 Away", BOMB, "Content-Encoding: gzip"), id="503, bomb"),
]


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", REFUSALS)
async def test_what_was_not_processed(answer, server, store, expired, recovered, peak):
    """A refusal without a reason spends nothing: no intent is left, later it works."""
    before = (await store.load(KEY)).token
    server.token = answer
    peak()
    with pytest.raises(TemporarilyUnavailable):
        await expired.get("/v1/orders")
    assert peak() < 16 * MEGABYTE
    record = await store.load(KEY)
    assert record.token == before
    assert record.standing is Standing.CONNECTED
    assert record.intent is None
    assert len(server.asked) == server.token_requests == 1

    server.token = good(JSON)
    response = await recovered(expired)
    assert response.status == 200
    assert (await store.load(KEY)).token.refresh_token == "refresh-2"
    assert server.token_requests == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "pause",
    [
        pytest.param("999999999999999999999", id="endless"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", id="for ever"),
    ],
)
async def test_a_pause_without_end(pause, server, expired):
    """Nobody is sent away for more than a day, and nobody asks meanwhile."""
    server.token = http("429 Slow", b"", f"Retry-After: {pause}")
    for _ in range(3):
        with pytest.raises(TemporarilyUnavailable) as caught:
            await expired.get("/v1/orders")
        assert caught.value.retry_after <= 1.5 * 86400
    assert server.token_requests == 1


@pytest.mark.asyncio
async def test_a_refusal_with_200(server, store, expired):
    """What the body says counts: an error is no token, whatever else is there."""
    server.token = members(error='"invalid_grant"')
    with pytest.raises(AuthorizationRequired):
        await expired.get("/v1/orders")
    record = await store.load(KEY)
    assert record.standing is Standing.NEEDS_AUTHORIZATION
    assert record.token.refresh_token == "refresh-1"


READABLE = [
    pytest.param(good("Content-Type: text/html"), id="labelled as HTML"),
    pytest.param(good("Content-Type: application/json; charset=utf-16"), id="charset"),
    pytest.param(good("Content-Type: text/x; charset=banana"), id="unknown charset"),
    pytest.param(good("Content-Type: ;;;=;\xff"), id="no content type"),
    pytest.param(good(JSON, "Content-Type: text/html"), id="two content types"),
    pytest.param(good(), id="no label"),
    pytest.param(good(JSON, body=b"\xef\xbb\xbf" + GOOD), id="byte order mark"),
    pytest.param(good(JSON, body=GOOD.decode().encode("utf-16")), id="UTF-16"),
    pytest.param(good(JSON, body=GOOD[:-1] + b',"x":"\xe9"}'), id="Latin-1 in UTF-8"),
    pytest.param(
        good(JSON, "Content-Encoding: gzip", body=gzip.compress(GOOD)), id="gzip"
    ),
    pytest.param(good(JSON, "Content-Encoding: gzip"), id="gzip that is none"),
    pytest.param(good(JSON, "Content-Encoding: br"), id="brotli that is none"),
    pytest.param(good(JSON, "Content-Encoding: \xff"), id="unknown coding"),
    pytest.param(good(JSON, "Set-Cookie: ;=;\x01", "Link: <<<"), id="odd headers"),
    pytest.param(good(JSON, *(f"X-{n}: y" for n in range(100))), id="100 headers"),
    pytest.param(
        raw(
            "HTTP/1.1 200 OK",
            JSON,
            "Transfer-Encoding: chunked",
            body=b"".join(b"1\r\n%c\r\n" % each for each in GOOD) + b"0\r\n\r\n",
        ),
        id="byte by byte in chunks",
    ),
    pytest.param(raw("HTTP/1.0 200 OK", JSON, body=GOOD), id="HTTP/1.0"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + good(JSON), id="100, often"),
    pytest.param(members(access_token='"a b","access_token":"access-2"'), id="twice"),
    pytest.param(members(scope='{"a":[]}', token_type="7"), id="odd members"),
    pytest.param(members(scope='"\\ud800"'), id="half a character as the scope"),
    pytest.param(
        members(business_info="[" * 500 + "]" * 500), id="deep in what is kept"
    ),
    pytest.param(members(business_info='"\\ud800"'), id="no text in what is kept"),
    *(
        pytest.param(members(expires_in=value), id=f"expires_in {value[:12]}")
        for value in (
            "-3600",
            "0",
            "1e999",
            "9" * 5000,
            "99999999999",
            "3600.7",
            '"3600"',
            '"soon"',
            "null",
            "true",
            "NaN",
            "-Infinity",
            "[3600]",
            '{"in":{"seconds":3600}}',
        )
    ),
]


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", READABLE)
async def test_what_is_odd_and_good(answer, server, store, expired):
    """A token in an odd wrapping is a rotation that must not be lost."""
    server.token = answer
    response = await expired.get("/v1/orders")
    assert response.status == 200
    record = await store.load(KEY)
    assert record.token.access_token == "access-2"
    assert record.token.refresh_token == "refresh-2"
    assert record.standing is Standing.CONNECTED
    assert record.intent is None
    # A lifetime that is nonsense is no reason to ask again at once.
    assert (await expired.get("/v1/orders")).status == 200
    assert server.token_requests == 1
    # One header with the token, and none that an answer has smuggled in.
    [sent] = [line for line in server.heads[-1].split(b"\r\n") if b"access-2" in line]
    assert sent == b"Authorization: Bearer access-2"
