"""Bodies on their second way: the sandbox tells what arrived, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os

import aiohttp
import pytest
from attrs import frozen

from everbearer import Client
from everbearer.events import RefreshStarted, ResendRefused
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore

TEXT = "Ærø & co\n" * 20_000
BYTES = TEXT.encode()
# Larger than what the kernel buffers between two sockets.
BIG = os.urandom(1 << 20) * 12

pytestmark = [
    pytest.mark.asyncio,
    # aiohttp warns at bytes of more than 1 MiB.
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
]


@pytest.fixture(name="place")
def _place(tmp_path):
    """Makes files, and closes those that aiohttp does not."""
    with contextlib.ExitStack() as files:

        def place(content=BYTES, mode="rb", skip=0, **options):
            path = tmp_path / "body.bin"
            path.write_bytes(content)
            file = files.enter_context(path.open(mode, **options))
            file.read(skip)
            return file

        def pipe():
            read, write = os.pipe()
            os.write(write, b"piped")
            os.close(write)
            return files.enter_context(os.fdopen(read, "rb"))

        place.pipe = pipe
        yield place


def form(**fields):
    """A multipart form, the same each time."""
    made = aiohttp.FormData(default_to_multipart=True)
    # Its own boundary is random, and would make every digest another.
    made._writer = aiohttp.MultipartWriter("form-data", boundary="xyz")
    for name, value in fields.items():
        made.add_field(name, value, filename=f"{name}.bin")
    return made


def multipart(*parts):
    """A multipart body, the same each time."""
    writer = aiohttp.MultipartWriter("mixed", boundary="xyz")
    for part in parts:
        writer.append(part)
    return writer


async def stream(content=b"streamed", size=65_536):
    """An async generator."""
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(0)


def reader(content=b"streamed"):
    """What aiohttp gives a server for a request's body."""
    loop = asyncio.get_running_loop()
    protocol = aiohttp.base_protocol.BaseProtocol(loop)
    made = aiohttp.StreamReader(protocol, 2**16, loop=loop)
    made.feed_data(content)
    made.feed_eof()
    return made


TWICE = {
    "nothing": lambda _: {},
    "bytes": lambda _: {"data": BYTES},
    "bytearray": lambda _: {"data": bytearray(BYTES)},
    "memoryview": lambda _: {"data": memoryview(BYTES)},
    "str": lambda _: {"data": TEXT},
    "json": lambda _: {"json": {"lines": [TEXT, 1, None]}},
    "form-urlencoded": lambda _: {"data": aiohttp.FormData({"a": TEXT})},
    "form-multipart": lambda _: {"data": form(a="text")},
    "form-file": lambda p: {"data": form(a=p())},
    "form-bytes-io": lambda _: {"data": form(a=io.BytesIO(BYTES))},
    "multipart": lambda p: {"data": multipart("x", multipart("y", p()))},
    "bytes-io": lambda _: {"data": io.BytesIO(BYTES)},
    "string-io": lambda _: {"data": io.StringIO(TEXT)},
    "file": lambda p: {"data": p()},
    "seeked-file": lambda p: {"data": p(skip=1000)},
    "text-file": lambda p: {"data": p(mode="r", encoding="utf-8")},
    "chunked-file": lambda p: {"data": p(), "chunked": True},
    "gzip-file": lambda p: {"data": p(), "compress": "gzip"},
    "gzip-bytes": lambda _: {"data": BYTES, "compress": "gzip"},
}
LARGE = {
    "bytes": lambda _: {"data": BIG},
    "bytes-io": lambda _: {"data": io.BytesIO(BIG)},
    "file": lambda p: {"data": p(BIG)},
    "chunked-file": lambda p: {"data": p(BIG), "chunked": True},
    "form-file": lambda p: {"data": form(a=p(BIG))},
    "form-bytes-io": lambda _: {"data": form(a=io.BytesIO(BIG))},
}
ONCE = {
    "generator": lambda _: {"data": stream()},
    "stream-reader": lambda _: {"data": reader()},
    "pipe": lambda p: {"data": p.pipe()},
    "form-generator": lambda _: {"data": form(a=stream())},
    "multipart-generator": lambda _: {"data": multipart("x", multipart(stream()))},
    "gzip-generator": lambda _: {"data": stream(), "compress": "gzip"},
}


