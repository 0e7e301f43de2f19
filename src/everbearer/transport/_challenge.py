"""The challenges of WWW-Authenticate headers (RFC 9110 section 11.6.1).  Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["bearer_errors"]

# Section 5.6.2 (token), 5.6.4 (quoted-string), 11.2 (token68).  A name that is
# followed by "=" and a value is a parameter of the scheme before it; one that is not
# opens the next challenge.  Spaces around "=" are allowed (11.2, "bad whitespace").
# Nothing is read twice ("++" does not give back, and what is no item is passed over in
# one piece): of a header made for it, every character could begin a search of the rest.
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_ITEM: Final = re.compile(
    rf"""
    (?P<name>{_TOKEN}) \s*+=\s*+
        (?: "(?P<quoted>(?:[^"\\]|\\.)*+)" | (?P<plain>{_TOKEN}) )
    | (?P<scheme>{_TOKEN}) (?=\s|,|$)
    | "(?:[^"\\]|\\.)*+"?           # a stray or endless string: no place to look in
    | {_TOKEN}
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def bearer_errors(headers: Iterable[str]) -> frozenset[str]:
    """The ``error`` values of all Bearer challenges (RFC 6750 section 3).

    Several challenges may share a header and several headers may come.  Scheme and
    parameter names are compared without letter case, values as they are.
    """
    return frozenset(
        value
        for header in headers
        for scheme, name, value in _parameters(header)
        if scheme == "bearer" and name == "error"
    )


def _parameters(header: str) -> Iterator[tuple[str, str, str]]:
    scheme = ""
    for item in _ITEM.finditer(header):
        if item["scheme"] is not None:
            scheme = item["scheme"].lower()
        elif item["name"] is not None:
            value = (
                item["plain"]
                if item["plain"] is not None
                else _ESCAPED.sub(r"\1", item["quoted"])
            )
            yield scheme, item["name"].lower(), value
