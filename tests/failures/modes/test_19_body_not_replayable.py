"""Mode 19: a body is sent again that is spent, and the API takes what is left of it.

Promised: before a request is sent again its body is looked at; what cannot arrive whole
is not sent, the caller has the API's own answer, and an event says why.  What is read
by position arrives whole however it was interrupted, and what cannot be repeated is
sent with a token that is good for longer, which nobody replaces meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import time

import pytest

from everbearer.events import ResendRefused
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio

CONTENT = os.urandom(3 << 18)


async def stream(content=b"streamed"):
    """Good for one time."""
    yield content


async def post(session, **options):
    """Status and document of an answer that tells which body arrived."""
    async with session.post("/v1/echo", **options) as response:
        return response.status, await response.json()


async def test_a_spent_stream_is_not_sent_again(scene):
    """Never a 200 for a body that did not arrive: the refusal is the caller's."""
    acme = await scene.acme()
    scene.sandbox.script.expire_now("acme")
    status, answer = await post(acme, data=stream())
    assert (status, answer["errors"][0]["Code"]) == (401, "AccessTokenExpired")
    assert scene.told(ResendRefused) == [
        ResendRefused("billit", "acme", "POST", "body")
    ]
    # The token is replaced all the same.
    status, _ = await post(acme, data=stream(b"next"))
    assert status == 200
    assert [call.status for call in scene.ledger.api_calls] == [401, 200]
    assert scene.ledger.refreshes == 1


class SlowFile(io.FileIO):
    """On a slow disk: the refusal comes while a thread is reading."""

    def read(self, size=-1):
        time.sleep(0.03)
        return super().read(size)


async def test_a_file_that_was_being_read(scene, tmp_path):
    """The read that the refusal interrupted does not move the file under the next."""
    path = tmp_path / "body.bin"
    path.write_bytes(CONTENT)
    acme = await scene.acme()
    scene.sandbox.script.add(faults.early_401(after=0))
    async with asyncio.timeout(5):
        status, arrived = await post(acme, data=SlowFile(path))
    assert (status, arrived["length"]) == (200, len(CONTENT))
    assert arrived["sha256"] == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("body", [CONTENT, None], ids=["bytes", "stream"])
async def test_a_body_that_nobody_asked_for(scene, body):
    """Refused before ``100 Continue``, even a stream is whole, and is sent."""
    scene.sandbox.settings.early_refusals = True
    acme = await scene.acme()
    scene.sandbox.script.expire_now("acme")
    data = stream(CONTENT) if body is None else body
    status, arrived = await post(acme, data=data, expect100=True)
    assert (status, arrived["length"]) == (200, len(CONTENT))
    assert [call.status for call in scene.ledger.api_calls] == [401, 200]


@pytest.mark.parametrize(
    ("data", "generation"), [(b"bytes", 0), (None, 1)], ids=["bytes", "stream"]
)
async def test_a_token_that_will_not_last(scene, data, generation):
    """Bytes go with a stale token while it is replaced; a stream waits for the next."""
    scene.sandbox.settings.access_lifetime = 300.0
    acme = await scene.acme()
    scene.clock.advance(300 - 30)
    status, _ = await post(acme, data=data or stream())
    assert status == 200
    assert [call.generation for call in scene.ledger.api_calls] == [generation]
    await scene.until(lambda: scene.ledger.refreshes == 1)


async def test_a_token_that_is_in_use_is_not_replaced(scene, whoami):
    """Where a refresh ends the old token, it is put off until the stream is sent."""
    scene.sandbox.settings.old_access_dies = True
    scene.sandbox.settings.access_lifetime = 300.0
    acme = await scene.acme(old_access_dies=True)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def upload():
        begun.set()
        yield b"first half, "
        await go_on.wait()
        yield b"second half"

    uploading = asyncio.create_task(post(acme, data=upload()))
    await begun.wait()
    scene.clock.advance(300 - 30)
    for _ in range(3):
        assert await whoami(acme) == "acme"
    assert not scene.ledger.token_requests
    go_on.set()
    status, arrived = await uploading
    assert (status, arrived["length"]) == (200, 23)
    await whoami(acme)
    await scene.until(lambda: scene.ledger.refreshes == 1)