@frozen
class Posts:
    """Posts to the echo route as acme, and says what came of it."""

    sandbox: object
    client: Client

    async def __call__(self, **options):
        session = self.client.session("billit", "acme")
        async with session.post("/v1/echo", **options) as response:
            return response.status, await response.json()

    async def plainly(self, **options):
        """The same without Everbearer, and with a good token."""
        token = self.sandbox.issue("plain").access_token
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.sandbox.url}/v1/echo"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, headers=headers, **options) as response,
        ):
            assert response.status == 200
            return {**(await response.json()), "company": "acme"}

    def ledger(self):
        """Statuses of acme's posts; exactly one refresh is asserted."""
        ledger = self.sandbox.ledger
        assert (ledger.refreshes, ledger.reuse, ledger.last_resort) == (1, 0, 0)
        return [each.status for each in ledger.api_calls if each.company == "acme"]


@pytest.fixture(name="post")
def _post(sandbox, client):
    """See `Posts`."""
    return Posts(sandbox, client)


# ---- sent twice


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
@pytest.mark.parametrize("kind", TWICE)
async def test_rejected_token(sandbox, connect, place, post, kind, early):
    """The provider gets the very body that the caller gave, and the caller a 200."""
    sandbox.settings.early_refusals = early
    await connect()
    sandbox.script.expire_now("acme")
    status, arrived = await post(**TWICE[kind](place))
    assert status == 200
    assert post.ledger() == [401, 200]
    assert arrived == await post.plainly(**TWICE[kind](place))


@pytest.mark.parametrize("kind", TWICE)
async def test_expired_token(connect, place, post, kind):
    """What the clock tells is known before the first byte is sent."""
    await connect(expired=True)
    status, arrived = await post(**TWICE[kind](place))
    assert status == 200
    assert post.ledger() == [200]
    assert arrived == await post.plainly(**TWICE[kind](place))


@pytest.mark.parametrize("after", [0, 65_536, 5_000_000])
@pytest.mark.parametrize("kind", LARGE)
async def test_refused_while_being_sent(sandbox, connect, place, post, kind, after):
    """A body that was half sent starts again from its beginning."""
    await connect()
    sandbox.script.add(faults.early_401(after=after))
    status, arrived = await post(**LARGE[kind](place))
    assert status == 200
    assert post.ledger() == [401, 200]
    assert arrived == await post.plainly(**LARGE[kind](place))


async def test_many_at_the_same_time(sandbox, connect, post):
    """Twenty bodies on one dead token: one refresh, and nobody's body at another's."""
    await connect()
    sandbox.script.expire_now("acme")
    bodies = [bytes([n]) * (n * 50_000) for n in range(1, 21)]
    answers = await asyncio.gather(*(post(data=io.BytesIO(b)) for b in bodies))
    assert [status for status, _ in answers] == [200] * 20
    digests = [hashlib.sha256(body).hexdigest() for body in bodies]
    assert [arrived["sha256"] for _, arrived in answers] == digests
    assert sorted(post.ledger()) == [200] * 20 + [401] * 20


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods(sandbox, connect, client, post, method):
    """A 401 proves that nothing was done: every method may be sent again."""
    await connect()
    sandbox.script.expire_now("acme")
    session = client.session("billit", "acme")
    async with session.request(method, "/v1/echo", data=BYTES) as response:
        arrived = await response.json()
    assert post.ledger() == [401, 200]
    assert (arrived["method"], arrived["length"]) == (method, len(BYTES))


async def test_new_order_is_made_once(sandbox, connect, client, post):
    """The refused order was not made, the second one was: 201, once."""
    await connect()
    sandbox.script.expire_now("acme")
    async with client.session("billit", "acme").post("/v1/orders", json={}) as response:
        assert response.status == 201
    assert post.ledger() == [401, 201]


# ---- sent once


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
@pytest.mark.parametrize("kind", ONCE)
async def test_one_shot(sandbox, connect, events, place, post, kind, early):
    """It is not sent again; the provider's own answer is whole, and says why."""
    sandbox.settings.early_refusals = early
    sandbox.settings.refusal_size = 10_000
    await connect()
    sandbox.script.expire_now("acme")
    status, answer = await post(**ONCE[kind](place))
    assert status == 401
    assert [each["Code"] for each in answer["errors"]] == ["AccessTokenExpired"]
    assert [each for each in events if isinstance(each, ResendRefused)] == [
        ResendRefused("billit", "acme", "POST", "body")
    ]
    # The token is replaced all the same: the next call goes through.
    assert (await post(data=b"next"))[0] == 200
    assert post.ledger() == [401, 200]


