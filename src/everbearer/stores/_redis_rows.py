"""How a record is written in Redis: a hash whose fields are columns, as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from everbearer.errors import StoreError
from everbearer.stores._swapping import Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from everbearer.tokens import AccountKey

__all__ = ["changes", "columns_of", "fields_of", "flat", "member_of", "row_of"]

# All other fields are columns, as JSON.
_AS_THEY_ARE: Final = (b"sealed", b"revision")
_NEEDED: Final = {b"provider", b"account", *_AS_THEY_ARE}
_NONSENSE: Final = (
    "a record in the Redis store makes no sense ({}): restore it from a backup"
)


def member_of(key: AccountKey) -> bytes:
    """What stands for *key* in the index of all, and at the end of its record's key."""
    # No account and no provider holds a control character; UTF-8 sorts by code points.
    return f"{key.provider}\0{key.account}".encode()


def flat(fields: Mapping[str, Any]) -> list[Any]:
    """Names and values in turn, as HSET takes them."""
    return [each for pair in fields.items() for each in pair]


def fields_of(members: list[bytes]) -> dict[bytes, bytes]:
    """The same back, as HGETALL in a script says it."""
    return dict(zip(members[::2], members[1::2], strict=True))


def changes(row: Row, there: Row | None) -> dict[str, str | bytes]:
    """The fields of *row* that differ from what is *there*.

    Most do not: packing and sending them all took longer than the rest of a write.
    """
    before = there.columns if there else {}
    fields: dict[str, str | bytes] = {
        name: json.dumps(value)
        for name, value in row.columns.items()
        if name not in before or before[name] != value
    }
    if there is None or there.sealed != row.sealed:
        fields["sealed"] = row.sealed
    return fields | {"revision": row.revision}


def columns_of(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """What the fields say, without what is sealed.

    Raises:
        StoreError: They make no sense.
    """
    columns = {
        name: value for name, value in fields.items() if name not in _AS_THEY_ARE
    }
    try:
        # At once: a parser for each took longer than everything else in a read.
        values = json.loads(f"[{b','.join(columns.values()).decode()}]")
        names = [name.decode() for name in columns]
        return dict(zip(names, values, strict=True))
    except (ValueError, RecursionError) as error:
        trouble = type(error).__name__
    # Not in the handler: the error has the text as an attribute.
    raise StoreError(_NONSENSE.format(trouble))


def row_of(members: list[bytes]) -> Row:
    """The record in a hash that is not empty.

    Raises:
        StoreError: It makes no sense.
    """
    fields = fields_of(members)
    missing = _NEEDED - fields.keys()
    if missing:
        raise StoreError(_NONSENSE.format(f"no {min(missing).decode()}"))
    return Row(columns_of(fields), fields[b"sealed"], fields[b"revision"].decode())
