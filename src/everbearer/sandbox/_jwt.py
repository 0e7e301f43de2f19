"""Tokens that look like JWTs: claims to read, and a signature that nobody can check."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["unverifiable"]

_RS256_BYTES: Final = 256


def unverifiable(claims: Mapping[str, Any]) -> str:
    """A compact JWS of *claims* (RFC 7515 section 3.1) that says it is RS256."""
    header = {"typ": "JWT", "alg": "RS256"}
    signature = secrets.token_urlsafe(_RS256_BYTES)
    return f"{_part(header)}.{_part(claims)}.{signature}"


def _part(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return urlsafe_b64encode(text).decode().rstrip("=")
