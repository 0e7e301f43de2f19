"""What a callback says (RFC 6749 sections 4.1.2 and 4.1.2.1).  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from attrs import field, frozen

from everbearer import vocabulary as v
from everbearer._redact import excerpt
from everbearer.errors import CallbackError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CallbackValues", "read_callback"]

# Web servers take 8 to 64 KiB for a request line; nothing longer was a callback, and
# splitting a megabyte of separators would hold the event loop up.
_LONGEST: Final = 64 * 1024
_FIXED: Final = frozenset({v.STATE, v.ERROR, v.ERROR_DESCRIPTION, v.ISS})


@frozen
class CallbackValues:
    """The values that matter, each there once or not at all.

    Attributes:
        codes: By the names that providers give to it; never with an ``error``.

        state: As it came back.

        issuer: Who says that it sends the user back (RFC 9207 section 2).

        error, error_description: Why the provider sends the user back without a code.

        extra: What else the providers' descriptions keep.
    """

    codes: Mapping[str, str] = field(repr=False, hash=False)
    state: str | None = field(repr=False)
    error: str | None
    error_description: str
    issuer: str | None = None
    extra: Mapping[str, str] = field(factory=dict, repr=False, hash=False)


def read_callback(
    callback: Any,  # noqa: ANN401 - a URL in whatever form, or a mapping
    code_names: Iterable[str],
    question_mark: Iterable[str] = (),
    extra_names: Iterable[str] = (),
) -> CallbackValues:
    """Read *callback*: a URL as received, or a mapping of its query values.

    Scheme, host and path are ignored: proxies rewrite them, and state binds.

    Args:
        callback: What came.

        code_names: What the providers in question call ``code``.

        question_mark: Those of them that may come after a second ``?``.

        extra_names: What else they send back that is kept.

    Raises:
        CallbackError: ``malformed``: not a callback, or a value is there twice.
    """
    code_names, extra_names = frozenset(code_names), frozenset(extra_names)
    read = code_names | extra_names | _FIXED
    found: dict[str, str] = {}
    pairs = _pairs(callback)
    if question_mark := frozenset(question_mark):
        pairs = _apart(pairs, question_mark | _FIXED)
    for name, value in pairs:
        if name not in read:
            continue
        if name in found:
            # RFC 6749 section 3.1: parameters must not be included more than once.
            raise CallbackError("malformed", f"{name} is there more than once")
        if not _is_text(value):
            raise CallbackError("malformed", f"{name} is not text")
        found[name] = value
    codes = {name: found[name] for name in code_names if found.get(name)}
    state, error = found.get(v.STATE) or None, found.get(v.ERROR)
    if bool(codes) == bool(error):
        raise CallbackError(
            "malformed",
            "a code and an error came back"
            if error
            else "neither a code nor an error came back",
        )
    secrets = (state, *codes.values())
    return CallbackValues(
        codes,
        state,
        # What has nothing to print in it is an error all the same.
        (excerpt(error, secrets) or "refused") if error else None,
        excerpt(found.get(v.ERROR_DESCRIPTION, ""), secrets),
        found.get(v.ISS),
        {name: found[name] for name in extra_names if name in found},
    )


def _is_text(value: object) -> bool:
    """Whether *value* can be sent on: half a surrogate pair cannot."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _pairs(
    callback: Any,  # noqa: ANN401 - a URL in whatever form, or a mapping
) -> Iterable[tuple[str, Any]]:
    if isinstance(callback, Mapping):
        for name, value in callback.items():
            if isinstance(value, list | tuple):
                yield from ((name, element) for element in value)
            else:
                yield name, value
        return
    url = str(callback)
    if len(url) > _LONGEST:
        raise CallbackError("malformed", "longer than any callback")
    try:
        query = urlsplit(url).query
        yield from parse_qsl(query, keep_blank_values=True)
    except ValueError:
        raise CallbackError(
            "malformed", "not a URL and not a mapping of query values"
        ) from None


def _apart(
    pairs: Iterable[tuple[str, Any]], names: frozenset[str]
) -> Iterable[tuple[str, Any]]:
    """*pairs*, with those taken apart whose value goes on with ``?name=`` of *names*.

    It may be text after all, of a parameter that has nothing to do with us: what came
    under its own name counts.
    """
    pairs = list(pairs)
    own = {name for name, _ in pairs}
    second = re.compile(rf"\?(?=(?:{'|'.join(map(re.escape, sorted(names)))})=)")
    for name, value in pairs:
        if not isinstance(value, str) or len(value) > _LONGEST:
            yield name, value
            continue
        first, *rest = second.split(value)
        yield name, first
        for part in rest:
            inner, _, text = part.partition("=")
            if inner not in own or name in names:
                yield inner, text
