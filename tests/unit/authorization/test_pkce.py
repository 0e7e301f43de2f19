"""Proof key for code exchange, against the RFC's own numbers."""

from __future__ import annotations

import re

from everbearer.authorization._pkce import challenge, new_verifier


def test_the_vector_of_rfc_7636_appendix_b() -> None:
    """S256 is base64url of SHA-256, without padding."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge(verifier, "S256") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_plain_is_the_verifier_itself() -> None:
    """RFC 7636 section 4.2: only for servers that cannot do S256."""
    assert challenge("abc", "plain") == "abc"


def test_a_verifier_is_long_unreserved_and_new() -> None:
    """RFC 7636 section 4.1: 43 to 128 characters of the unreserved set."""
    verifiers = {new_verifier() for _ in range(100)}
    assert len(verifiers) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", each) for each in verifiers)
