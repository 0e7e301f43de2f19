"""Proof key for code exchange (RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import secrets

__all__ = ["challenge", "new_verifier"]


def new_verifier() -> str:
    """A code verifier: 64 characters of the unreserved set (section 4.1)."""
    return secrets.token_urlsafe(48)


def challenge(verifier: str, method: str) -> str:
    """The code challenge that goes into the connect link (section 4.2)."""
    if method == "plain":
        return verifier
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
