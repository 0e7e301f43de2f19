"""An answer that another HTTP library has received: is it about the token?  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everbearer.transport._expiry_signal import candidates, first_match
from everbearer.transport._peek import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from everbearer.providers import ExpirySignal

__all__ = ["is_rejection"]


def is_rejection(
    signals: Iterable[ExpirySignal],
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> bool:
    """Whether the answer matches one of *signals*, by the rules of our own calls."""
    lines = [(name.lower(), value) for name, value in headers.items()]
    challenges = [value for name, value in lines if name == "www-authenticate"]
    left = candidates(signals, status, challenges)
    if not left:
        return False
    named = dict(lines)
    kind = named.get("content-type", "").partition(";")[0].strip()
    found = parsed(kind, body, named.get("content-encoding", ""))
    return first_match(left, found) is not None
