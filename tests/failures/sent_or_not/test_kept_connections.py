"""A kept connection that the server closes just as it is used again.

The Client's own connector keeps none; one that a user gives may.
"""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest

from everbearer.token_endpoint import OutcomeKind

pytestmark = pytest.mark.asyncio

GOOD = b'{"access_token":"at-2","refresh_token":"rt-2","expires_in":3600}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD
STALE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
REFUSAL = b'{"error":"invalid_grant"}'
STALE_REFUSAL = b"HTTP/1.1 400 B\r\nContent-Length: %d\r\n\r\n" % len(REFUSAL) + REFUSAL


async def twice(judge, reader, writer):
    """Answer as often as there are requests."""
    while True:
        await judge.request(reader)
        writer.write(ANSWER)
        await writer.drain()


@pytest.fixture(name="kept")
def _kept(serving, caller):
    """A session whose one connection has served a request before."""

    @asynccontextmanager
    async def kept():
        async with serving(twice) as judge, aiohttp.ClientSession() as session:
            asking = caller()
            first = await asking.asked(session, judge.url)
            assert first.kind is OutcomeKind.GRANTED
            judge.seen.clear()

            async def again(**options):
                return await asking.asked(session, judge.url, **options)

            yield judge, again
            assert len(judge.connections) == 1

    return kept


def close(judge, last_words=b""):
    """Close from the server's side; no turn of the loop is taken, nobody notices."""
    sock = judge.connections[0].get_extra_info("socket")
    if last_words:
        judge.connections[0].write(last_words)
    sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "last_words",
    [
        pytest.param(b"", id="without-a-word"),
        pytest.param(STALE, id="408"),
        pytest.param(STALE_REFUSAL, id="an-answer-to-nothing"),
    ],
)
async def test_closed_as_it_is_taken_from_the_pool(last_words, kept, judged):
    """The FIN is there and not seen yet: it is looked for before anything is sent."""
    async with kept() as (judge, again):
        close(judge, last_words)
        judged(await again(), OutcomeKind.NOT_SENT, judge)


async def test_closed_between_the_last_look_and_the_write(kept, judged):
    """Nothing came through, but nobody can know: the word is 'ambiguous'."""
    async with kept() as (judge, again):

        async def before_sending():
            close(judge)

        judged(await again(before_sending=before_sending), OutcomeKind.AMBIGUOUS, judge)
