"""Billit's API as emulated: paging, whose order it is, and what arrived."""

from __future__ import annotations

import asyncio
import hashlib
import os

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio

ORDERS = "/v1/orders"
MEGABYTE = os.urandom(1 << 20)


@pytest.fixture(name="token")
def _token(sandbox):
    """An access token of acme's, with 250 orders behind it."""
    sandbox.settings.orders_per_account = 250
    return sandbox.issue("acme").access_token


# ---- orders


async def test_all_pages(sandbox, caller, token):
    """Following NextPageLink brings every order once, 120 at most in a page."""
    path, sizes, ids = ORDERS, [], []
    while path:
        page = (await caller.get(path, token)).document
        sizes.append(len(page["Items"]))
        ids += [each["OrderID"] for each in page["Items"]]
        path = page.get("NextPageLink")
    assert sizes == [120, 120, 10]
    assert len(set(ids)) == 250
    assert sandbox.ledger.documents == sandbox.ledger.company("acme").documents == 250


@pytest.mark.parametrize(
    ("query", "numbers", "following"),
    [
        ("$top=1", ["acme-1"], {"$top": "1", "$skip": "1"}),
        ("$top=2&$skip=3", ["acme-4", "acme-5"], {"$top": "2", "$skip": "5"}),
        ("$skip=249", ["acme-250"], None),
        ("$skip=248&$top=2", ["acme-249", "acme-250"], None),
        ("$skip=250", [], None),
        ("$skip=99999999999999999999", [], None),
        ("$top=0", [], None),
    ],
    ids=str,
)
async def test_page(sandbox, caller, token, query, numbers, following):
    """$top and $skip cut the page; past the end it is empty, with no link."""
    page = (await caller.get(f"{ORDERS}?{query}", token)).document
    assert [each["OrderNumber"] for each in page["Items"]] == numbers
    link = page.get("NextPageLink")
    if following is None:
        assert link is None
    else:
        assert link.startswith(f"{sandbox.url}{ORDERS}?")
        assert dict(URL(link).query) == following


@pytest.mark.parametrize(
    "query",
    [
        "$top=121",
        "$top=-1",
        "$top=all",
        "$top=",
        "$skip=-1",
        "$skip=1.5",
        "$filter=x",
        "top=10",
        "$top=" + "9" * 5000,
        "$skip=" + "9" * 5000,
    ],
    ids=lambda query: query[:12],
)
async def test_refused_page(sandbox, caller, token, query):
    """More than 120, no number, or what is not emulated: 400 and no order."""
    answer = await caller.get(f"{ORDERS}?{query}", token)
    assert (answer.status, answer.code) == (400, "GenericError")
    assert (sandbox.ledger.documents, sandbox.ledger.failed) == (0, 1)


async def test_no_orders(sandbox, caller, token):
    """An empty account has one empty page."""
    sandbox.settings.orders_per_account = 0
    assert (await caller.get(ORDERS, token)).document == {"Items": []}


async def test_one_order(sandbox, caller, token):
    """An order of the page can be had by its id."""
    (listed,) = (await caller.get(f"{ORDERS}?$top=1&$skip=7", token)).document["Items"]
    alone = await caller.get(f"{ORDERS}/{listed['OrderID']}", token)
    assert (alone.status, alone.document) == (200, listed)
    assert sandbox.ledger.documents == 2


@pytest.mark.parametrize("wanted", ["other's", "past", "before", "abc", "9" * 5000])
async def test_not_your_order(sandbox, caller, token, wanted):
    """Somebody else's order is a 401 that is not about the token (401.md)."""
    other = sandbox.issue("other").access_token
    first = await _first_id(caller, token)
    theirs = await _first_id(caller, other)
    order_id = {"other's": theirs, "past": first + 250, "before": first - 1}
    answer = await caller.get(f"{ORDERS}/{order_id.get(wanted, wanted)}", token)
    assert (answer.status, answer.code) == (401, "OrderNotAccessible")
    acme = sandbox.ledger.company("acme")
    assert (acme.unauthorized, acme.refused, acme.failed) == (1, 0, 1)


async def test_forbidden(sandbox, caller, token):
    """A bare 401 has no body, and is no refusal of the token."""
    answer = await caller.get("/v1/forbidden", token)
    assert (answer.status, answer.body) == (401, b"")
    assert (sandbox.ledger.unauthorized, sandbox.ledger.refused) == (1, 0)


