"""Which bodies arrive whole when sent twice, and which are never sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
from typing import TYPE_CHECKING

import aiohttp
import pytest
from attrs import frozen
from yarl import URL

from everbearer.events import ResendRefused
from everbearer.transport._body import guard, sendable_twice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TEXT = "Ærø & co\n" * 40_000
BYTES = TEXT.encode()
BIG = os.urandom(1 << 20) * 4


@frozen
class Place:
    """Where files are made, and closed if aiohttp does not."""

    folder: Path
    files: contextlib.ExitStack

    def __call__(self, mode="rb", *, skip=0, content=BYTES, **options):
        path = self.folder / "body.bin"
        path.write_bytes(content)
        file = self.files.enter_context(path.open(mode, **options))
        file.read(skip)
        return file

    def pipe(self):
        read, write = os.pipe()
        os.write(write, b"piped")
        os.close(write)
        return self.files.enter_context(os.fdopen(read, "rb"))


@pytest.fixture(name="place")
def _place(tmp_path):
    with contextlib.ExitStack() as files:
        yield Place(tmp_path, files)


def form(**fields):
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        data.add_field(name, value, filename=f"{name}.bin")
    return data


def multipart(*parts):
    writer = aiohttp.MultipartWriter("mixed", boundary="xyz")
    for part in parts:
        writer.append(part)
    return writer


def nested(*parts):
    return multipart("before", multipart(*parts), "after")


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks or (b"a" * 1000, b"b" * 1000):
        yield chunk
        await asyncio.sleep(0)


def parts(body):
    for part, _, _ in body:
        if isinstance(part, aiohttp.MultipartWriter):
            yield from parts(part)
        else:
            yield part


class Again:
    """An async iterable that could be iterated twice; aiohttp does not do that."""

    def __aiter__(self):
        return stream()


def reader(content=b"streamed"):
    protocol = aiohttp.base_protocol.BaseProtocol(asyncio.get_running_loop())
    made = aiohttp.StreamReader(protocol, 2**16, loop=asyncio.get_running_loop())
    made.feed_data(content)
    made.feed_eof()
    return made


class Unknown(aiohttp.Payload):
    """A payload of the caller's own making, of which nothing is known."""

    def decode(self, encoding="utf-8", errors="strict"):
        raise TypeError

    async def write(self, writer):
        await writer.write(b"unknown")


TWICE = {
    "nothing": lambda _: {},
    "bytes": lambda _: {"data": b"abc"},
    "bytearray": lambda _: {"data": bytearray(b"abc")},
    "memoryview": lambda _: {"data": memoryview(b"abc")},
    "str": lambda _: {"data": "abc"},
    "json": lambda _: {"json": {"a": [1, 2]}},
    "dict": lambda _: {"data": {"a": "b"}},
    "list": lambda _: {"data": [("a", "b")]},
    "form-urlencoded": lambda _: {"data": aiohttp.FormData({"a": "b"})},
    "multipart-str-json": lambda _: {"data": multipart("text", {"a": "b"}.__repr__())},
    "big-bytes": lambda _: {"data": BIG},
    "bytes-io": lambda _: {"data": io.BytesIO(BYTES)},
    "big-bytes-io": lambda _: {"data": io.BytesIO(BIG)},
    "string-io": lambda _: {"data": io.StringIO(TEXT)},
    "file": lambda p: {"data": p()},
    "big-file": lambda p: {"data": p(content=BIG)},
    "empty-file": lambda p: {"data": p(content=b"")},
    "seeked-file": lambda p: {"data": p(skip=1000)},
    "unbuffered-file": lambda p: {"data": p(buffering=0)},
    "read-write-file": lambda p: {"data": p("r+b")},
    "text-file": lambda p: {"data": p("r", encoding="utf-8")},
    "seeked-text-file": lambda p: {"data": p("r", encoding="utf-8", skip=1001)},
    "form-file": lambda p: {"data": form(f=p())},
    "form-bytes-io": lambda _: {"data": form(f=io.BytesIO(BYTES))},
    "form-file-in-dict": lambda p: {"data": {"f": p(), "a": "b"}},
    "multipart-file": lambda p: {"data": multipart("x", p())},
    "nested-multipart-file": lambda p: {"data": nested("x", p())},
    "chunked-bytes": lambda _: {"data": BYTES, "chunked": True},
    "chunked-file": lambda p: {"data": p(), "chunked": True},
    "gzip-bytes": lambda _: {"data": BYTES, "compress": "gzip"},
    "gzip-file": lambda p: {"data": p(), "compress": "gzip"},
    "expect100-bytes": lambda _: {"data": BYTES, "expect100": True},
    "expect100-file": lambda p: {"data": p(), "expect100": True},
    "expect100-nothing": lambda _: {"expect100": True},
}
RANDOM_BOUNDARY = {"form-file", "form-bytes-io", "form-file-in-dict"}
ONCE = {
    "generator": lambda _: {"data": stream()},
    "async-iterable": lambda _: {"data": Again()},
    "stream-reader": lambda _: {"data": reader()},
    "pipe": lambda p: {"data": p.pipe()},
    "multipart-generator": lambda _: {"data": multipart("x", stream())},
    "nested-generator": lambda _: {"data": nested("x", stream())},
    "form-generator": lambda _: {"data": form(f=stream())},
    "form-pipe": lambda p: {"data": form(f=p.pipe())},
    "chunked-generator": lambda _: {"data": stream(), "chunked": True},
    "gzip-generator": lambda _: {"data": stream(), "compress": "gzip"},
    "expect100-generator": lambda _: {"data": stream(), "expect100": True},
    "caller's-own-payload": lambda _: {"data": Unknown(None)},
}
# aiohttp 3.12 and newer warn at bytes of more than 1 MiB.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.mark.asyncio
@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
@pytest.mark.parametrize("kind", TWICE)
async def test_twice(kind, early, fetch, place, world):
    """The second sending carries the very bytes of the first, and of a plain call."""
    make, api = TWICE[kind], world.api
    api.early = early
    status, _ = await fetch(world.session(), method="PUT", **make(place))
    assert status == 200
    assert api.tokens == ["token-1", "token-2"]
    assert world.account.refreshes == 1
    first, second = api.seen
    assert early or first.sha256 == second.sha256
    api.good = None
    async with aiohttp.ClientSession() as bare:
        await fetch(bare, api.url, "PUT", **make(place))
    plain = api.seen[-1]
    assert second.length == plain.length
    assert kind in RANDOM_BOUNDARY or second.sha256 == plain.sha256
    for name in ("Content-Length", "Transfer-Encoding", "Content-Encoding"):
        assert second.headers.get(name) == plain.headers.get(name)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ONCE)
