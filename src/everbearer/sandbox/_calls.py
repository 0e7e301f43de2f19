"""An API call with a good token, its reply, and what handlers do with them."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Final

from aiohttp import web
from attrs import field, frozen

from everbearer.sandbox._answer import Answer

if TYPE_CHECKING:
    from everbearer.sandbox._grants import AccessToken
    from everbearer.sandbox._settings import Settings
    from everbearer.sandbox._twin import Twin

__all__ = ["Call", "Reply", "first_id", "read", "received", "whole_number"]

_CHUNK: Final = 65_536
_MOST_DIGITS: Final = 100
_DOCUMENTS_PER_COMPANY: Final = 100_000


@frozen(eq=False)
class Call:
    """An API request with a good token."""

    request: web.Request
    token: AccessToken
    settings: Settings
    twin: Twin

    @property
    def company(self) -> str:
        """Whose token it is."""
        return self.token.grant.company

    def bad_request(self, why: str) -> Reply:
        """Refuse it, in the provider's words."""
        return Reply(self.twin.api.bad_request(why))


@frozen(eq=False)
class Reply:
    """An answer, and what the ledger should know besides."""

    answer: Answer
    documents: int = 0
    sha256: str | None = None
    length: int | None = None
    response: web.StreamResponse | None = field(default=None, repr=False)


async def received(call: Call, status: int) -> Reply:
    """Tell the SHA-256 and the length of the body as it arrived."""
    sha256, length = await read(call.request)
    content = {
        "sha256": sha256,
        "length": length,
        "method": call.request.method,
        "company": call.company,
    }
    return Reply(Answer.of(content, status), sha256=sha256, length=length)


async def read(request: web.Request, most: int | None = None) -> tuple[str, int]:
    """Read the body, or *most* bytes of it; return its SHA-256 and length."""
    digest, length = hashlib.sha256(), 0
    while most is None or length < most:
        chunk = await request.content.read(_CHUNK)
        if not chunk:
            break
        digest.update(chunk)
        length += len(chunk)
    return digest.hexdigest(), length


def whole_number(text: str) -> int | None:
    """A whole number, or None; nobody counts to what int() refuses to read."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def first_id(company: str) -> int:
    """Documents of two companies have different numbers, the same in every run."""
    return zlib.crc32(company.encode()) * _DOCUMENTS_PER_COMPANY + 1