async def test_accounts_are_told_apart(sandbox, caller, token):
    """Companies have numbers of their own, the same each time."""
    path = "/v1/account/accountInformation"
    mine = (await caller.get(path, token)).document
    theirs = (await caller.get(path, sandbox.issue("other").access_token)).document
    assert mine["Companies"][0]["Name"] == "acme"
    assert mine["Companies"][0]["PartyID"] != theirs["Companies"][0]["PartyID"]


async def test_party_id_is_noted(sandbox, caller, token):
    """The ledger knows on whose behalf a call was made."""
    await caller.get("/v1/whoami", token, headers={"PartyID": "4711"})
    await caller.get("/v1/whoami", token)
    assert [each.party_id for each in sandbox.ledger.api_calls] == ["4711", None]


# ---- what arrived


@pytest.mark.parametrize("body", [b"", b"abc", MEGABYTE], ids=len)
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/echo", 200),
        ("PUT", "/v1/echo", 200),
        ("DELETE", "/v1/echo", 200),
        ("POST", ORDERS, 201),
    ],
    ids=lambda value: str(value).replace("/", ""),
)
async def test_digest_and_length(sandbox, caller, token, method, path, status, body):
    """The answer, and the ledger, tell the SHA-256 and the length of the body."""
    answer = await caller.send(method, path, token, data=body)
    assert answer.status == status
    digest = hashlib.sha256(body).hexdigest()
    assert answer.document == {
        "sha256": digest,
        "length": len(body),
        "method": method,
        "company": "acme",
    }
    (call,) = sandbox.ledger.api_calls
    assert (call.sha256, call.length, call.status) == (digest, len(body), status)


async def test_chunked_and_packed(caller, token):
    """The digest is that of the body itself, whatever its coding on the way."""
    digest = hashlib.sha256(b"abc" * 1000).hexdigest()
    for options in ({"chunked": True}, {"compress": "gzip"}):
        answer = await caller.send(
            "POST", "/v1/echo", token, data=b"abc" * 1000, **options
        )
        assert (answer.document["sha256"], answer.document["length"]) == (digest, 3000)


# ---- refusals, and the body that is still under way


