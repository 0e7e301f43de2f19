"""What stands in an answer's body, and what of it may be printed.  Pure.

Content-Type is not trusted: servers label JSON as HTML and HTML as JSON.  Whatever is
read here can be stored: no NaN, no endless integer, no half of a surrogate pair.
"""

from __future__ import annotations

import base64
import codecs
import json
import math
import re
import zlib
from typing import TYPE_CHECKING, Any, Final

from everbearer import vocabulary as v
from everbearer._redact import HIDDEN, excerpt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["claims", "decompressed", "found", "parsed", "storable", "words"]

_MOST_DIGITS: Final = 400
_MOST_CODINGS: Final = 2
_JWT_PARTS: Final = 3
_DEEPEST_WORDS: Final = 4
# Python's json goes as deep as the stack at hand allows.  What is read in one place
# must be written in another, with more frames below it.
_DEEPEST_KEPT: Final = 32

# Families whose decoders take linear time and cannot fail in surprising ways.
_CHARSETS: Final = ("ascii", "cp", "iso8859", "tis-620", "utf-8")

# Members in which providers put their words; a token is never among them.
_WORDS: Final = frozenset(
    {
        v.ERROR,
        v.ERROR_DESCRIPTION,
        "code",
        "description",
        "detail",
        "error_message",
        "errorcode",
        "errormessage",
        "message",
        "msg",
        "reason",
        "title",
    }
)

# Where an unreadable answer holds a token all the same: "access_token":"... in JSON
# that was cut off, refresh_token=... in a form that a debug page echoes.
_MEMBER: Final = re.compile(
    r"(?i)((?:token|secret|verifier|assertion|password)[\"']?\s{0,9}[=:]\s{0,9}[\"']?)"
    r"[^\"'\s&,;<>]+"
)


def decompressed(body: bytes, codings: str, longest: int) -> bytes | None:
    """Undo Content-Encoding; None if that makes more than *longest* bytes (a bomb).

    RFC 9110 section 8.4.  `identity` was asked for, so anything else is unexpected;
    what does not read as labelled is taken as it is.
    """
    names = [name for part in codings.lower().split(",") if (name := part.strip())]
    for name in reversed(names[-_MOST_CODINGS:]):
        if name not in {"gzip", "x-gzip", "deflate"}:
            return body
        try:
            # 32: gzip or zlib, whichever it is.
            plain = zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(
                body, longest + 1
            )
        except zlib.error:
            return body
        if len(plain) > longest:
            return None
        body = plain
    return body


def parsed(body: bytes, content_type: str = "") -> object:
    """The JSON in *body*, or None."""
    try:
        return json.loads(
            _text(body, content_type),
            parse_constant=lambda _: None,
            parse_float=_finite,
            parse_int=_integer,
        )
    except (ValueError, RecursionError):
        return None


def claims(token: object) -> Mapping[str, Any]:
    """The claims of *token* if it is a signed JWT (RFC 7519 section 3), else nothing.

    Not verified: what is read here came over TLS from the server that issued it, and
    decides about nothing but when to ask again.
    """
    parts = token.split(".") if isinstance(token, str) else []
    if len(parts) != _JWT_PARTS:
        return {}
    try:
        # RFC 7515 section 2: without padding; what is too much of it is ignored.
        payload = base64.urlsafe_b64decode(f"{parts[1]}==")
    except ValueError:
        return {}
    read = parsed(payload)
    return read if isinstance(read, dict) else {}


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _text(body: bytes, content_type: str) -> str:
    """Decode *body*; a stray byte in a description must not cost a rotation."""
    try:
        # RFC 8259 section 8.1 says UTF-8; a BOM or another UTF is told by the bytes.
        return body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:
        pass
    try:
        charset = codecs.lookup(_charset(content_type)).name
        if charset.startswith(_CHARSETS):
            return body.decode(charset)
    except (LookupError, ValueError):
        pass
    return body.decode("latin-1")


def _charset(content_type: str) -> str:
    match = re.search(r"(?i)charset\s*=\s*\"?([\w.:-]+)", content_type)
    return match[1] if match else "utf-8"


def storable(value: object) -> bool:
    """Whether a member can be kept: written as JSON in UTF-8 and read again."""
    if not _is_shallow(value, _DEEPEST_KEPT):
        return False
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def _is_shallow(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(each, depth - 1) for each in inner)


def found(document: object, path: Sequence[str]) -> Iterator[str]:
    """Every scalar at *path*, as text; ``*`` stands for each element of a list."""
    if not path:
        if isinstance(document, bool):
            yield str(document).lower()
        elif isinstance(document, str | int | float):
            yield str(document)
    elif path[0] == "*":
        if isinstance(document, list):
            for element in document:
                yield from found(element, path[1:])
    elif isinstance(document, dict) and path[0] in document:
        yield from found(document[path[0]], path[1:])


def words(
    document: object, body: bytes, content_type: str, secrets: Iterable[str]
) -> str:
    """The provider's own words on an error, cut, with no secret in them.

    *secrets* are those that were sent.  Those in the answer are not asked for by
    name: of JSON only members that hold words are taken.
    """
    if isinstance(document, dict | list):
        said: dict[str, None] = dict.fromkeys(_said(document, _DEEPEST_WORDS))
        return excerpt("; ".join(said), secrets)
    text = _text(body, content_type)
    return excerpt(_MEMBER.sub(rf"\1{HIDDEN}", text), secrets)


def _said(node: object, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    if isinstance(node, list):
        for element in node:
            yield from _said(element, depth - 1)
    elif isinstance(node, dict):
        yield from _said_in(node, depth)


def _said_in(members: Mapping[Any, Any], depth: int) -> Iterator[str]:
    for name, value in members.items():
        if isinstance(value, dict | list):
            yield from _said(value, depth - 1)
        elif str(name).lower() in _WORDS and value not in ("", None):
            yield str(value)
