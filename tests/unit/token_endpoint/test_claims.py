"""The claims of a JWT are read without trusting a byte of it."""

from __future__ import annotations

import base64
import json

import pytest

from everbearer.token_endpoint._document import claims


def part(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize("length", range(1, 5))
def test_read_whatever_the_padding(length):
    """RFC 7515 section 2: the parts come without padding."""
    payload = {"exp": 1, "x": "ក" * length}
    assert claims(f"{part({})}.{part(payload)}.c2ln") == payload


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(None, id="none"),
        pytest.param("opaque", id="opaque"),
        pytest.param("a.b", id="two-parts"),
        pytest.param("a.b.c.d.e", id="encrypted"),
        pytest.param("..", id="empty"),
        pytest.param("a.!.c", id="no-base64"),
        pytest.param("a.ក.c", id="no-ascii"),
        pytest.param(f"a.{part(b'[1]')}.c", id="list"),
        pytest.param(f"a.{part(b'1')}.c", id="number"),
        pytest.param(f"a.{part(b'{')}.c", id="no-json"),
        pytest.param(f"a.{part(b'[' * 100_000)}.c", id="deep"),
        pytest.param(f"a.{part(bytes(range(256)))}.c", id="bytes"),
    ],
)
def test_what_is_no_signed_jwt_has_none(token):
    """Whatever it is, it is a token all the same."""
    assert claims(token) == {}
