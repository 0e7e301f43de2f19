"""Secrets that never print: fingerprints to compare by, and text with secrets cut."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HIDDEN", "excerpt", "fingerprint"]

HIDDEN: Final = "<hidden>"
_LONGEST_EXCERPT: Final = 200
_SHORTEST_SECRET: Final = 4


def fingerprint(secret: str | None) -> str:
    """Name *secret* without telling it: 128 bits of a personalised BLAKE2b.

    The same in every process, because intents and refusals in the store are compared
    by it.  Tokens carry far more entropy than could be guessed from a digest; nothing
    that people choose is ever fingerprinted.
    """
    if not secret:
        return ""
    return hashlib.blake2b(
        secret.encode(), digest_size=16, person=b"everbearer"
    ).hexdigest()


def excerpt(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Cut *text* to a line that may be logged, with every one of *secrets* hidden.

    Error bodies of token endpoints have been seen to echo the refresh token.
    """
    # The longest first: one secret may begin with another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    # Hidden first, cut second: half a secret is not found, and a whole page not read.
    text = text[: 10 * _LONGEST_EXCERPT]
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(text) > _LONGEST_EXCERPT:
        return text[:_LONGEST_EXCERPT] + "..."
    return text