@pytest.mark.parametrize("kind", ONCE)
async def test_one_shot_on_an_expired_token(connect, place, post, kind):
    """Nothing that can be foreseen costs a caller a body that cannot be repeated."""
    await connect(expired=True)
    status, arrived = await post(**ONCE[kind](place))
    assert status == 200
    assert post.ledger() == [200]
    assert arrived == await post.plainly(**ONCE[kind](place))


async def test_half_sent_stream(sandbox, connect, client, post):
    """A stream that was cut off is never continued under a new token."""
    await connect()
    sandbox.script.add(faults.early_401(after=200_000))
    session = client.session("billit", "acme")
    async with session.post("/v1/echo", data=stream(BIG)) as response:
        assert response.status == 401
        answer = await response.read()
    assert b"AccessTokenExpired" in answer
    assert (await post(data=b"next"))[0] == 200
    assert post.ledger() == [401, 200]


# ---- Expect: 100-continue


@pytest.mark.parametrize("early", [False, True], ids=["after-100", "before-100"])
@pytest.mark.parametrize("kind", ["nothing", "bytes", "bytes-io", "file", "form-file"])
async def test_expecting(sandbox, connect, place, post, kind, early):
    """A refusal before or after the 100 is survived by what can be sent twice."""
    sandbox.settings.early_refusals = early
    await connect()
    sandbox.script.expire_now("acme")
    status, arrived = await post(**TWICE[kind](place), expect100=True)
    assert status == 200
    assert post.ledger() == [401, 200]
    assert arrived == await post.plainly(**TWICE[kind](place))


@pytest.mark.parametrize("kind", ["generator", "stream-reader", "form-generator"])
async def test_stream_that_nobody_asked_for(sandbox, connect, place, post, kind):
    """Refused before the 100, a stream is whole, and is sent."""
    sandbox.settings.early_refusals = True
    await connect()
    sandbox.script.expire_now("acme")
    status, arrived = await post(**ONCE[kind](place), expect100=True)
    assert status == 200
    assert post.ledger() == [401, 200]
    assert arrived == await post.plainly(**ONCE[kind](place))


async def test_stream_that_was_asked_for(sandbox, connect, place, post):
    """Refused after the 100 it is gone like any other."""
    await connect()
    sandbox.script.expire_now("acme")
    status, _ = await post(data=stream(), expect100=True)
    assert status == 401


# ---- files that change meanwhile


@pytest.fixture(name="between")
def _between(registration, sandbox):
    """Post with a Client that does something between the two sendings."""

    @contextlib.asynccontextmanager
    async def between(do):
        def hook(event):
            if isinstance(event, RefreshStarted):
                do()

        async with Client(registration, store=MemoryStore(), hooks=[hook]) as client:
            yield client

    return between


@pytest.mark.parametrize("chunked", [None, True], ids=["with-length", "chunked"])
async def test_file_truncated_meanwhile(
    sandbox, connect, place, between, tmp_path, chunked
):
    """Half a file is an error for its caller: neither a 200 nor a wait for ever."""
    file = place()

    def truncate():
        os.truncate(tmp_path / "body.bin", 1000)

    async with between(truncate) as client:
        await connect(to=client)
        sandbox.script.expire_now("acme")
        posts = Posts(sandbox, client)
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(posts(data=file, chunked=chunked), 10)
        assert (await posts(data=b"next"))[0] == 200
    arrived = [each.length for each in sandbox.ledger.api_calls if each.status == 200]
    assert arrived == [4]


async def test_file_that_grew_meanwhile(sandbox, connect, place, between, tmp_path):
    """What was there when the call was made is what is sent."""
    file = place()

    def grow():
        with (tmp_path / "body.bin").open("ab") as again:
            again.write(b"more")

    async with between(grow) as client:
        await connect(to=client)
        sandbox.script.expire_now("acme")
        status, arrived = await Posts(sandbox, client)(data=file)
    assert (status, arrived["length"]) == (200, len(BYTES))
    assert arrived["sha256"] == hashlib.sha256(BYTES).hexdigest()
