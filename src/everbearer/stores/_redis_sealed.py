"""What is sealed in a Redis store."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from everbearer.stores._redis_rows import columns_of, fields_of, member_of
from everbearer.stores._resealing import Sealed
from everbearer.stores._seal import PENDING, TOKEN
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from everbearer.stores._redis_connections import Connections
    from everbearer.stores.keyring import Keyring

__all__ = ["RedisSealed"]

# What means something else in a pattern (redis.io, KEYS).
_SPECIAL: Final = re.compile(r"([\\*?\[\]^-])")
_PAGE: Final = 100


@frozen
class RedisSealed:
    """Implements `SealedRecords`.

    Attributes:
        keyring: The store's.

        prefix: What every key begins with.

        on: Does work with a connection.

        script: Runs a script of the store's.
    """

    keyring: Keyring
    prefix: str
    on: Callable[[Callable[[Connections], Awaitable[Any]]], Awaitable[Any]] = field(
        repr=False
    )
    script: Callable[[str, Sequence[str | bytes], Iterable[Any]], Awaitable[Any]] = (
        field(repr=False)
    )

    async def all(self) -> AsyncIterator[Sealed]:
        """Every row, a page at a time."""
        page, after = [b""], b"-"
        while page:
            page = await self._page(after)
            for member in page:
                place = self.prefix.encode() + b"record:" + member
                if (found := await self._load(place, TOKEN)) is not None:
                    yield found
                after = b"(" + member
        async for place in self._pending():
            if (found := await self._load(place, PENDING)) is not None:
                yield found

    async def exchange(self, found: Sealed, anew: bytes) -> bytes | None:
        """One script; a new revision makes whoever is about to write read again."""
        if found.kind == TOKEN:
            place = b"record:" + member_of(found.key)
        else:
            place = b"pending:" + found.columns["state_fingerprint"].encode()
        arguments = [found.sealed, anew, secrets.token_hex(8)]
        place = self.prefix.encode() + place
        there: bytes | None = await self.script("exchange", [place], arguments)
        return there

    async def _page(self, after: bytes) -> list[bytes]:
        everyone = self.prefix + "all"
        members: list[bytes] = await self.on(
            lambda each: each.client.zrangebylex(
                everyone, after, b"+", start=0, num=_PAGE
            )
        )
        return members

    async def _load(self, place: bytes, kind: str) -> Sealed | None:
        _, _, members = await self.script("load", [place], [])
        fields = fields_of(members)
        columns = columns_of(fields)
        if not columns or columns.get("used"):
            return None
        key = AccountKey(columns["provider"], columns["account"])
        return Sealed(kind, key, columns, fields[b"sealed"])

    async def _pending(self) -> AsyncIterator[bytes]:
        """Their keys, each once, although SCAN may tell one twice (redis.io, SCAN)."""
        pattern = _SPECIAL.sub(r"\\\1", self.prefix) + "pending:*"
        seen: set[bytes] = set()
        cursor, begun = 0, False
        while cursor or not begun:
            begun = True
            cursor, page = await self._scan(cursor, pattern)
            for place in page:
                if place not in seen:
                    seen.add(place)
                    yield place

    async def _scan(self, cursor: int, pattern: str) -> tuple[int, list[bytes]]:
        found: tuple[int, list[bytes]] = await self.on(
            lambda each: each.client.scan(cursor, match=pattern, count=10 * _PAGE)
        )
        return found
