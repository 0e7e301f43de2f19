"""WWW-Authenticate headers as servers write them, and as somebody makes them up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbearer.transport._challenge import bearer_errors

TOKENS = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1)
# What a header line can carry at all: no line ends (RFC 9110 section 5.5).
VALUES = st.text(st.characters(exclude_characters="\r\n\0"))
LONG = 400_000


def quoted(text: str) -> str:
    """A quoted-string (RFC 9110 section 5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(error=VALUES, before=st.lists(st.tuples(TOKENS, VALUES)), spaces=st.text(" \t"))
def test_what_is_written_by_the_rules_is_read(error, before, spaces):
    """Whatever stands in the other parameters, the error comes out as it went in."""
    parameters = [f"x{name}{spaces}={spaces}{quoted(text)}" for name, text in before]
    header = "Bearer " + ", ".join([*parameters, f"error={quoted(error)}"])
    assert bearer_errors([header]) == {error}


@given(headers=st.lists(VALUES, max_size=4))
def test_headers_do_not_hide_each_other(headers):
    """Of several headers each is read for itself, whatever stands in the others."""
    apart = [bearer_errors([header]) for header in headers]
    challenge = 'Bearer error="invalid_token"'
    assert bearer_errors([*headers, challenge]) == {"invalid_token"}.union(*apart)


@given(said=VALUES, scheme=TOKENS.filter(lambda scheme: scheme.lower() != "bearer"))
def test_another_scheme_says_nothing(said, scheme):
    """An error is Bearer's only: what stands in another challenge, quoted, is not."""
    described = quoted(f"Bearer error=invalid_token, {said}")
    assert bearer_errors([f"{scheme} error=invalid_token, realm={described}"]) == set()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "header",
    [
        pytest.param("a" * LONG + ";", id="a name that leads nowhere"),
        pytest.param("a;" * LONG, id="many of them"),
        pytest.param('"' + '\\"' * LONG, id="a string without an end"),
        pytest.param('a="' + '\\"' * LONG, id="a value without an end"),
        pytest.param("a" + " " * LONG + ";", id="spaces"),
        pytest.param("a=" + " " * LONG + ";", id="spaces before a value"),
        pytest.param(("a" + " " * 600 + "=") * 600, id="spaces, again and again"),
        pytest.param('a="\\' * LONG, id="escapes without an end"),
    ],
)
def test_a_header_made_to_be_slow(header):
    """Reading takes time in proportion, or the event loop would stand still.

    At this length anything worse takes minutes, and runs into the test's timeout.
    """
    assert bearer_errors([f"Bearer {header}"]) == set()
