"""Request bodies, made safe to send twice, or known to be good for one time only.

The one file that touches the private parts of aiohttp's payloads, because a request
is given to a middleware with its payload already made: ``ClientRequest._body``,
``MultipartWriter._parts`` and ``IOBasePayload._value``.  Tested against the oldest and
the newest aiohttp.
"""

from __future__ import annotations

import asyncio
import io
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientPayloadError, MultipartWriter, payload

if TYPE_CHECKING:
    from aiohttp import ClientRequest
    from aiohttp.abc import AbstractStreamWriter

__all__ = ["guard", "sendable_twice"]

_CHUNK: Final = 2**18
_IN_MEMORY: Final = (payload.BytesPayload, payload.BytesIOPayload)


class _Guarded(payload.Payload):
    """Stands before another payload; same headers, same size."""

    _value: payload.Payload

    def __init__(self, inner: payload.Payload) -> None:
        super().__init__(
            inner,
            headers=inner.headers,
            content_type=inner.content_type,
            filename=inner.filename,
            encoding=inner.encoding,
        )
        self._size = inner.size

    @property
    def consumed(self) -> bool:
        return self._value.consumed

    @property
    def autoclose(self) -> bool:
        return self._value.autoclose

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return await self._value.as_bytes(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    def _close(self) -> None:
        self._value._close()  # noqa: SLF001 - the hook that aiohttp calls

    async def close(self) -> None:
        await self._value.close()


class FileGuard(_Guarded):
    """A seekable file that is read by position.

    The race: a server answers 401 before it has read the body, aiohttp cancels its
    writer, but the writer's executor thread is still inside ``file.read()``.  When the
    body is sent again from the start, that stale read moves the offset under the new
    one: bytes are missing and the server answers 200, or both sides hang.  Here every
    read says where from, under a lock, so that a stale one harms nobody.
    """

    def __init__(self, inner: payload.IOBasePayload) -> None:
        super().__init__(inner)
        self._file: io.IOBase = inner._value  # noqa: SLF001 - has no public name
        self._start = self._file.tell()
        self._stored = _stored(self._file)
        self._one_reader = threading.Lock()

    def _read_at(self, position: int, most: int) -> tuple[bytes, int]:
        # A text file's position is a cookie, good for seek() and nothing else.
        file: Any = self._file
        with self._one_reader:
            file.seek(position)
            chunk = file.read(most)
            if isinstance(chunk, str):
                chunk = chunk.encode(self.encoding or "utf-8")
            return chunk, file.tell()

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Send the file from where it stood when it was handed over.

        Stops at *content_length*, and at the size that the file had then, as aiohttp
        does: the header with the size has been sent.

        Raises:
            ClientPayloadError: Somebody has made the file shorter.  To end here would
                leave the server waiting for the rest, or content with what it has.
        """
        read = asyncio.get_running_loop().run_in_executor
        position, written = self._start, 0
        while content_length is None or written < content_length:
            left = _CHUNK if content_length is None else content_length - written
            chunk, position = await read(
                None, self._read_at, position, min(_CHUNK, left)
            )
            if not chunk:
                # Not by what was read: text is stored in another length than sent.
                if _stored(self._file) < self._stored:
                    message = "the file became shorter before all of it was sent"
                    raise ClientPayloadError(message)
                return
            await writer.write(chunk[:left])
            written += len(chunk)
            if self._size is not None and written >= self._size:
                return


def _stored(file: io.IOBase) -> int:
    """Bytes in the file, or 0 for what has no file behind it."""
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0


class OneShot(_Guarded):
    """A generator, a stream, a pipe: whatever was read from it is gone.

    aiohttp sends such a body again as an empty one, or as what is left of it, and no
    exception tells.  Its own mark comes late on some versions, so this one keeps
    account of whether a single byte was asked for: a body that the server refused
    before ``100 Continue`` (RFC 9110 section 10.1.1) is whole.
    """

    started = False

    @property
    def consumed(self) -> bool:
        return self.started or self._value.consumed

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        self.started = True
        await self._value.write_with_length(writer, content_length)


def guard(req: ClientRequest) -> bool:
    """Put guards where *req*'s body needs them; False if it is good for one time.

    Called again for the same body (the next hop of a redirect) it changes nothing.
    """
    body = req.body
    if isinstance(body, _IN_MEMORY) or not body:
        return True
    guarded = _guarded(body)
    if guarded is not body:
        # update_body() would close the file that is about to be sent.
        req._body = guarded  # noqa: SLF001 - no public setter
    return not _one_shot(guarded)


def _guarded(body: payload.Payload) -> payload.Payload:
    if isinstance(body, (*_IN_MEMORY, _Guarded)):
        return body
    if isinstance(body, MultipartWriter):
        body._parts[:] = [  # noqa: SLF001 - no public name
            (_guarded(part), encoding, te_encoding)
            for part, encoding, te_encoding in body
        ]
        return body
    if isinstance(body, payload.IOBasePayload) and body._value.seekable():  # noqa: SLF001
        return FileGuard(body)
    # What is not known is taken for good once: the caller may get a 401, and never a
    # 200 for a body that was not sent.
    return OneShot(body)


def _one_shot(body: payload.Payload) -> bool:
    if isinstance(body, MultipartWriter):
        return any(_one_shot(part) for part, _, _ in body)
    return isinstance(body, OneShot)


def sendable_twice(body: payload.Payload | bytes) -> bool:
    """Whether *body*, sent before, would arrive whole if it were sent again.

    Looked into part by part: on aiohttp 3.12 a multipart body does not know that a
    part of it is spent.
    """
    if not isinstance(body, payload.Payload):
        return True
    if body.consumed:
        return False
    if isinstance(body, MultipartWriter):
        return all(sendable_twice(part) for part, _, _ in body)
    return isinstance(body, (*_IN_MEMORY, _Guarded))
