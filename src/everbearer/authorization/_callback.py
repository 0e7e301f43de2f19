"""What a callback says (RFC 6749 sections 4.1.2 and 4.1.2.1).  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from attrs import field, frozen

from everbearer import vocabulary as v
from everbearer._redact import excerpt
from everbearer.errors import CallbackError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from everbearer.providers import Callback

__all__ = ["CallbackValues", "read_callback"]


@frozen
class CallbackValues:
    """The values that matter, each there once or not at all."""

    code: str | None = field(repr=False)
    state: str | None = field(repr=False)
    error: str | None
    error_description: str


def read_callback(
    callback: Any,  # noqa: ANN401 - a URL in whatever form, or a mapping
    description: Callback,
) -> CallbackValues:
    """Read *callback*: a URL as received, or a mapping of its query values.

    Scheme, host and path are ignored: proxies rewrite them, and state binds.

    Raises:
        CallbackError: ``malformed``: not a callback, or a value is there twice.
    """
    found: dict[str, str] = {}
    wanted = {description.code_name, v.STATE, v.ERROR, v.ERROR_DESCRIPTION}
    for name, value in _pairs(callback):
        if name not in wanted:
            continue
        if name in found:
            # RFC 6749 section 3.1: parameters must not be included more than once.
            raise CallbackError("malformed", f"{name} is there more than once")
        if not isinstance(value, str):
            raise CallbackError("malformed", f"{name} is not text")
        found[name] = value
    return CallbackValues(
        found.get(description.code_name) or None,
        found.get(v.STATE) or None,
        excerpt(found[v.ERROR]) if found.get(v.ERROR) else None,
        excerpt(found.get(v.ERROR_DESCRIPTION, "")),
    )


def _pairs(callback: Any) -> Iterable[tuple[str, Any]]:  # noqa: ANN401
    if isinstance(callback, Mapping):
        for name, value in callback.items():
            if isinstance(value, list | tuple):
                yield from ((name, element) for element in value)
            else:
                yield name, value
        return
    try:
        query = urlsplit(str(callback)).query
        yield from parse_qsl(query, keep_blank_values=True)
    except ValueError:
        raise CallbackError(
            "malformed", "not a URL and not a mapping of query values"
        ) from None