async def test_once(kind, fetch, place, world):
    """What is good for one time is sent once; the caller has the original answer."""
    status, answer = await fetch(world.session(), method="POST", **ONCE[kind](place))
    assert (status, answer) == (401, b"who are you?")
    assert world.api.tokens == ["token-1"]
    assert world.account.calls == [("reject", "token-1")]
    assert world.events == [ResendRefused("standard", "acme", "POST", "body")]
    assert world.account.most_under_way == 1
    assert world.account.under_way == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ONCE)
async def test_once_arrives_whole(kind, api, acme, fetch, place):
    """Being looked at does not change what a taken token's body carries."""
    api.good = None
    status, _ = await fetch(acme, method="POST", **ONCE[kind](place))
    assert status == 200
    async with aiohttp.ClientSession() as bare:
        await fetch(bare, api.url, "POST", **ONCE[kind](place))
    ours, theirs = api.seen
    assert ours.length == theirs.length > 0
    if "form" not in kind:
        assert ours.sha256 == theirs.sha256


@pytest.mark.asyncio
async def test_half_sent_generator(api, acme, world):
    """A stream that was refused half way is not continued as if it were new."""
    api.early = True
    sent = []

    async def endless():
        for number in range(2000):
            sent.append(number)
            yield b"x" * 65536
            await asyncio.sleep(0)

    async with acme.post("/v1/orders", data=endless()) as response:
        assert response.status == 401
        assert await response.text() == "who are you?"
    assert 0 < len(sent) < 2000
    assert api.tokens == ["token-1"]
    assert world.named() == ["ResendRefused"]


@pytest.mark.asyncio
async def test_refused_before_continue(serve, world, fetch):
    """A stream of which the server wanted nothing is whole, and is sent."""
    api = world.api

    async def expecting(request):
        if request.headers["Authorization"] == "Bearer token-2":
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        return aiohttp.web.Response(status=401)

    app = aiohttp.web.Application()
    app.router.add_post("/v1/orders", api.handle, expect_handler=expecting)
    runner = aiohttp.web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        world.provider = world.provider.with_hosts(api=f"http://{host}:{port}")
        status, _ = await fetch(
            world.session(), method="POST", data=stream(), expect100=True
        )
    finally:
        await runner.cleanup()
    assert status == 200
    assert [seen.length for seen in api.seen] == [2000]
    assert api.seen[0].sha256 == hashlib.sha256(b"a" * 1000 + b"b" * 1000).hexdigest()


@pytest.mark.asyncio
async def test_body_of_an_inner_middleware(api, world, fetch):
    """A stream that a caller's own middleware put in is found out before the resend."""

    async def replace(req, handler):
        await req.update_body(stream(b"inner"))
        return await handler(req)

    await world.use(middlewares=(replace,))
    status, _ = await fetch(world.session(), method="POST", data=b"outer")
    assert status == 401
    assert api.tokens == ["token-1"]
    assert [event.why for event in world.events] == ["body"]


@pytest.mark.asyncio
async def test_a_multipart_knows_its_parts():
    """A multipart body is as good as its worst part, however deep that is."""
    assert sendable_twice(b"")
    assert sendable_twice(multipart("x", multipart("y")))
    assert not sendable_twice(multipart("x", multipart(stream())))
    assert not sendable_twice(Unknown(None))


@pytest.mark.asyncio
async def test_guarding_twice_changes_nothing(place):
    """The next hop of a redirect finds the guards of the first."""
    body = nested(place(), stream())
    async with aiohttp.ClientSession() as session:
        req = aiohttp.ClientRequest(
            "PUT",
            URL("http://127.0.0.1/"),
            data=body,
            loop=asyncio.get_running_loop(),
            session=session,
        )
        assert not guard(req)
        guarded = list(parts(req.body))
        assert not guard(req)
    assert list(parts(req.body)) == guarded
    assert [type(part).__name__ for part in guarded] == [
        "StringPayload",
        "FileGuard",
        "OneShot",
        "StringPayload",
    ]
