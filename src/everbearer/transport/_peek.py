"""A look at an answer's body that the caller can still read afterwards."""

from __future__ import annotations

import asyncio
import json
import re
import warnings
import zlib
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp.base_protocol import BaseProtocol

from everbearer.transport._expiry_signal import ABSENT

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["document", "parsed", "settle", "take"]

LONGEST: Final = 64 * 1024
"""Bytes; an error body that is larger is nobody's error code."""

PATIENCE: Final = 5.0
"""Seconds; an error body that trickles in may not hold the call up for ever."""

# RFC 8259, and RFC 6839 section 3.1 for "+json" (RFC 9457's problem details).
_JSON: Final = re.compile(r"^(application|text)/(json|[\w.+-]+\+json)$")
# 32 + MAX_WBITS: zlib and gzip headers are told apart (RFC 1950, RFC 1952).
_ANY_HEADER: Final = 32 + zlib.MAX_WBITS


async def document(response: ClientResponse) -> object:
    """The JSON in *response*'s body, or ABSENT; the body stays readable."""
    if not _JSON.match(response.content_type.lower()):
        return ABSENT
    return parsed(
        response.content_type,
        await take(response),
        response.headers.get("Content-Encoding", ""),
    )


def parsed(content_type: str, body: bytes | None, encoding: str) -> object:
    """The JSON in *body*, or ABSENT if it is declared as something else, or too large.

    *content_type* comes without parameters.
    """
    if not body or len(body) > LONGEST or not _JSON.match(content_type.lower()):
        return ABSENT
    return _parsed(body, encoding)


async def take(
    response: ClientResponse, *, longest: int = LONGEST, patience: float = PATIENCE
) -> bytes | None:
    """Read *response*'s body and put it back.

    Returns:
        The body, if all of it came within *longest* bytes and *patience* seconds; its
        connection is then back in the pool.  Else None: what was read is put back and
        the rest is still to come, or the caller will meet the error that it broke
        off with.

    If this is cancelled, or aiohttp's own timeout strikes, the response is closed.
    """
    if (response.content_length or 0) > longest:
        return None
    chunks: list[bytes] = []
    try:
        whole = await _read(response, chunks, longest, patience)
    except aiohttp.ClientError:
        return None
    except BaseException:
        response.close()
        raise
    body = b"".join(chunks)
    if whole:
        response.content = _finished(body)
        return body
    with warnings.catch_warnings():
        # The only way back for bytes of an unfinished body.
        warnings.simplefilter("ignore", DeprecationWarning)
        response.content.unread_data(body)
    return None


async def _read(
    response: ClientResponse, chunks: list[bytes], longest: int, patience: float
) -> bool:
    content, size = response.content, 0
    limit = asyncio.timeout(patience)
    try:
        async with limit:
            while size <= longest:
                if not (chunk := await content.readany()):
                    return True
                chunks.append(chunk)
                size += len(chunk)
    except TimeoutError:
        if not limit.expired():
            raise
    return False


def _finished(body: bytes) -> aiohttp.StreamReader:
    loop = asyncio.get_running_loop()
    reader = aiohttp.StreamReader(BaseProtocol(loop), LONGEST, loop=loop)
    reader.feed_data(body)
    reader.feed_eof()
    return reader


async def settle(response: ClientResponse) -> None:
    """Give *response*'s connection back before a wait; a small body stays readable.

    Whoever holds a rejected answer while a refresh waits for a connection from the
    same pool may wait for ever.  A body that is too large or too slow is given up with
    its connection; status and headers stay.
    """
    if await take(response) is None:
        response.close()


def _parsed(body: bytes, encoding: str) -> object:
    try:
        document: object = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        if encoding.lower() not in {"gzip", "x-gzip", "deflate"}:
            return ABSENT
    else:
        return document
    # Still packed: the session or the call has auto_decompress=False.
    try:
        unpacked = zlib.decompressobj(_ANY_HEADER).decompress(body, LONGEST)
        document = json.loads(unpacked.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError, zlib.error):
        return ABSENT
    return document
