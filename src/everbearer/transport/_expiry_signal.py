"""Does this answer say that the token is no good?  Pure: no I/O, no clock.

A provider's signals are tried in order and the first that matches counts.  Status and
headers are looked at first; the body is asked for only where it decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from everbearer.transport._challenge import bearer_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from everbearer.providers import ExpirySignal

__all__ = ["ABSENT", "candidates", "first_match", "judged_from"]

ABSENT: Final[object] = object()
"""Stands for a body that is not JSON, too large, or not looked at."""

_ERRORS_FROM: Final = 400
_NOT_PLAIN_SUCCESS: Final = 300


def judged_from(signals: Iterable[ExpirySignal]) -> int:
    """The lowest status that deserves a look; below it an answer is a success.

    300 unless a signal names a lower one: a redirect does not prove that the token
    was taken (it may lead to a login page), so it is no plain success.
    """
    named = (status for signal in signals for status in signal.statuses)
    return min((*named, _NOT_PLAIN_SUCCESS))


def candidates(
    signals: Iterable[ExpirySignal], status: int, www_authenticate: Sequence[str]
) -> tuple[ExpirySignal, ...]:
    """The signals that status and headers do not rule out, in order."""
    errors: frozenset[str] | None = None
    left = []
    for signal in signals:
        if status not in signal.statuses if signal.statuses else status < _ERRORS_FROM:
            continue
        if signal.www_authenticate_error is not None:
            if errors is None:
                errors = bearer_errors(www_authenticate)
            if signal.www_authenticate_error not in (errors or {""}):
                continue
        left.append(signal)
    return tuple(left)


def first_match(
    left: Iterable[ExpirySignal], document: object = ABSENT
) -> ExpirySignal | None:
    """The first of *left* that the parsed JSON *document* does not rule out."""
    for signal in left:
        if not signal.json_path or _says(signal, document):
            return signal
    return None


def _says(signal: ExpirySignal, document: object) -> bool:
    if document is ABSENT:
        return False
    found = (_text(value) for value in _walk(document, signal.json_path))
    if not signal.values:
        return any(text is not None for text in found)
    wanted = {value.casefold() for value in signal.values}
    return any(text is not None and text.casefold() in wanted for text in found)


def _walk(node: object, path: Sequence[str]) -> Iterator[object]:
    """What *path* leads to: names of members, and ``*`` for every element."""
    if not path:
        yield node
    elif path[0] == "*":
        if isinstance(node, list):
            for element in node:
                yield from _walk(element, path[1:])
    elif isinstance(node, dict) and path[0] in node:
        yield from _walk(node[path[0]], path[1:])


def _text(value: object) -> str | None:
    """A scalar as it would be written in a signal: codes come as numbers too."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None