@pytest_asyncio.fixture(name="raw")
async def _raw(sandbox):
    """A connection to write on by hand, byte by byte."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, port)
    yield reader, writer
    writer.close()
    await writer.wait_closed()


def head(token, *more):
    """Of a POST that will carry a megabyte."""
    lines = (
        "POST /v1/echo HTTP/1.1",
        "Host: sandbox",
        f"Authorization: Bearer {token}",
        f"Content-Length: {len(MEGABYTE)}",
        *more,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def read_head(reader):
    """Status of the next answer, which has to come without another byte of ours."""
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"\r\n\r\n")
    return int(answer.split()[1])


async def test_late_refusal(sandbox, raw):
    """By default a refused body is read to its end before the answer."""
    reader, writer = raw
    writer.write(head("nobody's") + MEGABYTE[:-1])
    await writer.drain()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.05)
    writer.write(MEGABYTE[-1:])
    assert await read_head(reader) == 401


async def test_early_refusals(sandbox, raw):
    """The refusal comes before one byte of the body was sent."""
    sandbox.settings.early_refusals = True
    reader, writer = raw
    writer.write(head("nobody's"))
    assert await read_head(reader) == 401


async def test_early_401(sandbox, raw, token):
    """The refusal comes when so many bytes have arrived, and not before."""
    sandbox.script.add(faults.early_401(after=100_000))
    reader, writer = raw
    writer.write(head(token) + MEGABYTE[:99_999])
    await writer.drain()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.05)
    writer.write(b"x")
    assert await read_head(reader) == 401
    assert sandbox.ledger.refused == 1


async def test_early_401_of_a_small_body(sandbox, caller, token):
    """A body that ends before that is refused at its end."""
    sandbox.script.add(faults.early_401(after=100_000))
    answer = await caller.send("POST", "/v1/echo", token, data=b"abc")
    assert (answer.status, answer.code) == (401, "AccessTokenExpired")


async def test_expect_continue(sandbox, raw, token):
    """A good token gets its 100, and then the answer."""
    reader, writer = raw
    writer.write(head(token, "Expect: 100-continue"))
    assert await read_head(reader) == 100
    writer.write(MEGABYTE)
    assert await read_head(reader) == 200
    assert sandbox.ledger.api_calls[-1].length == len(MEGABYTE)


@pytest.mark.parametrize(
    ("early", "statuses"), [(False, [100, 401]), (True, [401])], ids=["late", "early"]
)
async def test_expect_and_a_bad_token(sandbox, raw, early, statuses):
    """An early refusal takes the place of the 100; a late one follows it."""
    sandbox.settings.early_refusals = early
    reader, writer = raw
    writer.write(head("nobody's", "Expect: 100-continue"))
    seen = [await read_head(reader)]
    if not early:
        writer.write(MEGABYTE)
        seen.append(await read_head(reader))
    assert seen == statuses
    assert sandbox.ledger.refused == 1


@pytest.mark.parametrize("size", [0, 10, 100_000])
async def test_refusal_size(sandbox, caller, size):
    """Refusals are padded, and stay JSON with one error."""
    sandbox.settings.refusal_size = size
    answer = await caller.get("/v1/whoami", "nobody's")
    assert len(answer.body) >= size
    assert len(answer.body) == size or size < 200
    assert answer.code == "InvalidAccessToken"


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_refusal_status(sandbox, caller, status):
    """The document gives no status: any error status can carry the codes."""
    sandbox.settings.refusal_status = status
    answer = await caller.get("/v1/whoami", "nobody's")
    assert (answer.status, answer.code) == (status, "InvalidAccessToken")
    ledger = sandbox.ledger
    assert (ledger.refused, ledger.failed, ledger.unauthorized) == (1, 0, 0)


# ---- redirects, the other origin, WebSockets


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect(sandbox, caller, token, status):
    """The API sends on to where it is told."""
    target = f"{sandbox.other_origin}/x?a=b"
    path = URL("/v1/redirect").with_query(to=target, status=status)
    answer = await caller.send("POST", str(path), token, data=b"body")
    assert (answer.status, answer.headers["Location"]) == (status, target)


@pytest.mark.parametrize("query", ["", "?to=x&status=200", "?to=x&status=no"])
async def test_redirect_to_nowhere(caller, token, query):
    """Without a target, or with a status that is no redirect: 400."""
    assert (await caller.get(f"/v1/redirect{query}", token)).status == 400


async def test_other_origin(sandbox, caller):
    """Whatever is sent there is kept, and kept out of every text."""
    headers = {"Authorization": "Bearer secret-of-acme", "PartyID": "1"}
    url = f"{sandbox.other_origin}/any/where?a=b"
    answer = await caller("PUT", url, data=b"secret body", headers=headers)
    assert answer.status == 200
    (seen,) = sandbox.ledger.other_origin
    assert (seen.method, seen.path, seen.body) == ("PUT", "/any/where", b"secret body")
    assert seen.headers["Authorization"] == "Bearer secret-of-acme"
    assert "secret" not in repr(seen)
    assert sandbox.ledger.calls == 0


async def test_other_origin_redirects(sandbox, caller):
    """It leads on, so that a token can be lured out by two steps."""
    url = URL(f"{sandbox.other_origin}/redirect").with_query(to="/x", status=307)
    answer = await caller("GET", str(url))
    assert (answer.status, answer.headers["Location"]) == (307, "/x")
    assert len(sandbox.ledger.other_origin) == 1


async def test_websocket(sandbox, caller, token, until):
    """What is sent comes back; the call is in the ledger once it is over."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{sandbox.url}/v1/ws"
    async with caller.http.ws_connect(url, headers=headers) as websocket:
        await websocket.send_str("text")
        assert await websocket.receive_str() == "text"
        await websocket.send_bytes(b"bytes")
        assert await websocket.receive_bytes() == b"bytes"
    await until(lambda: sandbox.ledger.calls)
    assert sandbox.ledger.statuses == {101: 1}


async def test_websocket_without_a_token(sandbox, caller):
    """The handshake is refused like any call."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await caller.http.ws_connect(f"{sandbox.url}/v1/ws")
    assert caught.value.status == 401
    assert sandbox.ledger.refused == 1


async def _first_id(caller, token):
    page = (await caller.get(f"{ORDERS}?$top=1", token)).document
    return page["Items"][0]["OrderID"]
